package signals

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pidfdSignalProcessGroup is PIDFD_SIGNAL_PROCESS_GROUP (linux/pidfd.h).
const pidfdSignalProcessGroup = 1 << 2

func passFlag(group bool) uint32 {
	if group {
		return pidfdSignalProcessGroup
	}
	return 0
}

// Send sends sig to the process that pidfd names, with its value if it has one
// (pidfd_send_signal(2), Linux 5.1). With group it goes to the process group that this process
// leads (Linux 6.9; EINVAL before that), and ESRCH says that there is no such group.
func Send(pidfd int, sig Signal, group bool) error {
	info, ok := encode(sig)
	pointer := unsafe.Pointer(&info)
	if !ok {
		pointer = nil
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_PIDFD_SEND_SIGNAL, uintptr(pidfd), uintptr(sig.Number),
		uintptr(pointer), uintptr(passFlag(group)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("pidfd_send_signal: %w", errno)
	}
	return nil
}

// SendPID is Send for a kernel that refuses pidfd_send_signal: by kill(2), or, for a signal with a
// value, rt_sigqueueinfo(2). Only whoever keeps the process from being reaped can know that pid is
// still its.
func SendPID(pid int, sig Signal) error {
	info, ok := encode(sig)
	if !ok {
		if err := unix.Kill(pid, sig.Number); err != nil {
			return fmt.Errorf("kill: %w", err)
		}
		return nil
	}
	_, _, errno := unix.RawSyscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(sig.Number),
		uintptr(unsafe.Pointer(&info)))
	if errno != 0 {
		return fmt.Errorf("rt_sigqueueinfo: %w", errno)
	}
	return nil
}
