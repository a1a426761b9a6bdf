package nsutil

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Role is how this process is the root of its tree.
type Role uint8

// The roles.
const (
	RoleSubreaper Role = iota // any PID but 1: orphans come here because of PR_SET_CHILD_SUBREAPER
	RoleInit                  // PID 1 of a PID namespace: orphans come here because there is nobody else
)

func (r Role) String() string {
	if r == RoleInit {
		return "init"
	}
	return "subreaper"
}

// root is the process that the tree descends from. family are the processes of finite: this one,
// the root, and the front.
var (
	root   = os.Getpid()
	family = []int{os.Getpid()}
)

// WorkFor makes another process the root of the tree: the parent of this one, which is no part of
// the tree then. front is a further process that is not to be killed with the tree; 0: there is
// none. It is called before anything else of this package.
func WorkFor(keeper, front int) {
	root, family = keeper, append(family, keeper)
	if front != 0 {
		family = append(family, front)
	}
}

// spared are children of the root that are no part of the tree: they were there before it.
var spared []int

// Root is the process that the tree descends from: this one, unless [WorkFor] names another one.
func Root() int { return root }

// Family are the processes of finite in this PID namespace, this one among them.
func Family() []int { return slices.Clone(family) }

// Spared are the children of the root that [Spare] names.
func Spared() []int { return slices.Clone(spared) }

// Spare leaves children of the root alone, and what descends from them, until SIGKILL goes to
// everybody in the PID namespace. It is called where [WorkFor] is.
func Spare(pids []int) { spared = pids }

// CurrentRole says which role the root of the tree has: this process, unless [WorkFor] names
// another one. It cannot change while the process lives.
func CurrentRole() Role {
	if root == 1 {
		return RoleInit
	}
	return RoleSubreaper
}

// BecomeSubreaper makes orphaned descendants children of this process (PR_SET_CHILD_SUBREAPER,
// Linux 3.4). It is a property of the whole process, needs no privilege, and is not inherited by
// children.
func BecomeSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl PR_SET_CHILD_SUBREAPER: %w", err)
	}
	return nil
}

// SetParentDeathSignal asks the kernel to send sig to this process when the thread that created it
// ends (PR_SET_PDEATHSIG). It is a property of the calling thread, which must live on, and is not
// inherited by children.
func SetParentDeathSignal(sig unix.Signal) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(sig), 0, 0, 0); err != nil {
		return fmt.Errorf("prctl PR_SET_PDEATHSIG: %w", err)
	}
	return nil
}
