#include "textflag.h"

// What entry_linux.go explains in Go is done here, on amd64. System calls take their number in AX and their arguments in DI, SI,
// DX, R10, R8, R9; they return in AX and leave CX and R11 undefined (syscall(2)). Signal handlers are called as C functions are: the number
// of the signal in DI, *siginfo_t in SI, *ucontext_t in DX. They may change every register, since rt_sigreturn(2) puts all of them back.

#define SYS_WRITE 1
#define SYS_CLOSE 3
#define SYS_RT_SIGACTION 13
#define SYS_RT_SIGPROCMASK 14
#define SYS_RT_SIGRETURN 15
#define SYS_CLONE 56
#define SYS_EXIT 60
#define SYS_PRCTL 157
#define SYS_GETTID 186
#define SYS_EXIT_GROUP 231
#define SYS_OPENAT 257
#define SYS_PPOLL 271
#define SYS_PRLIMIT64 302
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
#define context_mask 296

// struct sigaction as rt_sigaction(2) wants it: handler, flags (SA_SIGINFO, SA_RESTORER, SA_ONSTACK, SA_RESTART), restorer, mask (all).
DATA ·earlyAction+0(SB)/8, $·early(SB)
DATA ·earlyAction+8(SB)/8, $0x1c000004
DATA ·earlyAction+16(SB)/8, $·restorer(SB)
DATA ·earlyAction+24(SB)/8, $0xffffffffffffffff
GLOBL ·earlyAction(SB), NOPTR, $32

DATA ·noteAction+0(SB)/8, $·note(SB)
DATA ·noteAction+8(SB)/8, $0x1c000004
DATA ·noteAction+16(SB)/8, $·restorer(SB)
DATA ·noteAction+24(SB)/8, $0xffffffffffffffff
GLOBL ·noteAction(SB), NOPTR, $32

DATA ·recordAction+0(SB)/8, $·record(SB)
DATA ·recordAction+8(SB)/8, $0x1c000004
DATA ·recordAction+16(SB)/8, $·restorer(SB)
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
	MOVQ $SYS_PRCTL, AX
	MOVQ $PR_GET_TIMERSLACK, DI
	SYSCALL
	MOVQ AX, ·inheritedSlack(SB)
	MOVQ $SYS_PRCTL, AX
	MOVQ $PR_SET_TIMERSLACK, DI
	MOVQ ·entrySlack(SB), SI
	SYSCALL
	// Remember the signal mask, and block everything while there are no handlers.
	MOVQ $SYS_RT_SIGPROCMASK, AX
	MOVQ $SIG_SETMASK, DI
	LEAQ ·entryAll(SB), SI
	LEAQ ·inheritedMask(SB), DX
	MOVQ $8, R10
	SYSCALL
	// Remember the limit of open files, which the runtime will raise, and lower it to the three standard ones until then. The runtime then finds
	// that it cannot read the file system, which it does for a size of pages and for cgroup's CPU limit: finite needs neither, and that
	// takes 0.1 ms, or longer where there are many mounts.
	MOVQ $SYS_PRLIMIT64, AX
	MOVQ $0, DI
	MOVQ $RLIMIT_NOFILE, SI
	MOVQ $0, DX
	LEAQ ·inheritedFiles(SB), R10
	SYSCALL
	MOVQ ·inheritedFiles+8(SB), AX // the hard limit stays
	MOVQ AX, ·entryFiles+8(SB)
	MOVQ $SYS_PRLIMIT64, AX
	MOVQ $0, DI
	MOVQ $RLIMIT_NOFILE, SI
	LEAQ ·entryFiles(SB), DX
	MOVQ $0, R10
	SYSCALL
	// Where one of the three is closed, put /dev/null there, as the runtime would. If there is none it would abort: then it is something that can
	// neither be read nor written, and that the command does not get.
standard:
	MOVQ $SYS_OPENAT, AX
	MOVQ $AT_FDCWD, DI
	LEAQ ·entryNull(SB), SI
	MOVQ $O_RDWR, DX
	SYSCALL
	CMPQ AX, $-24 // EMFILE
	JEQ  dispositions
	TESTQ AX, AX
	JGE  opened
	MOVQ $SYS_OPENAT, AX
	MOVQ $AT_FDCWD, DI
	LEAQ ·entryRoot(SB), SI
	MOVQ $O_PATH_CLOEXEC, DX
	SYSCALL
	TESTQ AX, AX
	JLT  dispositions
opened:
	CMPQ AX, $2
	JLE  standard
	MOVQ AX, DI // the limit could not be lowered
	MOVQ $SYS_CLOSE, AX
	SYSCALL
dispositions:
	// For each signal from 64 down to 1: R13 is its number, R14 its bit.
	MOVQ $64, R13
disposition:
	LEAQ -1(R13), CX
	MOVQ $1, R14
	SHLQ CX, R14
	// Ask for its disposition, which is the first word of what comes back.
	MOVQ $SYS_RT_SIGACTION, AX
	MOVQ R13, DI
	MOVQ $0, SI
	LEAQ ·entryScratch(SB), DX
	MOVQ $8, R10
	SYSCALL
	CMPQ ·entryScratch(SB), $1 // SIG_IGN
	JNE  handled
	ORQ  R14, ·inheritedIgnored(SB)
	JMP  next
handled:
	// A stop signal that is not ignored ends the process from here on. What the runtime will not leave blocked is taken note of.
	LEAQ  ·earlyAction(SB), SI
	TESTQ R14, ·entryStops(SB)
	JNZ   install
	LEAQ  ·noteAction(SB), SI
	TESTQ R14, ·entryNotes(SB)
	JZ    next
install:
	MOVQ $SYS_RT_SIGACTION, AX
	MOVQ R13, DI
	MOVQ $0, DX
	MOVQ $8, R10
	SYSCALL
next:
	DECQ R13
	JNZ  disposition
	// Now the signals that have an early handler may come. The others wait for the command.
	MOVQ $SYS_RT_SIGPROCMASK, AX
	MOVQ $SIG_SETMASK, DI
	LEAQ ·entryMask(SB), SI
	MOVQ $0, DX
	MOVQ $8, R10
	SYSCALL
	// Hide GOGC, GOMAXPROCS, GODEBUG and the like from the runtime: they are the command's. An init function gives them their G back.
	MOVQ 0(SP), CX           // argc
	LEAQ 16(SP)(CX*8), BX    // envp, behind the null pointer that ends argv
	MOVQ BX, ·entryEnv(SB)
variable:
	MOVQ (BX), SI
	TESTQ SI, SI
	JZ    start
	CMPW  (SI), $0x4f47      // "GO", the low byte first
	JNE   skip
	MOVB  $1, (SI)
skip:
	ADDQ $8, BX
	JMP  variable
start:
	// Tell it ours instead. For that, everything from SP up to the null pointer at BX is moved down by two words, which keeps SP aligned, and what
	// is free then is another variable, and an empty one.
	MOVQ SP, SI
	LEAQ -16(SP), DI
	MOVQ DI, SP
	MOVQ BX, CX
	SUBQ SI, CX
	SHRQ $3, CX
	CLD
	REP; MOVSQ
	SUBQ $16, BX
	LEAQ ·entryProcs(SB), AX
	MOVQ AX, (BX)
	LEAQ ·entryProcs+12(SB), AX // the zero at its end
	MOVQ AX, 8(BX)
	SUBQ $16, ·entryEnv(SB)
	MOVQ BX, ·entryEnvEnd(SB)
	MOVQ ·entryProfile(SB), AX
	MOVQ $0, (AX)
	MOVL $1, ·entryDone(SB)
	JMP  _rt0_amd64_linux(SB)

// func early(): the handler of stop signals until [Listen]: exit_group(128 + signal).
TEXT ·early(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	ADDQ $128, DI
	MOVQ $SYS_EXIT_GROUP, AX
	SYSCALL
	INT  $3 // not reached

// func note(): the handler of signals that can neither wait nor be recorded until [Listen].
TEXT ·note(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	LOCK
	BTSQ DI, ·missed(SB)
	RET

// func restorer(): where a handler returns to. The kernel finds the frame that it made at SP.
TEXT ·restorer(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ $SYS_RT_SIGRETURN, AX
	SYSCALL
	INT  $3 // not reached

// func startReceiver(stack unsafe.Pointer) int32: makes a thread that is not the runtime's. It has no signals blocked and does nothing else
// than wait for one.
TEXT ·startReceiver(SB),NOSPLIT,$0-12
	// clone(CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM|CLONE_PARENT_SETTID, stack, &receiver, 0, 0)
	MOVQ $SYS_CLONE, AX
	MOVQ $0x150f00, DI
	MOVQ stack+0(FP), SI
	LEAQ ·receiver(SB), DX
	MOVQ $0, R10
	MOVQ $0, R8
	SYSCALL
	TESTQ AX, AX
	JZ   receive
	MOVL AX, ret+8(FP)
	RET
receive:
	// The new thread. rt_sigprocmask(SIG_SETMASK, &none, NULL, 8)
	MOVQ $SYS_RT_SIGPROCMASK, AX
	MOVQ $SIG_SETMASK, DI
	LEAQ ·receiverMask(SB), SI
	MOVQ $0, DX
	MOVQ $8, R10
	SYSCALL
sleep:
	// ppoll(NULL, 0, NULL, NULL, 8): until a handler has run
	MOVQ $SYS_PPOLL, AX
	MOVQ $0, DI
	MOVQ $0, SI
	MOVQ $0, DX
	MOVQ $0, R10
	MOVQ $8, R8
	SYSCALL
	CMPL ·receiverStop(SB), $0
	JEQ  sleep
	// exit(0): of this thread alone
	MOVQ $SYS_EXIT, AX
	MOVQ $0, DI
	SYSCALL
	INT  $3 // not reached

// func record(): the handler of every signal.
TEXT ·record(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	// R12 is the signal's bit, R8 its si_code, R13 whether this is the receiver.
	LEAQ -1(DI), CX
	MOVQ $1, R12
	SHLQ CX, R12
	MOVLQSX info_code(SI), R8
	XORQ R13, R13
	MOVQ $SYS_GETTID, AX
	SYSCALL
	CMPL AX, ·receiver(SB)
	JNE  stray
	INCQ R13
	LOCK
	INCL ·begun(SB)          // only the receiver passes signals on
	JMP  whose
stray:
	// A thread of the runtime's. From now on it leaves signals to the receiver, and its timers are as precise as they were, or the monitor's even less.
	MOVQ ·strayMask(SB), CX
	ORQ  CX, context_mask(DX)
	MOVQ ·inheritedSlack(SB), CX
	CMPL AX, ·monitor(SB)
	JNE  slack
	MOVQ ·monitorSlack(SB), CX
slack:
	TESTQ CX, CX                 // unknown
	JLE  whose
	MOVQ DI, BX                  // keep signal and info
	MOVQ SI, R14
	MOVQ $SYS_PRCTL, AX
	MOVQ $PR_SET_TIMERSLACK, DI
	MOVQ CX, SI
	SYSCALL
	MOVQ BX, DI
	MOVQ R14, SI
whose:
	// What the process has sent to itself, and a fault of its own, are the runtime's business: by tgkill(2), or a SIGPIPE for its write. Anything
	// else that is its own it has sent before it became finite.
	TESTQ R8, R8
	JG    byKernel
	MOVL  info_pid(SI), AX
	CMPL  AX, ·ownPID(SB)
	JNE   foreign
	CMPQ  R8, $SI_TKILL
	JEQ   runtime
	CMPQ  DI, $SIGPIPE
	JNE   foreign
runtime:
	TESTQ R13, R13           // the receiver is no thread of the runtime's
	JNZ   done
	LEAQ ·runtimeHandlers(SB), R11
	MOVQ (R11)(DI*8), R11
	CMPQ R11, $1             // SIG_DFL is 0, SIG_IGN 1
	JLS  done
	JMP  R11                 // it returns to where this handler would have
byKernel:
	TESTQ R12, ·recordFaults(SB)
	JNZ   runtime
foreign:
	// Pass it on at once, where the owner has allowed that and nothing older is waiting. R9 becomes the result: 0 not passed on, 1 passed on.
	XORQ  R9, R9
	TESTQ R13, R13
	JZ    coalesce
	TESTQ R12, ·passSet(SB)
	JZ    coalesce
	CMPL  ·unpassed(SB), $0
	JNE   coalesce
	// pidfd_send_signal(passTo, signal, info or NULL, passFlags). The kernel takes the info of sigqueue(3) alone; for the rest it makes its own.
	MOVQ  DI, BX             // keep signal and info
	MOVQ  SI, R14
	XORQ  DX, DX
	TESTQ R8, R8
	JGE   send
	CMPQ  R8, $SI_TKILL
	JEQ   send
	MOVQ  R14, DX
send:
	MOVQ BX, SI
	MOVL ·passTo(SB), DI
	MOVL ·passFlags(SB), R10
	MOVQ $SYS_PIDFD_SEND_SIGNAL, AX
	SYSCALL
	MOVQ BX, DI
	MOVQ R14, SI
	XORQ R9, R9
	TESTQ AX, AX
	JNZ  coalesce
	INCQ R9
	// If nobody wants to hear of it, that is all: to wake a thread of the runtime's would keep a processor from the command.
	TESTQ R12, ·quietSet(SB)
	JZ   coalesce
	LOCK
	INCL ·quiet(SB)
	JMP  done
coalesce:
	// A standard signal that is recorded and not read yet stands for this one as well, as it does in the kernel. ·pending has two words: for
	// those that were not passed on, and for those that were.
	CMPQ DI, $REAL_TIME
	JGE  realTime
	LEAQ ·pending(SB), R11
	LOCK
	BTSQ DI, (R11)(R9*8)
	JCS  done
	JMP  count
realTime:
	// Real-time signals are all kept, while there is room.
	MOVL $1, AX
	LOCK
	XADDL AX, ·queued(SB)
	CMPL  AX, $QUEUE
	JGE   full
count:
	TESTQ R9, R9
	JNZ   build
	LOCK
	INCL  ·unpassed(SB)
build:
	// The record, on the stack: signal, si_code, pid, uid, value, result. BX keeps the signal.
	MOVQ DI, BX
	SUBQ $RECORD, SP
	MOVL DI, 0(SP)
	MOVL R8, 4(SP)
	MOVQ info_pid(SI), AX    // and uid
	MOVQ AX, 8(SP)
	MOVQ info_value(SI), AX
	MOVQ AX, 16(SP)
	MOVQ R9, 24(SP)
	MOVQ $SYS_WRITE, AX
	MOVL ·recordFD(SB), DI
	MOVQ SP, SI
	MOVQ $RECORD, DX
	SYSCALL
	ADDQ $RECORD, SP
	CMPQ AX, $RECORD
	JNE  unwritten
	LOCK
	INCL ·written(SB)
done:
	TESTQ R13, R13
	JZ   return
	LOCK
	INCL ·ended(SB)
return:
	RET
unwritten:
	// The kernel has no memory for a page of the pipe. A standard signal that was not passed on is remembered until the next one.
	MOVQ BX, DI
	TESTQ R9, R9
	JNZ   forget
	LOCK
	DECL  ·unpassed(SB)
forget:
	CMPQ DI, $REAL_TIME
	JGE  full
	LEAQ ·pending(SB), R11
	LOCK
	BTRQ DI, (R11)(R9*8)
	TESTQ R9, R9
	JNZ   done
	LOCK
	BTSQ DI, ·missed(SB)
	JMP  done
full:
	LOCK
	DECL ·queued(SB)
	TESTQ R9, R9             // if it was passed on, only the record is lost
	JNZ  done
	LOCK
	INCL ·lost(SB)
	JMP  done
