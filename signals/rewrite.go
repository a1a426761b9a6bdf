package signals

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Rewrite says what a signal is passed on as. The zero value passes everything on as it is.
type Rewrite struct {
	to [RTMax + 1]int8 // 0: as it is; -1: dropped; otherwise the number to send
}

// ParseRule adds a rule of the form A:B (an arriving A is passed on as B) or A:0 (A is dropped). A
// later rule for the same signal replaces an earlier one. SIGKILL and SIGSTOP never arrive, so a
// rule for them is an error; so is one for SIGCHLD, which is the kernel's word to finite alone.
func (r *Rewrite) ParseRule(rule string) error {
	from, to, ok := strings.Cut(rule, ":")
	if !ok {
		return fmt.Errorf("%q is not of the form SIGNAL:SIGNAL", rule)
	}
	a, err := Parse(from)
	if err != nil {
		return err
	}
	switch a {
	case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD:
		return fmt.Errorf("%s cannot be rewritten: it is never forwarded", Name(a))
	}
	if to == "0" {
		r.to[a] = -1
		return nil
	}
	b, err := Parse(to)
	if err != nil {
		return err
	}
	r.to[a] = int8(b)
	return nil
}

// Apply returns what sig is passed on as; false means that it is dropped.
func (r *Rewrite) Apply(sig unix.Signal) (unix.Signal, bool) {
	if sig < 1 || sig > RTMax {
		return sig, true
	}
	switch to := r.to[sig]; {
	case to < 0:
		return 0, false
	case to > 0:
		return unix.Signal(to), true
	}
	return sig, true
}
