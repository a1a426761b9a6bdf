package record_test

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/record"
)

// A writer keeps a report up to date, and a timeline draws it.
func ExampleWriter() {
	dir, err := os.MkdirTemp("", "finite")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "report.json")
	var w record.Writer
	if err := w.Open(record.Targets{Report: file}, nil); err != nil {
		fmt.Println(err)
		return
	}
	w.Begin()
	started := time.Date(2026, 1, 31, 18, 30, 0, 0, time.UTC)
	w.Close(record.Report{Args: []string{"job"}, Result: ending.Result{
		PID: 7, Started: started, Ended: started.Add(2 * time.Second),
		Cause: ending.Cause{Kind: ending.KindExited, Known: true, ExitCode: 3}, ExitStatus: 3,
		States: []ending.StateChange{
			{State: "running", At: time.Millisecond}, {State: "ended", At: 2 * time.Second},
		},
	}}, false)
	report, err := os.ReadFile(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	drawn, err := record.Timeline(report, record.Style{Width: 60})
	fmt.Print(drawn, err)
	// Output:
	// job
	// ended, exited, exit status 3, after 2.000 s
	// subreaper, pid 7, started 2026-01-31T18:30:00.000Z
	//    0.001 s  running             ===========================
	//    2.000 s  ended                                          |
	// <nil>
}
