package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
)

// ways are the ends of a plain run: by itself, with others left, and by the deadline. What comes
// before them stands in front of each.
var ways = map[string]struct {
	options []string
	script  string
	status  int
}{
	"exit":      {nil, "exit 3", 3},
	"leftovers": {[]string{"-k", "1s"}, "(exec setsid sleep 1000) & exit 3", 3},
	"deadline": {
		[]string{"-t", "200ms", "-k", "200ms"},
		`trap "" TERM; (exec setsid sleep 1000) & while :; do sleep 1000; done`, 124,
	},
}

// inheriting runs each way after a shell has prepared something, and checks the status and that the
// run was calm. The command's script begins with check, which exits with 9 where something is
// wrong.
func inheriting(t *testing.T, modes []mode, prepare, check string, as func(args ...string) []string) {
	t.Helper()
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			forModes(t, modes, func(t *testing.T, m mode) {
				t.Parallel()
				args := append(append([]string{finiteBin}, way.options...), "--", "sh", "-c", check+"\n"+way.script)
				if as != nil {
					args = as(args...)
				}
				r := startSpec(t, cageSpec{Mode: m, Args: afterShell(prepare, args...)}, nil).wait()
				r.want(t, way.status)
				wantCalm(t, r)
			})
		})
	}
}

// Whichever of descriptors 0 to 2 are closed, the command finds the same ones closed.
func TestClosedDescriptors(t *testing.T) {
	for set := range 8 {
		prepare, check := "exec 9>&-", ""
		for fd := range 3 {
			is := "-e"
			if set>>fd&1 != 0 {
				prepare += fmt.Sprintf(" %d>&-", fd)
				is = "! -e"
			}
			check += fmt.Sprintf("test %s /proc/$$/fd/%d || exit 9; ", is, fd)
		}
		t.Run(fmt.Sprintf("%03b", set), func(t *testing.T) { inheriting(t, allModes, prepare, check, nil) })
	}
}

// What finite was started with is the command's, and changes nothing about the end.
func TestInheritedSignals(t *testing.T) {
	perl := needCommand(t, "perl")
	through := func(script string) func(args ...string) []string {
		return func(args ...string) []string {
			return append([]string{perl, "-e", script + "; exec @ARGV or die"}, args...)
		}
	}
	// What exactly the command gets, TestInheritedState has: a shell changes it.
	for name, script := range map[string]string{
		"SIGCHLD is ignored":    `$SIG{CHLD} = "IGNORE"`,
		"everything is blocked": `my $s = pack("Q", ~0); syscall(14, 2, $s, 0, 8) == 0 or die`,
		"stop signals are blocked": `use POSIX; ` +
			`sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM, SIGINT, SIGHUP, SIGQUIT))`,
		"nohup":                    `$SIG{HUP} = "IGNORE"`,
		"stop signals are ignored": `$SIG{$_} = "IGNORE" for qw(HUP INT QUIT TERM)`,
	} {
		t.Run(name, func(t *testing.T) { inheriting(t, allModes, ":", "", through(script)) })
	}
	forModes(t, allModes, func(t *testing.T, m mode) {
		args := through(`$SIG{CHLD} = "IGNORE"`)(finiteBin, "--", "cat", "/proc/self/status")
		r := startSpec(t, cageSpec{Mode: m, Args: args}, nil).wait()
		r.want(t, 0)
		_, text, _ := strings.Cut(r.stdout, "SigIgn:\t") // the test's own caller may ignore others
		set, err := strconv.ParseUint(text[:min(16, len(text))], 16, 64)
		if err != nil || set&(1<<(unix.SIGCHLD-1)) == 0 {
			t.Errorf("SIGCHLD is not ignored in\n%s", r.stdout)
		}
	})
}

// The environment, the arguments and the limits may be strange.
func TestStrangeStarts(t *testing.T) {
	perl := needCommand(t, "perl")
	argless := func(count string) func(args ...string) []string {
		return func(args ...string) []string { return append([]string{cage.Self, count}, args...) }
	}
	for name, tt := range map[string]struct {
		modes          []mode
		prepare, check string
		as             func(args ...string) []string
	}{
		"an empty argv[0]": {modes: allModes, as: argless("empty")},
		"a long argv[0]":   {modes: allModes, as: argless("long")},
		"no proc":          {modes: []mode{asInit}, prepare: "umount /proc"},
		"40 MB of address space": {
			modes: []mode{asInit, asSubreaper}, prepare: "ulimit -Sv 40000", check: "ulimit -Sv unlimited",
		},
		"no core, no file, no lock": {modes: allModes, prepare: "ulimit -c 0 -f 0 -l 0 -i 0 2>/dev/null || :"},
		"a strange variable": {
			modes: allModes, check: `grep -qz "^.OFOO=strange$" /proc/$$/environ || exit 9`,
			as: func(args ...string) []string {
				return append([]string{perl, "-e", `$ENV{"\x01OFOO"} = "strange"; exec @ARGV or die`}, args...)
			},
		},
		"all that execve takes": {
			modes: allModes, prepare: "ulimit -Ss 8192", check: `test ${#BIG1} = 100000 || exit 9`,
			as: func(args ...string) []string {
				// The limit is a quarter of that of the stack; the first one that fits is taken.
				const big = `for my $n (reverse 1 .. 20) { delete @ENV{grep /^BIG/, keys %ENV}; ` +
					`$ENV{"BIG$_"} = "e" x 100000 for 1 .. $n; exec @ARGV, "a" x 1000 } die`
				return append([]string{perl, "-e", big}, args...)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			prepare := tt.prepare
			if prepare == "" {
				prepare = ":"
			}
			if strings.Contains(name, "argv[0]") {
				prepare = "export " + cage.Plays("argless")
			}
			inheriting(t, tt.modes, prepare, "unset TEST_FINITE_ROLE; "+tt.check, tt.as)
		})
	}
}

// playArgless executes its arguments from the second on, with a first argument that is not the name
// of the file.
func playArgless() {
	kind, args := os.Args[1], os.Args[2:]
	file, err := unix.BytePtrFromString(args[0])
	must(err)
	argv := make([]*byte, 0, len(args)+1)
	switch kind {
	case "empty":
		args[0] = ""
	case "long":
		args[0] = strings.Repeat("finite/", 1000) + "finite"
	case "none":
		args = nil
	}
	for _, arg := range args {
		p, err := unix.BytePtrFromString(arg)
		must(err)
		argv = append(argv, p)
	}
	argv = append(argv, nil)
	env := []*byte{nil}
	if path, err := unix.BytePtrFromString("PATH=" + os.Getenv("PATH")); err == nil {
		env = []*byte{path, nil}
	}
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(file)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])))
	must(errno)
}

// Without any argument, its own name neither, finite says what is missing.
func TestNoArgument(t *testing.T) {
	forModes(t, allModes, func(t *testing.T, m mode) {
		args := []string{cage.Self, "none", finiteBin}
		r := startSpec(t, cageSpec{Mode: m, Role: "argless", Args: args}, nil).wait()
		if r.want(t, 125); strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "finite: ") {
			t.Errorf("stderr %q, want one line", r.stderr)
		}
	})
}

// With three descriptors, all of them in use, finite cannot begin: one line, and 125.
func TestNoDescriptorIsLeft(t *testing.T) {
	forModes(t, allModes, func(t *testing.T, m mode) {
		for _, options := range [][]string{nil, {"-t", "1h"}} {
			args := append(append([]string{finiteBin}, options...), "--", "sh", "-c", "echo started")
			r := startSpec(t, cageSpec{Mode: m, Args: afterShell("ulimit -n 3", args...)}, nil).wait()
			r.want(t, 125)
			r.wantLine(t, `cannot run "sh": too many open files`)
			if r.stdout != "" {
				t.Errorf("stdout %q", r.stdout)
			}
		}
	})
}

// Two processes are enough as PID 1, and three elsewhere: finite's own and the command. With one
// less there is one line, and 125.
func TestFewestProcesses(t *testing.T) {
	needRoot(t)
	for _, m := range rootModes {
		enough := 2
		if m == asSubreaper {
			enough = 3
		}
		for most := 1; most <= enough; most++ {
			t.Run(fmt.Sprintf("%s/%d", m, most), func(t *testing.T) {
				dir := limited(t, "pids", "pids.max", "pids.max", "max")
				args := joins(dir, "/bin/sh", "-c", fmt.Sprintf(`echo %d >%s && exec "$@"`,
					most, filepath.Join(dir, "pids.max")), "sh", finiteBin, "--", "sh", "-c", "exit 7")
				r := startSpec(t, cageSpec{Mode: m, Args: args}, nil).wait()
				if most == enough {
					r.want(t, 7)
					return
				}
				r.want(t, 125)
				r.wantLine(t, `cannot run "sh": resource temporarily unavailable`)
			})
		}
	}
}

// A binary with file capabilities is no different, though the kernel protects its processes.
func TestFileCapabilities(t *testing.T) {
	needRoot(t)
	path := filepath.Join(openDir(t), "finite")
	if err := copyFile(path, finiteBin); err != nil {
		t.Fatal(err)
	}
	// struct vfs_cap_data, version 2 with the effective bit: CAP_NET_BIND_SERVICE
	// (capabilities(7)).
	caps := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if err := unix.Setxattr(path, "security.capability", caps, 0); err != nil {
		missing(t, "no file capabilities: %v", err)
	}
	inheriting(t, rootModes, ":", `grep -q "^CapEff:.0*$" /proc/$$/status || exit 9`,
		func(args ...string) []string {
			args[0] = path
			return unprivileged(args...)
		})
}
