package inspect

import "golang.org/x/sys/unix"

// level is how bad a verdict is.
type level uint8

const (
	plain level = iota
	wary        // a signal that asks it to end does nothing
	stuck       // somebody else must do something before it can end
)

// verdict says on one line why a process has not ended, and what follows from that.
func (p *Inspected) verdict() (level, string) {
	r := p.reason()
	return r.level(), p.words(r) + p.advice(r)
}

func (r reason) level() level {
	switch r {
	case none, gone, kernelThread:
		return plain
	case notAllowed, firstPID, ignoresTerm, blocksTerm:
		return wary
	}
	return stuck
}

// advice is what stands behind the words of a reason: which signal works, or what else there is to
// know.
func (p *Inspected) advice(r reason) string {
	switch r {
	case frozenV2, frozenV2Unknown:
		return ": only SIGKILL works until that is thawed"
	case stopped:
		if p.Pending.Has(unix.SIGTERM) {
			return ": SIGTERM waits for SIGCONT; SIGKILL works"
		}
		return ": needs SIGCONT; SIGKILL works"
	case inExec, uninterruptible, threadHeld:
		if p.Pending.Has(unix.SIGKILL) {
			return "; SIGKILL is pending"
		}
	case termWaits:
		return ": only SIGKILL ends it"
	case firstPID:
		if p.PID == 1 {
			return "; from inside even SIGKILL"
		}
		return "; SIGKILL from out here works"
	case ignoresTerm, blocksTerm:
		if p.State != "R" {
			return "; " + p.activity()
		}
	}
	return ""
}
