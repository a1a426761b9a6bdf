package inspect

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/mounts"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/signals"
)

// checkLines says what is wrong with a text for a terminal: lines that are too wide, or bytes that
// write to the terminal.
func checkLines(t *testing.T, words string, width int) {
	t.Helper()
	for line := range strings.Lines(words) {
		line = strings.TrimSuffix(line, "\n")
		if width > 0 && text.Width(line) > width {
			t.Fatalf("%d columns, of %d: %q", text.Width(line), width, line)
		}
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q in %q", r, line)
			}
		}
	}
}

// hostile is a process of which every text comes from elsewhere.
func hostile(status *procfs.Status, wchan, stack, cgroup string) *Inspected {
	p := &Inspected{Process: newProcess(7, status), NSpid: status.NSpid, Cgroup: cgroup}
	p.WChan, p.Stack = procfs.ParseWChan([]byte(wchan), nil), parseStack([]byte(stack))
	p.Caught, p.Pending = SignalNames(status.SigCgt), SignalNames(status.SigPnd)
	p.hasMemory, p.kernel = status.HasMemory, status.KernelThread
	p.StuckThreads = []StuckThread{{TID: 8, Comm: status.Name, State: p.State, WChan: wchan}}
	p.ParentComm, p.TracerComm = status.Name, status.Name
	p.level, p.Verdict = p.verdict()
	p.Stuck = p.level == stuck
	return p
}

// Whatever /proc says, a table, a tree and a report of it have their lines, none of them too wide,
// and write nothing else to the terminal.
func FuzzRender(f *testing.F) {
	f.Add("Name:\tsh\nState:\tD\nPPid:\t1\nThreads:\t2\nSigPnd:\t100\n", "request_wait_answer",
		"[<0>] fuse_read+0x1/0x2\n", "/a", uint8(80))
	f.Add("State:\t\x1b\nName:\t\x1b[2J\\nx\n", "\x1b]0;x\x07\ny", "[<0>] \x1b[2J\n", "/\x1b", uint8(7))
	f.Add("State:\tZ\nThreads:\t1\n", "", "", "", uint8(0))
	f.Add("State:\tT\nTracerPid:\t-1\nName:\t日本\xff\n", "ptrace_stop", "", "/日", uint8(1))
	f.Fuzz(func(t *testing.T, status, wchan, stack, cgroup string, width uint8) {
		s, err := procfs.ParseStatus([]byte(status))
		if err != nil {
			return
		}
		p := hostile(&s, wchan, stack, cgroup)
		if strings.ContainsAny(strings.Join(p.Stack, ""), "\n") || len(p.State) == 0 {
			t.Fatalf("stack %q, state %q", p.Stack, p.State)
		}
		shot := Snapshot{Processes: []Process{p.Process}, Left: 1, Cut: true}
		table := shot.Table()
		if checkLines(t, table, 0); strings.Count(table, "\n") != 4 {
			t.Fatalf("%q", table)
		}
		r := Inspection{Schema: Schema, PID: 7, Processes: []Inspected{*p}, HidePID: wchan}
		for _, unicode := range []bool{false, true} {
			checkLines(t, r.Text(Style{Width: int(width), Unicode: unicode}), int(width))
		}
		if line, err := r.JSON(); err != nil || !json.Valid(line) || strings.Count(string(line), "\n") != 1 {
			t.Fatalf("%q, %v", line, err)
		}
	})
}

// A stack's frames are its lines, in order, without blanks around them.
func FuzzParseStack(f *testing.F) {
	f.Add("[<0>] do_wait+0x56/0xe0\n[<0>] kernel_wait4+0xaf/0x150\n")
	f.Add("[<ffffffff8107e01f>] do_wait+0x1/0x2\n[<ffffffffffffffff>] 0xffffffffffffffff\n")
	f.Add("] \n\n] ] x\n")
	f.Fuzz(func(t *testing.T, words string) {
		frames := parseStack([]byte(words))
		rest := words
		for _, frame := range frames {
			_, after, ok := strings.Cut(rest, frame)
			if !ok || frame == "" || strings.Contains(frame, "\n") {
				t.Fatalf("parseStack(%q) = %q", words, frames)
			}
			rest = after
		}
	})
}

// What is shown of a cgroup is one of its paths, and where v2 says where a process is, that.
func FuzzShownCgroup(f *testing.F) {
	f.Add("0::/init.scope\n")
	f.Add("12:pids:/docker/1\n4:memory:/docker/1/longer\n0::/\n")
	f.Add("12:pids:/\n1:name=systemd:/a:b\n")
	f.Add("0::/x (deleted)\n0:")
	f.Fuzz(func(t *testing.T, words string) {
		shown := shownCgroup([]byte(words))
		if shown != "" && !strings.Contains(words, ":"+shown) || strings.Contains(shown, "\n") {
			t.Fatalf("shownCgroup(%q) = %q", words, shown)
		}
		own := mounts.ParseCgroups([]byte(words))
		if own.Unified != "" && own.Unified != "/" && strings.Count(words, "0::") == 1 && shown != own.Unified {
			t.Fatalf("shownCgroup(%q) = %q, but v2 says %q", words, shown, own.Unified)
		}
	})
}

// A set of signals is written as its names, and those are read back as the set.
func FuzzSignalNames(f *testing.F) {
	for _, set := range []uint64{0, 1, 1 << 63, ^uint64(0), 0x7fffffff, 1<<8 | 1<<18} {
		f.Add(set)
	}
	f.Fuzz(func(t *testing.T, bits uint64) {
		line, err := json.Marshal(SignalNames(bits))
		var names []string
		if err != nil || json.Unmarshal(line, &names) != nil {
			t.Fatalf("%#x: %s, %v", bits, line, err)
		}
		var back signals.Set
		for _, name := range names {
			sig, err := signals.Parse(name)
			if err != nil {
				t.Fatalf("%#x: %v", bits, err)
			}
			back |= signals.SetOf(sig)
		}
		if back != signals.Set(bits) {
			t.Fatalf("%#x: %q are %#x", bits, names, back)
		}
		words := SignalNames(bits).String()
		named, all := signals.Set(0), strings.HasPrefix(words, "all")
		for name := range strings.FieldsSeq(strings.TrimPrefix(strings.TrimPrefix(words, "all"), " but")) {
			sig, err := signals.Parse(name)
			if err != nil {
				t.Fatalf("%#x: %q: %v", bits, words, err)
			}
			named |= signals.SetOf(sig)
		}
		const never = signals.Set(1<<(unix.SIGKILL-1) | 1<<(unix.SIGSTOP-1))
		if all {
			named = ^named
		}
		if all && named&^never != signals.Set(bits)&^never || !all && named != signals.Set(bits) {
			t.Fatalf("%#x: %q", bits, words)
		}
	})
}

// How a process has ended is said of every wait(2) status, and of none as nothing.
func FuzzEndedHow(f *testing.F) {
	for _, ws := range []uint32{0, 9, 15, 1 << 8, 255 << 8, 0x80 | 6, 0x7f, 0xffff, 1 << 31} {
		f.Add(ws)
	}
	f.Fuzz(func(t *testing.T, status uint32) {
		ws := unix.WaitStatus(status)
		words := endedHow(ws)
		want := fmt.Sprintf("exit status %d", ws.ExitStatus())
		if ws.Signaled() {
			want = signals.Name(ws.Signal())
		}
		if status == 0 {
			want = ""
		}
		if words != want || strings.Contains(words, "\n") {
			t.Fatalf("endedHow(%#x) = %q, want %q", status, words, want)
		}
	})
}
