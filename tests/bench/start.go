package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// starts is a group of subjects that are started by turns, and compared with one of them.
type starts struct {
	id, title string
	how       string // what there is to say of this group
	reference string
	peers     []peer
	plot      bool
}

// start times whole runs of a tiny static program (say/main.go), and how long it takes until the
// byte that this program writes can be read. Both begin before fork(2); a whole run ends when the
// process can be waited for.
//
// Each group has turns of its own. The kernel is not done with a cgroup or a namespace when wait(2)
// returns. Whoever came next would pay for that, and those who make none do not.
func (b *bench) start(ctx context.Context) error {
	bare := peer{name: bare}
	floor := peer{name: smallest, args: []string{b.floor}}
	var limited, deciding, making []peer
	for _, p := range b.finites() {
		limited = append(limited, p.with("-t", "60s"))
		deciding = append(deciding, p.with("--give-up", "5s"), p.with("-v"))
		making = append(
			making,
			p.with("--unshare", "pid,mount"),
			p.with("-t", "60s", "--unshare", "pid,mount"),
			p.with("-v", "--unshare", "pid,mount"),
		)
	}
	limit := " The command has a deadline that it does not reach."
	if why := b.noCgroup(ctx); why != "" {
		limit += " It is without a cgroup of its own, because none can be made here: `" + why + "`."
	}
	groups := []starts{
		{"start", "Start-up", " The init is not PID 1.", "tini-static", slices.Concat([]peer{bare}, b.peers), true},
		{
			"start-pid1",
			"Start-up as PID 1",
			" The init is PID 1 of a new PID namespace.",
			"tini-static, PID 1",
			inits(slices.Concat([]peer{bare}, b.peers)),
			true,
		},
		{
			"start-deadline",
			"Start-up with a deadline",
			limit,
			"timeout 60",
			slices.Concat(timeouts("60"), limited),
			false,
		},
		{
			"start-go", "Start-up with options that need Go",
			" The smallest Go program is what an init in Go takes at least.", "tini-static",
			slices.Concat(b.named("tini-static"), []peer{floor}, deciding), false,
		},
	}
	if !needsRoot("start with namespaces") {
		box := []string{"unshare", "-pf", "--mount-proc"}
		unshare := installed([]peer{
			{name: unshared, args: box},
			{name: unsharedTini, args: slices.Concat(box, []string{"tini-static", "--"})},
			{name: unsharedTimeout, args: slices.Concat(box, []string{"tini-static", "--", "timeout", "60"})},
		})
		groups = append(
			groups,
			starts{
				"start-namespaces",
				"Start-up with namespaces",
				"",
				unsharedTini,
				slices.Concat(unshare, making),
				false,
			},
		)
	}
	for _, g := range groups {
		g.peers = b.usable(g.peers...)
		if len(g.peers) == 0 {
			continue
		}
		if err := b.startGroup(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// The names of subjects that are no inits.
const (
	bare     = "bare"
	unshared = "unshare -pf --mount-proc"

	unsharedTini    = unshared + " tini-static"
	unsharedTimeout = unsharedTini + " timeout 60"
)

// timeouts is GNU timeout with a limit, and the same under tini, which is what a container has that
// needs a deadline and an init.
func timeouts(limit string) []peer {
	return installed([]peer{
		{name: "timeout " + limit, args: []string{"timeout", limit}},
		{name: "tini-static, timeout " + limit, args: []string{"tini-static", "-s", "--", "timeout", limit}},
	})
}

func (b *bench) startGroup(ctx context.Context, g starts) error {
	n := b.times(1000, 5)
	first, whole, err := b.startByTurns(ctx, g.peers, n)
	if err != nil {
		return err
	}
	s := section{
		ID: g.id, Title: g.title,
		How: fmt.Sprintf(
			"A static program without a runtime that writes one byte, %d runs of each by turns in random order. First byte is the time from before fork(2) "+
				"until the byte is read, whole run that until the end. The ratios are of the medians, to those of %s.%s",
			n,
			g.reference,
			g.how,
		),
		Columns: []string{
			firstByte,
			"first byte: p90, ms",
			"first byte: ratio",
			wholeRun,
			"whole run: p90, ms",
			"whole run: p99, ms",
			"whole run: ratio",
		},
	}
	if g.plot {
		s.plot = 4
	}
	firstRef, wholeRef := none, none
	if i := slices.IndexFunc(g.peers, func(p peer) bool { return p.name == g.reference }); i >= 0 {
		firstRef, wholeRef = first[i].at(0.5, time.Millisecond), whole[i].at(0.5, time.Millisecond)
	}
	for i, p := range g.peers {
		f := func(q float64) number { return first[i].at(q, time.Millisecond) }
		w := func(q float64) number { return whole[i].at(q, time.Millisecond) }
		s.Rows = append(
			s.Rows,
			row{p.name, []number{f(0.5), f(0.9), f(0.5) / firstRef, w(0.5), w(0.9), w(0.99), w(0.5) / wholeRef}},
		)
	}
	b.add(s)
	return nil
}

// The columns that have ceilings.
const (
	firstByte = "first byte: p50, ms"
	wholeRun  = "whole run: p50, ms"
)

// startByTurns returns the times of n runs of each.
func (b *bench) startByTurns(ctx context.Context, peers []peer, n int) (first, whole []sample, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	first, whole = make([]sample, len(peers)), make([]sample, len(peers))
	for range n {
		// Whoever comes after a program with many threads pays for their end.
		for _, i := range rand.Perm(len(peers)) {
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			f, w, err := b.once(peers[i])
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", peers[i].name, err)
			}
			first[i], whole[i] = append(first[i], f), append(whole[i], w)
		}
	}
	return first, whole, nil
}

// once runs the tiny program behind what stands in front of it. It has /dev/null for standard input
// and standard error, so that nobody has to wait for a terminal. It is not os/exec that runs it,
// since that has work of its own for other threads.
func (b *bench) once(p peer) (first, whole time.Duration, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, 0, err
	}
	defer null.Close()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return 0, 0, fmt.Errorf("pipe2: %w", err)
	}
	defer unix.Close(pipe[0])
	pidfd := -1
	attr := &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{null.Fd(), uintptr(pipe[1]), null.Fd()},
		Sys:   &syscall.SysProcAttr{PidFD: &pidfd},
	}
	if p.init {
		attr.Sys.Cloneflags, attr.Sys.Setsid = syscall.CLONE_NEWPID, true
	}
	argv := slices.Concat(p.args, []string{b.say})
	begin := time.Now()
	pid, err := syscall.ForkExec(argv[0], argv, attr)
	unix.Close(pipe[1])
	if err != nil {
		return 0, 0, err
	}
	defer unix.Close(pidfd)
	var said byte
	readErr := read(pipe[0], unsafe.Pointer(&said), 1)
	first = time.Since(begin)
	waitErr := await(pidfd)
	whole = time.Since(begin)
	if waitErr != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return 0, 0, fmt.Errorf("wait4: %w", err)
	}
	if err := errors.Join(readErr, waitErr); err != nil {
		return 0, 0, err
	}
	if status != 0 || said != 'x' {
		return 0, 0, fmt.Errorf("wait status %#x", int(status))
	}
	return first, whole, nil
}

// usable returns those that run the tiny program, and says which do not. A finite of another state
// may not know an option.
func (b *bench) usable(peers ...peer) (able []peer) {
	for _, p := range peers {
		if _, _, err := b.once(p); err != nil {
			fmt.Printf("%s: left out, because it does not run a command: %v\n", p.name, err)
			continue
		}
		able = append(able, p)
	}
	return able
}
