package signals

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Values of si_code (sigaction(2)). Those above 0 are the kernel's alone, and with codeUser and
// codeTkill the kernel says who has sent the signal. All others a process can choose by
// rt_sigqueueinfo(2), and with them what is said of the sender.
const (
	codeUser  = 0  // kill(2)
	codeQueue = -1 // sigqueue(3)
	codeTkill = -6 // tgkill(2)
)

// Arrived returns the signal that a siginfo_t with these fields tells of (sigaction(2)).
func Arrived(number, code, pid int32, uid uint32, value uint64) Signal {
	sig := Signal{Number: unix.Signal(number), Code: code}
	sig.Sender.Known = true
	if code > 0 {
		sig.Sender.Kernel = true
		return sig
	}
	sig.Sender.PID = max(0, int(pid))
	sig.Sender.UID = int(uid)
	if isClaimed(code) {
		sig.Sender.Claimed, sig.Value = true, value
	}
	return sig
}

// isClaimed reports whether the sender has written the siginfo_t itself, and not the kernel.
func isClaimed(code int32) bool { return code < codeUser && code != codeTkill }

// infoSize is sizeof(siginfo_t).
const infoSize = 128

// encode makes the siginfo_t by which sig can be sent on as it came, on 64-bit machines. It returns
// false where the kernel takes none from another process than the one that the signal is for: then
// it makes its own (pidfd_send_signal(2), rt_sigqueueinfo(2)).
func encode(sig Signal) (info [infoSize]byte, ok bool) {
	if !isClaimed(sig.Code) {
		return info, false
	}
	n := binary.NativeEndian
	n.PutUint32(info[0:], uint32(sig.Number))
	n.PutUint32(info[8:], uint32(sig.Code))
	n.PutUint32(info[16:], uint32(sig.Sender.PID))
	n.PutUint32(info[20:], uint32(sig.Sender.UID))
	n.PutUint64(info[24:], sig.Value)
	return info, true
}
