package testkit

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Canaries notice when a processor of this machine is not to be had: one on each, which sleeps for
// a moment, again and again. On a machine that is shared, or a guest of another one, a processor
// may be away for many seconds, and with it everybody who waits for just that one. The canaries are
// in a session of their own, as a keeper is: the kernel divides processors among sessions
// (sched(7), autogroup), and may starve some of them.
type Canaries struct {
	mu   sync.Mutex
	gaps []gap
}

// gap is a time in which a canary did not get its processor, in ns of CLOCK_MONOTONIC.
type gap struct{ from, to int64 }

// canaryVariable has a test binary be the canaries.
const canaryVariable = "FINITE_TEST_CANARIES"

func init() {
	if os.Getenv(canaryVariable) != "" {
		sing()
	}
}

// KeepCanaries keeps them until the test ends.
func KeepCanaries(t *testing.T) *Canaries {
	t.Helper()
	c := &Canaries{}
	// A thread that ends takes its children along (PR_SET_PDEATHSIG), so the pipe is their
	// lifeline.
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), canaryVariable+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	song, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for lines := bufio.NewScanner(song); lines.Scan(); {
			var g gap
			if _, err := fmt.Sscan(lines.Text(), &g.from, &g.to); err == nil {
				c.mu.Lock()
				c.gaps = append(c.gaps, g)
				c.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		_ = lifeline.Close()
		<-heard
		_ = cmd.Wait()
	})
	return c
}

// sing is the process of the canaries. It ends when its standard input does.
func sing() {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		fmt.Fprintln(os.Stderr, "canaries:", err)
		os.Exit(1)
	}
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			go watch(cpu)
		}
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

func watch(cpu int) {
	runtime.LockOSThread()
	var only unix.CPUSet
	only.Set(cpu)
	if unix.SchedSetaffinity(0, &only) != nil {
		return
	}
	const nap = 10 * time.Millisecond
	for last := monotonic(); ; {
		request := unix.NsecToTimespec(int64(nap))
		_ = unix.Nanosleep(&request, nil)
		now := monotonic()
		if now-last > int64(10*nap) {
			fmt.Println(last, now) // a write of one line
		}
		last = now
	}
}

func monotonic() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return now.Nano()
}

// Missed is how long processors were away since begin, all together.
func (c *Canaries) Missed(begin time.Time) (sum time.Duration) {
	since := monotonic() - time.Since(begin).Nanoseconds()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.gaps) - 1; i >= 0 && c.gaps[i].to > since; i-- {
		sum += time.Duration(c.gaps[i].to - max(c.gaps[i].from, since))
	}
	return sum
}
