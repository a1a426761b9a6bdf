package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/finite-init/finite/init/ending"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

func openEvents(t *testing.T, target string, format EventsFormat) *eventLog {
	t.Helper()
	l, err := newEventLog(&Targets{Events: target, EventsFormat: format}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.begin(false)
	return l
}

// tellAll tells of one event of every kind.
func tellAll(l *eventLog) {
	status, cause := 143, &reportCause{
		Kind:   ending.KindStopRequested,
		Signal: "SIGTERM",
		By:     &reportBy{Signal: "SIGTERM", From: "outside"},
	}
	l.startAt(time.Now())
	l.add(Event{Event: "started", PID: 7, Command: []string{"job", "<&>"}})
	l.add(Event{Event: "state", From: "starting", To: "running", Why: "the command was started"})
	l.signal(
		signals.Signal{Number: unix.SIGTERM, Sender: signals.Sender{Known: true, PID: 9, UID: 0, Comm: "sh"}},
	)
	l.signal(signals.Signal{Number: unix.SIGUSR1})
	l.add(Event{Event: "forwarded", Signal: "SIGTERM", Target: "child", Result: "sent"})
	l.stopped(&reap.Change{PID: 7, Code: reap.CodeStopped, Status: int(unix.SIGSTOP)})
	l.stopped(&reap.Change{PID: 7, Code: reap.CodeContinued, Status: int(unix.SIGCONT)})
	l.add(Event{Event: "state", From: "running", To: "stopping", Why: "a stop"})
	l.add(Event{Event: "rung", Step: "SIGTERM", Target: "child", Result: "sent"})
	l.add(Event{Event: "deadline"})
	l.add(Event{Event: "cancel"})
	l.add(Event{Event: "lifeline"})
	l.reaped(
		"reaped",
		&reap.Change{PID: os.Getpid(), Code: reap.CodeExited, Status: 3},
	) // not a zombie, but it can be read about
	l.reaped("exited", &reap.Change{PID: 1 << 23, Code: reap.CodeDumped, Status: int(unix.SIGSEGV)})
	l.add(Event{Event: "oom", Count: 2})
	l.add(Event{Event: "ended", PID: 7, Cause: cause, ExitStatus: &status})
}

func TestEvents(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	text, err := os.ReadFile("../../docs/report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	report, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("https://github.com/finite-init/finite/docs/report.schema.json", report); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("../../docs/events.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "events")
	if err := os.WriteFile(path, []byte("from the last run\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := openEvents(t, path, EventsJSON)
	tellAll(l)
	l.close(soon())
	if text, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	var told []string
	for line := range strings.Lines(string(text)) {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err == nil {
			err = schema.Validate(v)
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		told = append(told, v.(map[string]any)["event"].(string))
	}
	const want = "started state signal signal forwarded stopped continued state rung deadline cancel lifeline reaped exited oom ended"
	if got := strings.Join(told, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, want := range []string{
		`"command":["job","<&>"]`,
		`"signal":"SIGTERM","by":{"pid":9,"uid":0,"comm":"sh","from":"inside"}`, `"signal":"SIGUSR1"}`,
		`"exit_code":3,"lived_ms":`,
		`"signal":"SIGSEGV","core_dumped":true`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

// What the viewers read: an array, in which every slice that begins ends, and which is good to the
// point at which it was cut off.
func TestEventsTrace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace")
	l := openEvents(t, path, EventsTrace)
	tellAll(l)
	l.close(soon())
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Name  string
		Ph    string
		Ts    int64
		Dur   int64
		Pid   int
		Tid   *int
		Scope string `json:"s"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	open, kinds := 0, map[string]int{}
	for _, e := range all {
		kinds[e.Ph]++
		switch {
		case e.Name == "" || e.Pid != os.Getpid() || e.Tid == nil || *e.Tid < 1 ||
			(e.Ts == 0) != (e.Ph == "M") || (e.Scope == "t") != (e.Ph == "i"):
			t.Errorf("got %+v", e)
		case e.Ph == "B":
			open++
		case e.Ph == "E":
			if open--; open < 0 {
				t.Errorf("%+v was not begun", e)
			}
		}
	}
	if open != 0 || kinds["X"] != 2 || kinds["B"] != 2 || kinds["i"] != 12 {
		t.Errorf("%d open, %v", open, kinds)
	}
	cut := text[:bytes.LastIndex(text, []byte(",\n"))]
	if err := json.Unmarshal(append(cut, ']'), &all); err != nil {
		t.Errorf("cut off: %v", err)
	}
}

// Nobody waits for a reader, and what there was no room for is counted.
func TestEventsWithoutReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newEventLog(&Targets{Events: path}, nil); err == nil {
		t.Error("a FIFO that nobody has open")
	}
	r, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l := openEvents(t, path, EventsJSON)
	long := strings.Repeat("x", 1<<16)
	for range 200 { // 13 MB
		l.add(Event{Event: "state", Why: long})
	}
	l.mu.Lock()
	waiting, dropped := len(l.text), l.dropped
	l.mu.Unlock()
	if waiting > maxEvents+1<<17 || dropped == 0 {
		t.Errorf("%d bytes wait, %d were dropped", waiting, dropped)
	}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		l.add(Event{Event: "deadline"}) // there is room again, some time
		if strings.Contains(line, `"event":"dropped"`) {
			break
		}
	}
	go func() { _, _ = lines.WriteTo(discard{}) }()
	l.close(soon())
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestEventsFail(t *testing.T) {
	l := openEvents(t, "/dev/full", EventsJSON)
	l.add(Event{Event: "deadline"})
	<-l.idle
	if err := l.failure(); err != unix.ENOSPC {
		t.Errorf("got %v", err)
	}
	l.add(Event{Event: "deadline"})
	l.close(soon())
	if err := l.failure(); err != nil {
		t.Errorf("told twice: %v", err)
	}
}

func TestEventsAreWhereNothingElseIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report")
	r, err := newRecorder(&Targets{Report: path})
	if err != nil {
		t.Fatal(err)
	}
	defer r.discard()
	if _, err := newEventLog(&Targets{Events: path}, r); err == nil ||
		!strings.Contains(err.Error(), "is where another record goes") {
		t.Errorf("got %v", err)
	}
	if l, err := newEventLog(&Targets{}, nil); l != nil || err != nil {
		t.Errorf("got %v, %v", l, err)
	}
}

// soon is the most that an end waits for what is written.
func soon() time.Time { return time.Now().Add(RecordLimit) }
