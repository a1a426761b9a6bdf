#include "textflag.h"

// What entry_linux.go explains in Go is done here, on arm64. System calls take their number in R8 and their arguments in R0 to R5;
// they return in R0 and change no other register. Signal handlers are called as C functions are: the number of the signal in R0, *siginfo_t in
// R1, *ucontext_t in R2, and in R30 the address to return to, which is the vDSO's call of rt_sigreturn(2). They may change every register,
// since that puts all of them back. But R28 is the runtime's g, which its own handlers want to find there, and R18 nobody touches; R27 is what
// the assembler itself computes addresses in.

#define SYS_OPENAT 56
#define SYS_CLOSE 57
#define SYS_WRITE 64
#define SYS_PPOLL 73
#define SYS_EXIT 93
#define SYS_EXIT_GROUP 94
#define SYS_RT_SIGACTION 134
#define SYS_RT_SIGPROCMASK 135
#define SYS_PRCTL 167
#define SYS_GETTID 178
#define SYS_CLONE 220
#define SYS_PRLIMIT64 261
#define SYS_PIDFD_SEND_SIGNAL 424

#define SIG_SETMASK 2
#define RLIMIT_NOFILE 7
#define AT_FDCWD -100
#define O_RDWR 2
#define O_PATH_CLOEXEC 0x280000 // O_PATH|O_CLOEXEC
#define PR_SET_TIMERSLACK 29
#define PR_GET_TIMERSLACK 30
#define SI_TKILL -6
#define SIGPIPE 13

#define REAL_TIME 32 // the kernel's SIGRTMIN
#define RECORD 32    // sizeof(record)
#define QUEUE 1024   // real-time signals that may wait here; entry_linux.go has it as queueLength

// siginfo_t (sigaction(2)).
#define info_code 8
#define info_pid 16
#define info_value 24

// ucontext_t: the mask that the thread has when the handler returns.
#define context_mask 40

// What Go changes atomically is changed here by the instructions that every arm64 has: a load that remembers the address, and a store that
// fails, and is tried again, if somebody else has stored there since. The load is an acquire and the store a release, which makes them as
// strong as sync/atomic; LDAR is the load that goes with them. R9 to R13 are used, R10 is the value that was there before.

// ADD32 adds n to a 32-bit variable.
#define ADD32(variable, n) \
	MOVD   $variable(SB), R9 \
	LDAXRW (R9), R10         \
	ADDW   $n, R10, R11      \
	STLXRW R11, (R9), R12    \
	CBNZ   R12, -3(PC)

// SET64 sets the bits of R11 in the 64-bit variable at R9, CLEAR64 clears them.
#define SET64 \
	LDAXR (R9), R10       \
	ORR   R11, R10, R12   \
	STLXR R12, (R9), R13  \
	CBNZ  R13, -3(PC)

#define CLEAR64 \
	LDAXR (R9), R10       \
	BIC   R11, R10, R12   \
	STLXR R12, (R9), R13  \
	CBNZ  R13, -3(PC)

// struct sigaction as rt_sigaction(2) wants it: handler, flags (SA_SIGINFO, SA_ONSTACK, SA_RESTART), restorer (none), mask (all).
DATA ·earlyAction+0(SB)/8, $·early(SB)
DATA ·earlyAction+8(SB)/8, $0x18000004
DATA ·earlyAction+16(SB)/8, $0
DATA ·earlyAction+24(SB)/8, $0xffffffffffffffff
GLOBL ·earlyAction(SB), NOPTR, $32

DATA ·noteAction+0(SB)/8, $·note(SB)
DATA ·noteAction+8(SB)/8, $0x18000004
DATA ·noteAction+16(SB)/8, $0
DATA ·noteAction+24(SB)/8, $0xffffffffffffffff
GLOBL ·noteAction(SB), NOPTR, $32

DATA ·recordAction+0(SB)/8, $·record(SB)
DATA ·recordAction+8(SB)/8, $0x18000004
DATA ·recordAction+16(SB)/8, $0
DATA ·recordAction+24(SB)/8, $0xffffffffffffffff
GLOBL ·recordAction(SB), NOPTR, $32

// func entry(): the ELF entry point of a program that has no other.
TEXT ·entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	JMP finite_signals_entry(SB)

// finite_signals_entry is where the way to the Go runtime begins: the ELF entry point, or where that of package keeper
// goes on. SP points at argc, then come argv and envp (execve(2)); SP must be as it was when the runtime starts.
TEXT finite_signals_entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	// Remember how precise timers are, and make them less so: the runtime's monitor sleeps 20 us at a time while there is work, and would take
	// a tenth of a processor from it. Threads inherit this from the thread that makes them; record gives it back.
	MOVD $SYS_PRCTL, R8
	MOVD $PR_GET_TIMERSLACK, R0
	SVC  $0
	MOVD R0, ·inheritedSlack(SB)
	MOVD $SYS_PRCTL, R8
	MOVD $PR_SET_TIMERSLACK, R0
	MOVD ·entrySlack(SB), R1
	SVC  $0
	// Remember the signal mask, and block everything while there are no handlers.
	MOVD $SYS_RT_SIGPROCMASK, R8
	MOVD $SIG_SETMASK, R0
	MOVD $·entryAll(SB), R1
	MOVD $·inheritedMask(SB), R2
	MOVD $8, R3
	SVC  $0
	// Remember the limit of open files, which the runtime will raise, and lower it to the three standard ones until then. The runtime then finds
	// that it cannot read the file system, which it does for a size of pages and for cgroup's CPU limit: finite needs neither, and that
	// takes 0.1 ms, or longer where there are many mounts.
	MOVD $SYS_PRLIMIT64, R8
	MOVD $0, R0
	MOVD $RLIMIT_NOFILE, R1
	MOVD $0, R2
	MOVD $·inheritedFiles(SB), R3
	SVC  $0
	MOVD ·inheritedFiles+8(SB), R9 // the hard limit stays
	MOVD R9, ·entryFiles+8(SB)
	MOVD $SYS_PRLIMIT64, R8
	MOVD $0, R0
	MOVD $RLIMIT_NOFILE, R1
	MOVD $·entryFiles(SB), R2
	MOVD $0, R3
	SVC  $0
	// Where one of the three is closed, put /dev/null there, as the runtime would. If there is none it would abort: then it is something that can
	// neither be read nor written, and that the command does not get.
standard:
	MOVD $SYS_OPENAT, R8
	MOVD $AT_FDCWD, R0
	MOVD $·entryNull(SB), R1
	MOVD $O_RDWR, R2
	SVC  $0
	CMN  $24, R0 // EMFILE
	BEQ  dispositions
	TBZ  $63, R0, opened
	MOVD $SYS_OPENAT, R8
	MOVD $AT_FDCWD, R0
	MOVD $·entryRoot(SB), R1
	MOVD $O_PATH_CLOEXEC, R2
	SVC  $0
	TBNZ $63, R0, dispositions
opened:
	CMP  $2, R0
	BLE  standard
	MOVD $SYS_CLOSE, R8 // the limit could not be lowered
	SVC  $0
dispositions:
	// For each signal from 64 down to 1: R19 is its number, R20 its bit.
	MOVD $64, R19
	MOVD $1<<63, R20
disposition:
	// Ask for its disposition, which is the first word of what comes back.
	MOVD $SYS_RT_SIGACTION, R8
	MOVD R19, R0
	MOVD $0, R1
	MOVD $·entryScratch(SB), R2
	MOVD $8, R3
	SVC  $0
	MOVD ·entryScratch(SB), R9
	CMP  $1, R9 // SIG_IGN
	BNE  handled
	MOVD ·inheritedIgnored(SB), R9
	ORR  R20, R9
	MOVD R9, ·inheritedIgnored(SB)
	JMP  next
handled:
	// A stop signal that is not ignored ends the process from here on. What the runtime will not leave blocked is taken note of.
	MOVD $·earlyAction(SB), R1
	MOVD ·entryStops(SB), R9
	TST  R20, R9
	BNE  install
	MOVD $·noteAction(SB), R1
	MOVD ·entryNotes(SB), R9
	TST  R20, R9
	BEQ  next
install:
	MOVD $SYS_RT_SIGACTION, R8
	MOVD R19, R0
	MOVD $0, R2
	MOVD $8, R3
	SVC  $0
next:
	LSR  $1, R20
	SUB  $1, R19
	CBNZ R19, disposition
	// Now the signals that have an early handler may come. The others wait for the command.
	MOVD $SYS_RT_SIGPROCMASK, R8
	MOVD $SIG_SETMASK, R0
	MOVD $·entryMask(SB), R1
	MOVD $0, R2
	MOVD $8, R3
	SVC  $0
	// Hide GOGC, GOMAXPROCS, GODEBUG and the like from the runtime: they are the command's. An init function gives them their G back.
	MOVD 0(RSP), R9          // argc
	ADD  $16, RSP, R10
	ADD  R9<<3, R10          // envp, behind the null pointer that ends argv
	MOVD R10, ·entryEnv(SB)
variable:
	MOVD  (R10), R11
	CBZ   R11, start
	MOVHU (R11), R12
	CMPW  $0x4f47, R12       // "GO", the low byte first
	BNE   skip
	MOVD  $1, R12
	MOVB  R12, (R11)
skip:
	ADD $8, R10
	JMP variable
start:
	// Tell it ours instead. For that, everything from SP up to the null pointer at R10 is moved down by two words, which keeps SP aligned, and what
	// is free then is another variable, and an empty one.
	MOVD RSP, R9
	SUB  $16, R9, R11
	MOVD R11, RSP
	SUB  $16, R10
move:
	MOVD.P 8(R9), R12
	MOVD.P R12, 8(R11)
	CMP    R10, R11
	BNE    move
	MOVD $·entryProcs(SB), R12
	MOVD R12, (R10)
	ADD  $12, R12           // the zero at its end
	MOVD R12, 8(R10)
	MOVD ·entryEnv(SB), R12
	SUB  $16, R12
	MOVD R12, ·entryEnv(SB)
	MOVD R10, ·entryEnvEnd(SB)
	MOVD ·entryProfile(SB), R12
	MOVD ZR, (R12)
	MOVD $1, R9
	MOVW R9, ·entryDone(SB)
	JMP  _rt0_arm64_linux(SB)

// func early(): the handler of stop signals until [Listen]: exit_group(128 + signal).
TEXT ·early(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	ADD  $128, R0
	MOVD $SYS_EXIT_GROUP, R8
	SVC  $0
	BRK  // not reached

// func note(): the handler of signals that can neither wait nor be recorded until [Listen].
TEXT ·note(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVD $1, R11
	LSL  R0, R11
	MOVD $·missed(SB), R9
	SET64
	RET

// func startReceiver(stack unsafe.Pointer) int32: makes a thread that is not the runtime's. It has no signals blocked and does nothing else
// than wait for one.
TEXT ·startReceiver(SB),NOSPLIT,$0-12
	// clone(CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM|CLONE_PARENT_SETTID, stack, &receiver, 0, 0)
	MOVD $SYS_CLONE, R8
	MOVD $0x150f00, R0
	MOVD stack+0(FP), R1
	AND  $~15, R1            // SP is a multiple of 16; kernels before 4.10 insist
	MOVD $·receiver(SB), R2
	MOVD $0, R3
	MOVD $0, R4
	SVC  $0
	CBZ  R0, receive
	MOVW R0, ret+8(FP)
	RET
receive:
	// The new thread. rt_sigprocmask(SIG_SETMASK, &none, NULL, 8)
	MOVD $SYS_RT_SIGPROCMASK, R8
	MOVD $SIG_SETMASK, R0
	MOVD $·receiverMask(SB), R1
	MOVD $0, R2
	MOVD $8, R3
	SVC  $0
sleep:
	// ppoll(NULL, 0, NULL, NULL, 8): until a handler has run
	MOVD  $SYS_PPOLL, R8
	MOVD  $0, R0
	MOVD  $0, R1
	MOVD  $0, R2
	MOVD  $0, R3
	MOVD  $8, R4
	SVC   $0
	MOVD  $·receiverStop(SB), R9
	LDARW (R9), R9
	CBZW  R9, sleep
	// exit(0): of this thread alone
	MOVD $SYS_EXIT, R8
	MOVD $0, R0
	SVC  $0
	BRK  // not reached

// func record(): the handler of every signal.
TEXT ·record(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	// R19 is the signal, R20 its siginfo_t, R21 its bit, R22 its si_code, R23 whether this is the receiver.
	MOVD R0, R19
	MOVD R1, R20
	SUB  $1, R0, R9
	MOVD $1, R21
	LSL  R9, R21
	MOVW info_code(R20), R22
	MOVD $0, R23
	MOVD  $SYS_GETTID, R8
	SVC   $0
	MOVD  $·receiver(SB), R9
	LDARW (R9), R9
	CMPW  R9, R0
	BNE   stray
	MOVD  $1, R23
	ADD32(·begun, 1)         // only the receiver passes signals on
	JMP   whose
stray:
	// A thread of the runtime's. From now on it leaves signals to the receiver, and its timers are as precise as they were, or the monitor's even less.
	MOVD ·strayMask(SB), R9
	MOVD context_mask(R2), R10
	ORR  R9, R10
	MOVD R10, context_mask(R2)
	MOVD ·inheritedSlack(SB), R9
	MOVW ·monitor(SB), R10
	CMPW R10, R0
	BNE  slack
	MOVD ·monitorSlack(SB), R9
slack:
	CMP  $0, R9              // unknown
	BLE  whose
	MOVD $SYS_PRCTL, R8
	MOVD $PR_SET_TIMERSLACK, R0
	MOVD R1, R3              // keep info
	MOVD R9, R1
	SVC  $0
	MOVD R3, R1
whose:
	// What the process has sent to itself, and a fault of its own, are the runtime's business: by tgkill(2), or a SIGPIPE for its write. Anything
	// else that is its own it has sent before it became finite.
	CMP  $0, R22
	BGT  byKernel
	MOVW info_pid(R20), R9
	MOVW ·ownPID(SB), R10
	CMPW R10, R9
	BNE  foreign
	CMP  $SI_TKILL, R22
	BEQ  runtime
	CMP  $SIGPIPE, R19
	BNE  foreign
runtime:
	CBNZ R23, done           // the receiver is no thread of the runtime's
	MOVD $·runtimeHandlers(SB), R9
	MOVD (R9)(R19<<3), R14
	CMP  $1, R14             // SIG_DFL is 0, SIG_IGN 1
	BLS  done
	MOVD R19, R0             // R1, R2 and R30 are as they were
	JMP  (R14)               // it returns to where this handler would have
byKernel:
	MOVD ·recordFaults(SB), R9
	TST  R21, R9
	BNE  runtime
foreign:
	// Pass it on at once, where the owner has allowed that and nothing older is waiting. R24 becomes the result: 0 not passed on, 1 passed on.
	MOVD  $0, R24
	CBZ   R23, coalesce
	MOVD  $·passSet(SB), R9
	LDAR  (R9), R10
	TST   R21, R10
	BEQ   coalesce
	MOVD  $·unpassed(SB), R9
	LDARW (R9), R10
	CBNZW R10, coalesce
	// pidfd_send_signal(passTo, signal, info or NULL, passFlags). The kernel takes the info of sigqueue(3) alone; for the rest it makes its own.
	MOVD  $0, R2
	CMP   $0, R22
	BGE   send
	CMP   $SI_TKILL, R22
	BEQ   send
	MOVD  R20, R2
send:
	MOVD  R19, R1
	MOVD  $·passTo(SB), R9
	LDARW (R9), R0
	MOVD  $·passFlags(SB), R9
	LDARW (R9), R3
	MOVD  $SYS_PIDFD_SEND_SIGNAL, R8
	SVC   $0
	CBNZ  R0, coalesce
	MOVD  $1, R24
	// If nobody wants to hear of it, that is all: to wake a thread of the runtime's would keep a processor from the command.
	MOVD  $·quietSet(SB), R9
	LDAR  (R9), R10
	TST   R21, R10
	BEQ   coalesce
	ADD32(·quiet, 1)
	JMP   done
coalesce:
	// A standard signal that is recorded and not read yet stands for this one as well, as it does in the kernel. ·pending has two words: for
	// those that were not passed on, and for those that were.
	CMP  $REAL_TIME, R19
	BGE  realTime
	MOVD $·pending(SB), R9
	ADD  R24<<3, R9
	LSL  $1, R21, R11        // the bit by number
	SET64
	TST  R11, R10
	BNE  done
	JMP  count
realTime:
	// Real-time signals are all kept, while there is room.
	ADD32(·queued, 1)
	CMPW $QUEUE, R10
	BGE  full
count:
	CBNZ R24, build
	ADD32(·unpassed, 1)
build:
	// The record, on the stack: signal, si_code, pid, uid, value, result.
	SUB  $RECORD, RSP
	MOVW R19, 0(RSP)
	MOVW R22, 4(RSP)
	MOVD info_pid(R20), R9   // and uid
	MOVD R9, 8(RSP)
	MOVD info_value(R20), R9
	MOVD R9, 16(RSP)
	MOVD R24, 24(RSP)
	MOVD $SYS_WRITE, R8
	MOVW ·recordFD(SB), R0
	MOVD RSP, R1
	MOVD $RECORD, R2
	SVC  $0
	ADD  $RECORD, RSP
	CMP  $RECORD, R0
	BNE  unwritten
	ADD32(·written, 1)
done:
	CBZ R23, return
	ADD32(·ended, 1)
return:
	RET
unwritten:
	// The kernel has no memory for a page of the pipe. A standard signal that was not passed on is remembered until the next one.
	CBNZ R24, forget
	ADD32(·unpassed, -1)
forget:
	CMP  $REAL_TIME, R19
	BGE  full
	MOVD $·pending(SB), R9
	ADD  R24<<3, R9
	LSL  $1, R21, R11
	CLEAR64
	CBNZ R24, done
	MOVD $·missed(SB), R9
	SET64
	JMP  done
full:
	ADD32(·queued, -1)
	CBNZ R24, done           // if it was passed on, only the record is lost
	ADD32(·lost, 1)
	JMP  done
