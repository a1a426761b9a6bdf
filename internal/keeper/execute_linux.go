//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// execute executes the command, and returns a negative errno where that fails. A name with a slash
// is a path. Any other name is looked up in PATH, as by execvp(3): a file that cannot be executed
// is skipped, and is the error (EACCES) if no other is found.
//
//go:nosplit
func execute() int {
	name := wordAt(plain.argv, 0)
	command.why = NotFound
	if byteAt(name) == 0 {
		return errNoEntry
	}
	for a := name; byteAt(a) != 0; a++ {
		if byteAt(a) == '/' {
			return executeFile(name)
		}
	}
	list := plain.path
	if list == 0 {
		list = text("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\x00")
	}
	found := errNoEntry
	for {
		end := joinPath(list, name)
		switch r := isExecutable(); r {
		case 0:
			return executeFile(addr(&command.path))
		case errAccess:
			found = errAccess
		}
		if byteAt(end) == 0 {
			return found
		}
		list = end + 1
	}
}

// joinPath puts the first directory of a list and a name into command.path. The path is empty where
// that is too long. joinPath returns where the directory ends in the list.
//
//go:nosplit
func joinPath(list, name uintptr) (end uintptr) {
	n := uintptr(0)
	for end = list; byteAt(end) != ':' && byteAt(end) != 0; end++ {
		n = putPath(n, byteAt(end))
	}
	if end == list {
		n = putPath(n, '.')
	}
	n = putPath(n, '/')
	for ; byteAt(name) != 0; name++ {
		n = putPath(n, byteAt(name))
	}
	if n == pathSize {
		n = 0
	}
	*(*byte)(pointer(addr(&command.path) + n)) = 0
	return end
}

// putPath puts the n-th byte into command.path, and returns n+1, or pathSize where the path is
// full.
//
//go:nosplit
func putPath(n uintptr, c byte) uintptr {
	*(*byte)(pointer(addr(&command.path) + n)) = c
	return min(n+1, pathSize)
}

// fileStat is what isExecutable reads.
var fileStat unix.Stat_t

// isExecutable returns 0 where command.path is a file that may be executed, or a negative errno.
//
//go:nosplit
func isExecutable() int {
	r := sys4(unix.SYS_FACCESSAT2, atWorkingDirectory, addr(&command.path), unix.X_OK, unix.AT_EACCESS)
	if r == errNoSystem || r == -int(unix.EPERM) { // before Linux 5.8, or by a seccomp filter
		r = sys3(unix.SYS_FACCESSAT, atWorkingDirectory, addr(&command.path), unix.X_OK)
	}
	if r < 0 {
		return r
	}
	if r = sys4(sysFstatat, atWorkingDirectory, addr(&command.path), addr(&fileStat), 0); r < 0 {
		return r
	}
	if fileStat.Mode&unix.S_IFMT == unix.S_IFDIR {
		return errAccess
	}
	return 0
}

// executeFile executes a file, and returns a negative errno where that fails. A file without an
// interpreter line is a script of the shell's, as for execvp(3).
//
//go:nosplit
func executeFile(file uintptr) int {
	command.why = NotExecuted
	r := sys3(unix.SYS_EXECVE, file, plain.argv, plain.commandEnv)
	if r != errNotExec {
		return r
	}
	room, n := makeArray(plain.argv, 2)
	if room == 0 {
		return r
	}
	shell := text("/bin/sh\x00")
	setWord(room, 0, shell)
	setWord(room, 1, file)
	for i := 1; i <= n; i++ { // and the zero at the end
		setWord(room, i+1, wordAt(plain.argv, i))
	}
	sys3(unix.SYS_EXECVE, shell, room, plain.commandEnv)
	return r
}
