package cgroup

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fileOf is an open file with this text.
func fileOf(t *testing.T, text []byte) int {
	t.Helper()
	fd, err := unix.MemfdCreate("text", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 0 {
		if n, err := unix.Write(fd, text); n != len(text) {
			t.Fatal(n, err)
		}
	}
	return fd
}

// Every number in a list is fit for kill(2), and is a line of it.
func FuzzParseProcs(f *testing.F) {
	for _, text := range []string{"1\n0\n", "7", "+7\n-7\n 7\n", "2147483648\n4294967295\n", "007\n7\r\n", "1 2\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		pids := parseProcs(nil, text)
		lines := strings.Split(string(text), "\n")
		if len(pids) > len(lines) {
			t.Fatalf("parseProcs(%q) = %v", text, pids)
		}
		for _, pid := range pids {
			at := slices.IndexFunc(lines, func(line string) bool {
				return line != "" && strings.TrimLeft(line, "0") == strconv.Itoa(pid)
			})
			if pid <= 0 || pid > math.MaxInt32 || at < 0 {
				t.Fatalf("parseProcs(%q) has %d", text, pid)
			}
			lines = lines[at+1:]
		}
	})
}

// What a list holds does not depend on the buffer that it is read into, as long as a line fits. No
// line is cut in two.
func FuzzReadList(f *testing.F) {
	f.Add([]byte("1\n22\n333\n4444\n55555\n"), uint8(0), uint8(99))
	f.Add([]byte("1234567890\n7\n"), uint8(1), uint8(0))
	f.Add([]byte("12345678901234567890\n7\n"), uint8(0), uint8(99))
	f.Add([]byte("1\n2"), uint8(3), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, size, enough uint8) {
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, "list"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		dir, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(dir)
		buf := make([]byte, 12+int(size)%64)
		whole := text[:bytes.LastIndexByte(text, '\n')+1] // the kernel ends every line
		for line := range bytes.Lines(whole) {
			if len(line) >= len(buf) {
				whole = nil // it is read up to there, at most
			}
		}
		var got []int
		visits := 0
		err = readList(dir, "list", buf, func(some []int) bool {
			got = append(got, some...)
			visits++
			return visits <= int(enough)
		})
		if err != nil || visits > int(enough)+1 {
			t.Fatalf("%d visits, %v", visits, err)
		}
		want := parseProcs(nil, whole)
		complete := whole != nil && visits <= int(enough)
		if complete && !slices.Equal(got, want) {
			t.Fatalf("%q into %d bytes: %v, want %v", text, len(buf), got, want)
		}
		if all := parseProcs(nil, text); len(got) > len(all) || !slices.Equal(got, all[:len(got)]) {
			t.Fatalf("%q into %d bytes: %v, but the list begins with %v", text, len(buf), got, all)
		}
	})
}

// A cgroup is populated where its events say so, and a text without the key is an error.
func FuzzPopulated(f *testing.F) {
	f.Add([]byte("populated 1\nfrozen 0\n"))
	f.Add([]byte("frozen 1\npopulated 0\n"))
	f.Add([]byte("populated\n"))
	f.Add([]byte("populated -1\npopulated 1\n"))
	f.Add([]byte(strings.Repeat("x", 300) + "\npopulated 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		fd := fileOf(t, text)
		defer unix.Close(fd)
		got, err := populated(fd)
		number, isNumber := 0, false
		for line := range strings.SplitSeq(string(text[:min(len(text), 256)]), "\n") {
			if value, ok := strings.CutPrefix(line, "populated "); ok || line == "populated" {
				var parseErr error
				number, parseErr = strconv.Atoi(value)
				isNumber = parseErr == nil && number >= 0
				break
			}
		}
		if (err == nil) != isNumber || got != (isNumber && number != 0) {
			t.Fatalf("%q: %v, %v", text, got, err)
		}
	})
}

// What the kernel has ended for want of memory is counted, in either hierarchy, and the same at
// every look.
func FuzzOOMCount(f *testing.F) {
	f.Add([]byte("low 0\nhigh 12\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n"), uint32(2))
	f.Add([]byte("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), uint32(7))
	f.Add([]byte("oom_kill"), uint32(0))
	f.Add([]byte("oom_kill 99999999999999999999\n"), uint32(0))
	f.Fuzz(func(t *testing.T, text []byte, number uint32) {
		text = text[:min(len(text), 400)]
		count := func(text []byte) (int, error) {
			c := &OOMCounter{fd: fileOf(t, text), dir: -1, path: "x"}
			defer c.Close()
			n, err := c.Count()
			if again, err2 := c.Count(); again != n || (err == nil) != (err2 == nil) {
				t.Fatalf("%q: %d, %v and then %d, %v", text, n, err, again, err2)
			}
			return n, err
		}
		if n, err := count(text); n < 0 || err != nil && n != 0 {
			t.Fatalf("%q: %d, %v", text, n, err)
		}
		first := fmt.Appendf(nil, "oom 1\noom_kill %d\n%s", number, text)
		if n, err := count(first); err != nil || n != int(number) {
			t.Fatalf("%q: %d, %v; want %d", first, n, err, number)
		}
	})
}

// The entries of a directory are read as the kernel writes them, and of anything else no more than
// there is.
func FuzzNextDirent(f *testing.F) {
	f.Add(append(make([]byte, 16), 24, 0, 4, 'a', 0, 0, 0, 0), "a", "b c", true)
	f.Add(append(make([]byte, 16), 255, 255, 4, 'a'), "finite-1-0az90az90az90", "", false)
	f.Add(append(make([]byte, 16), 19, 0, 4), "..", strings.Repeat("x", 255), true)
	f.Fuzz(func(t *testing.T, text []byte, first, second string, isDir bool) {
		for rest := text; ; {
			name, _, next := nextDirent(rest)
			if next == nil {
				break
			}
			if len(next) >= len(rest) || strings.Contains(name, "\x00") {
				t.Fatalf("nextDirent(%q) = %q, %q", rest, name, next)
			}
			rest = next
		}
		if strings.Contains(first+second, "\x00") || max(len(first), len(second)) > 255 {
			return
		}
		rest := slices.Concat(dirent(first, isDir), dirent(second, !isDir), text)
		for i, want := range []string{first, second} {
			name, dir, next := nextDirent(rest)
			if name != want || dir != (isDir == (i == 0)) {
				t.Fatalf("nextDirent(%q) = %q, %v; want %q", rest, name, dir, want)
			}
			rest = next
		}
		if !bytes.Equal(rest, text) {
			t.Fatalf("left is %q, not %q", rest, text)
		}
	})
}

// dirent is one entry as getdents64(2) writes it.
func dirent(name string, isDir bool) []byte {
	length := (direntName + len(name) + 1 + 7) &^ 7
	b := make([]byte, length)
	binary.NativeEndian.PutUint16(b[direntLength:], uint16(length))
	b[direntType] = unix.DT_REG
	if isDir {
		b[direntType] = unix.DT_DIR
	}
	copy(b[direntName:], name)
	return b
}

// A name of a leaf is one of finite's: nothing else is ever removed.
func FuzzIsLeafName(f *testing.F) {
	for _, name := range []string{"finite-1-0az90az90az90", "finite-1-prod", "finite--a", "", "finite-1-0az90az90az9é"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		parts := strings.Split(name, "-")
		want := len(parts) == 3 && parts[0] == "finite" && parts[1] != "" && strings.Trim(parts[1], "0123456789") == "" &&
			len(parts[2]) == len("0az90az90az90") && strings.Trim(parts[2], "0123456789abcdefghijklmnopqrstuvwxyz") == ""
		if isLeafName(name) != want {
			t.Fatalf("isLeafName(%q) = %v", name, !want)
		}
	})
}
