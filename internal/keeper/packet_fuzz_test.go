//go:build amd64 || arm64

package keeper

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

// peers are the two ends of what two processes of finite share: the test is the one that writes
// whatever it likes.
type peers struct {
	t         testing.TB
	evil, own int
	pipe      [2]int // the descriptors that are sent are of its end for writing
}

func newPeers(t testing.TB) *peers {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	p := &peers{t: t, evil: pair[0], own: pair[1]}
	if err != nil || unix.Pipe2(p.pipe[:], unix.O_CLOEXEC) != nil {
		t.Fatal("no socket pair, or no pipe")
	}
	return p
}

// send sends a packet with so many descriptors, and keeps none of them.
func (p *peers) send(text []byte, descriptors int) {
	var rights []byte
	if descriptors > 0 {
		fds := make([]int, descriptors)
		for i := range fds {
			fds[i] = p.pipe[1]
		}
		rights = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(p.evil, text, rights, nil, 0); err != nil {
		p.t.Fatal(err)
	}
	_ = unix.Close(p.pipe[1])
}

// checkPassed closes the descriptor that was received, and checks that there was one if there had
// to be, and no other.
func (p *peers) checkPassed(fd int, wanted bool) {
	p.t.Helper()
	if fd >= 0 != wanted {
		p.t.Errorf("descriptor %d, wanted: %v", fd, wanted)
	}
	if fd >= 0 {
		_ = unix.Close(fd)
	}
	poll := []unix.PollFd{{Fd: int32(p.pipe[0])}}
	if n, err := unix.Poll(poll, 0); n != 1 || poll[0].Revents != unix.POLLHUP {
		p.t.Errorf("a descriptor that came is open still: %v, %v", poll, err)
	}
}

// packetOf makes the packet of a test: a message of this kind, made longer or shorter. An empty
// packet is the end of the other side.
func packetOf(kind int32, text []byte, length int16) []byte {
	m := make([]byte, max(1, int(messageSize)+int(length)%300))
	copy(m, binary.NativeEndian.AppendUint32(nil, uint32(kind)))
	copy(m[min(len(m), 4):], text)
	return m
}

func addPackets(f *testing.F) {
	for _, kind := range []Kind{
		kindStarted, kindSignal, KindStarted, KindExited, KindHello, KindStart, KindPlanDescriptor, 0, -1,
	} {
		f.Add(int32(kind), []byte("\x01\x02\x03\x04\xff\xff\xff\xff"), int16(0), uint8(1))
	}
	f.Add(int32(KindStart), []byte{}, int16(1), uint8(2)) // longer than a message
	f.Add(int32(KindStart), []byte{}, int16(-1), uint8(1))
	f.Add(int32(KindAlive), []byte{}, int16(-299), uint8(3))
	f.Add(int32(KindStarted), []byte{}, int16(0), uint8(2))
}

// The keeper and the front take a packet of the right length and no other, whole, and keep no
// descriptor that they did not ask for.
func FuzzReceive(f *testing.F) {
	addPackets(f)
	f.Fuzz(func(t *testing.T, kind int32, text []byte, length int16, descriptors uint8) {
		p := newPeers(t)
		count := int(descriptors % 5)
		sent := packetOf(kind, text, length)
		p.send(sent, count)
		ok, gone := receive(int32(p.own))
		whole := len(sent) == int(messageSize)
		if ok != whole || gone {
			t.Errorf("%d bytes, of %d: received %v, gone %v", len(sent), messageSize, ok, gone)
		}
		if ok && packet.message != *(*Message)(unsafe.Pointer(&sent[0])) {
			t.Errorf("sent %x, received %+v", sent, packet.message)
		}
		p.checkPassed(int(packet.passed.fd), whole && count > 0 && takesDescriptor(Kind(kind)))
		if ok, gone = receive(int32(p.own)); ok || gone {
			t.Errorf("one more: %v, %v", ok, gone)
		}
		_ = unix.Close(p.evil)
		if ok, gone = receive(int32(p.own)); ok || !gone {
			t.Errorf("after the end: %v, %v", ok, gone)
		}
		_, _ = unix.Close(p.own), unix.Close(p.pipe[0])
	})
}

// A supervisor does the same, and what it does not take keeps it from nothing.
func FuzzHear(f *testing.F) {
	addPackets(f)
	f.Fuzz(func(t *testing.T, kind int32, text []byte, length int16, descriptors uint8) {
		p := newPeers(t)
		count := int(descriptors % 5)
		sent := packetOf(kind, text, length)
		p.send(sent, count)
		last := Message{Kind: KindEmpty, Count: 7}
		lastPacket := (*[messageSize]byte)(unsafe.Pointer(&last))[:]
		if err := unix.Sendmsg(p.evil, lastPacket, nil, nil, 0); err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(p.evil)
		file, err := sys.NewFile(p.own, "keeper")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		l := &Link{socket: p.own, file: file}
		passed, wanted := -1, false
		if len(sent) == int(messageSize) {
			m, fd, err := l.Hear()
			if err != nil || m != *(*Message)(unsafe.Pointer(&sent[0])) {
				t.Errorf("sent %x, heard %+v, %v", sent, m, err)
			}
			passed, wanted = fd, count > 0 && takesDescriptor(Kind(kind))
		}
		if m, fd, err := l.Hear(); err != nil || m != last || fd != -1 {
			t.Errorf("then heard %+v, %d, %v", m, fd, err)
		}
		p.checkPassed(passed, wanted)
		if _, _, err := l.Hear(); err != unix.EPIPE {
			t.Errorf("after the end: %v", err)
		}
		_ = unix.Close(p.pipe[0])
	})
}
