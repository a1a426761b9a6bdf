package procfs

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// statTail is what follows the state: ppid, process group and session, and, of the fields up to 52,
// the processor time (14 and 15), the start time (22) and the exit status (52).
var statTail = " 5 40 41" + strings.Repeat(" 0", 7) + " 31 12" + strings.Repeat(" 0", 6) + " 123456" +
	strings.Repeat(" 0", 29) + " 9\n"

func TestParseStat(t *testing.T) {
	for name, comm := range map[string]string{
		"plain": "sh", "space": "a b", "parentheses": ") R 1 (", "newline": "a\nb", "empty": "",
		"bytes": "\xff\x01",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseStat([]byte("39 (" + comm + ") Z" + statTail))
			want := Stat{
				PID: 39, Comm: comm, State: 'Z', PPID: 5, PGRP: 40, Session: 41, UserTime: 31, SystemTime: 12,
				StartTime: 123456, ExitCode: 9,
			}
			if err != nil || got != want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
	for _, bad := range []string{
		"", "1", "1 (", "1 (sh", "1 (sh)", "1 (sh) R", "x (sh) R" + statTail, "1 (sh) R x" + statTail,
		") 1 (sh",
	} {
		if got, err := ParseStat([]byte(bad)); err == nil {
			t.Errorf("ParseStat(%q) = %+v, want an error", bad, got)
		}
	}
}

func TestParseStatus(t *testing.T) {
	text := "Name:\tsh\nUmask:\t0022\nState:\tT (stopped)\nTgid:\t7\nPPid:\t3\nTracerPid:\t12\n" +
		"Uid:\t1000\t1001\t1002\t1003\nNSpid:\t7\t1\nNSpgid:\t6\t1\nNSsid:\t5\t1\n" +
		"VmRSS:\t    1234 kB\nThreads:\t3\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000002\n" +
		"SigBlk:\t0000000000010000\nSigIgn:\t0000000000000004\nSigCgt:\t8000000000000001\n"
	got, err := ParseStatus([]byte(text))
	want := Status{
		Name: "sh", State: 'T', TGID: 7, TracerPID: 12, UID: 1000, PPID: 3, NSpid: []int{7, 1}, PGRP: 6,
		Session: 5, Threads: 3, RSSKB: 1234,
		SigPnd: 0x100, ShdPnd: 2, SigBlk: 0x10000, SigIgn: 4, SigCgt: 0x8000000000000001, HasMemory: true,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	for _, bad := range []string{
		"", "Name:\tsh\n", "State:\n", "State:\tR\nPPid:\tx\n", "State:\tR\nSigPnd:\txyz\n",
		"State:\tR\nNSpid:\t1\tx\n", "State:\tR\nNSpgid:\tx\n",
	} {
		if got, err := ParseStatus([]byte(bad)); err == nil {
			t.Errorf("ParseStatus(%q) = %+v, want an error", bad, got)
		}
	}
}

func TestAppendChildren(t *testing.T) {
	for text, want := range map[string][]int{
		"": nil, "12 ": {12}, "12 345 6 ": {12, 345, 6}, "12": {12}, "12 x 6 ": {12}, "\n": nil,
	} {
		if got := AppendChildren(nil, []byte(text)); !reflect.DeepEqual(got, want) {
			t.Errorf("AppendChildren(%q) = %v, want %v", text, got, want)
		}
	}
}

// What the kernel says of this very process can be read, also into a buffer that is too short.
func TestReadSelf(t *testing.T) {
	for _, size := range []int{16 << 10, 64} {
		testReadSelf(t, &Proc{Root: "/proc", buf: make([]byte, size), dir: make([]byte, 1<<10)})
	}
}

func testReadSelf(t *testing.T, p *Proc) {
	t.Helper()
	if !p.Mounted() {
		t.Fatal("/proc is not mounted")
	}
	st, err := p.Stat(os.Getpid())
	if err != nil || st.PID != os.Getpid() || st.PPID != os.Getppid() || st.StartTime == 0 {
		t.Errorf("Stat: %+v, %v", st, err)
	}
	status, err := p.Status(os.Getpid())
	if err != nil || status.UID != os.Getuid() || status.PPID != os.Getppid() || len(status.NSpid) == 0 {
		t.Errorf("Status: %+v, %v", status, err)
	}
	if _, err := p.Stat(0); err == nil {
		t.Error("Stat(0): want an error")
	}
}

// A kernel without lists of children is told from a process without children, however many threads
// it has.
func TestChildrenWithoutLists(t *testing.T) {
	for _, threads := range []int{1, 2, 7} {
		p := NewProc()
		p.Root = t.TempDir()
		for tid := 100; tid < 100+threads; tid++ {
			if err := os.MkdirAll(p.Root+"/100/task/"+strconv.Itoa(tid), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if pids, err := p.Children(nil, 100); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%d threads: %v, %v, want ENOENT", threads, pids, err)
		}
		if err := os.WriteFile(p.Root+"/100/task/100/children", []byte("7 8 "), 0o644); err != nil {
			t.Fatal(err)
		}
		if pids, err := p.Children(nil, 100); err != nil || !slices.Equal(pids, []int{7, 8}) {
			t.Errorf("%d threads: %v, %v", threads, pids, err)
		}
	}
}

// A file without an end, which somebody may have mounted over one of the procfs, does not take all
// of the memory.
func TestReadWithoutEnd(t *testing.T) {
	if text, err := NewProc().ReadPath("/dev/zero"); !errors.Is(err, ErrMalformed) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}
