//go:build amd64 || arm64

package signals

import (
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

// This file and entry_linux_$GOARCH.s are the exact source. In assembly are:
//
//   - entry, where the process begins if the linker was told so. It notes what was inherited, sees to it that a stop signal ends the
//     process with 128+n from then on, blocks everything else, and goes on to the runtime's own entry point.
//   - record, the handler of every signal from [Listen] on. It passes the signal on, if its owner has allowed that, and writes who sent
//     it and what came of it into a pipe.
//   - startReceiver, which makes a thread that sleeps, and is there to run that handler.
//   - early and note, and on amd64 restorer, of a few instructions each.
//
// A handler runs at any moment, where there is no goroutine: it is no place for Go. It shares with the rest of this file the variables
// below, by atomic instructions where both write.
//
// All signals go to one thread, the receiver, so that real-time signals stay in order, and none has to wait for a thread of the runtime's
// that is busy or stuck in a system call. All other threads have signals blocked, since entry did that before the runtime made them. The
// runtime unblocks a few on each of its threads all the same: HUP, INT, QUIT, TERM, PROF, 32 and 34. A thread that gets one of these records
// it, and its handler makes it deaf to all of them; heal has that done to the threads there are.

// queueLength is how many real-time signals can wait to be read. The pipe has room for twice as many, and for the standard signals, of each of
// which there are two at most: one that was passed on and one that was not.
const queueLength = 1024

// sigaction is the kernel's struct of that name, which is not the C library's.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     Set
}

// The assembly's functions. Only startReceiver is called from Go: it returns the new thread's ID, or an error below 0. The stack is given by
// its upper end.
func startReceiver(stack unsafe.Pointer) int32
func entry()  // the linker's -E names it
func early()  // earlyAction names it
func note()   // noteAction names it
func record() // recordAction names it

// noteSet is what neither stays blocked in the runtime nor has a handler early enough.
const noteSet Set = 1<<(unix.SIGPROF-1) | 1<<(unix.SIGSTKFLT-1) | 1<<(32-1) | 1<<(RTMin-1)

// runtimeSet is what the runtime sends to itself, or the kernel sends to it for a fault.
const runtimeSet Set = faultSet | 1<<(unix.SIGURG-1) | 1<<(unix.SIGPIPE-1) | 1<<(33-1)

// What entry reads, before anything could be computed.
var (
	entryAll     = ^Set(0)
	entrySlack   = int64(2 * time.Millisecond)
	monitorSlack = int64(10 * time.Millisecond)               // what it sleeps at most by itself
	entryMask    = ^(stopSet | faultSet | neverSet | noteSet) // what can wait
	entryStops   = stopSet
	entryNotes   = noteSet
	entryFiles   = unix.Rlimit{Cur: 3}
	entryNull    = [...]byte{'/', 'd', 'e', 'v', '/', 'n', 'u', 'l', 'l', 0}
	entryRoot    = [...]byte{'/', 0}
	earlyAction  sigaction // in the assembly
	noteAction   sigaction

	// What the runtime is told: one goroutine at a time runs Go code, whatever the machine has (package main says why). Nothing by GODEBUG, which
	// would take it 0.05 ms to read.
	entryProcs = [...]byte{'G', 'O', 'M', 'A', 'X', 'P', 'R', 'O', 'C', 'S', '=', '1', 0}

	// Where a program has no use for it, the linker has the runtime switch memory profiling off, but so late that it samples an allocation, which
	// touches a dozen pages.
	entryProfile = &runtime.MemProfileRate
)

// What entry leaves behind.
var (
	entryDone        uint32 // 1
	inheritedMask    Set
	inheritedIgnored Set
	inheritedFiles   unix.Rlimit
	inheritedSlack   int64  // ns; 0 or less: unknown
	entryEnv         **byte // envp
	entryEnvEnd      **byte // where what was inherited ends
	entryScratch     sigaction
)

// What record reads.
var (
	recordAction    sigaction          // in the assembly
	receiver        int32              // the receiver's thread ID; startReceiver sets it
	monitor         int32              // that of the runtime's monitor, if its timers are to be coarse; heal sets it
	receiverMask    Set                // what it has blocked: nothing
	receiverStop    atomic.Int32       // it is to end
	ownPID          int32              //
	recordFD        int32              // the pipe's write end
	recordFaults    = faultSet         //
	runtimeHandlers [RTMax + 1]uintptr // what was installed before
	passTo          atomic.Int32       // a pidfd
	passFlags       atomic.Uint32      //
	passSet         atomic.Uint64      // empty: nothing is passed on
	quietSet        atomic.Uint64      // what is passed on and not recorded

	// strayMask is what other threads leave to the receiver. 33 is how the runtime reaches its own threads. It also has SIGURG to preempt
	// goroutines that never call a function, but there are none, and a SIGURG that comes from outside the PID namespace (PID 0, UID 0) cannot
	// be told from one of the runtime's for which the kernel had no siginfo (RLIMIT_SIGPENDING). One that the runtime sends to a thread of its own
	// stays pending there.
	strayMask = ^(faultSet | neverSet | 1<<(33-1))
)

// What record writes. The counters run over.
var (
	begun, ended atomic.Uint32 // calls of the handler by the receiver
	pending      [2]uint64     // standard signals that are in the pipe, as bits by number: not passed on, passed on
	unpassed     atomic.Int32  // records of signals that the owner has yet to deal with; while there are any, nothing overtakes them
	queued       atomic.Int32  // real-time signals in the pipe
	written      atomic.Uint32 // records in all
	missed       atomic.Uint64 // standard signals, as bits by number, that could not be written
	lost         atomic.Int32  // real-time signals that could not be written, and were not passed on
	quiet        atomic.Uint32 // signals that were passed on and not recorded
)

// receiverStack is for one signal frame at a time, the size of which goes by the processor's registers (getauxval(3), AT_MINSIGSTKSZ): up to
// 11 KiB on today's. What is not used takes no memory.
var receiverStack [32 << 10]byte

// entrySource is the exact source. There is one in a process.
type entrySource struct {
	c       chan Signal
	done    chan struct{}
	pipe    *sys.File     // its read end
	handled atomic.Uint32 // records in all that were dealt with
	healers []*time.Timer
	coarse  bool // the timers of the runtime's monitor are to be
}

// What the one source needs most room for is here, beside the rest, where it takes no pages of its own.
var (
	previous [RTMax + 1]sigaction
	records  [64 * recordSize]byte
)

// entered reports whether the process began at entry.
func entered() bool { return entryDone != 0 }

// listenEntry returns nil where the process did not begin at entry.
func listenEntry() *Source {
	if !entered() {
		return nil
	}
	s, err := newEntrySource()
	if err != nil {
		return nil // os/signal may still do
	}
	return &Source{C: s.c, entry: s}
}

func newEntrySource() (*entrySource, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("pipe2: %w", err)
	}
	// The kernel keeps a page that was used, so there is one even when there is no memory left.
	var page [recordSize]byte
	_, _ = unix.Write(p[1], page[:])
	_, _ = unix.Read(p[0], page[:])
	if err := roomForPoller(p[0]); err != nil {
		_, _ = unix.Close(p[0]), unix.Close(p[1])
		return nil, err
	}
	leaveToReceiver()
	ownPID, recordFD = int32(unix.Getpid()), int32(p[1])
	// What an earlier source has left unread is gone, and what it has lost was told.
	written.Store(0)
	queued.Store(0)
	unpassed.Store(0)
	lost.Store(0)
	atomic.StoreUint64(&pending[0], 0)
	atomic.StoreUint64(&pending[1], 0)
	pipe, err := sys.NewFile(p[0], "signals")
	if err != nil {
		sys.Close(p[1])
		return nil, fmt.Errorf("pipe: %w", err)
	}
	s := &entrySource{c: make(chan Signal), done: make(chan struct{}), pipe: pipe}
	for sig := unix.Signal(1); sig <= RTMax; sig++ {
		if neverSet.Has(sig) {
			continue
		}
		if runtimeSet.Has(sig) {
			// The new handler jumps to the runtime's, so it must know it first. Nobody changes it in between.
			setAction(sig, nil, &previous[sig])
			runtimeHandlers[sig] = previous[sig].handler
		}
		if stopSet.Has(sig) {
			// The runtime may be about to end the process by one that came too early for this handler. It does so by sending it again.
			runtimeHandlers[sig] = earlyAction.handler
		}
		setAction(sig, &recordAction, &previous[sig])
	}
	// Not handled, and not ignored either, or the kernel would reap: nobody is interrupted when a child ends.
	setAction(unix.SIGCHLD, &sigaction{}, &previous[unix.SIGCHLD])
	if main := unix.Getpid(); unix.Gettid() != main {
		_ = unix.Tgkill(main, main, unix.SIGPROF) // heals it
	}
	// The receiver comes after the handlers: what has waited until now comes to it at once, and the runtime's are not for a thread like that.
	receiverStop.Store(0)
	if tid := startReceiver(unsafe.Pointer(&receiverStack[len(receiverStack)-16])); tid < 0 {
		s.restore()
		s.pipe.Close()
		sys.Close(p[1])
		return nil, fmt.Errorf("clone: %w", unix.Errno(-tid))
	}
	go s.read()
	return s, nil
}

func (s *entrySource) catchChildren() { setAction(unix.SIGCHLD, &recordAction, nil) }

// roomForPoller makes sure that two descriptors are left, which the runtime opens to wait for the pipe. Without them it would abort.
func roomForPoller(fd int) error {
	a, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("fcntl F_DUPFD_CLOEXEC: %w", err)
	}
	defer unix.Close(a)
	b, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("fcntl F_DUPFD_CLOEXEC: %w", err)
	}
	return unix.Close(b)
}

// read hands over what the handler writes.
func (s *entrySource) read() {
	for {
		for all := missed.Swap(0); all != 0; all &= all - 1 {
			if !s.deliver(Signal{Number: unix.Signal(bits.TrailingZeros64(all))}) {
				return
			}
		}
		n, err := s.pipe.Read(records[:])
		if err != nil {
			return // closed
		}
		for r := range slices.Chunk(records[:n], recordSize) {
			sig, ok := decode(r)
			if !ok {
				s.handled.Add(1) // nobody waits for it
				continue
			}
			if sig.Number >= firstRealTime {
				queued.Add(-1)
			} else { // from here on another one of this number is recorded again
				atomic.AndUint64(&pending[r[recordPassed]&1], ^(1 << uint(sig.Number)))
			}
			sig.recorded = true
			if !s.deliver(sig) {
				return
			}
		}
	}
}

func (s *entrySource) deliver(sig Signal) bool {
	select {
	case s.c <- sig:
		return true
	case <-s.done:
		return false
	}
}

func (s *entrySource) finished(sig Signal) {
	if !sig.recorded {
		return
	}
	if !sig.Passed {
		unpassed.Add(-1)
	}
	s.handled.Add(1)
}

func (s *entrySource) mark() uint32 {
	quiesce()
	return written.Load()
}

func (s *entrySource) reached(mark uint32) bool { return int32(s.handled.Load()-mark) >= 0 }

// quiesce waits until the handlers that are running now have returned. They never block.
func quiesce() {
	for mark := begun.Load(); int32(ended.Load()-mark) < 0; {
		runtime.Gosched()
	}
}

func (s *entrySource) pass(pidfd int, group bool, set, quiet Set) {
	passSet.Store(0)
	quiesce() // whoever still has the old pidfd
	if pidfd < 0 {
		return
	}
	passTo.Store(int32(pidfd))
	passFlags.Store(passFlag(group))
	quietSet.Store(uint64(quiet))
	passSet.Store(uint64(set))
}

func (s *entrySource) close() {
	select {
	case <-s.done:
		return
	default:
	}
	s.pass(-1, false, 0, 0)
	for _, timer := range s.healers {
		timer.Stop()
	}
	// The receiver has no part in what comes after.
	receiverStop.Store(1)
	for unix.Tgkill(os.Getpid(), int(receiver), unix.SIGURG) == nil {
		runtime.Gosched()
	}
	atomic.StoreInt32(&receiver, 0)
	s.restore()
	close(s.done)
	s.pipe.Close()
	sys.Close(int(recordFD))
}

// restore gives every signal back the disposition that it had.
func (s *entrySource) restore() {
	for sig := unix.Signal(1); sig <= RTMax; sig++ {
		if sig != unix.SIGKILL && sig != unix.SIGSTOP {
			setAction(sig, &previous[sig], nil)
		}
	}
}

func setAction(sig unix.Signal, to, old *sigaction) {
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
}
