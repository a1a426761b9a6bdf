//go:build amd64 || arm64

package effects

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// Arrived is a signal that the keeper tells of.
func Arrived(s *keeper.Signal) signals.Signal {
	sig := signals.Arrived(s.Number, s.Code, s.PID, s.UID, s.Value)
	sig.Sender.Comm = unix.ByteSliceToString(s.Name[:])
	return sig
}

// Change is what a keeper tells of a child.
func Change(c keeper.Change) reap.Change {
	return reap.Change{
		PID: int(c.PID), UID: int(c.UID), Code: reap.Code(c.Code), Status: int(c.Status),
		Rusage: reap.Rusage{User: time.Duration(c.User), System: time.Duration(c.System), MaxRSS: c.MaxRSS},
	}
}

// told is a signal as a keeper has told of it.
func told(s *signals.Signal) keeper.Signal {
	sig := keeper.Signal{
		Number: int32(s.Number), Code: s.Code, PID: int32(s.Sender.PID), UID: uint32(s.Sender.UID), Value: s.Value,
	}
	if s.Sender.Kernel && sig.Code <= 0 {
		const fromKernel = 0x80 // SI_KERNEL
		sig.Code = fromKernel
	}
	copy(sig.Name[:len(sig.Name)-1], s.Sender.Comm)
	return sig
}
