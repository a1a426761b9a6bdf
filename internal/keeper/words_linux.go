//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// addr is the address of a variable of this package. Such variables do not move.
//
//go:nosplit
func addr[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// text is the address of a constant. The constant must end in a zero byte where the kernel wants a
// C string.
//
//go:nosplit
func text(s string) uintptr { return uintptr(unsafe.Pointer(unsafe.StringData(s))) }

// pointer is the inverse of addr. It takes addresses that the kernel gave as well.
//
//go:nosplit
func pointer(a uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&a)) }

// byteAt reads a byte of a C string.
//
//go:nosplit
func byteAt(a uintptr) byte { return *(*byte)(pointer(a)) }

// wordAt reads the i-th word of an array such as argv.
//
//go:nosplit
func wordAt(a uintptr, i int) uintptr { return *(*uintptr)(pointer(a + uintptr(i)*8)) }

// setWord writes the i-th word of such an array.
//
//go:nosplit
func setWord(a uintptr, i int, w uintptr) { *(*uintptr)(pointer(a + uintptr(i)*8)) = w }

// topOf returns where a stack begins to grow down from: at a multiple of 16. From any other address
// the first access is a SIGBUS on arm64.
//
//go:nosplit
func topOf(stack, size uintptr) unsafe.Pointer { return pointer((stack + size - 16) &^ 15) }

// makeArray makes room for an array such as argv, with as many words as a given one and more
// besides. It returns how many words the given one has, without the zero at its end, and the
// address 0 where there is no memory.
//
//go:nosplit
func makeArray(like uintptr, more int) (array uintptr, n int) {
	for wordAt(like, n) != 0 {
		n++
	}
	const private = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	r := sys5(unix.SYS_MMAP, 0, uintptr(n+more)*8, unix.PROT_READ|unix.PROT_WRITE, private, ^uintptr(0))
	if r < 0 && r > -4096 { // an errno, and no address
		return 0, n
	}
	return uintptr(r), n
}

// hasPrefix returns the address behind the prefix of a C string, 0 if the string does not begin
// with it.
//
//go:nosplit
func hasPrefix(a uintptr, prefix string) uintptr {
	for i := 0; i < len(prefix); i++ {
		if byteAt(a+uintptr(i)) != prefix[i] {
			return 0
		}
	}
	return a + uintptr(len(prefix))
}

// equals reports whether a C string is s.
//
//go:nosplit
func equals(a uintptr, s string) bool {
	end := hasPrefix(a, s)
	return end != 0 && byteAt(end) == 0
}

// numberAt reads a C string of decimal digits. It returns -1 for anything else.
//
//go:nosplit
func numberAt(a uintptr) int32 {
	n := int32(0)
	if byteAt(a) == 0 {
		return -1
	}
	for ; byteAt(a) != 0; a++ {
		if byteAt(a) < '0' || byteAt(a) > '9' || n > 1<<24 {
			return -1
		}
		n = n*10 + int32(byteAt(a)-'0')
	}
	return n
}

// isNumber reports whether a C string is the number n in decimal digits.
//
//go:nosplit
func isNumber(a uintptr, n int32) bool {
	value := int64(0)
	for ; byteAt(a) >= '0' && byteAt(a) <= '9' && value < 1<<32; a++ {
		value = value*10 + int64(byteAt(a)-'0')
	}
	return byteAt(a) == 0 && value == int64(n)
}

// mostDigits is how many digits a number that is not negative can have.
const mostDigits = 19

// putDigits writes a number that is not negative in decimal digits at an address, and returns where
// they end.
//
//go:nosplit
func putDigits(at uintptr, n int64) (end uintptr) {
	end = at + 1
	for m := n; m >= 10; m /= 10 {
		end++
	}
	for a := end - 1; a >= at; a-- {
		*(*byte)(pointer(a)) = byte('0' + n%10)
		n /= 10
	}
	return end
}
