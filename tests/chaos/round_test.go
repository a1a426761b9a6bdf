package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// The ways in which finite stands in a cage.
const (
	asInit      = "init"      // PID 1 of a namespace
	asSubreaper = "subreaper" // a child of the observer
	asNamespace = "namespace" // that, and --unshare pid,mount
)

// round is all there is to say of a round before it runs. Times are milliseconds.
type round struct {
	Seed uint64
	Kind string // how it is to end; see kinds
	Role string
	Tree string // what player.c makes
	End  string // what the command itself does then
	Want []int  // the exit statuses that are right; a negative one is a signal that killed finite itself

	Timeout   int
	Grace     int
	StopGrace int `json:",omitempty"`
	GiveUp    int
	Leftovers string
	Forward   string
	Cgroup    string
	Verbose   bool `json:",omitempty"`
	Report    bool `json:",omitempty"`

	Files  int             `json:",omitempty"` // RLIMIT_NOFILE
	Pids   int             `json:",omitempty"` // a limit of processes and threads
	Memory int             `json:",omitempty"` // a limit of memory, in bytes
	Stderr string          // pipe: it is read; full: nobody reads; broken: nobody can; closed
	Stdin  string          // null or closed
	NoProc bool            `json:",omitempty"`
	Deny   *testkit.Denial `json:",omitempty"`

	Signals []shot `json:",omitempty"`
}

// shot is a signal that finite is sent.
type shot struct {
	At    int // after the tree is ready, or, early, in microseconds after finite was executed
	Sig   int
	Early bool `json:",omitempty"`
}

func (r *round) String() string {
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

const (
	long        = 20000 // a deadline that does not come
	memoryLimit = 32 << 20
)

// has reports whether a kind of process is in the tree.
func (r *round) has(kind string) bool { return strings.Contains(r.Tree, kind) }

// blind reports whether finite has no means to find descendants in this round: without /proc, a
// subreaper sees nobody but its children.
func (r *round) blind() bool { return r.NoProc && r.Role == asSubreaper }

// dice is where a round's choices come from.
type dice struct{ *rand.Rand }

func (d dice) one(in int) bool           { return d.IntN(in) == 0 }
func (d dice) between(low, high int) int { return low + d.IntN(high-low+1) }

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// newRound draws the round of a seed.
func newRound(seed uint64) *round {
	d := dice{rand.New(rand.NewPCG(seed, 0x66696e697465))}
	r := &round{
		Seed: seed, Stderr: "pipe", Stdin: "null", Leftovers: "terminate", Forward: "child", GiveUp: 5000,
	}
	r.Role = pick(d, asInit, asSubreaper, asSubreaper, asNamespace)
	r.Cgroup = pick(d, "auto", "off", "off", "require")
	r.Grace = pick(d, 0, 50, 100, 200, 300)
	r.Leftovers = pick(d, "terminate", "terminate", "kill")
	r.Forward = pick(d, "child", "child", "group", "all")
	r.Verbose = d.one(3)
	r.Report = !d.one(4)
	r.Timeout = long
	r.Tree = "r0(" + trees(d, d.between(0, 6), 3) + ")"
	kinds[weighted(d)].draw(d, r)
	r.faults(d)
	return r
}

// kinds are the ways in which a round may end.
var kinds = []struct {
	name   string
	weight int
	draw   func(dice, *round)
}{
	{"deadline", 40, drawDeadline},
	{"exit", 18, drawExit},
	{"signal", 8, drawSignal},
	{"stop", 16, drawStop},
	{"early", 7, drawEarly},
	{"the command is killed", 5, drawCommandKilled},
	{"finite is killed", 6, drawFiniteKilled},
}

func weighted(d dice) int {
	n := d.IntN(100)
	for i, k := range kinds {
		if n -= k.weight; n < 0 {
			return i
		}
	}
	panic("the weights are not 100")
}

// The signals that a command of each kind survives.
var harmless = map[byte][]unix.Signal{
	'p': {unix.SIGCONT, unix.SIGTSTP, unix.SIGWINCH, unix.SIGURG, 34, 40, 50, 64},
	'a': {unix.SIGUSR1, unix.SIGUSR2, unix.SIGHUP, unix.SIGCONT, unix.SIGTSTP, 34, 40, 50, 64},
	's': {unix.SIGUSR1, unix.SIGCONT, unix.SIGTSTP, 34, 64},
	'i': {
		unix.SIGUSR1, unix.SIGHUP, unix.SIGCONT, unix.SIGTSTP, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, 34, 64,
	},
}

// noise adds signals that change nothing about the end.
func (r *round) noise(d dice, within int) {
	from := harmless[r.End[0]]
	if from == nil {
		from = harmless['a']
	}
	if r.StopGrace > 0 || r.Kind != "deadline" {
		from = slices.DeleteFunc(slices.Clone(from), func(s unix.Signal) bool {
			return s == unix.SIGTERM || s == unix.SIGINT || s == unix.SIGQUIT || s == unix.SIGHUP
		})
	}
	for range pick(d, 0, 0, 2, 5, 20) {
		r.Signals = append(r.Signals, shot{At: d.IntN(within), Sig: int(pick(d, from...))})
	}
}

func drawDeadline(d dice, r *round) {
	r.Kind, r.Timeout, r.Want = "deadline", d.between(60, 500), []int{124}
	r.End = pick(d, "p", "a7", "i", "s")
	r.noise(d, r.Timeout)
}

func drawExit(d dice, r *round) {
	code := d.IntN(256)
	r.Kind, r.Want = "exit", []int{code}
	r.End = fmt.Sprintf("x%d,%d", code, d.IntN(80))
	if d.one(6) {
		r.Leftovers, r.Timeout = "wait", 1500
	}
	r.noise(d, 80)
}

func drawSignal(d dice, r *round) {
	sig := pick(d, unix.SIGTERM, unix.SIGKILL, unix.SIGSEGV, unix.SIGABRT,
		unix.SIGUSR1, unix.SIGHUP, unix.SIGPIPE, 40)
	r.Kind, r.Want = "signal", []int{128 + int(sig)}
	r.End = fmt.Sprintf("g%d,%d", sig, d.IntN(80))
}

func drawStop(d dice, r *round) {
	r.Kind = "stop"
	sig := unix.SIGTERM
	if !d.one(3) {
		r.StopGrace = d.between(50, 400)
	}
	r.End = pick(d, "p", "a7", "s", "i")
	switch r.End[0] {
	case 'i':
		r.StopGrace, r.Want = d.between(50, 400), []int{137}
	case 'a':
		// A grace time that is over on a slow machine before the command has acted is a kill.
		r.StopGrace, r.Want = r.StopGrace*20, []int{7}
	default:
		if sig = pick(d, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT); r.StopGrace > 0 && d.one(4) {
			sig = unix.SIGHUP
		}
		if r.End[0] == 's' && sig == unix.SIGHUP {
			sig = unix.SIGTERM // it has a handler for the other
		}
		r.StopGrace *= 20
		r.Want = []int{128 + int(sig)}
	}
	at := d.IntN(100)
	r.noise(d, at+1)
	r.Signals = append(r.Signals, shot{At: at, Sig: int(sig)})
}

// drawEarly has a stop signal come while finite starts. Before its first instruction it is the
// kernel's to keep or lose.
func drawEarly(d dice, r *round) {
	sig := pick(d, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	r.Kind, r.End, r.Timeout = "early", "p", 400
	r.Want = []int{128 + int(sig), 124, -int(sig)}
	r.Signals = []shot{{At: d.IntN(3000), Sig: int(sig), Early: true}}
}

func drawCommandKilled(d dice, r *round) {
	r.Kind, r.End, r.Want = "the command is killed", pick(d, "p", "i", "s"), []int{137}
	r.Tree = strings.TrimSuffix(r.Tree, ")") + fmt.Sprintf("K%d())", d.IntN(100))
}

// drawFiniteKilled has finite itself killed, where the kernel then sees to the end of all: as PID
// 1, or with a PID namespace that it made.
func drawFiniteKilled(d dice, r *round) {
	r.Kind, r.Role, r.End, r.Want = "finite is killed", pick(d, asInit, asNamespace),
		pick(d, "p", "i", "s"), []int{-9}
	r.Signals = []shot{{At: d.IntN(200), Sig: int(unix.SIGKILL)}}
}

// trees draws n nodes and what is below them.
func trees(d dice, n, depth int) string {
	var b strings.Builder
	for range n {
		kind := pick(d, "n", "n", "d", "s", "e", "e", "w", "z", "o", "t", "h", "c", "k")
		number := d.IntN(6)
		if kind == "k" {
			number = d.IntN(200)*100 + d.IntN(64)
		}
		below := ""
		if depth > 1 && strings.Contains("ndsewzoh", kind) {
			below = trees(d, pick(d, 0, 0, 1, 2), depth-1)
		}
		b.WriteString(kind + strconv.Itoa(number) + "(" + below + ")")
	}
	return b.String()
}

// graft puts a node into the tree, below the command itself.
func (r *round) graft(node string) { r.Tree = strings.Replace(r.Tree, "r0(", "r0("+node, 1) }

// faults draws what is missing and what is exhausted.
func (r *round) faults(d dice) {
	if d.one(5) {
		r.Files = 16
	}
	if d.one(4) {
		r.Stderr = pick(d, "full", "broken", "closed")
	}
	if d.one(4) {
		r.Stdin = "closed"
	}
	if d.one(4) {
		r.deny(d)
	}
	if d.one(10) {
		r.NoProc = true
	}
	if d.one(8) && !r.blind() { // whoever inherits from it would have no end of zombies
		r.graft("l" + strconv.Itoa(d.IntN(2)) + "()")
	}
	if d.one(6) {
		r.limitPids(d)
	}
	if d.one(12) {
		r.Memory = memoryLimit
		for range d.between(1, 2) {
			r.graft("m0()")
		}
	}
	if d.one(8) {
		r.stick(d)
	}
	if r.Cgroup == "require" && (r.NoProc || r.Deny != nil && slices.Contains(r.Deny.What, "statx")) {
		r.Cgroup = "auto" // without these it cannot be made, and so nothing is started
	}
	r.allowFiles()
	if r.blind() {
		r.GiveUp = 500
	}
}

func (r *round) deny(d dice) {
	all := []string{"pidfd_open", "pidfd_send_signal", "clone3", "CLONE_PIDFD", "P_PIDFD", "statx"}
	r.Deny = &testkit.Denial{Errno: uint16(pick(d, unix.ENOSYS, unix.EPERM))}
	for _, what := range all {
		if d.one(2) {
			r.Deny.What = append(r.Deny.What, what)
		}
	}
	if len(r.Deny.What) == 0 {
		r.Deny.What = all
	}
}

// limitPids leaves few processes, and often has somebody take them all.
func (r *round) limitPids(d dice) {
	if r.Kind == "the command is killed" {
		return // by a process, which there would be no room for
	}
	r.Pids = pick(d, 16, 20, 40)
	if r.Role == asNamespace {
		r.Pids = pick(d, 24, 40)
	}
	if d.one(2) && !r.blind() {
		r.graft("b0()")
	}
}

// allowFiles raises the limit of open files to what the README says is needed.
func (r *round) allowFiles() {
	if r.Files == 0 {
		return
	}
	if r.Role == asNamespace && r.Cgroup == "require" {
		r.Files += 4
	} else if r.Cgroup == "require" { // the keeper and its supervisor share some
		r.Files += 2
	}
	if r.Report && (r.Role == asNamespace || r.Cgroup == "require") {
		r.Files += 2
	}
}

// stick has somebody in the tree who cannot be killed.
func (r *round) stick(d dice) {
	if r.blind() || r.Kind == "finite is killed" || r.Kind == "early" {
		return
	}
	for range d.between(1, 2) {
		r.graft("D0()")
	}
	r.GiveUp, r.Report = d.between(300, 1000), true
}

// options are finite's.
func (r *round) options(report string) []string {
	ms := func(n int) string { return strconv.Itoa(n) + "ms" }
	args := []string{
		"-t", ms(r.Timeout), "-k", ms(r.Grace), "--give-up", ms(r.GiveUp),
		"--leftovers", r.Leftovers, "--forward", r.Forward, "--cgroup", r.Cgroup,
	}
	if r.StopGrace > 0 {
		args = append(args, "--stop-grace", ms(r.StopGrace))
	}
	if r.Verbose {
		args = append(args, "-vv")
	}
	if r.Report {
		args = append(args, "--report", report)
	}
	if r.Role == asNamespace {
		args = append(args, "--unshare", "pid,mount")
	}
	return args
}

// due is when it is to have ended by contract, in milliseconds after its start, where the tree was
// ready after so many.
func (r *round) due(ready int) int {
	if r.Kind == "deadline" || r.Kind == "early" || r.Leftovers == "wait" {
		return r.Timeout + r.Grace + r.GiveUp
	}
	last := 100
	for _, s := range r.Signals {
		last = max(last, s.At)
	}
	return ready + last + r.StopGrace + r.Grace + r.GiveUp
}

// A seed that is printed plays the same round again.
func TestRoundIsAFunctionOfItsSeed(t *testing.T) {
	testkit.CheckSeeds(t, func(seed uint64) string { return newRound(seed).String() })
}
