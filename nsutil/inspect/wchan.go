package inspect

import (
	"slices"
	"strings"
)

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

// asleep says where somebody sleeps whom no signal wakes.
func asleep(wchan string) string {
	if wchan == "" {
		return "uninterruptible in the kernel"
	}
	return "uninterruptible" + place(wchan)
}

// function returns a kernel function's name without what the compiler has added.
func function(wchan string) string {
	name, _, _ := strings.Cut(wchan, ".")
	return name
}

// meaning is what it means that a process sleeps in one of these functions of the kernel.
type meaning struct{ words, functions string }

// Functions of Linux 4 to 6.
var meanings = [...]meaning{
	{"for a child", "do_wait"},
	{"for a child made by vfork to execute something; SIGKILL works", "" +
		"wait_for_vfork_done kernel_clone _do_fork"},
	{"for another thread: futex", "futex_wait_queue futex_wait_queue_me futex_do_wait futex_wait"},
	{"for data from a pipe", "pipe_read pipe_wait pipe_wait_readable anon_pipe_read"},
	{"for a pipe to be read", "pipe_write pipe_wait_writable anon_pipe_write"},
	{"for somebody to open the other end of a FIFO", "wait_for_partner fifo_open"},
	{"for time to pass", "hrtimer_nanosleep do_nanosleep common_nsleep"},
	{"for events", "do_epoll_wait ep_poll do_select do_sys_poll do_poll poll_schedule_timeout"},
	{"for input from a terminal", "n_tty_read tty_read"},
	{"for input, from a terminal or a socket", "wait_woken"},
	{"for a terminal to take output", "tty_wait_until_sent n_tty_write"},
	{"for a socket", "" +
		"unix_stream_read_generic unix_stream_data_wait __skb_wait_for_more_packets " +
		"sk_wait_data tcp_recvmsg inet_csk_accept unix_accept"},
	{"for a signal", "sigsuspend do_sigtimedwait do_pause __do_sys_pause __x64_sys_pause " +
		"signalfd_read_iter signalfd_read"},
	{"for a file lock that somebody else holds", "" +
		"flock_lock_inode_wait posix_lock_inode_wait locks_lock_inode_wait fcntl_setlk " +
		"do_lock_file_wait"},
	{"for a request to its FUSE file system", "fuse_dev_do_read"},
	{"a FUSE file system does not answer", "request_wait_answer"},
	{"a handler of userfaultfd does not answer", "handle_userfault"},
	{"a 9P server does not answer", "p9_client_rpc p9_virtio_zc_request"},
	{"its cgroup has no memory left", "mem_cgroup_handle_over_high mem_cgroup_oom_synchronize"},
	{"for the last processes in its PID namespace", "zap_pid_ns_processes"},
	{"a disk or a network file system is not done", "" +
		"bio_wait submit_bio_wait wait_on_buffer __wait_on_buffer wait_on_page_bit " +
		"wait_on_page_bit_common __lock_page wait_on_page_writeback"},
	{"for other processors", "synchronize_rcu __synchronize_srcu synchronize_srcu"},
}

// Beginnings of names of functions, for names that are not in meanings.
var prefixMeanings = [...]meaning{
	{"a FUSE file system does not answer", "fuse_"},
	{"an NFS server does not answer", "nfs rpc_ __rpc_"},
	{"an SMB server does not answer", "cifs_ smb2_"},
	{"a Ceph server does not answer", "ceph_"},
	{"a disk or a network file system is not done", "folio_wait_ io_schedule"},
	{"a disk is not done", "blk_ jbd2_ xfs_ btrfs_"},
	{"a lock in the kernel", "__mutex_lock mutex_lock rwsem_down_ __down_"},
}

// waitsFor says for what a process waits that sleeps in this kernel function, as far as these
// functions are known.
func waitsFor(wchan string) string {
	name := function(wchan)
	for _, known := range meanings {
		if slices.Contains(strings.Fields(known.functions), name) {
			return known.words
		}
	}
	for _, known := range prefixMeanings {
		for prefix := range strings.FieldsSeq(known.functions) {
			if strings.HasPrefix(name, prefix) {
				return known.words
			}
		}
	}
	return ""
}
