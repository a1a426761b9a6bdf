#include "textflag.h"

// System calls take their number in AX and their arguments in DI, SI, DX, R10, R8; they return in AX and leave CX and R11 undefined.

#define SYS_RT_SIGPROCMASK 14
#define SYS_CLONE 56
#define SYS_EXIT 60
#define SYS_PRCTL 157
#define SYS_CLONE3 435

#define SIG_SETMASK 2
#define PR_SET_TIMERSLACK 29
#define PR_GET_TIMERSLACK 30

// type launch, in vfork_linux.go
#define launch_calls 0
#define launch_flags 8
#define launch_blocked 16
#define launch_before 24
#define launch_slack 32
#define launch_precise 40
#define launch_failed 48
#define launch_pidfd 56
#define launch_pid 60
#define launch_second 64
#define launch_errno 68
#define launch_size 72
#define launch_args 80

// type call, in vfork_linux.go
#define call_nr 0
#define call_args 8
#define call_store 48
#define call_kind 56
#define call_size 64

// its kinds
#define MAY 1
#define ZERO 2
#define SOME 3
#define FORK 4

// func vfork(l *launch)
//
// The child shares the parent's memory and its stack until it executes the command; the parent's thread is suspended until then. So the
// child calls nothing, and writes nothing but the launch and what its system calls write: what is on the stack is as it was when the parent goes on.
// All signals are blocked in this thread meanwhile, so that no handler runs in the child either. BX is the launch throughout, and R12 the call that
// the child is at.
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
	// clone3(&l.args, l.size): the same, but with no handlers in the child
	LEAQ launch_pidfd(BX), AX
	MOVQ AX, (launch_args+8)(BX)
	MOVQ $SYS_CLONE3, AX
	LEAQ launch_args(BX), DI
	MOVQ launch_size(BX), SI
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
	MOVQ launch_calls(BX), R12
	JMP  perform
next:
	ADDQ $call_size, R12
perform:
	MOVQ call_nr(R12), AX
	MOVQ (call_args+0)(R12), DI
	MOVQ (call_args+8)(R12), SI
	MOVQ (call_args+16)(R12), DX
	MOVQ (call_args+24)(R12), R10
	MOVQ (call_args+32)(R12), R8
	SYSCALL
	MOVQ  call_store(R12), R13
	TESTQ R13, R13
	JZ    judge
	MOVQ  AX, (R13)
judge:
	MOVQ  call_kind(R12), R13
	CMPQ  R13, $MAY
	JEQ   next
	TESTQ AX, AX
	JLT   failed
	JZ    nothing
	CMPQ  R13, $ZERO
	JEQ   failed
	CMPQ  R13, $FORK
	JNE   next
	// The child has a child, which goes on alone.
	MOVL AX, launch_second(BX)
	MOVQ $SYS_EXIT, AX
	MOVQ $0, DI
	SYSCALL
nothing:
	CMPQ R13, $SOME
	JNE  next
failed:
	NEGL AX
	MOVL AX, launch_errno(BX)
	MOVQ R12, launch_failed(BX)
	MOVQ $SYS_EXIT, AX
	MOVQ $127, DI
	SYSCALL
	INT  $3 // not reached
