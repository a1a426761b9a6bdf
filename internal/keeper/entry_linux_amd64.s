#include "textflag.h"

// The entry point, system calls and clones on amd64, for start_linux.go and kernel_linux.go. System
// calls take their number in AX and their arguments in DI, SI, DX, R10, R8, R9 (syscall(2)).
//
// Compiled Go expects g in R14 and zero in X15, and the wrappers of assembly functions load g from
// -8(FS). The g here is zeroes. Its stackguard0 is 0, so no function ever asks for more stack.

#define SYS_CLONE 56
#define SYS_CLONE3 435
#define SYS_ARCH_PRCTL 158
#define ARCH_SET_FS 0x1002

// func entry(): the ELF entry point. SP points at argc, argv and envp (execve(2)). begin, which is
// Go, runs on the process's own stack. Where begin returns, the Go runtime starts, and its result is
// the stack pointer.
TEXT ·entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ SP, BX
	ANDQ $~15, SP
	SUBQ $16, SP             // where begin may spill its argument
	LEAQ ·noG(SB), R14
	MOVQ R14, ·noTLS(SB)
	LEAQ ·noTLS+8(SB), SI
	MOVQ $ARCH_SET_FS, DI
	MOVQ $SYS_ARCH_PRCTL, AX
	SYSCALL
	MOVQ BX, AX              // the argument
	XORPS X15, X15
	MOVQ ·beginFunc(SB), DX  // a func value, the first word of which is the code
	MOVQ 0(DX), CX
	CALL CX
	MOVQ AX, SP
	JMP  _rt0_amd64_linux(SB)

// func rawSyscall(number, a, b, c, d, e, f uintptr) uintptr
TEXT ·rawSyscall(SB),NOSPLIT|NOFRAME,$0-64
	MOVQ number+0(FP), AX
	MOVQ a+8(FP), DI
	MOVQ b+16(FP), SI
	MOVQ c+24(FP), DX
	MOVQ d+32(FP), R10
	MOVQ e+40(FP), R8
	MOVQ f+48(FP), R9
	SYSCALL
	MOVQ AX, ret+56(FP)
	RET

// func spawnInto(args, size uintptr, run func()) uintptr: clone3(2). The child calls run, which
// does not return.
TEXT ·spawnInto(SB),NOSPLIT|NOFRAME,$0-32
	MOVQ args+0(FP), DI
	MOVQ size+8(FP), SI
	MOVQ run+16(FP), R12
	MOVQ $SYS_CLONE3, AX
	SYSCALL
	TESTQ AX, AX
	JZ   child
	MOVQ AX, ret+24(FP)
	RET
child:
	JMP  ·begun(SB)

// A child begins at begun, on a stack of its own. R12 has the func value of what the child does.
TEXT ·begun(SB),NOSPLIT|NOFRAME,$0
	LEAQ ·noG(SB), R14
	XORPS X15, X15
	MOVQ R12, DX
	MOVQ 0(DX), CX
	CALL CX
	INT  $3

// func spawn(flags uintptr, stack unsafe.Pointer, pidfd *int32, run func()) uintptr: clone(2). The
// child calls run, which does not return, on the given stack.
TEXT ·spawn(SB),NOSPLIT|NOFRAME,$0-40
	MOVQ flags+0(FP), DI
	MOVQ stack+8(FP), SI
	MOVQ pidfd+16(FP), DX
	MOVQ run+24(FP), R12
	XORQ R10, R10
	XORQ R8, R8
	MOVQ $SYS_CLONE, AX
	SYSCALL
	TESTQ AX, AX
	JZ   child
	MOVQ AX, ret+32(FP)
	RET
child:
	JMP  ·begun(SB)
