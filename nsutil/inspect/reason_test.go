package inspect

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Every verdict, in the order in which one wins over those below: each row holds what the one above
// it lacks.
func TestVerdict(t *testing.T) {
	term, kill := mask(unix.SIGTERM), mask(unix.SIGKILL)
	base := func(state, wchan string) Inspected {
		return Inspected{
			Process:    Process{PID: 7, PPID: 3, UID: 5, Comm: "x", State: state, Threads: 1, WChan: wchan},
			ParentComm: "sh", NSpid: []int{7}, hasMemory: true,
		}
	}
	for _, tt := range []struct {
		name  string
		from  Inspected
		with  func(*Inspected)
		level level
		want  string
	}{
		{
			"main thread", base("Z", ""), func(p *Inspected) { p.Threads, p.Tracer = 3, 12 }, stuck,
			"its main thread has ended, 2 other threads go on",
		},
		{"main thread, one held", base("Z", ""), func(p *Inspected) {
			p.Threads, p.StuckThreads = 2, []StuckThread{{9, "w", "D", "request_wait_answer"}}
		}, stuck, "its main thread has ended, 1 other thread goes on; its thread w (tid 9) is " +
			"uninterruptible in request_wait_answer (a FUSE file system does not answer)"},
		{"main thread of an init", base("Z", ""), func(p *Inspected) {
			p.NSpid, p.Threads, p.waitsFor = []int{7, 1}, 2, "cat (pid 9)"
			p.StuckThreads = []StuckThread{{9, "w", "S", "zap_pid_ns_processes"}}
		}, stuck, "PID 1 of a namespace that is ending: waits for the last processes in it, cat (pid 9)"},
		{
			"zombie of a tracer", base("Z", ""),
			func(p *Inspected) { p.Tracer, p.TracerComm, p.PPID = 12, "gdb", 0 }, stuck,
			"dead, but its tracer gdb (pid 12) has not let go of it",
		},
		{
			"zombie from outside", base("Z", ""), func(p *Inspected) { p.PPID = 0 }, stuck,
			"dead, but its parent, outside this PID namespace, has not reaped it",
		},
		{
			"zombie", base("Z", ""), func(p *Inspected) { p.Ended, p.FrozenBy = "SIGKILL", "/f" }, stuck,
			"dead (SIGKILL), but its parent sh (pid 3) has not reaped it",
		},
		{
			"zombie of a stopped parent", base("Z", ""), func(p *Inspected) { p.parentState = 'T' }, stuck,
			"dead, but its parent sh (pid 3), which is stopped, has not reaped it",
		},
		{"dead", base("X", ""), nil, plain, "dead"},
		{
			"frozen", base("S", "do_freezer_trap"), func(p *Inspected) { p.FrozenBy = "/c/x" }, stuck,
			"frozen by the cgroup /c/x: only SIGKILL works until that is thawed",
		},
		{
			"frozen, v1", base("D", "do_wait"), func(p *Inspected) { p.FrozenBy, p.frozenV1 = "/c/x", true },
			stuck, "frozen by the v1 cgroup /c/x: even SIGKILL waits until that is thawed",
		},
		{
			"frozen before stopped", base("T", ""), func(p *Inspected) { p.FrozenBy = "/c/x" }, stuck,
			"frozen by the cgroup /c/x: only SIGKILL works until that is thawed",
		},
		{
			"tracing stop", base("t", "ptrace_stop"),
			func(p *Inspected) { p.Tracer, p.TracerComm, p.Pending = 12, "gdb", kill }, stuck,
			"held by its tracer gdb (pid 12)",
		},
		{
			"tracer that is not seen", base("t", "ptrace_stop"), func(p *Inspected) { p.Tracer = 12 }, stuck,
			"held by its tracer (pid 12)",
		},
		{
			"group stop of a tracee", base("T", ""),
			func(p *Inspected) { p.Tracer, p.TracerComm = 12, "gdb" }, stuck,
			"held by its tracer gdb (pid 12)",
		},
		{
			"stopped, TERM pending", base("T", "do_signal_stop"), func(p *Inspected) { p.Pending = term },
			stuck, "stopped by a signal (T): SIGTERM waits for SIGCONT; SIGKILL works",
		},
		{
			"stopped", base("T", "do_signal_stop"), func(p *Inspected) { p.Ignored, p.refused = term, true },
			stuck, "stopped by a signal (T): needs SIGCONT; SIGKILL works",
		},
		{
			"frozen, cgroup unknown", base("S", "do_freezer_trap"), nil, stuck,
			"frozen by a cgroup: only SIGKILL works until that is thawed",
		},
		{
			"frozen, v1 cgroup unknown", base("D", "__refrigerator"), nil, stuck,
			"frozen by a v1 cgroup, or because the machine is suspended: even SIGKILL waits",
		},
		{
			"D, FUSE, KILL pending", base("D", "request_wait_answer"),
			func(p *Inspected) { p.Pending = kill }, stuck,
			"uninterruptible in request_wait_answer (a FUSE file system does not answer); SIGKILL is pending",
		},
		{
			"D, NFS", base("D", "rpc_wait_bit_killable"), nil, stuck,
			"uninterruptible in rpc_wait_bit_killable (an NFS server does not answer)",
		},
		{
			"D, disk", base("D", "folio_wait_bit_common"), func(p *Inspected) { p.kernel = true }, stuck,
			"uninterruptible in folio_wait_bit_common (a disk or a network file system is not done)",
		},
		{
			"D, unknown", base("D", "some_driver.isra.0"), func(p *Inspected) { p.refused = true }, stuck,
			"uninterruptible in some_driver",
		},
		{"D, nowhere", base("D", ""), nil, stuck, "uninterruptible in the kernel"},
		{
			"execve", base("S", ""), func(p *Inspected) { p.Hangs, p.refused = []string{"wchan"}, true },
			stuck, "stuck in execve(2): what /proc says of it does not come",
		},
		{
			"execve, D", base("D", "pipe_read"),
			func(p *Inspected) { p.Hangs, p.Pending = []string{"stat"}, kill }, stuck,
			"stuck in execve(2): what /proc says of it does not come, in pipe_read for data from a pipe; " +
				"SIGKILL is pending",
		},
		{
			"init that ends and reaps", base("S", "do_wait"),
			func(p *Inspected) { p.NSpid, p.hasMemory = []int{7, 1}, false }, stuck,
			"PID 1 of a namespace that is ending: waits for the last processes in it",
		},
		{
			"init that ends", base("S", "zap_pid_ns_processes"),
			func(p *Inspected) { p.NSpid, p.Pending, p.hasMemory = []int{7, 1}, kill, false }, stuck,
			"PID 1 of a namespace that is ending: waits for the last processes in it",
		},
		{"a thread", base("S", "futex_do_wait"), func(p *Inspected) {
			p.Threads, p.Pending = 2, kill
			p.StuckThreads = []StuckThread{{9, "w", "D", "nfs_wait_bit_killable"}}
		}, stuck, "its thread w (tid 9) is uninterruptible in nfs_wait_bit_killable (an NFS server does " +
			"not answer); SIGKILL is pending"},
		{"a traced thread", base("S", "futex_do_wait"), func(p *Inspected) {
			p.Threads, p.Tracer, p.TracerComm = 2, 12, "strace"
			p.StuckThreads = []StuckThread{{9, "w", "t", "ptrace_stop"}}
		}, stuck, "its thread w (tid 9) is held by the tracer strace (pid 12)"},
		{
			"core dump", base("S", "anon_pipe_write"),
			func(p *Inspected) { p.CoreDumping, p.Pending = true, kill }, stuck,
			"writing a core dump, and ends after that, in anon_pipe_write for a pipe to be read",
		},
		{
			"ending", base("S", "exit_mm"), func(p *Inspected) { p.Pending, p.hasMemory = kill, false },
			stuck, "ending, in exit_mm",
		},
		{
			"KILL pending", base("R", ""), func(p *Inspected) { p.Pending, p.kernel = kill, true }, stuck,
			"SIGKILL is pending: ends as soon as it leaves the kernel",
		},
		{
			"kernel thread", base("I", "worker_thread"),
			func(p *Inspected) {
				p.kernel, p.hasMemory, p.refused, p.Ignored = true, false, true, ^SignalNames(0)
			},
			plain, "a kernel thread",
		},
		{
			"another user's", base("S", ""), func(p *Inspected) { p.refused, p.Ignored = true, term }, wary,
			"another user's: uid 5, may not be signalled from here",
		},
		{
			"TERM blocked and pending", base("S", "do_wait"),
			func(p *Inspected) { p.Blocked, p.Pending, p.PID = term, term, 1 }, stuck,
			"blocks SIGTERM, and it is pending: only SIGKILL ends it",
		},
		{
			"init", base("S", "do_wait"),
			func(p *Inspected) { p.PID, p.NSpid, p.Ignored = 1, []int{1}, term }, wary,
			"PID 1 of its namespace: signals it does not catch are ignored; from inside even SIGKILL",
		},
		{
			"init below", base("S", "do_wait"), func(p *Inspected) { p.NSpid = []int{7, 1} }, wary,
			"PID 1 of its namespace: signals it does not catch are ignored; SIGKILL from out here works",
		},
		{
			"init that catches TERM", base("S", "do_wait"),
			func(p *Inspected) { p.NSpid, p.Caught = []int{7, 1}, term }, plain,
			"waiting in do_wait for a child",
		},
		{
			"ignores TERM", base("S", "do_wait"), func(p *Inspected) { p.Ignored, p.Blocked = term, term },
			wary, "ignores SIGTERM; waiting in do_wait for a child",
		},
		{
			"ignores TERM, busy", base("R", ""), func(p *Inspected) { p.Ignored = term }, wary,
			"ignores SIGTERM",
		},
		{
			"blocks TERM", base("S", ""), func(p *Inspected) { p.Blocked = term }, wary,
			"blocks SIGTERM, unless it takes it by sigwait or signalfd; sleeping",
		},
		{
			"another thread may take TERM", base("S", ""),
			func(p *Inspected) { p.Blocked, p.Threads = term, 2 }, plain, "sleeping",
		},
		{"running", base("R", "do_wait"), nil, plain, "running"},
		{"idle", base("I", "x"), nil, plain, "idle"},
		{"waiting, unknown", base("S", "odd_wait.constprop.0"), nil, plain, "waiting in odd_wait"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.from
			if tt.with != nil {
				tt.with(&p)
			}
			if l, got := p.verdict(); got != tt.want || l != tt.level {
				t.Errorf("got %d %q\nwant %d %q", l, got, tt.level, tt.want)
			}
		})
	}
}

// What SIGKILL overcomes is no reason for being there after it.
func TestReasonAfterKill(t *testing.T) {
	term := mask(unix.SIGTERM)
	for _, tt := range []struct {
		name string
		p    Inspected
		want string
	}{
		{
			"stopped",
			Inspected{Process: Process{State: "T", WChan: "do_signal_stop"}},
			"ending, in do_signal_stop",
		},
		{
			"frozen",
			Inspected{Process: Process{State: "S", WChan: "do_freezer_trap"}, FrozenBy: "/c"},
			"ending, in do_freezer_trap",
		},
		{
			"frozen, v1",
			Inspected{Process: Process{State: "D"}, FrozenBy: "/c", frozenV1: true},
			"frozen by the v1 cgroup /c: even SIGKILL waits until that is thawed",
		},
		{
			"ignores SIGTERM",
			Inspected{Process: Process{State: "R"}, Ignored: term, hasMemory: true},
			"ending",
		},
		{
			"blocks SIGTERM",
			Inspected{Process: Process{State: "S"}, Blocked: term, Pending: term, hasMemory: true},
			"ending",
		},
		{"PID 1", Inspected{Process: Process{State: "S"}, NSpid: []int{7, 1}, hasMemory: true}, "ending"},
		{
			"SIGKILL pending",
			Inspected{Process: Process{State: "R"}, Pending: mask(unix.SIGKILL), hasMemory: true},
			"SIGKILL is pending: ends as soon as it leaves the kernel",
		},
		{
			"D",
			Inspected{Process: Process{State: "D"}, Pending: mask(unix.SIGKILL)},
			"uninterruptible in the kernel",
		},
		{
			"core dump",
			Inspected{Process: Process{State: "S"}, CoreDumping: true},
			"writing a core dump, and ends after that",
		},
		{
			"refused",
			Inspected{Process: Process{State: "S", UID: 12}, refused: true, hasMemory: true},
			"another user's: uid 12, may not be signalled from here",
		},
		{
			"refused, stopped",
			Inspected{Process: Process{State: "T", UID: 12}, refused: true},
			"another user's: uid 12, may not be signalled from here",
		},
		{
			"refused, dead",
			Inspected{Process: Process{State: "Z", PPID: 3}, refused: true},
			"dead, but its parent (pid 3) has not reaped it",
		},
	} {
		p := tt.p
		p.killed = true
		if got := p.words(p.reason()); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
