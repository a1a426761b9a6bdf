//go:build amd64 || arm64

package keeper

import (
	"bytes"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// planWriter writes a plan that writes to a pipe, and remembers what that has to be.
type planWriter struct {
	plan *Plan
	pipe uintptr
	room int // in the text of the plan
	want []byte
}

// write adds a call that writes a text, in the one form or the other.
func (w *planWriter) write(text []byte, asString bool) {
	var at uintptr
	size := len(text)
	if asString {
		at, size = w.plan.Text(string(text)), size+1
	} else {
		at = w.plan.Bytes(text)
	}
	w.room -= (size + 7) &^ 7
	w.plan.Add(MayCall, 0, unix.SYS_WRITE, w.pipe, at, uintptr(len(text)))
	w.want = append(w.want, text...)
}

// addPID adds a call that gets this process's PID from the call before it: kill(2) with signal 0.
func (w *planWriter) addPID() (to int) {
	from := w.plan.Add(MayCall, 0, unix.SYS_GETPID)
	to = w.plan.Add(MayCall, 0, unix.SYS_KILL, 0, 0)
	w.plan.StoreIn(from, to)
	return to
}

// A plan is carried out as it was written: each call once, in order, with its texts, and with the
// results that it was to get.
func FuzzPlan(f *testing.F) {
	f.Add([]byte("\x05hello\x83\x00\x01\x80\x02ab\xff"))
	f.Add([]byte{0x80, 0x80, 0x80, 0x40, 0, 0})
	f.Add(bytes.Repeat([]byte{0x40, 0x7f}, 300))
	f.Add(bytes.Repeat([]byte{0x80}, 200))
	f.Fuzz(func(t *testing.T, script []byte) {
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = unix.Close(pipe[0]), unix.Close(pipe[1]) }()
		if r := mapPlan(); r < 0 {
			t.Fatal(unix.Errno(-r))
		}
		defer func() {
			sys2(unix.SYS_MUNMAP, planAt, unsafe.Sizeof(Plan{}))
			planAt = 0
		}()
		w := planWriter{plan: thePlan(), pipe: uintptr(pipe[1]), room: textSize}
		var results []int // the calls that get the PID
		for len(script) > 0 && int(w.plan.Count) < maxCalls-1 {
			op := script[0]
			script = script[1:]
			if op >= 0x80 {
				results = append(results, w.addPID())
				continue
			}
			text := script[:min(int(op), len(script))]
			script = script[len(text):]
			if len(text)+8 > w.room {
				break
			}
			w.write(text, op&1 != 0)
		}
		calls := w.plan.Count
		carryOut()
		if w.plan.Failed != 0 || w.plan.Count != calls || int(w.plan.used+7)&^7 != textSize-w.room {
			t.Errorf("failed %d, %d calls, %d bytes of text", w.plan.Failed, w.plan.Count, w.plan.used)
		}
		got := make([]byte, len(w.want)+1)
		if n, _ := unix.Read(pipe[0], got); !bytes.Equal(got[:max(n, 0)], w.want) {
			t.Errorf("written %q, want %q", got[:max(n, 0)], w.want)
		}
		for _, to := range results {
			if got := w.plan.Calls[to].Args[0]; got != uint64(os.Getpid()) {
				t.Errorf("call %d got %d", to, got)
			}
		}
	})
}

// A plan by heart is complete, whatever list of namespaces it is for, and says each step in words
// that end.
func FuzzPlanByHeart(f *testing.F) {
	for _, list := range []string{"pid", "pid,mount,net", "uts,ipc,cgroup", "mnt,network,mnt,mnt", "pid,", ""} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		if bytes.IndexByte([]byte(list), 0) >= 0 {
			return
		}
		before := plain
		defer func() { plain = before }()
		plain.namespaces = 0
		at, kept := cString(list)
		defer runtime.KeepAlive(kept)
		if !addNamespaces(at) {
			return
		}
		if r := planByHeart(); r < 0 {
			t.Fatal(unix.Errno(-r))
		}
		p := thePlan()
		if p.Flags != plain.namespaces || p.Flags == 0 || p.Count < 0 || p.Count > 6 || p.used > textSize {
			t.Errorf("%q: %#x, %d calls, %d bytes", list, p.Flags, p.Count, p.used)
		}
		want := "--unshare " + list
		if got := goString(uintptr(p.Clone)); got != want {
			t.Errorf("%q: %q", list, got)
		}
		for i := range p.Count {
			c := callAt(i)
			words := goString(uintptr(c.Words))
			if c.Kind != MustCall || words != want+": mount" && words != want+": loopback" {
				t.Errorf("%q: call %d: %q", list, i, words)
			}
		}
		sys2(unix.SYS_MUNMAP, planAt, unsafe.Sizeof(Plan{}))
		planAt = 0
	})
}
