package procfs

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/finite-init/finite/internal/sys"
)

// A stat that is parsed has a state. With a name of any bytes in it, the name is given back as it
// is, and changes nothing else.
func FuzzParseStat(f *testing.F) {
	f.Add([]byte("39 (sh) Z"+statTail), []byte("a) R (b"))
	f.Add([]byte("1 () R"), []byte("\n"))
	f.Fuzz(func(t *testing.T, text, comm []byte) {
		s, err := ParseStat(text)
		if err != nil {
			return
		}
		if !isLetter(s.State) || s.CPU() < 0 || s.Age() < 0 {
			t.Fatalf("ParseStat(%q) = %+v", text, s)
		}
		open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
		renamed := slices.Concat(text[:open+1], comm, text[end:])
		want := s
		want.Comm = string(comm)
		if got, err := ParseStat(renamed); err != nil || got != want {
			t.Fatalf("ParseStat(%q) = %+v, %v; want %+v", renamed, got, err, want)
		}
	})
}

// What is parsed of a stat is written back.
func FuzzStatNumbers(f *testing.F) {
	f.Add(7, "sh", byte('S'), 1, 7, 7, uint64(3), uint64(1<<60), uint64(99), 256)
	f.Add(1, ")", byte('Z'), 0, -1, -1, ^uint64(0), uint64(0), uint64(0), -1)
	f.Fuzz(func(t *testing.T, pid int, comm string, state byte, ppid, pgrp, session int,
		user, system, start uint64, code int,
	) {
		if !isLetter(state) {
			return
		}
		want := Stat{
			PID: pid, Comm: comm, State: state, PPID: ppid, PGRP: pgrp, Session: session,
			UserTime: user, SystemTime: system, StartTime: start, ExitCode: code,
		}
		text := fmt.Sprintf("%d (%s) %c %d %d %d", pid, comm, state, ppid, pgrp, session) + strings.Repeat(" 0", 7) +
			fmt.Sprintf(" %d %d", user, system) + strings.Repeat(" 0", 6) +
			fmt.Sprintf(" %d", start) + strings.Repeat(" 0", 29) + fmt.Sprintf(" %d\n", code)
		if got, err := ParseStat([]byte(text)); err != nil || got != want {
			t.Fatalf("ParseStat(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	})
}

// A status that is parsed has a state. With a name of any bytes in it, escaped as the kernel does,
// the name is given back as it is, and changes nothing else.
func FuzzParseStatus(f *testing.F) {
	f.Add([]byte("State:\tR\nNSpid:\t1\t2\nSigPnd:\t00\n"), "sh")
	f.Add([]byte("Name:\ta\nState:\tR\nName:\tb\n"), "a\nState:\tZ")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		s, err := ParseStatus(text)
		if err != nil {
			return
		}
		if !isLetter(s.State) || len(s.NSpid) > len(text) {
			t.Fatalf("ParseStatus(%q) = %+v", text, s)
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(bytes.Clone(text), '\n')
		}
		escaped := strings.NewReplacer("\n", `\n`, `\`, `\\`).Replace(name)
		renamed := append(bytes.Clone(text), "Name:\t"+escaped+"\n"...)
		want := s
		want.Name = name
		got, err := ParseStatus(renamed)
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Fatalf("ParseStatus(%q) = %+v, %v; want %+v", renamed, got, err, want)
		}
	})
}

// Every PID is fit for kill(2), and none is made of two: the list reads the same with its PIDs
// written once more.
func FuzzAppendChildren(f *testing.F) {
	for _, text := range []string{
		"1 2 3 ", "0 7 ", "2147483647 ", "2147483648 ", "4294967295 ", "18446744073709551615 7 ", "-1 ", "+5 ", "1\x002 ",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		pids := AppendChildren([]int{1}, text)
		if len(pids) > 1+(len(text)+1)/2 || pids[0] != 1 {
			t.Fatalf("AppendChildren(%q) = %v", text, pids)
		}
		var again []byte
		for _, pid := range pids {
			if pid <= 0 || pid > math.MaxInt32 {
				t.Fatalf("AppendChildren(%q) has %d", text, pid)
			}
			again = append(strconv.AppendInt(again, int64(pid), 10), ' ')
		}
		if got := AppendChildren(nil, again); !slices.Equal(got, pids) {
			t.Fatalf("AppendChildren(%q) = %v, and that is %v", text, pids, got)
		}
	})
}

// What is a PID is what strconv takes for one, where it is digits alone.
func FuzzParsePID(f *testing.F) {
	for _, text := range []string{"", "0", "1", "007", "+1", "-1", "2147483647", "2147483648", "1_0", "99999999999999999999"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := strconv.ParseUint(text, 10, 64)
		want := err == nil && n > 0 && n <= math.MaxInt32 && strings.Trim(text, "0123456789") == ""
		if pid, ok := ParsePID(text); ok != want || ok && pid != int(n) {
			t.Fatalf("ParsePID(%q) = %d, %v; want %d, %v", text, pid, ok, n, want)
		}
	})
}

// A directory's entries are PIDs or are left out.
func FuzzNumbers(f *testing.F) {
	for _, name := range []string{"1", "self", "-1", "+1", "0", "4294967295", "7 ", "07"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		dir := t.TempDir()
		if filepath.Base(name) != name || os.WriteFile(filepath.Join(dir, name), nil, 0o600) != nil {
			return
		}
		var want []int
		if pid, ok := ParsePID(name); ok {
			want = []int{pid}
		}
		if got, err := NewProc().Numbers(dir); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q: %v, %v; want %v", name, got, err, want)
		}
	})
}

// A number is found behind its key, whatever stands in other lines, and is not negative.
func FuzzKeyed(f *testing.F) {
	f.Add([]byte("low 0\noom_kill 2\n"), "oom_kill", uint32(7))
	f.Add([]byte("populated -1\n"), "populated", uint32(0))
	f.Add([]byte("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"), "oom_kill", uint32(1))
	f.Fuzz(func(t *testing.T, text []byte, key string, number uint32) {
		n, ok := Keyed(text, key)
		if ok && n < 0 {
			t.Fatalf("Keyed(%q, %q) = %d", text, key, n)
		}
		if strings.ContainsAny(key, " \n") || bytes.Contains(text, []byte(key)) {
			return
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(bytes.Clone(text), '\n')
		}
		text = fmt.Appendf(bytes.Clone(text), "%s %d\n%[1]s 5\n", key, number)
		if n, ok := Keyed(text, key); !ok || n != int(number) {
			t.Fatalf("Keyed(%q, %q) = %d, %v; want %d", text, key, n, ok, number)
		}
	})
}

// What a file has does not depend on the buffer that it is read into, and takes twice the room at
// most.
func FuzzReadToEnd(f *testing.F) {
	f.Add([]byte("1 (sh) S 0"), uint16(3))
	f.Add([]byte{}, uint16(1))
	f.Add(bytes.Repeat([]byte("x"), 64), uint16(64))
	f.Fuzz(func(t *testing.T, text []byte, size uint16) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		fd, err := sys.Open(path, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer sys.Close(fd)
		buf := make([]byte, 1+int(size)%512)
		got, longer, err := readToEnd(fd, buf)
		if err != nil || !bytes.Equal(got, text) || len(longer) > max(len(buf), 2*len(text)) {
			t.Fatalf("%d bytes into %d: %q, %d, %v", len(text), len(buf), got, len(longer), err)
		}
	})
}

// What a process waits in has no blanks around it, and is nothing where the file could not be read.
func FuzzParseWChan(f *testing.F) {
	for _, text := range []string{"0", "do_wait", "do_wait\n", " \n", "a\nb", "\x1b[2J"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := ParseWChan(text, nil)
		if got != strings.TrimSpace(got) || got == "0" || len(got) > len(text) || ParseWChan(text, ErrMalformed) != "" {
			t.Fatalf("ParseWChan(%q) = %q", text, got)
		}
	})
}
