package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// startBash is startSpec for a shell that prepares something in a directory that everybody may
// write to, which is its $1. finite is $0.
func startBash(t *testing.T, spec cageSpec, dir, script string) *caged {
	t.Helper()
	spec.Args = []string{needCommand(t, "bash"), "-c", `cd "$1" || exit 99; ` + script, finiteBin, dir}
	return startSpec(t, spec, nil)
}

// A child that the caller had before it became finite is not the command's: it is not asked to end.
// It sees the end of its input, though others are left then, and goes on to its own end.
func TestOlderChildGoesOn(t *testing.T) {
	const logger = `logger() { trap "echo asked to end >>log" TERM HUP INT; ` +
		`while read -r line; do echo "logged $line" >>log; done; echo complete >>log; }; `
	for name, command := range map[string]string{
		"a clean end":         `echo hello; exit 3`,
		"leftovers":           `sleep 1000 & setsid sleep 1000 & echo hello; exit 3`,
		"deaf leftovers":      `trap "" TERM; sleep 1000 & setsid sleep 1000 & echo hello; exit 3`,
		"leftovers and no Go": `ulimit -Sv unlimited; trap "" TERM; sleep 1000 & echo hello; exit 3`,
	} {
		t.Run(name, func(t *testing.T) {
			forModes(t, outerModes, func(t *testing.T, m mode) {
				t.Parallel()
				dir := openDir(t)
				prepare := ""
				if name == "leftovers and no Go" {
					prepare = "ulimit -Sv 40000; "
				}
				c := startBash(t, cageSpec{Mode: m, Late: true}, dir,
					logger+prepare+fmt.Sprintf(`exec > >(logger); exec "$0" -k 300ms -- sh -c '%s'`, command))
				c.wait().want(t, 3)
				text, _ := os.ReadFile(filepath.Join(dir, "log"))
				if string(text) != "logged hello\ncomplete\n" {
					t.Errorf("the log: %q", text)
				}
			})
		})
	}
}

// As PID 1 a child from before the start sees the end of what the command writes, and ends by
// itself: it is not sent the stop signal that the leftovers get.
func TestOlderChildOfPID1(t *testing.T) {
	for name, options := range map[string]string{"plain": "", "a supervisor from the start": "--give-up 5s "} {
		t.Run(name, func(t *testing.T) {
			dir := openDir(t)
			const script = `logger() { trap "echo asked to end >>log" TERM HUP INT
while read -r line; do echo "logged $line" >>log; done; echo complete >>log; }
exec > >(logger) 2>&1; exec "$0" %s-k 30s -- sh -c 'setsid sleep 1000 & echo hello; exit 3'`
			startBash(t, cageSpec{Mode: asInit}, dir, fmt.Sprintf(script, options)).wait().want(t, 3)
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			if string(text) != "logged hello\ncomplete\n" {
				t.Errorf("the log: %q", text)
			}
		})
	}
}

// When the command closes a descriptor of the caller's, its reader sees the end: finite holds none
// of them.
func TestDescriptorsAreTheCommands(t *testing.T) {
	closedSoon(t, allModes, []string{"", "--give-up 5s"}, "")
}

// That is so where the command begins with something over /proc.
func TestDescriptorsWithoutProc(t *testing.T) {
	needRoot(t)
	closedSoon(t, rootModes, []string{"", "--give-up 5s"}, "mount -t tmpfs none /proc || exit 9; ")
}

func closedSoon(t *testing.T, modes []mode, options []string, first string) {
	for _, m := range modes {
		fds := []int{0, 1, 3, 7, 200}
		if m == asInit {
			fds = fds[2:] // 0 to 2 are for who writes to /proc/1/fd/1
		}
		for i := range len(fds) * len(options) {
			fd, option := fds[i%len(fds)], options[i/len(fds)]
			t.Run(fmt.Sprintf("%s/%s/%d", m, option, fd), func(t *testing.T) {
				t.Parallel()
				dir := openDir(t)
				pipe := filepath.Join(dir, "pipe")
				if err := unix.Mkfifo(pipe, 0o666); err != nil {
					t.Fatal(err)
				}
				_ = os.Chmod(pipe, 0o666)
				reader, err := os.OpenFile(pipe, os.O_RDONLY|unix.O_NONBLOCK, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer reader.Close()
				c := startBash(t, cageSpec{Mode: m}, dir,
					fmt.Sprintf(`exec %d>pipe; exec "$0" %s -- bash -c '%strap "exit 3" TERM; `+
						`exec %[1]d>&-; echo closed >&2; while :; do sleep 0.05; done'`, fd, option, first))
				c.stderr.await(t, "closed")
				eventually(t, "the reader sees the end", func() bool {
					n, err := unix.Read(int(reader.Fd()), make([]byte, 16))
					return n == 0 && err == nil
				})
				c.signal(unix.SIGTERM)
				c.wait().want(t, 3)
			})
		}
	}
}

// The directory that finite was started in can be unmounted when the command has left it.
func TestDirectoryIsNotHeld(t *testing.T) {
	needRoot(t)
	forModes(t, rootModes, func(t *testing.T, m mode) {
		for _, options := range []string{"", "-t 1h"} {
			const command = `cd /; n=0; until umount "$0" 2>/dev/null; do n=$((n + 1)); ` +
				`[ $n -lt 1000 ] || exit 9; sleep 0.01; done; echo unmounted; exit 3`
			dir := openDir(t)
			c := startBash(t, cageSpec{Mode: m}, dir,
				fmt.Sprintf(`mkdir place; mount -t tmpfs none place; `+
					`cd place; exec "$0" %s -- sh -c '%s' "$1/place"`, options, command))
			r := c.wait()
			if r.want(t, 3); r.stdout != "unmounted\n" {
				t.Errorf("stdout %q", r.stdout)
			}
		}
	})
}

// The variables of sd_listen_fds(3) and sd_watchdog_enabled(3) that named finite name the command;
// others are left as they are.
func TestVariablesNameTheCommand(t *testing.T) {
	const command = `echo "$LISTEN_PID $WATCHDOG_PID $LISTEN_FDS" | sed "s/\b$$\b/own/g"; cat <&3`
	forModes(t, allModes, func(t *testing.T, m mode) {
		for pids, want := range map[string]string{
			"LISTEN_PID=$$ WATCHDOG_PID=$$":       "own own 1\nactivated\n",
			"LISTEN_PID=999999 WATCHDOG_PID=$$":   "999999 own 1\nactivated\n",
			"LISTEN_PID=$$x WATCHDOG_PID=0$$ ":    "",
			"LISTEN_PID= WATCHDOG_PID=4294967297": " 4294967297 1\nactivated\n",
		} {
			script := fmt.Sprintf(`echo activated >file; exec 3<file; `+
				`self=$$; %s LISTEN_FDS=1 exec "$0" -- sh -c '%s'`, pids, command)
			r := startBash(t, cageSpec{Mode: m}, openDir(t), script).wait()
			r.want(t, 0)
			if want != "" && r.stdout != want {
				t.Errorf("%s: %q, want %q", pids, r.stdout, want)
			}
		}
	})
}

// The CPU time of the command is the caller's to see, as it is without finite (wait4(2)).
func TestTimesReachTheCaller(t *testing.T) {
	needCommand(t, "perl")
	const burn = `my $n = 0; $n++ while (times)[0] < 0.5; exit 3`
	t.Run("init", func(t *testing.T) {
		c := start(t, asInit, "--", "perl", "-e", burn)
		c.wait().want(t, 3)
		if got := c.ProcessState.UserTime().Seconds(); got < 0.5 {
			t.Errorf("the caller sees %v s of user time, want 0.5", got)
		}
	})
	forModes(t, outerModes, func(t *testing.T, m mode) {
		for name, command := range map[string]string{
			"a clean end": burn, "leftovers": `if (!fork) { sleep 1000 } ` + burn,
		} {
			const caller = `system(@ARGV); my $s = $? >> 8; my (undef, undef, $user) = times; ` +
				`print $user >= 0.5 ? "seen\n" : "only $user\n"; exit $s`
			r := startSpec(t, cageSpec{
				Mode: m, Args: []string{"/usr/bin/perl", "-e", caller, finiteBin, "--", "perl", "-e", command},
			}, nil).wait()
			if r.want(t, 3); r.stdout != "seen\n" {
				t.Errorf("%s: %q", name, r.stdout)
			}
		}
	})
}
