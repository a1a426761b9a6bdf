package signals

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// recordOf is what the handler writes.
func recordOf(signal, code, pid int32, uid uint32, value, passed uint64) []byte {
	r := make([]byte, recordSize)
	n := binary.NativeEndian
	n.PutUint32(r, uint32(signal))
	n.PutUint32(r[4:], uint32(code))
	n.PutUint32(r[8:], uint32(pid))
	n.PutUint32(r[12:], uid)
	n.PutUint64(r[16:], value)
	n.PutUint64(r[recordPassed:], passed)
	return r
}

func TestDecode(t *testing.T) {
	for name, tt := range map[string]struct {
		record []byte
		want   Signal
	}{
		"kill(2)": {
			recordOf(15, codeUser, 42, 1000, 7, 0),
			Signal{Number: unix.SIGTERM, Sender: Sender{Known: true, PID: 42, UID: 1000}},
		},
		"kill(2) from outside the PID namespace": {
			recordOf(15, codeUser, 0, 0, 0, 1),
			Signal{Number: unix.SIGTERM, Sender: Sender{Known: true}, Passed: true},
		},
		"sigqueue(3)": {
			recordOf(40, codeQueue, 42, 1000, 1<<63|5, 0),
			Signal{Number: 40, Sender: Sender{Known: true, PID: 42, UID: 1000}, Code: codeQueue, Value: 1<<63 | 5},
		},
		"tgkill(2)": {
			recordOf(10, codeTkill, 42, 1000, 7, 0),
			Signal{Number: unix.SIGUSR1, Sender: Sender{Known: true, PID: 42, UID: 1000}, Code: codeTkill},
		},
		"the terminal": {
			recordOf(2, 0x80, 42, 1000, 0, 0),
			Signal{Number: unix.SIGINT, Sender: Sender{Known: true, Kernel: true}, Code: 0x80},
		},
		"a POSIX timer, whose number is where a PID would be": {
			recordOf(14, codeTimer, 42, 0, 9, 0),
			Signal{Number: unix.SIGALRM, Sender: Sender{Known: true, Kernel: true}, Code: codeTimer, Value: 9},
		},
		"nobody in particular": {
			recordOf(64, codeQueue, -1, 1<<32-1, 0, 0),
			Signal{Number: RTMax, Sender: Sender{Known: true, UID: 1<<32 - 1}, Code: codeQueue},
		},
	} {
		if got, ok := decode(tt.record); !ok || got != tt.want {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, got, ok, tt.want)
		}
	}
	for _, number := range []int32{0, -1, 65, 1 << 30} {
		if got, ok := decode(recordOf(number, 0, 1, 1, 0, 0)); ok {
			t.Errorf("signal %d was decoded as %+v", number, got)
		}
	}
}

// Only what sigqueue(3) sends is sent on with its siginfo_t: the kernel refuses any other from a process that is not its own target.
func TestEncode(t *testing.T) {
	for code, want := range map[int32]bool{0x80: false, 1: false, codeUser: false, codeTkill: false, codeQueue: true, codeTimer: true, -60: true} {
		if _, ok := encode(Signal{Number: 40, Code: code}); ok != want {
			t.Errorf("si_code %d: %v, want %v", code, ok, want)
		}
	}
	info, _ := encode(Signal{Number: 40, Sender: Sender{PID: 42, UID: 1000}, Code: codeQueue, Value: 1<<40 | 3})
	n := binary.NativeEndian
	if n.Uint32(info[0:]) != 40 || int32(n.Uint32(info[8:])) != codeQueue || n.Uint32(info[16:]) != 42 || n.Uint32(info[20:]) != 1000 ||
		n.Uint64(info[24:]) != 1<<40|3 {
		t.Errorf("siginfo_t is % x", info[:32])
	}
}

// No record, whatever is in it, makes a signal that does not exist, and what can be sent on says the same.
func FuzzDecode(f *testing.F) {
	f.Add(recordOf(15, codeUser, 42, 1000, 0, 0))
	f.Add(recordOf(64, codeQueue, 0, 0, 1<<63, 1))
	f.Add(recordOf(-1, codeTimer, -1, 0, 0, 2))
	f.Fuzz(func(t *testing.T, r []byte) {
		if len(r) != recordSize {
			return
		}
		sig, ok := decode(r)
		if !ok {
			return
		}
		if sig.Number < 1 || sig.Number > RTMax || sig.Sender.PID < 0 || sig.Sender.Kernel && sig.Sender.PID != 0 {
			t.Fatalf("decoded %+v", sig)
		}
		info, ok := encode(sig)
		if !ok {
			return
		}
		again := recordOf(int32(binary.NativeEndian.Uint32(info[0:])), int32(binary.NativeEndian.Uint32(info[8:])),
			int32(binary.NativeEndian.Uint32(info[16:])), binary.NativeEndian.Uint32(info[20:]), binary.NativeEndian.Uint64(info[24:]), 0)
		back, ok := decode(again)
		sig.Passed = false
		if !ok || back != sig {
			t.Fatalf("%+v came back as %+v", sig, back)
		}
	})
}
