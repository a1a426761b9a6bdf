#include "textflag.h"

// The number of a system call is in AX, its arguments are in DI, SI, DX, R10, R8 (syscall(2)).

#define SYS_WRITE 1
#define SYS_RT_SIGACTION 13
#define SYS_RT_SIGRETURN 15
#define SYS_CLOCK_GETTIME 228
#define SYS_EXIT_GROUP 231
#define SYS_PPOLL 271

#define SIGUSR1 10
#define CLOCK_MONOTONIC 1

// struct sigaction: handler, flags (SA_RESTORER), restorer, mask.
DATA action<>+0(SB)/8, $handler<>(SB)
DATA action<>+8(SB)/8, $0x04000000
DATA action<>+16(SB)/8, $restorer<>(SB)
DATA action<>+24(SB)/8, $0
GLOBL action<>(SB), NOPTR, $32

// struct pollfd: standard output, and no events but those that are always told of.
DATA output<>+0(SB)/4, $1
DATA output<>+4(SB)/4, $0
GLOBL output<>(SB), NOPTR, $8

// struct timespec
GLOBL now<>(SB), NOPTR, $16

// func entry()
TEXT ·entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	// rt_sigaction(SIGUSR1, &action, NULL, 8)
	MOVQ $SYS_RT_SIGACTION, AX
	MOVQ $SIGUSR1, DI
	LEAQ action<>(SB), SI
	MOVQ $0, DX
	MOVQ $8, R10
	SYSCALL
	// the same for signal 40, of which each counts
	MOVQ $SYS_RT_SIGACTION, AX
	MOVQ $40, DI
	SYSCALL
	CALL handler<>(SB) // ready
sleep:
	// ppoll(&output, 1, NULL, NULL, 8): it is interrupted by the handler, or the reader is gone
	MOVQ $SYS_PPOLL, AX
	LEAQ output<>(SB), DI
	MOVQ $1, SI
	MOVQ $0, DX
	MOVQ $0, R10
	MOVQ $8, R8
	SYSCALL
	TESTQ AX, AX
	JLE   sleep
	// exit_group(0)
	MOVQ $SYS_EXIT_GROUP, AX
	MOVQ $0, DI
	SYSCALL
	INT $3 // not reached

// The signal's handler: clock_gettime(CLOCK_MONOTONIC, &now), write(1, &now, 16)
TEXT handler<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ $SYS_CLOCK_GETTIME, AX
	MOVQ $CLOCK_MONOTONIC, DI
	LEAQ now<>(SB), SI
	SYSCALL
	MOVQ $SYS_WRITE, AX
	MOVQ $1, DI
	LEAQ now<>(SB), SI
	MOVQ $16, DX
	SYSCALL
	RET

// Where the handler returns to.
TEXT restorer<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ $SYS_RT_SIGRETURN, AX
	SYSCALL
	INT $3 // not reached
