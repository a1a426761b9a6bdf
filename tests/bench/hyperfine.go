package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// hyperfine has another program measure the start, too: one that everybody knows. It runs one init
// after the other, not by turns, so that what the machine does in between shows.
func (b *bench) hyperfine(ctx context.Context) error {
	program, _ := exec.LookPath("hyperfine")
	if program == "" {
		fmt.Println("hyperfine: not installed")
		return nil
	}
	runs := b.times(500, 5)
	file := filepath.Join(b.dir, "hyperfine.json")
	args := []string{
		"-N",
		"--style",
		"none",
		"--warmup",
		"20",
		"--runs",
		fmt.Sprint(runs),
		"--export-json",
		file,
	}
	for _, p := range b.peers {
		args = append(args, strings.Join(append(p.args, "/bin/true"), " "))
	}
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var found struct {
		Results []struct{ Median, Min, Stddev float64 }
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return err
	}
	out := section{
		ID: "hyperfine", Title: "Start-up, as hyperfine sees it",
		Columns: []string{"median, ms", "minimum, ms", "deviation, ms", "ratio"},
		How:     fmt.Sprintf("`hyperfine -N`, %d runs of each, one after the other.", runs),
	}
	for i, p := range b.peers {
		r := found.Results[i]
		milli := func(seconds float64) number { return number(seconds * float64(time.Second/time.Millisecond)) }
		out.Rows = append(
			out.Rows,
			row{
				p.name,
				[]number{milli(r.Median), milli(r.Min), milli(r.Stddev), number(r.Median / found.Results[0].Median)},
			},
		)
	}
	b.add(out)
	return nil
}
