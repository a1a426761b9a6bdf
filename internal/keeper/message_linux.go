//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// messageSize is the length of every packet.
const messageSize = unsafe.Sizeof(Message{})

// packetHeader is struct msghdr (sendmsg(2)), without pointers.
type packetHeader struct {
	_, _     uint64 // name
	vector   uintptr
	vectors  uint64
	control  uintptr
	controls uint64
	_        uint64 // flags
}

// descriptorMessage is a control message with one descriptor (unix(7), SCM_RIGHTS).
type descriptorMessage struct {
	length      uint64
	level, kind int32
	fd, _       int32
}

const descriptorLength = 20 // of descriptorMessage, without what is behind the descriptor

var (
	packet struct {
		message Message // that is sent or was received last
		vector  [2]uintptr
		header  packetHeader
		passed  descriptorMessage
	}
	newPair [2]int32 // of the socket pair that is being made
)

// makePair makes a socket pair that keeps the limits of packets, into ends. It returns a negative
// errno if it fails.
//
//go:nosplit
func makePair() int { return socketPair(unix.SOCK_SEQPACKET, &newPair) }

// socketPair is socketpair(2) of sockets at 3 or above that do not block. It returns a negative
// errno if it fails.
//
//go:nosplit
func socketPair(kind uintptr, pair *[2]int32) int {
	*pair = [2]int32{-1, -1}
	r := sys4(unix.SYS_SOCKETPAIR, unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0, addr(pair))
	if r < 0 {
		return r
	}
	pair[0], pair[1] = high(int(pair[0])), high(int(pair[1]))
	return int(min(pair[0], pair[1], 0))
}

// send sends packet.message, and a descriptor with it where that is not negative. Nobody waits: it
// returns false where the receiver has no room or is gone.
//
//go:nosplit
func send(socket int32, kind Kind, fd int32) bool {
	packet.message.Kind = kind
	packet.vector = [2]uintptr{addr(&packet.message), messageSize}
	packet.header = packetHeader{vector: addr(&packet.vector), vectors: 1}
	if fd >= 0 {
		packet.passed = descriptorMessage{length: descriptorLength, level: unix.SOL_SOCKET, kind: unix.SCM_RIGHTS, fd: fd}
		packet.header.control, packet.header.controls = addr(&packet.passed), uint64(unsafe.Sizeof(packet.passed))
	}
	return sys3(unix.SYS_SENDMSG, uintptr(socket), addr(&packet.header), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT) >= 0
}

// receive takes the next packet into packet.message and its descriptor into packet.passed.fd (-1:
// none). It returns false where there is none, or one of another length, and gone where the other
// end is closed.
//
//go:nosplit
func receive(socket int32) (ok, gone bool) {
	packet.vector = [2]uintptr{addr(&packet.message), messageSize}
	packet.passed = descriptorMessage{fd: -1}
	packet.header = packetHeader{vector: addr(&packet.vector), vectors: 1, control: addr(&packet.passed), controls: uint64(unsafe.Sizeof(packet.passed))}
	n := -int(unix.ECONNRESET)
	for range 2 { // it is told once that the other end was closed with messages unread, in front of those that are here
		if n == -int(unix.ECONNRESET) {
			n = sys3(unix.SYS_RECVMSG, uintptr(socket), addr(&packet.header), unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
		}
	}
	if packet.passed.level != unix.SOL_SOCKET || packet.passed.kind != unix.SCM_RIGHTS {
		packet.passed.fd = -1
	}
	return n == int(messageSize), n == 0 || n == -int(unix.ECONNRESET)
}

// tell sends a message that is a kind and two numbers.
//
//go:nosplit
func tell(socket int32, kind Kind, value, count int32) {
	packet.message = Message{Value: value, Count: count}
	send(socket, kind, -1)
}
