#include "textflag.h"

// System calls take their number in AX and their arguments in DI, SI, DX, R10, R8; they return in AX and leave CX and R11 undefined.

#define SYS_RT_SIGACTION 13
#define SYS_RT_SIGPROCMASK 14
#define SYS_IOCTL 16
#define SYS_GETPID 39
#define SYS_CLONE 56
#define SYS_EXECVE 59
#define SYS_EXIT 60
#define SYS_CHDIR 80
#define SYS_SETPGID 109
#define SYS_PRCTL 157
#define SYS_PRLIMIT64 302
#define SYS_CLONE3 435

#define SIG_SETMASK 2
#define RLIMIT_NOFILE 7
#define PR_SET_TIMERSLACK 29
#define PR_GET_TIMERSLACK 30
#define TIOCSPGRP 0x5410

// type launch, in vfork_linux.go
#define launch_path 0
#define launch_argv 8
#define launch_envv 16
#define launch_dir 24
#define launch_flags 32
#define launch_ignored 40
#define launch_mask 48
#define launch_blocked 56
#define launch_before 64
#define launch_files 72
#define launch_action 80
#define launch_pidfd 112
#define launch_tty 116
#define launch_pid 120
#define launch_errno 124
#define launch_slack 128
#define launch_precise 136
#define launch_args 144

// func vfork(l *launch)
//
// The child shares the parent's memory and its stack until it executes the command; the parent's thread is suspended until then. So the
// child calls nothing, and writes nothing but the launch: what is on the stack is as it was when the parent goes on. All signals are blocked
// in this thread meanwhile, so that no handler runs in the child either. BX is the launch throughout.
TEXT ·vfork(SB),NOSPLIT,$0-8
	MOVQ l+0(FP), BX
	// rt_sigprocmask(SIG_SETMASK, &l.blocked, &l.before, 8)
	MOVQ $SYS_RT_SIGPROCMASK, AX
	MOVQ $SIG_SETMASK, DI
	LEAQ launch_blocked(BX), SI
	LEAQ launch_before(BX), DX
	MOVQ $8, R10
	SYSCALL
	// l.precise = prctl(PR_GET_TIMERSLACK); prctl(PR_SET_TIMERSLACK, l.slack), if that is known: the child inherits this thread's, as its own and
	// as its default
	CMPQ launch_slack(BX), $0
	JEQ  clone
	MOVQ $SYS_PRCTL, AX
	MOVQ $PR_GET_TIMERSLACK, DI
	SYSCALL
	MOVQ AX, launch_precise(BX)
	MOVQ $SYS_PRCTL, AX
	MOVQ $PR_SET_TIMERSLACK, DI
	MOVQ launch_slack(BX), SI
	SYSCALL
clone:
	CMPQ launch_args(BX), $0
	JEQ  older
	// clone3(&l.args, sizeof(l.args)): the same, but with no handlers in the child
	LEAQ launch_pidfd(BX), AX
	MOVQ AX, (launch_args+8)(BX)
	MOVQ $SYS_CLONE3, AX
	LEAQ launch_args(BX), DI
	MOVQ $64, SI
	SYSCALL
	JMP  cloned
older:
	// clone(l.flags, 0, &l.pidfd, 0, 0): the stack 0 is the caller's
	MOVQ $SYS_CLONE, AX
	MOVQ launch_flags(BX), DI
	MOVQ $0, SI
	LEAQ launch_pidfd(BX), DX
	MOVQ $0, R10
	MOVQ $0, R8
	SYSCALL
cloned:
	TESTQ AX, AX
	JZ    child
	// The parent: l.pid is the PID, or an error below 0.
	MOVL AX, launch_pid(BX)
	CMPQ launch_slack(BX), $0
	JEQ  mask
	MOVQ $SYS_PRCTL, AX
	MOVQ $PR_SET_TIMERSLACK, DI
	MOVQ launch_precise(BX), SI
	SYSCALL
mask:
	MOVQ $SYS_RT_SIGPROCMASK, AX
	MOVQ $SIG_SETMASK, DI
	LEAQ launch_before(BX), SI
	MOVQ $0, DX
	MOVQ $8, R10
	SYSCALL
	RET

child:
	// Every disposition is the default, or SIG_IGN where it was inherited so. R12 counts signals down, R13 is what is left of l.ignored,
	// highest signal first. After clone3 there is nothing to do for the former.
	MOVQ $64, R12
	MOVQ launch_ignored(BX), R13
disposition:
	XORQ AX, AX
	SHLQ $1, R13             // the signal's bit falls into the carry,
	ADCQ $0, AX              // and becomes SIG_DFL 0 or SIG_IGN 1
	MOVQ AX, launch_action(BX)
	JNZ  change
	CMPQ launch_args(BX), $0
	JNE  next
change:
	MOVQ $SYS_RT_SIGACTION, AX // fails for SIGKILL and SIGSTOP
	MOVQ R12, DI
	LEAQ launch_action(BX), SI
	MOVQ $0, DX
	MOVQ $8, R10
	SYSCALL
next:
	DECQ R12
	JNZ  disposition
	// setpgid(0, 0): a process group of its own
	MOVQ $SYS_SETPGID, AX
	MOVQ $0, DI
	MOVQ $0, SI
	SYSCALL
	// tcsetpgrp(l.tty, getpid()), if finite had the foreground. Whether that went well the parent asks the terminal.
	CMPL launch_tty(BX), $0
	JLT  files
	MOVQ $SYS_GETPID, AX
	SYSCALL
	MOVL AX, launch_pid(BX)
	MOVQ $SYS_IOCTL, AX
	MOVL launch_tty(BX), DI
	MOVQ $TIOCSPGRP, SI
	LEAQ launch_pid(BX), DX
	SYSCALL
files:
	// prlimit(0, RLIMIT_NOFILE, l.files, NULL), if it is known: the runtime has raised it
	MOVQ  launch_files(BX), DX
	TESTQ DX, DX
	JZ    directory
	MOVQ  $SYS_PRLIMIT64, AX
	MOVQ  $0, DI
	MOVQ  $RLIMIT_NOFILE, SI
	MOVQ  $0, R10
	SYSCALL
directory:
	// chdir(l.dir), if there is one
	MOVQ launch_dir(BX), DI
	TESTQ DI, DI
	JZ    execute
	MOVQ $SYS_CHDIR, AX
	SYSCALL
	TESTQ AX, AX
	JNZ  failed
execute:
	// rt_sigprocmask(SIG_SETMASK, &l.mask, NULL, 8): now signals act on the child, by their default
	MOVQ $SYS_RT_SIGPROCMASK, AX
	MOVQ $SIG_SETMASK, DI
	LEAQ launch_mask(BX), SI
	MOVQ $0, DX
	MOVQ $8, R10
	SYSCALL
	MOVQ $SYS_EXECVE, AX
	MOVQ launch_path(BX), DI
	MOVQ launch_argv(BX), SI
	MOVQ launch_envv(BX), DX
	SYSCALL
failed:
	NEGL AX
	MOVL AX, launch_errno(BX)
	MOVQ $SYS_EXIT, AX
	MOVQ $127, DI
	SYSCALL
	INT  $3 // not reached
