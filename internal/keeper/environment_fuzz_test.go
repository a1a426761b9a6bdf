//go:build amd64 || arm64

package keeper

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cString is the address of a C string with this content. The test keeps the bytes alive.
func cString(s string) (uintptr, []byte) {
	b := append([]byte(s), 0)
	return uintptr(unsafe.Pointer(&b[0])), b
}

// goString is the content of a C string.
func goString(a uintptr) string {
	n := uintptr(0)
	for byteAt(a+n) != 0 {
		n++
	}
	return strings.Clone(unsafe.String((*byte)(pointer(a)), n))
}

// withBlock calls f while plain is of these arguments and variables, as the kernel lays them out.
func withBlock(args, env []string, f func()) {
	block := []uintptr{uintptr(len(args))}
	var kept [][]byte
	for _, list := range [][]string{args, env} {
		for _, s := range list {
			a, b := cString(s)
			block, kept = append(block, a), append(kept, b)
		}
		block = append(block, 0)
	}
	before := plain
	plain.argv, plain.commandEnv, plain.path, plain.timeout = 0, 0, 0, 0
	parse(uintptr(unsafe.Pointer(&block[0])))
	plain.commandEnv = plain.envp
	f()
	plain = before
	runtime.KeepAlive(kept)
	runtime.KeepAlive(block)
}

// commandEnvironment is what the command gets.
func commandEnvironment() (env []string) {
	for i := 0; wordAt(plain.commandEnv, i) != 0; i++ {
		env = append(env, goString(wordAt(plain.commandEnv, i)))
	}
	return env
}

// forgetEnvironment gives the memory of copyEnvironment back.
func forgetEnvironment() {
	if plain.commandEnv != plain.envp {
		sys2(unix.SYS_MUNMAP, plain.commandEnv, uintptr(plain.variables+1)*8)
	}
}

// The command gets the variables that no message has dropped, in their order, whatever indices the
// messages have. Where the arguments are plain, it gets those that are not finite's.
func FuzzDropVariables(f *testing.F) {
	f.Add("A=1\x00FINITE_TIMEOUT=5\x00PATH=/bin\x00FINITE_\x00odd", []byte{1, 3})
	f.Add("", []byte{0, 1, 127, 255})
	f.Add("A=1", []byte{200, 255, 0, 0})
	f.Fuzz(func(t *testing.T, variables string, drops []byte) {
		var env []string
		if variables != "" {
			env = strings.Split(variables, "\x00")
		}
		withBlock([]string{"finite", "x"}, env, func() {
			dropPlain()
			closeEnvironment()
			isFinites := func(s string) bool { return strings.HasPrefix(s, "FINITE_") }
			want := slices.DeleteFunc(slices.Clone(env), isFinites)
			if got := commandEnvironment(); !slices.Equal(got, want) {
				t.Errorf("of %q the command gets %q, want %q", env, got, want)
			}
			forgetEnvironment()
		})
		withBlock([]string{"finite", "-v", "x"}, env, func() {
			dropped := make(map[int]bool)
			for _, b := range drops {
				index := int32(b)
				if b >= 128 { // far beyond the memory of any environment
					index = int32(b) << 23
				}
				packet.message = Message{Kind: KindDrop, Value: index}
				obeySupervisor()
				dropped[int(index)] = true
			}
			closeEnvironment()
			closeEnvironment() // for a second attempt at the start
			var want []string
			for i, s := range env {
				if !dropped[i] {
					want = append(want, s)
				}
			}
			if got := commandEnvironment(); !slices.Equal(got, want) {
				t.Errorf("of %q without %v the command gets %q, want %q", env, drops, got, want)
			}
			forgetEnvironment()
		})
	})
}

// Each directory of PATH is joined to the name as execvp(3) does: an empty one is the working
// directory, and what is too long is no path.
func FuzzJoinPath(f *testing.F) {
	f.Add("/usr/local/bin:/bin", "sh")
	f.Add("", "x")
	f.Add(":/bin::", "x y")
	f.Add(strings.Repeat("a", pathSize-3), "x")
	f.Add(strings.Repeat("a", pathSize-2), "x")
	f.Add(strings.Repeat("a", 2*pathSize)+":/bin", strings.Repeat("b", pathSize))
	f.Fuzz(func(t *testing.T, list, name string) {
		if strings.ContainsRune(list+name, 0) {
			return
		}
		at, kept := cString(list)
		nameAt, keptName := cString(name)
		guard := pathSize + 1
		for _, dir := range strings.Split(list, ":") {
			command.path[guard] = 0x5a
			end := joinPath(at, nameAt)
			want := dir + "/" + name
			if dir == "" {
				want = "./" + name
			}
			if len(want) >= pathSize {
				want = ""
			}
			if got := goString(addr(&command.path)); got != want {
				t.Fatalf("%q and %q: %q, want %q", dir, name, got, want)
			}
			if end != at+uintptr(len(dir)) || command.path[guard] != 0x5a {
				t.Fatalf("%q and %q: ends at %d, of %d", dir, name, end-at, len(dir))
			}
			at = end + 1
		}
		runtime.KeepAlive(kept)
		runtime.KeepAlive(keptName)
	})
}
