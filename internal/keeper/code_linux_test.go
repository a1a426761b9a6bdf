//go:build amd64 || arm64

package keeper

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// allowed are the functions of the runtime that code without a runtime may call. They use no g, and
// no variable of the runtime but the features of the processor, which are zero.
var allowed = regexp.MustCompile(`^runtime\.(memmove|memclrNoHeapPointers|duffzero|duffcopy)(\+\d+)?$`)

// No function that the entry point reaches calls the Go runtime: there is no allocation, no panic,
// no bounds check, no write barrier, and no growth of the stack. Indirect calls are not followed.
// They go to functions of this package, whose addresses are constants.
func TestCodeWithoutARuntime(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	binary := filepath.Join(t.TempDir(), "finite")
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-E "+packagePath+"entry",
		"-o", binary, "github.com/finite-init/finite")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	calls := disassemble(t, binary)
	roots := []string{"entry", "begin", "keep", "front", "makePlan", "becomeCommand", "write", "closeThem"}
	todo := make([]string, 0, len(roots))
	for _, name := range roots {
		todo = append(todo, packagePath+name)
	}
	seen := make(map[string]bool)
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		callees, found := calls[name]
		if !found {
			t.Errorf("%s is not in the binary", name)
		}
		for _, callee := range callees {
			switch {
			case strings.HasPrefix(callee, "_rt0_"), allowed.MatchString(callee):
			case strings.HasPrefix(callee, packagePath):
				todo = append(todo, callee)
			default:
				t.Errorf("%s calls %s", strings.TrimPrefix(name, packagePath), callee)
			}
		}
	}
	if len(seen) < 50 {
		t.Errorf("only %d functions were found", len(seen))
	}
}

// The linker finds room for the stack on every architecture. Compiled code takes more of it on
// arm64.
func TestLinksOnEveryArchitecture(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	for _, arch := range []string{"amd64", "arm64"} {
		build := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-s -w -E "+packagePath+"entry",
			"-o", filepath.Join(t.TempDir(), arch), "github.com/finite-init/finite")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", arch, err, out[:min(len(out), 2000)])
		}
	}
}

const packagePath = "github.com/finite-init/finite/internal/keeper."

// target is the symbol that an instruction calls, or jumps to where that is another function.
var target = map[string]*regexp.Regexp{
	"amd64": regexp.MustCompile(`\b(?:CALL|JMP) ([^ ]+)\(SB\)`),
	"arm64": regexp.MustCompile(`\b(?:CALL|JMP) ([^ ]+)\(SB\)`),
}

// disassemble returns what each function of this package calls.
func disassemble(t *testing.T, binary string) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "tool", "objdump", "-s", "internal/keeper", binary).Output()
	if err != nil {
		t.Fatalf("go tool objdump: %v", err)
	}
	calls := make(map[string][]string)
	name := ""
	scan := bufio.NewScanner(bytes.NewReader(out))
	for scan.Scan() {
		if rest, ok := strings.CutPrefix(scan.Text(), "TEXT "); ok {
			name, _, _ = strings.Cut(rest, "(SB)")
			name = strings.TrimSuffix(name, ".abi0")
			calls[name] = append(calls[name], []string{}...)
			continue
		}
		if m := target[runtime.GOARCH].FindStringSubmatch(scan.Text()); m != nil {
			calls[name] = append(calls[name], strings.TrimSuffix(m[1], ".abi0"))
		}
	}
	return calls
}

// The stacks of children begin at multiples of 16. An arm64 processor insists on that, and
// emulators do not.
func TestStacksAreAligned(t *testing.T) {
	tops := []unsafe.Pointer{topOf(addr(&command.stack), commandStackSize)}
	for i := range int32(writers) {
		tops = append(tops, topOf(addr(&lineAt(i).stack), writerStackSize))
	}
	for i := range int32(2) {
		tops = append(tops, topOf(addr(&closerAt(i).stack), unsafe.Sizeof(closer{}.stack)))
	}
	for i, top := range tops {
		if uintptr(top)%16 != 0 {
			t.Errorf("stack %d begins at %p", i, top)
		}
	}
}
