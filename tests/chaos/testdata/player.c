// player COUNTERS TREE END STUCK: the command of a round of chaos, and everybody below it.
//
// TREE is one node: a letter, a number (how many, how long, or how), and nodes below it in parentheses, for example r0(e0z3()d0). The letters are those
// of play. END says how the command ends, in the letters of end. STUCK is a file whose open(2) never returns. COUNTERS is a file that all of them map: who is born, who is reaped by its own parent, and who says that it is ready. Each count is there twice,
// before and after the act, because SIGKILL may come between.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// The layout is known to counters.go as well.
struct counters {
	uint32_t ready;       // the tree is complete, as far as it could be made
	uint32_t forking;     // before fork(2)
	uint32_t refused;     // fork(2) failed
	uint32_t born;        // the first thing that a process does
	uint32_t reaping;     // before a process reaps its own child
	uint32_t reaped;      // after it
	uint32_t got;         // real-time signals that the command has got
	uint32_t stuck;       // how many are in the kernel's hands for good
	uint32_t stuck_pid[8];
	uint32_t victims;     // how many may be killed by a sibling
	uint32_t victim[64];
	uint32_t root;        // the command's PID
	uint32_t mapped;      // 1, in a file that is not just zeros
};

static struct counters *all;
static const char *stuck_path;

#define ADD(field) __atomic_add_fetch(&all->field, 1, __ATOMIC_SEQ_CST)

static void rest(long ms) {
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static void wait_forever(void) {
	for (;;)
		pause();
}

// make is fork(2), counted.
static pid_t make(void) {
	ADD(forking);
	pid_t pid = fork();
	if (pid < 0)
		ADD(refused);
	else if (pid == 0)
		ADD(born);
	return pid;
}

// reap waits for one child of its own, counted: first it looks, then it takes.
static void reap(pid_t pid) {
	siginfo_t info;
	while (waitid(P_PID, pid, &info, WEXITED | WNOWAIT))
		if (errno != EINTR)
			return;
	ADD(reaping);
	waitid(P_PID, pid, &info, WEXITED);
	ADD(reaped);
}

static void be_victim(void) {
	uint32_t i = __atomic_fetch_add(&all->victims, 1, __ATOMIC_SEQ_CST);
	if (i < 64)
		all->victim[i] = getpid();
}

static void be_deaf(void) {
	for (int sig = 1; sig <= 64; sig++)
		if (sig != SIGCHLD)
			signal(sig, SIG_IGN);
}

static const char *skip(const char *tree) {
	int depth = 0;
	do {
		if (*tree == '(')
			depth++;
		if (*tree == ')' && --depth == 0)
			return tree + 1;
		tree++;
	} while (*tree);
	return tree;
}

static void play(const char *tree);

// below makes the nodes in the parentheses that begin at tree.
static void below(const char *tree) {
	for (tree++; *tree && *tree != ')';) {
		const char *node = tree;
		while (*tree && *tree != '(')
			tree++;
		tree = skip(tree);
		if (make() == 0) {
			play(node);
			_exit(0);
		}
	}
}

static void *thread_below(void *tree) {
	below(tree);
	wait_forever();
	return NULL;
}

static void stop_for_ever(void) {
	for (;;)
		raise(SIGSTOP);
}

// trace holds a sibling that would end, for as long as it lives itself.
static void trace(void) {
	pid_t held = make();
	if (held == 0) {
		be_victim();
		wait_forever();
	}
	if (held > 0 && make() == 0) {
		ptrace(PTRACE_SEIZE, held, 0, 0);
		wait_forever();
	}
	wait_forever();
}

static void bomb(void) {
	be_deaf();
	for (unsigned i = 0;; i++) {
		pid_t pid = make();
		if (pid == 0)
			i & 1 ? setsid() : setpgid(0, 0);
		if (pid < 0)
			rest(1); // the limit is met: the processor is the other rounds' too
		else if (pid > 0 && i % 7 == 3)
			_exit(0);
	}
}

// line forks and exits without end: a line of descent that never rests.
static void line(long deaf) {
	if (deaf)
		be_deaf();
	for (;;)
		if (make())
			_exit(0);
}

static void kill_somebody(long ms, uint32_t which) {
	rest(ms);
	uint32_t n = all->victims < 64 ? all->victims : 64;
	if (n && all->victim[which % n])
		kill(all->victim[which % n], SIGKILL);
	wait_forever();
}

static void play(const char *tree) {
	char kind = *tree++;
	long n = strtol(tree, (char **)&tree, 10);
	switch (kind) {
	case 'n': // nothing special: ends by the first signal
		be_victim();
		below(tree);
		wait_forever();
		break;
	case 'd': // deaf
		be_victim();
		be_deaf();
		below(tree);
		wait_forever();
		break;
	case 's': // stops itself, again and again
		be_victim();
		below(tree);
		stop_for_ever();
		break;
	case 'e': // an escapee, in one of three ways
		if (n % 3 != 2)
			setsid();
		else
			setpgid(0, 0);
		if (n % 3 == 0 && make())
			_exit(0);
		below(tree);
		wait_forever();
		break;
	case 'w': // a parent that does reap
		for (long i = 0; i < n; i++) {
			pid_t pid = make();
			if (pid == 0)
				_exit(0);
			if (pid > 0)
				reap(pid);
		}
		below(tree);
		wait_forever();
		break;
	case 'z': // one that does not
		for (long i = 0; i < n; i++)
			if (make() == 0)
				_exit(0);
		below(tree);
		wait_forever();
		break;
	case 'o': // makes orphans, and goes
		for (long i = 0; i < n; i++)
			if (make() == 0) {
				rest(i * 7);
				_exit(0);
			}
		below(tree);
		_exit(0);
	case 't':
		trace();
		break;
	case 'h': { // its first thread ends, its other one has the children
		pthread_t thread;
		if (pthread_create(&thread, NULL, thread_below, (void *)tree) == 0)
			syscall(SYS_exit, 0);
		wait_forever();
		break;
	}
	case 'b':
		bomb();
		break;
	case 'l':
		line(n);
		break;
	case 'D': { // a call that the kernel does not come back from
		uint32_t i = ADD(stuck) - 1;
		if (i < 8)
			all->stuck_pid[i] = getpid();
		open(stuck_path, O_RDONLY);
		wait_forever();
		break;
	}
	case 'k':
		kill_somebody(n / 100, n % 100);
		break;
	case 'K': // kills the command
		rest(n);
		kill(all->root, SIGKILL);
		wait_forever();
		break;
	case 'm': // wants more memory than there is
		for (;;) {
			char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (p != MAP_FAILED)
				memset(p, 1, 1 << 20);
			else
				rest(1);
		}
	case 'c': { // talks, to whoever listens
		char text[4096];
		memset(text, 'x', sizeof text);
		text[sizeof text - 1] = '\n';
		for (int i = 0; i < 64; i++)
			if (write(2, text, sizeof text) < 0)
				rest(1);
		wait_forever();
	}
	}
}

static int status_on_term = -1;

static void on_term(int sig) {
	(void)sig;
	_exit(status_on_term);
}

static void on_signal(int sig) {
	if (sig >= SIGRTMIN)
		ADD(got);
}

// ready says that the tree is there.
static void ready(void) { __atomic_store_n(&all->ready, 1, __ATOMIC_SEQ_CST); }

static void end(const char *how) {
	char kind = *how;
	long n = strtol(how + 1, (char **)&how, 10), ms = *how == ',' ? strtol(how + 1, NULL, 10) : 0;
	switch (kind) {
	case 'x': // exits with n after some time
		ready();
		rest(ms);
		_exit(n);
	case 'g': // ends by signal n
		ready();
		rest(ms);
		signal(n, SIG_DFL);
		raise(n);
		break;
	case 'i': // ignores what can be ignored
		be_deaf();
		break;
	case 's': // is stopped, and stops itself again
		ready();
		stop_for_ever();
		break;
	}
	ready();
	wait_forever(); // 'p', and what is left
}

int main(int argc, char **argv) {
	if (argc < 5)
		return 90;
	int fd = open(argv[1], O_RDWR | O_CLOEXEC);
	all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (all == MAP_FAILED || !all->mapped)
		return 91;
	close(fd);
	stuck_path = argv[4];
	all->root = getpid();
	const char *how = argv[3];
	// The tree has the defaults. The command itself gets signals that mean nothing to it.
	const char *tree = strchr(argv[2], '(');
	if (tree)
		below(tree);
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	const int quiet[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGCONT, SIGTSTP, SIGWINCH};
	if (*how != 'p')
		for (unsigned i = 0; i < sizeof quiet / sizeof *quiet; i++)
			sigaction(quiet[i], &act, NULL);
	for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
		sigaction(sig, &act, NULL);
	if (*how == 'a') { // exits with n on SIGTERM
		status_on_term = atoi(how + 1);
		signal(SIGTERM, on_term);
	}
	end(how);
}
