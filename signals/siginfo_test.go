package signals

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

func TestArrived(t *testing.T) {
	for name, tt := range map[string]struct {
		number, code, pid int32
		uid               uint32
		value             uint64
		want              Signal
	}{
		"kill(2)": {
			15, codeUser, 42, 1000, 7,
			Signal{Number: unix.SIGTERM, Sender: Sender{Known: true, PID: 42, UID: 1000}},
		},
		"kill(2) from outside the PID namespace": {
			15, codeUser, 0, 0, 0, Signal{Number: unix.SIGTERM, Sender: Sender{Known: true}},
		},
		"sigqueue(3)": {
			40, codeQueue, 42, 1000, 1<<63 | 5,
			Signal{
				Number: 40, Sender: Sender{Known: true, Claimed: true, PID: 42, UID: 1000}, Code: codeQueue,
				Value: 1<<63 | 5,
			},
		},
		"tgkill(2)": {
			10, codeTkill, 42, 1000, 7,
			Signal{Number: unix.SIGUSR1, Sender: Sender{Known: true, PID: 42, UID: 1000}, Code: codeTkill},
		},
		"the terminal": {
			2, 0x80, 42, 1000, 0,
			Signal{Number: unix.SIGINT, Sender: Sender{Known: true, Kernel: true}, Code: 0x80},
		},
		"who claims to be a POSIX timer": {
			14, -2, 42, 3, 9,
			Signal{
				Number: unix.SIGALRM, Sender: Sender{Known: true, Claimed: true, PID: 42, UID: 3}, Code: -2, Value: 9,
			},
		},
		"nobody in particular": {
			64, codeQueue, -1, 1<<32 - 1, 0,
			Signal{Number: RTMax, Sender: Sender{Known: true, Claimed: true, UID: 1<<32 - 1}, Code: codeQueue},
		},
	} {
		if got := Arrived(tt.number, tt.code, tt.pid, tt.uid, tt.value); got != tt.want {
			t.Errorf("%s: got %+v\nwant %+v", name, got, tt.want)
		}
	}
}

// Only what sigqueue(3) sends is sent on with its siginfo_t: the kernel refuses any other from a
// process that is not its own target.
func TestEncode(t *testing.T) {
	for code, want := range map[int32]bool{
		0x80: false, 1: false, codeUser: false, codeTkill: false, codeQueue: true, -2: true, -60: true,
	} {
		if _, ok := encode(Signal{Number: 40, Code: code}); ok != want {
			t.Errorf("si_code %d: %v, want %v", code, ok, want)
		}
	}
	info, _ := encode(Signal{
		Number: 40, Sender: Sender{PID: 42, UID: 1000}, Code: codeQueue, Value: 1<<40 | 3,
	})
	n := binary.NativeEndian
	if n.Uint32(info[0:]) != 40 || int32(n.Uint32(info[8:])) != codeQueue || n.Uint32(info[16:]) != 42 ||
		n.Uint32(info[20:]) != 1000 ||
		n.Uint64(info[24:]) != 1<<40|3 {
		t.Errorf("siginfo_t is % x", info[:32])
	}
}
