package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/usage"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

func reportSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// fullAccount has everything in it.
func fullAccount() *account {
	at := time.Date(2026, 11, 20, 10, 0, 0, 123_456_789, time.UTC)
	return &account{
		state: ReportEnded, at: at.Add(35 * time.Second), args: []string{"./job", "<&>\u2028"},
		result: ending.Result{
			ExitStatus: 124, PID: 7, Role: nsutil.RoleInit, Started: at, Ended: at.Add(35 * time.Second),
			Cause: ending.Cause{
				Kind: ending.KindDeadline, Known: true, Signal: unix.SIGKILL, CoreDumped: true,
				Also: []ending.Kind{ending.KindStopRequested},
				By:   ending.By{Signal: unix.SIGTERM, Sender: signals.Sender{Known: true, PID: 9, UID: 5, Comm: "sh"}},
			},
			Ladder: []ending.Rung{
				{Step: "SIGTERM", At: 30 * time.Second, Target: "child", Result: "sent"},
				{Step: "tree", At: 35 * time.Second, Target: "all", Result: "sent"},
			},
			Counts: ending.Counts{
				Forwarded:           3,
				Undelivered:         1,
				Orphans:             12,
				LeftoversTerminated: 3,
				LeftoversKilled:     1,
				OOMKills:            1,
				LogDropped:          2,
			},
			Survivors: []inspect.Survivor{
				{
					PID:    9,
					Comm:   "cat",
					State:  'D',
					WChan:  "request_wait_answer",
					Stack:  []string{"a", "b"},
					Tracer: 3,
					Why:    "stuck",
				},
			},
			GaveUp:  true,
			Rusage:  reap.Rusage{User: 1200 * time.Microsecond, System: 3400 * time.Microsecond, MaxRSS: 5120},
			Without: []string{"cgroup"},
		},
	}
}

func TestReport(t *testing.T) {
	const want = `{"schema":"finite.report/v1","state":"ended","command":["./job","<&>\u2028"],"pid":7,"role":"init",` +
		`"started":"2026-11-20T10:00:00.123Z","ended":"2026-11-20T10:00:35.123Z","elapsed_ms":35000,` +
		`"cause":{"kind":"deadline","signal":"SIGKILL","core_dumped":true,"by":{"signal":"SIGTERM","pid":9,"uid":5,"comm":"sh","from":"inside"},"also":["stop-requested"]},` +
		`"exit_status":124,"ladder":[{"step":"SIGTERM","at_ms":30000,"target":"child","result":"sent"},{"step":"tree","at_ms":35000,"target":"all","result":"sent"}],` +
		`"reaped":{"orphans":12,"leftovers_terminated":3,"leftovers_killed":1},"signals":{"forwarded":3,"undelivered":1},` +
		`"survivors":[{"pid":9,"comm":"cat","state":"D","wchan":"request_wait_answer","stack":["a","b"],"tracer":3,"uid":0,"why":"stuck"}],"gave_up":true,` +
		`"oom_kills":1,"rusage":{"user_ms":1.2,"system_ms":3.4,"max_rss_kb":5120},"without":["cgroup"],"log_dropped":2}` + "\n"
	if got := string(newReport(fullAccount(), &Self{}).encode(0)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Whatever a run has come to, its report is of the schema, and fits where room is limited.
func TestReportFitsTheSchema(t *testing.T) {
	schema := reportSchema(t)
	check := func(t interface{ Fatalf(string, ...any) }, s *account, self *Self) {
		for _, limit := range []int{0, inPlaceLimit} {
			text := newReport(s, self).encode(limit)
			if limit > 0 && len(text) > limit {
				t.Fatalf("%d bytes", len(text))
			}
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
			if err == nil {
				err = schema.Validate(value)
			}
			if err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
		}
	}
	check(t, fullAccount(), &Self{})
	checks := flag.Lookup("rapid.checks").Value
	before := checks.String()
	defer func() { _ = checks.Set(before) }()
	_ = checks.Set("300") // each takes a millisecond
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("a\"\\<\u2028\x01é\uFFFD日")), 0, 8, -1)
		long := rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat(text.Draw(t, "text")+"x", rapid.SampledFrom([]int{1, 30, 300}).Draw(t, "times"))
		})
		s := fullAccount()
		s.args = rapid.SliceOfN(long, 1, 6).Draw(t, "args")
		s.state = rapid.SampledFrom([]string{ReportStarted, ReportStopping, ReportKilling, ReportEnded}).
			Draw(t, "state")
		self := Self{PID: unix.Getpid(), Planned: rapid.Bool().Draw(t, "planned")}
		res := &s.result
		if rapid.Bool().Draw(t, "empty") {
			*res = ending.Result{Started: res.Started, Ended: res.Ended}
		}
		res.Cause.Kind = rapid.SampledFrom([]ending.Kind{
			ending.KindExited, ending.KindSignaled, ending.KindDeadline, ending.KindStopRequested,
			ending.KindLifeline, ending.KindOOM, ending.KindStartFailed,
		}).
			Draw(t, "kind")
		if res.Cause.Kind == ending.KindStartFailed {
			res.Cause = ending.Cause{
				Kind: ending.KindStartFailed,
				Step: ending.StepUnshare,
				Err:  errors.New(long.Draw(t, "error")),
			}
		}
		if rapid.Bool().Draw(t, "stranger") {
			res.Cause.By = ending.By{
				Signal: 34,
				Sender: rapid.SampledFrom([]signals.Sender{
					{}, {Known: true}, {Known: true, Kernel: true}, {Known: true, PID: unix.Getpid()},
				}).
					Draw(t, "sender"),
			}
		}
		why := text.Draw(t, "why")
		for i := range rapid.SampledFrom([]int{0, 3, 50}).Draw(t, "survivors") {
			res.Survivors = append(
				res.Survivors,
				inspect.Survivor{
					PID:   i + 1,
					Comm:  "c",
					State: 'D',
					Stack: strings.Split(strings.Repeat("function ", 10), " "),
					Why:   why,
				},
			)
		}
		for range rapid.SampledFrom([]int{0, 5, 60}).Draw(t, "rungs") {
			res.Ladder = append(
				res.Ladder,
				ending.Rung{Step: "SIGTERM", At: time.Second, Target: "child", Result: why},
			)
		}
		check(t, s, &self)
	})
}

// cutText does not cut within a character, nor leave what JSON would make longer.
func TestCutText(t *testing.T) {
	for in, want := range map[string]string{
		"abc": "abc", "abcdef": "abcd", "abcé": "abc", "a\"\\\n\xff": "a???", "": "",
	} {
		if got := cutText(in, 4); got != want && !(in == "a\"\\\n\xff" && got == "a???") {
			t.Errorf("cutText(%q) = %q, want %q", in, got, want)
		}
	}
}

// A record takes the place of the last one whole, in every kind of file.
func TestRecordFile(t *testing.T) {
	dir := t.TempDir()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	open := func(target string) *recordFile {
		f, err := openRecord(target, &Self{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.close)
		return f
	}
	write := func(f *recordFile, text string) {
		t.Helper()
		if err := f.write([]byte(text)); err != nil {
			t.Errorf("write: %v", err)
		}
	}
	inode := func(name string) uint64 {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, name), &st); err != nil {
			t.Fatal(err)
		}
		return st.Ino
	}

	t.Run("renamed", func(t *testing.T) {
		f := open(dir + "/renamed")
		before := inode("renamed")
		for _, text := range []string{"a long first one\n", "short\n"} {
			if write(f, text); read("renamed") != text {
				t.Errorf("%q", read("renamed"))
			}
			if now := inode("renamed"); now == before {
				t.Error("it was written over")
			} else {
				before = now
			}
		}
		if left, _ := filepath.Glob(dir + "/.*"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
	t.Run("its mode is kept", func(t *testing.T) {
		if err := os.WriteFile(dir+"/mode", nil, 0o640); err != nil {
			t.Fatal(err)
		}
		write(open(dir+"/mode"), "x")
		if info, err := os.Stat(dir + "/mode"); err != nil || info.Mode() != 0o640 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	})
	t.Run("removed, and replaced by a link", func(t *testing.T) {
		f := open(dir + "/removed")
		if err := os.Remove(dir + "/removed"); err != nil {
			t.Fatal(err)
		}
		if write(f, "1"); read("removed") != "1" {
			t.Error("it was not made again")
		}
		err := errors.Join(
			os.WriteFile(dir+"/other", []byte("other"), 0o600),
			os.Remove(dir+"/removed"), os.Symlink("other", dir+"/removed"),
		)
		if err != nil {
			t.Fatal(err)
		}
		if write(f, "2"); read("removed") != "2" || read("other") != "other" {
			t.Errorf("%q, %q", read("removed"), read("other"))
		}
	})
	t.Run("a directory in its place", func(t *testing.T) {
		f := open(dir + "/place")
		if err := errors.Join(os.Remove(dir+"/place"), os.Mkdir(dir+"/place", 0o700)); err != nil {
			t.Fatal(err)
		}
		if err := f.write([]byte("x")); err == nil {
			t.Error("no error")
		}
	})
	t.Run("its directory is moved", func(t *testing.T) {
		if err := os.Mkdir(dir+"/old", 0o700); err != nil {
			t.Fatal(err)
		}
		f := open(dir + "/old/r")
		if err := errors.Join(os.Rename(dir+"/old", dir+"/new"), os.Symlink("/", dir+"/old")); err != nil {
			t.Fatal(err)
		}
		if write(f, "x"); read("new/r") != "x" {
			t.Error("it is elsewhere")
		}
	})
	t.Run("written over", func(t *testing.T) {
		f := open(dir + "/over")
		f.kind = inPlace
		before := inode("over")
		for _, text := range []string{"short\n", "a long second one\n", "short\n"} {
			if write(f, text); read("over") != text {
				t.Errorf("%q, want %q", read("over"), text)
			}
		}
		if inode("over") != before {
			t.Error("another file is there")
		}
	})
	t.Run("a descriptor of a pipe", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		fd, err := unix.Dup(int(w.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		f := open(fmt.Sprintf("fd:%d", fd))
		write(f, "one\n")
		write(f, "two\n")
		var buf [16]byte
		if n, err := r.Read(buf[:]); err != nil || string(buf[:n]) != "one\ntwo\n" {
			t.Errorf("%q, %v", buf[:n], err)
		}
		w.Close()
	})
	t.Run("a descriptor that appends", func(t *testing.T) {
		if err := os.WriteFile(dir+"/log", []byte("before\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(dir+"/log", unix.O_WRONLY|unix.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := open(fmt.Sprintf("fd:%d", fd))
		write(f, "one\n")
		if write(f, "two\n"); read("log") != "before\none\ntwo\n" {
			t.Errorf("%q", read("log"))
		}
	})
	t.Run("a descriptor that cannot be written to", func(t *testing.T) {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if f, err := openRecord(fmt.Sprintf("fd:%d", fd), &Self{}); err == nil ||
			err.Error() != "not open for writing" {
			t.Errorf("%v, %v", f, err)
		}
	})
	for target, want := range map[string]string{
		dir: "is a directory", dir + "/": "not the name of a file",
		dir + "/no/such": "no such file or directory", "fd:x": "not the number of a descriptor",
		dir + "/link": "a symbolic link, which is not followed", dir + "/fifo": "no such device or address", "fd:1000": "bad file descriptor",
	} {
		_ = os.Symlink("mode", dir+"/link")
		_ = unix.Mkfifo(dir+"/fifo", 0o600)
		if f, err := openRecord(target, &Self{}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, %v; want %s", target, f, err, want)
		}
	}
}

// The recorder writes the last state, tells of a failure once, and does not wait for a reader for
// ever.
func TestRecorder(t *testing.T) {
	dir := t.TempDir()
	rec, err := newRecorder(&Targets{Report: dir + "/r", StateFile: dir + "/s"})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		rec.add(*fullAccount())
	}
	rec.close(soon())
	if errs := rec.failures(); len(errs) > 0 {
		t.Error(errs)
	}
	var state specs.State
	text, err := os.ReadFile(dir + "/s")
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err != nil || state.Version != specs.Version || state.Status != specs.StateStopped || state.Pid != 7 ||
		state.Bundle == "" ||
		state.ID == "" ||
		state.Annotations["finite.cause"] != "deadline" {
		t.Errorf("%s, %v", text, err)
	}
	if text, err := os.ReadFile(dir + "/r"); err != nil || !strings.Contains(string(text), `"exit_status":124`) {
		t.Errorf("%s, %v", text, err)
	}
	if none, err := newRecorder(&Targets{}); none != nil || err != nil {
		t.Errorf("%v, %v", none, err)
	}
	var bad *usage.Error
	if _, err := newRecorder(&Targets{Report: dir + "/new", StateFile: dir + "/no/s"}); !errors.As(err, &bad) ||
		bad.Field != "StateFile" {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(dir + "/new"); err == nil {
		t.Error("an empty report is left")
	}
	to := &Targets{Report: dir + "/no/r", StateFile: dir + "/no/s", Running: true}
	if late, err := newRecorder(to); err != nil ||
		len(late.failures()) != 2 {
		t.Errorf("where the command runs: %v", err)
	}
	if _, err := newRecorder(&Targets{Report: dir + "/r", StateFile: dir + "/./r"}); !errors.As(err, &bad) ||
		bad.Field != "StateFile" {
		t.Errorf("%v", err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// memory is a Memory.
type memory struct {
	ids   map[int]Place
	again bool
}

func (m *memory) Remember(record int, at Place) { m.ids[record] = at }

func (m *memory) Known(record int) (Place, bool) { return m.ids[record], m.again }

// A supervisor that goes on writes over the file that the one before had, where nothing can be made
// beside it. It does not write over another file that has that name since: a link to a file that is
// none of finite's business.
func TestRecordOfAnotherSupervisor(t *testing.T) {
	for name, tt := range map[string]struct {
		swap func(t *testing.T, path, victim string)
		over bool
	}{
		"the same file": {func(*testing.T, string, string) {}, true},
		"a link": {func(t *testing.T, path, victim string) {
			t.Helper()
			if err := errors.Join(os.Remove(path), os.Link(victim, path)); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		dir := t.TempDir()
		path, victim := filepath.Join(dir, "report"), filepath.Join(dir, "victim")
		if err := os.WriteFile(victim, []byte("untouched"), 0o644); err != nil {
			t.Fatal(err)
		}
		known := &memory{ids: map[int]Place{}}
		first, err := openRecord(path, &Self{})
		if err != nil {
			t.Fatal(err)
		}
		first.follow(known, recordReport)
		if err := first.write([]byte("first")); err != nil {
			t.Fatal(err)
		}
		first.close()
		tt.swap(t, path, victim)
		known.again = true
		second, err := openRecord(path, &Self{})
		if err != nil {
			t.Fatal(err)
		}
		second.follow(known, recordReport)
		nowhere, err := unix.Open(
			"/proc",
			unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC,
			0,
		) // no file can be made there
		if err != nil {
			t.Fatal(err)
		}
		dirFD := second.dir
		second.dir = nowhere
		if err := second.write([]byte("second")); err == nil {
			t.Errorf("%s: no error", name)
		}
		second.dir = dirFD
		unix.Close(nowhere)
		wrote := readFile(t, path) == "second"
		if text := readFile(t, victim); text != "untouched" || wrote != tt.over {
			t.Errorf("%s: the victim is %q, written over: %v", name, text, wrote)
		}
		if err := second.write([]byte("third")); err != nil || readFile(t, path) != "third" ||
			readFile(t, victim) != "untouched" {
			t.Errorf("%s: %v, %q, the victim is %q", name, err, readFile(t, path), readFile(t, victim))
		}
		if known.ids[recordReport].File != second.id() {
			t.Errorf("%s: the new file is not known", name)
		}
		second.close()
	}
}

// A supervisor that goes on writes nothing in another directory than the one before.
func TestRecordInAnotherDirectory(t *testing.T) {
	top := t.TempDir()
	dir, other := filepath.Join(top, "dir"), filepath.Join(top, "other")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(other, 0o755)); err != nil {
		t.Fatal(err)
	}
	known := &memory{ids: map[int]Place{}}
	for again, exists := range map[string]bool{"": false, "new": false, "theirs": true} {
		path := filepath.Join(dir, "report"+again)
		first, err := openRecord(path, &Self{})
		if err != nil {
			t.Fatal(err)
		}
		known.again = false
		first.follow(known, recordReport)
		first.close()
		theirs := filepath.Join(other, "report"+again)
		if exists {
			if err := os.WriteFile(theirs, []byte("theirs"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if again != "" {
			if err := errors.Join(os.Rename(dir, dir+again), os.Symlink(other, dir)); err != nil {
				t.Fatal(err)
			}
		}
		known.again = true
		second, err := openRecord(path, &Self{})
		if err != nil {
			t.Fatal(err)
		}
		second.follow(known, recordReport)
		err = second.write([]byte("second"))
		if again == "" {
			if err != nil || readFile(t, path) != "second" {
				t.Errorf("in the same directory: %v", err)
			}
		} else if err != errAstray {
			t.Errorf("%s: %v", again, err)
		} else if text, _ := os.ReadFile(theirs); (string(text) == "theirs") != exists || !exists && text != nil {
			t.Errorf("%s: it holds %q", again, text)
		}
		second.close()
		if again != "" {
			if err := errors.Join(os.Remove(dir), os.Rename(dir+again, dir)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
