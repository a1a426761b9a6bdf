#include "textflag.h"

// System calls take their number in R8 and their arguments in R0 to R4; they return in R0 and change no other register.

#define SYS_IOCTL 29
#define SYS_CHDIR 49
#define SYS_EXIT 93
#define SYS_RT_SIGACTION 134
#define SYS_RT_SIGPROCMASK 135
#define SYS_SETPGID 154
#define SYS_GETPID 172
#define SYS_CLONE 220
#define SYS_EXECVE 221
#define SYS_PRCTL 167
#define SYS_PRLIMIT64 261
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
// in this thread meanwhile, so that no handler runs in the child either. R19 is the launch throughout. The address to return to stays in R30,
// of which the child has a copy.
TEXT ·vfork(SB),NOSPLIT,$0-8
	MOVD l+0(FP), R19
	// rt_sigprocmask(SIG_SETMASK, &l.blocked, &l.before, 8)
	MOVD $SYS_RT_SIGPROCMASK, R8
	MOVD $SIG_SETMASK, R0
	ADD  $launch_blocked, R19, R1
	ADD  $launch_before, R19, R2
	MOVD $8, R3
	SVC  $0
	// l.precise = prctl(PR_GET_TIMERSLACK); prctl(PR_SET_TIMERSLACK, l.slack), if that is known: the child inherits this thread's, as its own and
	// as its default
	MOVD launch_slack(R19), R1
	CBZ  R1, clone
	MOVD $SYS_PRCTL, R8
	MOVD $PR_GET_TIMERSLACK, R0
	SVC  $0
	MOVD R0, launch_precise(R19)
	MOVD $SYS_PRCTL, R8
	MOVD $PR_SET_TIMERSLACK, R0
	MOVD launch_slack(R19), R1
	SVC  $0
clone:
	MOVD launch_args(R19), R9
	CBZ  R9, older
	// clone3(&l.args, sizeof(l.args)): the same, but with no handlers in the child
	ADD  $launch_pidfd, R19, R9
	MOVD R9, (launch_args+8)(R19)
	MOVD $SYS_CLONE3, R8
	ADD  $launch_args, R19, R0
	MOVD $64, R1
	SVC  $0
	JMP  cloned
older:
	// clone(l.flags, 0, &l.pidfd, 0, 0): the stack 0 is the caller's
	MOVD $SYS_CLONE, R8
	MOVD launch_flags(R19), R0
	MOVD $0, R1
	ADD  $launch_pidfd, R19, R2
	MOVD $0, R3
	MOVD $0, R4
	SVC  $0
cloned:
	CBZ  R0, child
	// The parent: l.pid is the PID, or an error below 0.
	MOVW R0, launch_pid(R19)
	MOVD launch_slack(R19), R1
	CBZ  R1, mask
	MOVD $SYS_PRCTL, R8
	MOVD $PR_SET_TIMERSLACK, R0
	MOVD launch_precise(R19), R1
	SVC  $0
mask:
	MOVD $SYS_RT_SIGPROCMASK, R8
	MOVD $SIG_SETMASK, R0
	ADD  $launch_before, R19, R1
	MOVD $0, R2
	MOVD $8, R3
	SVC  $0
	RET

child:
	// Every disposition is the default, or SIG_IGN where it was inherited so. R20 counts signals down, R21 is what is left of l.ignored,
	// highest signal first. After clone3 there is nothing to do for the former.
	MOVD $64, R20
	MOVD launch_ignored(R19), R21
disposition:
	LSR  $63, R21, R9        // the signal's bit becomes SIG_DFL 0 or SIG_IGN 1
	LSL  $1, R21
	MOVD R9, launch_action(R19)
	CBNZ R9, change
	MOVD launch_args(R19), R9
	CBNZ R9, next
change:
	MOVD $SYS_RT_SIGACTION, R8 // fails for SIGKILL and SIGSTOP
	MOVD R20, R0
	ADD  $launch_action, R19, R1
	MOVD $0, R2
	MOVD $8, R3
	SVC  $0
next:
	SUB  $1, R20
	CBNZ R20, disposition
	// setpgid(0, 0): a process group of its own
	MOVD $SYS_SETPGID, R8
	MOVD $0, R0
	MOVD $0, R1
	SVC  $0
	// tcsetpgrp(l.tty, getpid()), if finite had the foreground. Whether that went well the parent asks the terminal.
	MOVW launch_tty(R19), R9
	CMPW $0, R9
	BLT  files
	MOVD $SYS_GETPID, R8
	SVC  $0
	MOVW R0, launch_pid(R19)
	MOVD $SYS_IOCTL, R8
	MOVW launch_tty(R19), R0
	MOVD $TIOCSPGRP, R1
	ADD  $launch_pid, R19, R2
	SVC  $0
files:
	// prlimit(0, RLIMIT_NOFILE, l.files, NULL), if it is known: the runtime has raised it
	MOVD launch_files(R19), R2
	CBZ  R2, directory
	MOVD $SYS_PRLIMIT64, R8
	MOVD $0, R0
	MOVD $RLIMIT_NOFILE, R1
	MOVD $0, R3
	SVC  $0
directory:
	// chdir(l.dir), if there is one
	MOVD launch_dir(R19), R0
	CBZ  R0, execute
	MOVD $SYS_CHDIR, R8
	SVC  $0
	CBNZ R0, failed
execute:
	// rt_sigprocmask(SIG_SETMASK, &l.mask, NULL, 8): now signals act on the child, by their default
	MOVD $SYS_RT_SIGPROCMASK, R8
	MOVD $SIG_SETMASK, R0
	ADD  $launch_mask, R19, R1
	MOVD $0, R2
	MOVD $8, R3
	SVC  $0
	MOVD $SYS_EXECVE, R8
	MOVD launch_path(R19), R0
	MOVD launch_argv(R19), R1
	MOVD launch_envv(R19), R2
	SVC  $0
failed:
	NEGW R0, R0
	MOVW R0, launch_errno(R19)
	MOVD $SYS_EXIT, R8
	MOVD $127, R0
	SVC  $0
	BRK  // not reached
