// Blocks every signal, says "ready", and then prints each one that arrives: number, si_code, si_pid, si_uid and value. After as many as its
// argument says it exits with 42.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
	sigset_t all;
	siginfo_t info;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	for (int n = argc > 1 ? atoi(argv[1]) : 1; n > 0;) {
		int sig = sigwaitinfo(&all, &info);
		if (sig > 0 && sig != SIGCHLD) {
			printf("got %d code %d pid %d uid %d value %d\n", sig, info.si_code, info.si_pid, info.si_uid, info.si_value.sival_int);
			n--;
		}
	}
	return 42;
}
