package integration

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

// inspection is what these tests read of finite --inspect --json. The keys are a contract.
type inspection struct {
	Schema    string `json:"schema"`
	PID       int    `json:"pid"`
	HidePID   string `json:"hidepid"`
	Processes []struct {
		PID, PPID  int
		UID        int
		Comm       string
		ParentComm string `json:"parent_comm"`
		State      string
		Tracer     int
		TracerComm string `json:"tracer_comm"`
		NSpid      []int
		Pending    []string
		Blocked    []string
		Stack      []string
		Hangs      []string
		FrozenBy   string `json:"frozen_by"`
		Verdict    string
		Stuck      bool
	}
	Zombies []struct {
		Parent int
		Comm   string
		PIDs   []int
	}
	PIDLimits []struct {
		Dir          string
		Max, Current int
		NearlyFull   bool `json:"nearly_full"`
	} `json:"pids_limits"`
	Incomplete bool
}

func parseInspection(t *testing.T, text string) (i inspection) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/inspect.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err == nil {
		err = schema.Validate(value)
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &i)
	}
	if err != nil || strings.Count(text, "\n") > 1 {
		t.Fatalf("%v in\n%s", err, text)
	}
	return i
}

// inspectHead has functions for scripts.
var inspectHead = "fuse_server='" + fuseServer + "'\n" + inspectFunctions

//go:embed testdata/inspect.sh
var inspectFunctions string

// fuseServer speaks the protocol of linux/fuse.h.
//
//go:embed testdata/fuse.pl
var fuseServer string

// inspected runs a script that makes a process, sets p to its PID, and has it inspected; it returns
// what is said of it, of all, and in text.
func inspected(t *testing.T, script string, args ...string) (verdict string, all inspection, text string) {
	t.Helper()
	const tail = `
echo "$p"; "$0" --inspect --json || exit 96; "$0" --inspect "$p" || exit 95; finish`
	needCommand(t, "perl")
	r := scripted(t, inspectHead+script+tail, append([]string{cage.Self}, args...)...)
	lines := strings.SplitN(r.stdout, "\n", 3)
	if r.status != 0 || len(lines) < 3 || r.stderr != "" {
		t.Fatalf("status %d\nstdout: %s\nstderr: %s", r.status, r.stdout, r.stderr)
	}
	all = parseInspection(t, lines[1])
	for _, p := range all.Processes {
		if strconv.Itoa(p.PID) == lines[0] {
			verdict = p.Verdict
		}
	}
	if !strings.Contains(strings.ReplaceAll(lines[2], "\n", " "), verdict) {
		t.Errorf("%q is not in\n%s", verdict, lines[2])
	}
	return verdict, all, lines[2]
}

// Real processes in every plight that needs no more than a kernel, and what is said of them.
func TestInspect(t *testing.T) {
	needRoot(t)
	for _, tt := range []struct{ name, script, want string }{
		{"running", `sh -c "while :; do :; done" & p=$!; state $p R`, `^running$`},
		{
			"asleep", `sleep 1000 & p=$!; until grep -qs nanosleep /proc/$p/wchan; do :; done`,
			`^waiting in hrtimer_nanosleep for time to pass$`,
		},
		{
			"parent", `sh -c "sleep 1000; :" & p=$!; until grep -qs do_wait /proc/$p/wchan; do :; done`,
			`^waiting in do_wait for a child$`,
		},
		{
			"stopped", `sleep 1000 & p=$!; kill -STOP $p; state $p T`,
			`^stopped by a signal \(T\): needs SIGCONT; SIGKILL works$`,
		},
		{
			"stopped, TERM pending", `sleep 1000 & p=$!; kill -STOP $p; state $p T; kill $p`,
			`^stopped by a signal \(T\): SIGTERM waits for SIGCONT; SIGKILL works$`,
		},
		{
			"zombie", `mkfifo $dir/up; perl -e 'my $p = fork; exit 3 if !$p; open F, ">$ARGV[0]"; ` +
				`print F $p; close F; sleep 1000' $dir/up & read -r p <$dir/up; state $p Z`,
			`^dead \(exit status 3\), but its parent perl \(pid \d+\) has not reaped it$`,
		},
		{"zombie of a stopped parent", `mkfifo $dir/up
perl -e 'my $p = fork; sleep 1000 if !$p; open F, ">$ARGV[0]"; print F $p; close F; sleep 1000' $dir/up &
read -r p <$dir/up; kill -STOP $!; state $! T; kill -9 $p
state $p Z`, `^dead \(SIGKILL\), but its parent perl \(pid \d+\), which is stopped, has not reaped it$`},
		{
			"traced", `sleep 1000 & p=$!; mkfifo $dir/up; TEST_FINITE_ROLE=tracer $cage $p >$dir/up & ` +
				`read -r up <$dir/up; state $p t`, `^held by its tracer cage \(pid \d+\)$`,
		},
		{
			"traced zombie", `sleep 1000 & p=$!; mkfifo $dir/up; ` +
				`TEST_FINITE_ROLE=tracer $cage $p >$dir/up & read -r up <$dir/up; kill -9 $p; state $p Z`,
			`^dead \(SIGKILL\), but its tracer cage \(pid \d+\) has not let go of it$`,
		},
		{
			"TERM ignored", `sh -c 'trap "" TERM; echo >$0; sleep 1000; :' $dir/up & p=$!; ` +
				`until test -e $dir/up; do :; done; until grep -qs do_wait /proc/$p/wchan; do :; done`,
			`^ignores SIGTERM; waiting in do_wait for a child$`,
		},
		{
			"TERM blocked and pending",
			`perl -e 'use POSIX; sigprocmask SIG_BLOCK, POSIX::SigSet->new(15);
open F, ">$ARGV[0]"; sleep 1000' $dir/up & p=$!
until test -e $dir/up; do :; done; kill $p`,
			`^blocks SIGTERM, and it is pending: only SIGKILL ends it$`,
		},
		{
			"PID 1 below",
			`mkfifo $dir/up; unshare --pid --fork sh -c "echo >$dir/up; exec sleep 1000" & ` +
				`read -r up <$dir/up; read -r p </proc/$!/task/$!/children`,
			`^PID 1 of its namespace: signals it does not catch are ignored; SIGKILL from out here works$`,
		},
		{
			"D", `fuse; cat $m/file 4>&- & p=$!; asked >/dev/null; kill -9 $p; state $p D`,
			`^uninterruptible in request_wait_answer \(a FUSE file system does not answer\); SIGKILL is pending$`,
		},
		{
			"a thread in D", `fuse; TEST_FINITE_ROLE=reader $cage $m/file 4>&- & p=$!
asked >/dev/null; kill -9 $p; state $p Z
until grep -sl "^State:.D" /proc/$p/task/*/status >/dev/null; do :; done`,
			`^its main thread has ended, \d+ other threads? goe?s? on; ` +
				`its thread cage \(tid \d+\) is uninterruptible in request_wait_answer ` +
				`\(a FUSE file system does not answer\)$`,
		},
		{
			"a namespace that does not end", `fuse; mkfifo $dir/up
unshare --pid --fork sh -c "cat $m/file 4>&- & echo >$dir/up
while :; do sleep 1000; done" 4>&- 2>/dev/null &
read -r up <$dir/up; asked >/dev/null
read -r p </proc/$!/task/$!/children; kill -9 $p; until ! grep -q VmRSS /proc/$p/status; do :; done
read -r c others </proc/$p/task/$p/children; state $c D`,
			`^PID 1 of a namespace that is ending: waits for the last processes in it, cat \(pid \d+\)$`,
		},
		{
			"execve", `fuse; perl -e 'open F, "<", "$ARGV[0]"; exec "sleep", 1000' $m/file 4>&- & p=$!; ` +
				`asked >/dev/null`,
			`^stuck in execve\(2\): what /proc says of it does not come$`,
		},
		{
			"a file that is mounted over", `sleep 1000 & p=$!
until grep -qs nanosleep /proc/$p/wchan; do :; done
mkfifo $dir/fifo; exec 5<>$dir/fifo; mount --bind $dir/fifo /proc/$p/stat
finish() { umount /proc/$p/stat; }`,
			`^waiting in hrtimer_nanosleep for time to pass$`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range []string{"unshare", "mount"} {
				needCommand(t, name)
			}
			got, all, text := inspected(t, tt.script)
			if !regexp.MustCompile(tt.want).MatchString(got) {
				t.Errorf("got  %q\nwant %s\n%s", got, tt.want, text)
			}
			for _, p := range all.Processes {
				switch {
				case p.Verdict != got:
				case tt.name == "D" && (len(p.Stack) == 0 ||
					!strings.HasPrefix(p.Stack[0], "request_wait_answer") ||
					!strings.Contains(fmt.Sprint(p.Pending), "SIGKILL")):
					t.Errorf("stack %q, pending %q", p.Stack, p.Pending)
				case tt.name == "PID 1 below" && (len(p.NSpid) != 2 || p.NSpid[0] != p.PID || p.NSpid[1] != 1):
					t.Errorf("nspid %v of %d", p.NSpid, p.PID)
				case tt.name == "zombie" && (len(all.Zombies) != 1 || all.Zombies[0].Parent != p.PPID ||
					all.Zombies[0].Comm != "perl" || all.Zombies[0].PIDs[0] != p.PID):
					t.Errorf("zombies: %+v", all.Zombies)
				case tt.name == "execve" && (len(p.Hangs) != 1 || all.Processes[len(all.Processes)-1].Verdict == ""):
					t.Errorf("hangs: %v", p.Hangs)
				}
			}
		})
	}
}

// Frozen by a cgroup, v2's or v1's: SIGKILL ends the former.
func TestInspectFrozen(t *testing.T) {
	v1 := ""
	for _, m := range testkit.CgroupMounts(t) {
		if m.Kind == "cgroup" && slices.Contains(strings.Split(m.Options, ","), "freezer") {
			v1 = m.Point
		}
	}
	for name, tt := range map[string]struct{ mount, freeze, thaw, file, want string }{
		"v2": {
			testkit.Unified(t), "1", "0", "cgroup.freeze",
			"frozen by the cgroup %s: only SIGKILL works until that is thawed",
		},
		"v1": {
			v1, "FROZEN", "THAWED", "freezer.state",
			"frozen by the v1 cgroup %s: even SIGKILL waits until that is thawed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.mount == "" {
				missing(t, "no v1 freezer is mounted")
			}
			dir := testkit.MakeCgroup(t, tt.mount)
			file := dir + "/" + tt.file
			thaw := func() { _ = os.WriteFile(file, []byte(tt.thaw), 0) } // or the cage cannot end
			defer thaw()
			defer time.AfterFunc(patience()/2, thaw).Stop()
			got, all, _ := inspected(t, `sleep 1000 & p=$!; file=$4 thaw=$6
finish() { echo $thaw >$file; }
mkdir $3/x; echo $p >$3/x/cgroup.procs; echo $5 >$4
until grep -qs "frozen 1" $3/cgroup.events || grep -qs FROZEN $4; do :; done`, dir, file, tt.freeze, tt.thaw)
			if want := fmt.Sprintf(tt.want, dir); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if len(all.Processes) == 0 {
				t.Error("nobody is there")
			}
		})
	}
}

// A limit of processes is named, with what is in it, when it is nearly full.
func TestInspectPIDLimit(t *testing.T) {
	dir := testkit.Limited(t, "pids", "pids.max", "pids.max", "10")
	_, all, text := inspected(t, `for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & p=$!; `+
		`echo $p >$3/cgroup.procs; done; until grep -qs nanosleep /proc/$p/wchan; do :; done`, dir)
	found := false
	for _, limit := range all.PIDLimits {
		if limit.Dir == dir {
			found = limit.Max == 10 && limit.Current == 9 && limit.NearlyFull
		}
	}
	if want := fmt.Sprintf("pids: 9 of 10 in %s: nearly full", dir); !found || !strings.Contains(text, want) {
		t.Errorf("limits: %+v, no %q in\n%s", all.PIDLimits, want, text)
	}
}

// Of many zombies a few have a line, and the parent has one for all.
func TestInspectManyZombies(t *testing.T) {
	_, all, text := inspected(t, `mkfifo $dir/up
perl -e 'for (1 .. 40) { exit if !fork } open F, ">$ARGV[0]"; close F; sleep 1000' $dir/up &
p=$!; read -r up <$dir/up
until test "$(grep -ls "^State:.Z" /proc/[0-9]*/status | wc -l)" = 40; do :; done`)
	if len(all.Zombies) != 1 || len(all.Zombies[0].PIDs) != 40 ||
		strings.Count(text, "has not reaped it") != 3 || !strings.Contains(text, "and 37 more zombies") ||
		!strings.Contains(text, "has not reaped 40 zombies") {
		t.Errorf("%+v\n%s", all.Zombies, text)
	}
}

// A user without any privilege, and one whom /proc hides others from.
func TestInspectAsAnotherUser(t *testing.T) {
	needRoot(t)
	needCommand(t, "setpriv")
	const user = `user="setpriv --reuid 12345 --regid 12345 --clear-groups --no-new-privs"
user="$user --inh-caps=-all --bounding-set=-all"
sleep 1000 & p=$!; $user sleep 1000 & own=$!
until grep -qs nanosleep /proc/$own/wchan && grep -q nanosleep /proc/$p/wchan; do :; done
`
	r := scripted(t, inspectHead+user+`$user "$0" --inspect --json; $user "$0" --inspect $own >&2`)
	if r.status != 0 {
		t.Fatalf("%+v", r)
	}
	all := parseInspection(t, r.stdout)
	verdicts := make(map[int]string)
	for _, p := range all.Processes {
		verdicts[p.UID] += p.Verdict + "\n"
	}
	if !strings.Contains(verdicts[12345], "nanosleep") ||
		!strings.Contains(verdicts[0], "another user's: uid 0") || all.Incomplete ||
		!strings.Contains(r.stderr, "nanosleep") {
		t.Errorf("%v\n%s", verdicts, r.stderr)
	}

	r = scripted(t, inspectHead+user+
		`mount -o remount,hidepid=1 /proc; $user "$0" --inspect; $user "$0" --inspect $p 2>&1`)
	if !strings.Contains(r.stdout, "may not be read: 3 processes\n") ||
		!strings.HasSuffix(r.stdout, ": it may not be read from here (hidepid)\n") {
		t.Errorf("%+v", r)
	}
	r = scripted(t, inspectHead+user+`mount -o remount,hidepid=2 /proc; `+
		`$user "$0" --inspect --json; $user "$0" --inspect; $user "$0" --inspect $p 2>&1; echo "$? $p"`)
	lines := strings.SplitN(r.stdout, "\n", 2)
	all = parseInspection(t, lines[0])
	if len(all.Processes) != 1 || all.Processes[0].UID != 12345 || all.HidePID == "" ||
		!strings.Contains(lines[1], "/proc hides processes of other users (hidepid=") {
		t.Errorf("%+v", r)
	}
	words := strings.Fields(r.stdout)
	p := words[len(words)-1]
	want := "finite: --inspect " + p + ": it may not be read from here (hidepid)\n125 " + p + "\n"
	if !strings.HasSuffix(r.stdout, want) {
		t.Errorf("no %q in\n%s", want, r.stdout)
	}
}

// What cannot be said is one line and 125; variables that an image sets are no matter.
func TestInspectRefuses(t *testing.T) {
	needRoot(t)
	const want = "finite: --inspect: /proc is not mounted, or not this PID namespace's\n"
	for _, script := range []string{
		`mount -t tmpfs none /proc; "$0" --inspect`,
		`unshare --pid --fork "$0" --inspect`,
	} {
		r := scripted(t, script+`; exit $?`)
		if r.status != 125 || r.stderr != want || r.stdout != "" {
			t.Errorf("%s: status %d, %q, %q; want %q", script, r.status, r.stdout, r.stderr, want)
		}
	}
	if r := scripted(t, `FINITE_TIMEOUT=x FINITE_JSON=1 "$0" --inspect`); r.status != 0 ||
		!strings.Contains(r.stdout, "WHY IT HAS NOT ENDED") {
		t.Errorf("%+v", r)
	}
	// As PID 1, and a reader that is gone.
	if r := run(t, asInit, "--inspect"); r.status != 0 || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	if r := scripted(t, `("$0" --inspect; echo $? >$1/status) | :; cat $1/status`); r.stdout != "0\n" ||
		r.stderr != "" {
		t.Errorf("%+v", r)
	}
}

// While a pager does not read on, finite waits; a stop signal ends it.
func TestInspectEndsOnASignal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	room, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 1) // a page
	if err != nil {
		t.Fatal(err)
	}
	c := startSpec(t, cageSpec{Mode: asSubreaper, Args: []string{
		"/bin/sh", "-c", `i=0; while [ $i -lt 50 ]; do sleep 1000 & i=$((i+1)); done; ` +
			`exec "$0" --inspect --json`, finiteBin,
	}}, func(cmd *exec.Cmd) { cmd.Stdout = w })
	w.Close()
	for begin, n := time.Now(), 0; n < room; { // until the pipe is full
		if n, err = unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ); err != nil || time.Since(begin) > patience() {
			t.Fatalf("%d bytes are in the pipe, %v", n, err)
		}
	}
	c.signal(unix.SIGTERM)
	if status := c.wait().status; status != 143 {
		t.Errorf("status %d, want 143", status)
	}
}

// On a terminal there are colours, unless NO_COLOR says no, and no line is wider; elsewhere there
// are none.
func TestInspectOnATerminal(t *testing.T) {
	const script = `perl -e 'exit if !fork; sleep 1000' & until read -r c </proc/$!/task/$!/children; ` +
		`grep -qs "^State:.Z" /proc/$c/status; do :; done; stty cols 50; `
	show := func(env string) string {
		c := openConsole(t, needCommand(t, "unshare"), "--pid", "--fork",
			"--mount-proc", "--kill-child", "sh", "-c", script+env+` $FINITE --inspect; echo "do"ne`)
		_ = pty.Setsize(c.tty, &pty.Winsize{Rows: 24, Cols: 50})
		c.out.await(t, "done")
		return strings.ReplaceAll(c.out.String(), "\r", "")
	}
	needRoot(t)
	needCommand(t, "perl")
	coloured := show("env -u NO_COLOR TERM=xterm LC_ALL=C.UTF-8")
	bare := show("env NO_COLOR=1 TERM=xterm LC_ALL=C")
	if !strings.Contains(coloured, "\x1b[31mdead, but its parent perl") ||
		!strings.Contains(coloured, "└─ perl") {
		t.Errorf("got\n%q", coloured)
	}
	if strings.Contains(bare, "\x1b") || !strings.Contains(bare, "`- perl") {
		t.Errorf("got\n%q", bare)
	}
	for line := range strings.Lines(bare) {
		if len(line) > 51 {
			t.Errorf("%d columns: %q", len(line)-1, line)
		}
	}
}
