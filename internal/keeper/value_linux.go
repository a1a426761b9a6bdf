//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// addNamespaces reads a list of namespaces. It returns false for a second list, for one that is
// wrong, and for one that planByHeart cannot make.
//
//go:nosplit
func addNamespaces(list uintptr) bool {
	if plain.namespaces != 0 {
		return false
	}
	plain.namespaceText = list
	for a := list; ; {
		end := a
		for byteAt(end) != ',' && byteAt(end) != 0 {
			end++
		}
		namespace := namespaceOf(a, end)
		if namespace == 0 {
			return false
		}
		plain.namespaces |= namespace
		if byteAt(end) == 0 {
			return end-list < 128
		}
		a = end + 1
	}
}

// namespaceOf is the namespace that has the name from a to end (CLONE_NEW*); 0: it has none, or
// planByHeart cannot make it.
//
//go:nosplit
func namespaceOf(a, end uintptr) uint64 {
	switch end {
	case hasPrefix(a, "pid"):
		return unix.CLONE_NEWPID
	case hasPrefix(a, "mount"), hasPrefix(a, "mnt"):
		return unix.CLONE_NEWNS
	case hasPrefix(a, "network"), hasPrefix(a, "net"):
		return unix.CLONE_NEWNET
	case hasPrefix(a, "uts"):
		return unix.CLONE_NEWUTS
	case hasPrefix(a, "ipc"):
		return unix.CLONE_NEWIPC
	case hasPrefix(a, "cgroup"):
		return unix.CLONE_NEWCGROUP
	}
	return 0
}

// setDuration reads the grace time or the timeout, and returns false for a value that is not a
// plain duration.
//
//go:nosplit
func setDuration(value uintptr, isGrace bool) bool {
	d := duration(value)
	switch {
	case d < 0:
		return false
	case isGrace:
		plain.grace = d
	default:
		plain.timeout = d
	}
	return true
}

// duration reads up to six digits, a fraction of up to three, and a unit: ms, s (or none), m, h or
// d. It returns nanoseconds, or -1 for anything else.
//
//go:nosplit
func duration(a uintptr) int64 {
	whole, digits := int64(0), 0
	for ; byteAt(a) >= '0' && byteAt(a) <= '9'; a++ {
		whole = whole*10 + int64(byteAt(a)-'0')
		digits++
	}
	if digits == 0 || digits > 6 {
		return -1
	}
	thousandths, place := int64(0), int64(100)
	if byteAt(a) == '.' {
		for a++; byteAt(a) >= '0' && byteAt(a) <= '9'; a++ {
			thousandths += int64(byteAt(a)-'0') * place
			place /= 10
		}
		if place == 100 || place == 0 && byteAt(a-4) != '.' {
			return -1
		}
	}
	unit := int64(second)
	switch byteAt(a) {
	case 0:
		a--
	case 's':
	case 'h':
		unit = 3600 * second
	case 'd':
		if unit = 24 * 3600 * second; digits > 5 {
			return -1 // out of range
		}
	case 'm':
		if unit = 60 * second; byteAt(a+1) == 's' {
			unit, a = millisecond, a+1
		}
	default:
		return -1
	}
	if byteAt(a+1) != 0 {
		return -1
	}
	return whole*unit + thousandths*(unit/1000)
}
