package tree_test

import (
	"fmt"
	"syscall"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/tree"
	"github.com/finite-init/finite/reap"
)

// killer kills what the command leaves.
type killer struct {
	loop *reap.Loop
	done chan struct{}
}

func (k killer) Exited(c reap.Change) { fmt.Println("exited with", c.Status) }
func (killer) Stopped(reap.Change)    {}
func (killer) Reaped(c []reap.Change) {
	for _, one := range c {
		fmt.Println("left behind:", one.Signal())
	}
}

func (k killer) Remaining() {
	t := tree.New(nsutil.CurrentRole(), k.loop, nil)
	go t.Kill(k.done, func(err error) { fmt.Println(err) })
}

func (killer) Failed(err error) { fmt.Println(err) }

func (k killer) Empty() {
	close(k.done)
	k.loop.Close()
}

// A tree is everything that descends from this process, setsid(2) or not.
func ExampleTree() {
	if err := nsutil.BecomeSubreaper(); err != nil {
		fmt.Println(err)
		return
	}
	var loop reap.Loop
	start := func() int {
		script := "setsid sleep 1000 & exit 3"
		pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", script}, nil)
		if err != nil {
			fmt.Println(err)
		}
		return pid
	}
	loop.Run(start, killer{&loop, make(chan struct{})})
	// Output:
	// exited with 3
	// left behind: killed
}
