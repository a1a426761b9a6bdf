#include "textflag.h"

// The entry point, system calls and clones on arm64, for start_linux.go and kernel_linux.go. System
// calls take their number in R8 and their arguments in R0 to R5 (syscall(2)).
//
// Compiled Go expects g in R28. The g here is zeroes. Its stackguard0 is 0, so no function ever
// asks for more stack.

#define SYS_CLONE 220
#define SYS_CLONE3 435

// func entry(): the ELF entry point. RSP points at argc, argv and envp (execve(2)). begin, which is
// Go, runs on the process's own stack. Where begin returns, the Go runtime starts, and its result is
// the stack pointer.
TEXT ·entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVD RSP, R0             // the argument
	SUB  $32, RSP
	MOVD $·noG(SB), g
	MOVD ·beginFunc(SB), R26 // a func value, the first word of which is the code
	MOVD (R26), R1
	CALL (R1)
	MOVD R0, RSP
	JMP  _rt0_arm64_linux(SB)

// func rawSyscall(number, a, b, c, d, e, f uintptr) uintptr
TEXT ·rawSyscall(SB),NOSPLIT|NOFRAME,$0-64
	MOVD number+0(FP), R8
	MOVD a+8(FP), R0
	MOVD b+16(FP), R1
	MOVD c+24(FP), R2
	MOVD d+32(FP), R3
	MOVD e+40(FP), R4
	MOVD f+48(FP), R5
	SVC
	MOVD R0, ret+56(FP)
	RET

// func spawnInto(args, size uintptr, run func()) uintptr: clone3(2). The child calls run, which
// does not return.
TEXT ·spawnInto(SB),NOSPLIT|NOFRAME,$0-32
	MOVD args+0(FP), R0
	MOVD size+8(FP), R1
	MOVD run+16(FP), R26
	MOVD $SYS_CLONE3, R8
	SVC
	CBZ  R0, child
	MOVD R0, ret+24(FP)
	RET
child:
	JMP  ·begun(SB)

// A child begins at begun, on a stack of its own. R26 has the func value of what the child does.
TEXT ·begun(SB),NOSPLIT|NOFRAME,$0
	MOVD $·noG(SB), g
	MOVD (R26), R1
	CALL (R1)
	BRK

// func spawn(flags uintptr, stack unsafe.Pointer, pidfd *int32, run func()) uintptr: clone(2). The
// child calls run, which does not return, on the given stack.
TEXT ·spawn(SB),NOSPLIT|NOFRAME,$0-40
	MOVD flags+0(FP), R0
	MOVD stack+8(FP), R1
	MOVD pidfd+16(FP), R2
	MOVD ZR, R3
	MOVD ZR, R4
	MOVD run+24(FP), R26
	MOVD $SYS_CLONE, R8
	SVC
	CBZ  R0, child
	MOVD R0, ret+32(FP)
	RET
child:
	JMP  ·begun(SB)
