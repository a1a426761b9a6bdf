#include "textflag.h"

// The number of a system call is in R8, its arguments are in R0 to R4 (syscall(2)).

#define SYS_WRITE 64
#define SYS_PPOLL 73
#define SYS_EXIT_GROUP 94
#define SYS_CLOCK_GETTIME 113
#define SYS_RT_SIGACTION 134

#define SIGUSR1 10
#define CLOCK_MONOTONIC 1

// struct sigaction: handler, flags, restorer (none: the handler returns to the vDSO), mask.
DATA action<>+0(SB)/8, $handler<>(SB)
DATA action<>+8(SB)/8, $0
DATA action<>+16(SB)/8, $0
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
	MOVD $SYS_RT_SIGACTION, R8
	MOVD $SIGUSR1, R0
	MOVD $action<>(SB), R1
	MOVD $0, R2
	MOVD $8, R3
	SVC
	// the same for signal 40, of which each counts
	MOVD $SYS_RT_SIGACTION, R8
	MOVD $40, R0
	SVC
	BL   handler<>(SB) // ready
sleep:
	// ppoll(&output, 1, NULL, NULL, 8): it is interrupted by the handler, or the reader is gone
	MOVD $SYS_PPOLL, R8
	MOVD $output<>(SB), R0
	MOVD $1, R1
	MOVD $0, R2
	MOVD $0, R3
	MOVD $8, R4
	SVC
	CMP  $0, R0
	BLE  sleep
	// exit_group(0)
	MOVD $SYS_EXIT_GROUP, R8
	MOVD $0, R0
	SVC
	BRK  // not reached

// The signal's handler: clock_gettime(CLOCK_MONOTONIC, &now), write(1, &now, 16)
TEXT handler<>(SB),NOSPLIT|NOFRAME,$0
	MOVD $SYS_CLOCK_GETTIME, R8
	MOVD $CLOCK_MONOTONIC, R0
	MOVD $now<>(SB), R1
	SVC
	MOVD $SYS_WRITE, R8
	MOVD $1, R0
	MOVD $now<>(SB), R1
	MOVD $16, R2
	SVC
	RET
