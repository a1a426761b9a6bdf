package inspect

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/text"
)

// level is how bad a verdict is.
type level uint8

const (
	plain level = iota
	wary        // a signal that asks it to end does nothing
	stuck       // somebody else must do something before it can end
)

// verdict says in plain words, on one line, why a process has not ended. The first of these that
// holds is the most telling:
//
//   - the process is dead;
//   - it is frozen, held by a tracer, or stopped, or its execve(2) does not get on;
//   - it is in uninterruptible sleep, or waits for the end of its PID namespace;
//   - one of its threads is held;
//   - it writes a core dump, is ending, or is about to (SIGKILL is pending);
//   - it is a kernel thread, or may not be signalled;
//   - SIGTERM waits, or does nothing.
//
// If none of them holds, the verdict is what the process waits for.
func (p *Inspected) verdict() (level, string) {
	for _, find := range []func(*Inspected) (level, string){(*Inspected).ifDead, (*Inspected).ifHeld, (*Inspected).ifEnding, (*Inspected).ifDeaf} {
		if l, text := find(p); text != "" {
			return l, text
		}
	}
	return plain, p.activity()
}

func (p *Inspected) ifDead() (level, string) {
	how := "dead"
	if p.Ended != "" {
		how = "dead (" + p.Ended + ")"
	}
	switch {
	case p.State == "X":
		return plain, how
	case p.State != "Z":
		return plain, ""
	case p.Threads > 1 && p.waitsForNamespace():
		return stuck, p.namespaceEnding()
	case p.Threads > 1:
		return stuck, fmt.Sprintf("its main thread has ended, %s on%s", text.Plural(p.Threads-1, "other thread goes", "other threads go"), p.firstThread("; "))
	case p.Tracer != 0:
		return stuck, fmt.Sprintf("%s, but its tracer %s has not let go of it", how, p.tracer())
	case p.PPID == 0:
		return stuck, how + ", but its parent, outside this PID namespace, has not reaped it"
	}
	return stuck, fmt.Sprintf("%s, but its parent %s%s has not reaped it", how, named(p.ParentComm, p.PPID), parentIs(p.parentState))
}

// parentIs says why a parent cannot reap.
func parentIs(state byte) string {
	switch state {
	case 'T':
		return ", which is stopped,"
	case 't':
		return ", which is held by a tracer,"
	case 'D':
		return ", which is in uninterruptible sleep,"
	}
	return ""
}

func (p *Inspected) ifHeld() (level, string) {
	switch {
	case p.FrozenBy != "" && p.frozenV1:
		return stuck, "frozen by the v1 cgroup " + p.FrozenBy + ": even SIGKILL waits until that is thawed"
	case p.FrozenBy != "":
		return stuck, "frozen by the cgroup " + p.FrozenBy + ": only SIGKILL works until that is thawed"
	case p.State == "t" || p.State == "T" && p.Tracer != 0:
		return stuck, "held by its tracer " + p.tracer()
	case p.State == "T" && p.Pending.Has(unix.SIGTERM):
		return stuck, "stopped by a signal (T): SIGTERM waits for SIGCONT; SIGKILL works"
	case p.State == "T":
		return stuck, "stopped by a signal (T): needs SIGCONT; SIGKILL works"
	case function(p.WChan) == "do_freezer_trap":
		return stuck, "frozen by a cgroup: only SIGKILL works until that is thawed"
	case function(p.WChan) == "__refrigerator":
		return stuck, "frozen by a v1 cgroup, or because the machine is suspended: even SIGKILL waits"
	case len(p.Hangs) > 0:
		return stuck, "stuck in execve(2): what /proc says of it does not come" + behind(p.WChan) + p.killPending()
	case p.State == "D":
		return stuck, uninterruptible(p.WChan) + p.killPending()
	case p.waitsForNamespace():
		return stuck, p.namespaceEnding()
	case len(p.StuckThreads) > 0:
		return stuck, p.firstThread("") + p.killPending()
	}
	return plain, ""
}

// isEnding reports whether it is on its way out: it has no memory any more, and is no zombie yet.
func (p *Inspected) isEnding() bool {
	return !p.hasMemory && !p.kernel && p.State != "Z" && p.State != "X"
}

// waitsForNamespace reports whether the last thread of a PID namespace's PID 1 is on its way out
// and waits for everybody else there: first it reaps them, then it waits until others have done so
// (zap_pid_ns_processes).
func (p *Inspected) waitsForNamespace() bool {
	waits := func(wchan string) bool { return function(wchan) == "do_wait" || function(wchan) == emptiesNamespace }
	if !p.isInit() {
		return false
	}
	return p.isEnding() && waits(p.WChan) || p.State == "Z" && slices.ContainsFunc(p.StuckThreads, func(t StuckThread) bool { return waits(t.WChan) })
}

const emptiesNamespace = "zap_pid_ns_processes"

func (p *Inspected) namespaceEnding() string {
	text := "PID 1 of a namespace that is ending: waits for the last processes in it"
	if p.waitsFor != "" {
		text += ", " + p.waitsFor
	}
	return text
}

// firstThread describes the first thread that is held.
func (p *Inspected) firstThread(before string) string {
	if len(p.StuckThreads) == 0 {
		return ""
	}
	t := p.StuckThreads[0]
	text := fmt.Sprintf("%sits thread %s (tid %d) is ", before, t.Comm, t.TID)
	if t.State == "t" {
		return text + "held by the tracer " + p.tracer()
	}
	return text + uninterruptible(t.WChan)
}

func (p *Inspected) killPending() string {
	if p.Pending.Has(unix.SIGKILL) {
		return "; SIGKILL is pending"
	}
	return ""
}

func uninterruptible(wchan string) string {
	if wchan == "" {
		return "uninterruptible in the kernel"
	}
	return "uninterruptible" + place(wchan)
}

func (p *Inspected) ifEnding() (level, string) {
	switch {
	case p.CoreDumping:
		return stuck, "writing a core dump, and ends after that" + behind(p.WChan)
	case p.isEnding():
		return stuck, "ending" + behind(p.WChan)
	case p.Pending.Has(unix.SIGKILL):
		return stuck, "SIGKILL is pending: ends as soon as it leaves the kernel" + behind(p.WChan)
	}
	return plain, ""
}

func (p *Inspected) ifDeaf() (level, string) {
	term := unix.SIGTERM
	switch {
	case p.kernel:
		return plain, "a kernel thread"
	case p.refused:
		return wary, fmt.Sprintf("another user's: uid %d, may not be signalled from here", p.UID)
	case p.Blocked.Has(term) && p.Pending.Has(term):
		return stuck, "blocks SIGTERM, and it is pending: only SIGKILL ends it"
	case p.isInit() && !p.Caught.Has(term) && !p.Blocked.Has(term):
		if p.PID == 1 {
			return wary, "PID 1 of its namespace: signals it does not catch are ignored; from inside even SIGKILL"
		}
		return wary, "PID 1 of its namespace: signals it does not catch are ignored; SIGKILL from out here works"
	case p.Ignored.Has(term):
		return wary, "ignores SIGTERM" + p.meanwhile()
	case p.Blocked.Has(term) && p.Threads < 2: // another thread may take it
		return wary, "blocks SIGTERM, unless it takes it by sigwait or signalfd" + p.meanwhile()
	}
	return plain, ""
}

// isInit reports whether it is PID 1 of a PID namespace.
func (p *Inspected) isInit() bool {
	return p.PID == 1 || len(p.NSpid) > 1 && p.NSpid[len(p.NSpid)-1] == 1
}

func (p *Inspected) meanwhile() string {
	if p.State == "R" {
		return ""
	}
	return "; " + p.activity()
}

// activity is what it does if nothing keeps it from ending.
func (p *Inspected) activity() string {
	switch {
	case p.State == "R":
		return "running"
	case p.State == "I":
		return "idle"
	case p.WChan == "":
		return "sleeping"
	}
	return "waiting" + place(p.WChan)
}

func (p *Inspected) tracer() string { return named(p.TracerComm, p.Tracer) }

func named(comm string, pid int) string {
	if comm == "" {
		return fmt.Sprintf("(pid %d)", pid)
	}
	return fmt.Sprintf("%s (pid %d)", comm, pid)
}

// place says in which function of the kernel somebody sleeps, and what that means.
func place(wchan string) string {
	meaning := waitsFor(wchan)
	switch {
	case wchan == "":
		return ""
	case meaning == "":
		return " in " + function(wchan)
	case strings.HasPrefix(meaning, "for "):
		return " in " + function(wchan) + " " + meaning
	}
	return " in " + function(wchan) + " (" + meaning + ")"
}

func behind(wchan string) string {
	if wchan == "" {
		return ""
	}
	return "," + place(wchan)
}

// function returns a kernel function's name without what the compiler has added.
func function(wchan string) string {
	name, _, _ := strings.Cut(wchan, ".")
	return name
}

// waitsFor says for what a process waits that sleeps in this kernel function, as far as these
// functions are known (Linux 4 to 6).
func waitsFor(wchan string) string {
	name := function(wchan)
	switch name {
	case "do_wait":
		return "for a child"
	case "wait_for_vfork_done", "kernel_clone", "_do_fork":
		return "for a child made by vfork to execute something; SIGKILL works"
	case "futex_wait_queue", "futex_wait_queue_me", "futex_do_wait", "futex_wait":
		return "for another thread: futex"
	case "pipe_read", "pipe_wait", "pipe_wait_readable", "anon_pipe_read":
		return "for data from a pipe"
	case "pipe_write", "pipe_wait_writable", "anon_pipe_write":
		return "for a pipe to be read"
	case "wait_for_partner", "fifo_open":
		return "for somebody to open the other end of a FIFO"
	case "hrtimer_nanosleep", "do_nanosleep", "common_nsleep":
		return "for time to pass"
	case "do_epoll_wait", "ep_poll", "do_select", "do_sys_poll", "do_poll", "poll_schedule_timeout":
		return "for events"
	case "n_tty_read", "tty_read":
		return "for input from a terminal"
	case "wait_woken":
		return "for input, from a terminal or a socket"
	case "tty_wait_until_sent", "n_tty_write":
		return "for a terminal to take output"
	case "unix_stream_read_generic", "unix_stream_data_wait", "__skb_wait_for_more_packets", "sk_wait_data", "tcp_recvmsg", "inet_csk_accept", "unix_accept":
		return "for a socket"
	case "sigsuspend", "do_sigtimedwait", "do_pause", "__do_sys_pause", "__x64_sys_pause", "signalfd_read_iter", "signalfd_read":
		return "for a signal"
	case "flock_lock_inode_wait", "posix_lock_inode_wait", "locks_lock_inode_wait", "fcntl_setlk", "do_lock_file_wait":
		return "for a file lock that somebody else holds"
	case "fuse_dev_do_read":
		return "for a request to its FUSE file system"
	case "request_wait_answer":
		return "a FUSE file system does not answer"
	case "handle_userfault":
		return "a handler of userfaultfd does not answer"
	case "p9_client_rpc", "p9_virtio_zc_request":
		return "a 9P server does not answer"
	case "mem_cgroup_handle_over_high", "mem_cgroup_oom_synchronize":
		return "its cgroup has no memory left"
	case emptiesNamespace:
		return "for the last processes in its PID namespace"
	case "bio_wait", "submit_bio_wait", "wait_on_buffer", "__wait_on_buffer", "wait_on_page_bit", "wait_on_page_bit_common", "__lock_page", "wait_on_page_writeback":
		return "a disk or a network file system is not done"
	case "synchronize_rcu", "__synchronize_srcu", "synchronize_srcu":
		return "for other processors"
	}
	for _, known := range [...]struct{ prefix, meaning string }{
		{"fuse_", "a FUSE file system does not answer"},
		{"nfs", "an NFS server does not answer"},
		{"rpc_", "an NFS server does not answer"},
		{"__rpc_", "an NFS server does not answer"},
		{"cifs_", "an SMB server does not answer"},
		{"smb2_", "an SMB server does not answer"},
		{"ceph_", "a Ceph server does not answer"},
		{"folio_wait_", "a disk or a network file system is not done"},
		{"io_schedule", "a disk or a network file system is not done"},
		{"blk_", "a disk is not done"},
		{"jbd2_", "a disk is not done"},
		{"xfs_", "a disk is not done"},
		{"btrfs_", "a disk is not done"},
		{"__mutex_lock", "a lock in the kernel"},
		{"mutex_lock", "a lock in the kernel"},
		{"rwsem_down_", "a lock in the kernel"},
		{"__down_", "a lock in the kernel"},
	} {
		if strings.HasPrefix(name, known.prefix) {
			return known.meaning
		}
	}
	return ""
}
