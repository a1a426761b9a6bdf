package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// patience is how long anything may take that takes a millisecond.
const patience = 5 * time.Second

// subject is an init that runs the receiver (receiver/main.go), or the receiver alone.
type subject struct {
	name    string
	cmd     *exec.Cmd
	answers int // read end of the pipe that is the receiver's standard output
}

// start starts the receiver under an init, or alone if p has no arguments, and waits until it is
// ready. The caller must stop it.
func start(p peer, receiver string) (*subject, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("pipe2: %w", err)
	}
	output := os.NewFile(uintptr(pipe[1]), "answers")
	defer output.Close()
	s := &subject{name: p.name, cmd: p.command(receiver), answers: pipe[0]}
	s.cmd.Stdout = output
	if err := s.cmd.Start(); err != nil {
		unix.Close(s.answers)
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	if _, err := s.answer(); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: the receiver does not start: %w", p.name, err)
	}
	return s, nil
}

// stop ends the receiver by closing its pipe, and the init by that.
func (s *subject) stop() {
	unix.Close(s.answers)
	late := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	_ = s.cmd.Wait() // the status is nobody's business
	late.Stop()
}

// signal sends the init a signal: the process that was started, of however many the init consists.
func (s *subject) signal(sig unix.Signal) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_KILL, uintptr(s.cmd.Process.Pid), uintptr(sig), 0); errno != 0 {
		return fmt.Errorf("%s: kill: %w", s.name, errno)
	}
	return nil
}

// send signals the init and returns the time until the command's handler read the clock.
func (s *subject) send() (time.Duration, error) {
	var now unix.Timespec
	_, _, errno := unix.RawSyscall(
		unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&now)), 0,
	)
	if errno != 0 {
		return 0, fmt.Errorf("%s: clock_gettime: %w", s.name, errno)
	}
	if err := s.signal(unix.SIGUSR1); err != nil {
		return 0, err
	}
	then, err := s.answer()
	if err != nil {
		return 0, fmt.Errorf("%s: after SIGUSR1: %w", s.name, err)
	}
	return time.Duration(then.Nano() - now.Nano()), nil
}

// answer waits for what the receiver's handler writes.
func (s *subject) answer() (at unix.Timespec, err error) {
	return at, read(s.answers, unsafe.Pointer(&at), unsafe.Sizeof(at))
}

// read waits for so many bytes that are written at once.
//
// Here, in await and in send the system calls are raw ones, which do not tell the runtime that they
// may block. If they did, the runtime's monitor would wake up every 20 µs, in the middle of what is
// measured, to see what has become of the thread.
func read(fd int, p unsafe.Pointer, size uintptr) error {
	if err := await(fd); err != nil {
		return err
	}
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(p), size)
	switch {
	case errno != 0:
		return fmt.Errorf("read: %w", errno)
	case n != size:
		return errors.New("it has ended")
	}
	return nil
}

// await waits until there is something to read, or, with a pidfd, until the process has ended.
func await(fd int) error {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	limit := unix.NsecToTimespec(patience.Nanoseconds()) // the kernel puts what is left of it there
	for {
		n, _, errno := unix.RawSyscall6(
			unix.SYS_PPOLL,
			uintptr(unsafe.Pointer(&fds)),
			1,
			uintptr(unsafe.Pointer(&limit)),
			0,
			0,
			0,
		)
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return fmt.Errorf("ppoll: %w", errno)
		case n == 0:
			return errors.New("no answer")
		}
		return nil
	}
}
