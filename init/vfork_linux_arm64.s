#include "textflag.h"

// System calls take their number in R8 and their arguments in R0 to R4; they return in R0 and change no other register.

#define SYS_EXIT 93
#define SYS_RT_SIGPROCMASK 135
#define SYS_PRCTL 167
#define SYS_CLONE 220
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
// All signals are blocked in this thread meanwhile, so that no handler runs in the child either. R19 is the launch throughout, and R20 the call that
// the child is at. The address to return to stays in R30, of which the child has a copy.
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
	// clone3(&l.args, l.size): the same, but with no handlers in the child
	ADD  $launch_pidfd, R19, R9
	MOVD R9, (launch_args+8)(R19)
	MOVD $SYS_CLONE3, R8
	ADD  $launch_args, R19, R0
	MOVD launch_size(R19), R1
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
	MOVD launch_calls(R19), R20
	JMP  perform
next:
	ADD  $call_size, R20
perform:
	MOVD call_nr(R20), R8
	MOVD (call_args+0)(R20), R0
	MOVD (call_args+8)(R20), R1
	MOVD (call_args+16)(R20), R2
	MOVD (call_args+24)(R20), R3
	MOVD (call_args+32)(R20), R4
	SVC  $0
	MOVD call_store(R20), R9
	CBZ  R9, judge
	MOVD R0, (R9)
judge:
	MOVD call_kind(R20), R9
	CMP  $MAY, R9
	BEQ  next
	TBNZ $63, R0, failed
	CBZ  R0, nothing
	CMP  $ZERO, R9
	BEQ  failed
	CMP  $FORK, R9
	BNE  next
	// The child has a child, which goes on alone.
	MOVW R0, launch_second(R19)
	MOVD $SYS_EXIT, R8
	MOVD $0, R0
	SVC  $0
nothing:
	CMP  $SOME, R9
	BNE  next
failed:
	NEGW R0, R0
	MOVW R0, launch_errno(R19)
	MOVD R20, launch_failed(R19)
	MOVD $SYS_EXIT, R8
	MOVD $127, R0
	SVC  $0
	BRK  // not reached
