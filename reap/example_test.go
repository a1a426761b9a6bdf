package reap_test

import (
	"fmt"
	"syscall"

	"github.com/finite-init/finite/reap"
)

// watcher says what the loop tells it.
type watcher struct {
	loop *reap.Loop
}

func (watcher) Exited(c reap.Change)   { fmt.Println("exited with", c.Status) }
func (watcher) Stopped(reap.Change)    {}
func (watcher) Reaped(c []reap.Change) { fmt.Println("an orphan ended with", c[0].Status) }
func (watcher) Remaining()             {}
func (watcher) Failed(err error)       { fmt.Println(err) }

func (w watcher) Empty() {
	fmt.Println("nobody is left")
	w.loop.Close()
}

// A loop waits for one child and for all others, until there are none.
func ExampleLoop() {
	var loop reap.Loop
	start := func() int {
		pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 3"}, nil)
		if err != nil {
			fmt.Println(err)
		}
		return pid
	}
	loop.Run(start, watcher{&loop})
	// Output:
	// exited with 3
	// nobody is left
}
