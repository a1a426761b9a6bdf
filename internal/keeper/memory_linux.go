//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// programHeader is Elf64_Phdr (elf(5)).
type programHeader struct {
	Type, Flags                                         uint32
	Offset, Address, Physical, FileSize, Size, Boundary uint64
}

// Values in a programHeader.
const (
	loadable = 1 // PT_LOAD
	writable = 2 // PF_W
)

// lockMemory brings the program into memory, where there is an ending to enforce. Every page of the
// file is mapped now, since its file system may not answer later (MADV_POPULATE_READ, Linux 5.14).
// Pages that are written stay out of the swap space, where the limit of locked memory allows that
// (mlock2(2)). Both take a tenth of the time of a start. So they are done when the command has run
// for a moment.
//
//go:nosplit
func lockMemory() {
	if facts.Plain && facts.Timeout == 0 {
		return
	}
	first, size, count := auxiliary(auxHeaders), auxiliary(auxHeaderSize), auxiliary(auxHeaderCount)
	if first == 0 || size < unsafe.Sizeof(programHeader{}) {
		return
	}
	for i := uintptr(0); i < count; i++ {
		h := (*programHeader)(pointer(first + i*size))
		if h.Type != loadable {
			continue
		}
		sys3(unix.SYS_MADVISE, uintptr(h.Address), uintptr(h.FileSize), unix.MADV_POPULATE_READ)
		if h.Flags&writable != 0 {
			sys3(unix.SYS_MLOCK2, uintptr(h.Address), uintptr(h.Size), unix.MLOCK_ONFAULT)
		}
	}
}

// auxiliary returns the value of a key in the auxiliary vector (getauxval(3)); 0: there is none.
//
//go:nosplit
func auxiliary(key uintptr) uintptr {
	i := 0
	for wordAt(plain.envp, i) != 0 {
		i++
	}
	for i++; wordAt(plain.envp, i) != 0; i += 2 {
		if wordAt(plain.envp, i) == key {
			return wordAt(plain.envp, i+1)
		}
	}
	return 0
}

// Keys of the auxiliary vector.
const (
	auxHeaders      = 3  // AT_PHDR
	auxHeaderSize   = 4  // AT_PHENT
	auxHeaderCount  = 5  // AT_PHNUM
	auxExecutedFile = 31 // AT_EXECFN
)
