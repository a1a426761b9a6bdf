package nsutil_test

import (
	"fmt"

	"github.com/finite-init/finite/nsutil"
)

// A list names kinds of namespaces.
func ExampleParseNamespaces() {
	kinds, err := nsutil.ParseNamespaces("pid,mount")
	fmt.Println(kinds, kinds.Has(nsutil.PIDNamespace), kinds.Has(nsutil.UserNamespace), err)
	// Output: pid,mount true false <nil>
}

// A process that is not PID 1 is the root of its tree as a subreaper.
func ExampleBecomeSubreaper() {
	if nsutil.CurrentRole() == nsutil.RoleInit {
		fmt.Println("<nil>") // orphans come to PID 1 anyway
		return
	}
	fmt.Println(nsutil.BecomeSubreaper())
	// Output: <nil>
}
