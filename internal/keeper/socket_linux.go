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
	flags    int32 // what recvmsg(2) says of the packet
	_        int32
}

// descriptorMessage is a control message with one descriptor (unix(7), SCM_RIGHTS). Its padding has
// room for another one, which no process of finite sends. There is one where the length says so.
type descriptorMessage struct {
	length      uint64
	level, kind int32
	fd, second  int32
}

// descriptorLength is the length of a descriptorMessage without its padding.
const descriptorLength = 20

// packet is the message that is sent, or was received last, with the arguments of sendmsg(2) and
// recvmsg(2).
var packet struct {
	message Message
	vector  [2]uintptr // struct iovec
	header  packetHeader
	passed  descriptorMessage
}

// newPair is the socket pair that was made last.
var newPair [2]int32

// makePair makes a socket pair that keeps the limits of packets, into newPair. It returns a
// negative errno if it fails.
//
//go:nosplit
func makePair() int { return socketPair(unix.SOCK_SEQPACKET, &newPair) }

// socketPair makes a pair of sockets that do not block, with descriptors of 3 or above. It returns
// a negative errno if it fails.
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

// send sends packet.message, with a descriptor where fd is not negative. It does not wait: it
// returns false where the receiver has no room or is gone.
//
//go:nosplit
func send(socket int32, kind Kind, fd int32) bool {
	packet.message.Kind = kind
	packet.vector = [2]uintptr{addr(&packet.message), messageSize}
	packet.header = packetHeader{vector: addr(&packet.vector), vectors: 1}
	if fd >= 0 {
		packet.passed = descriptorMessage{
			length: descriptorLength, level: unix.SOL_SOCKET, kind: unix.SCM_RIGHTS, fd: fd,
		}
		packet.header.control = addr(&packet.passed)
		packet.header.controls = uint64(unsafe.Sizeof(packet.passed))
	}
	const flags = unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT
	return sys3(unix.SYS_SENDMSG, uintptr(socket), addr(&packet.header), flags) >= 0
}

// receive takes the next packet into packet.message and its descriptor into packet.passed.fd (-1:
// none). It returns ok false where there is no packet, or one of another length, and gone where the
// other end is closed. A descriptor that the message is not to come with is closed.
//
//go:nosplit
func receive(socket int32) (ok, gone bool) {
	packet.vector = [2]uintptr{addr(&packet.message), messageSize}
	packet.passed = descriptorMessage{fd: -1}
	packet.header = packetHeader{
		vector: addr(&packet.vector), vectors: 1,
		control: addr(&packet.passed), controls: uint64(unsafe.Sizeof(packet.passed)),
	}
	// Where the other end was closed with packets unread, an error comes once, before the packets
	// here.
	n := -int(unix.ECONNRESET)
	for range 2 {
		if n == -int(unix.ECONNRESET) {
			const flags = unix.MSG_CMSG_CLOEXEC | unix.MSG_DONTWAIT
			n = sys3(unix.SYS_RECVMSG, uintptr(socket), addr(&packet.header), flags)
		}
	}
	if packet.passed.level != unix.SOL_SOCKET || packet.passed.kind != unix.SCM_RIGHTS {
		packet.passed.fd = -1
	} else if packet.passed.length > descriptorLength {
		closeFD(packet.passed.second)
	}
	ok = n == int(messageSize) && packet.header.flags&unix.MSG_TRUNC == 0
	if !ok || !takesDescriptor(packet.message.Kind) {
		closeFD(packet.passed.fd)
		packet.passed.fd = -1
	}
	return ok, n == 0 || n == -int(unix.ECONNRESET)
}

// tell sends a message of a kind and two numbers.
//
//go:nosplit
func tell(socket int32, kind Kind, value, count int32) {
	packet.message = Message{Value: value, Count: count}
	send(socket, kind, -1)
}

// takesDescriptor reports whether a message of this kind may come with a descriptor.
//
//go:nosplit
func takesDescriptor(kind Kind) bool {
	switch kind {
	case kindStarted, KindStarted, KindStart, KindPlanDescriptor, KindPlanCgroup:
		return true
	}
	return false
}
