package main

import (
	"bufio"
	"io"
	"os/exec"
	"testing"
)

// An init's processes are those that run its program, and not what else is below it.
func TestOwn(t *testing.T) {
	for script, want := range map[string]int{
		`cat; :`:                       1,
		`sh -c 'cat; :'; :`:            2,
		`sh -c "sh -c 'cat; :'; :"; :`: 3,
	} {
		cmd := exec.Command("sh", "-c", script)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(in, "ready\n")
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // cat is there
			t.Error(err)
		}
		if pids, err := own(cmd.Process.Pid); err != nil || len(pids) != want || pids[0] != cmd.Process.Pid {
			t.Errorf("%s: %v, %v, want %d of them", script, pids, err, want)
		}
		_ = in.Close()
		_ = cmd.Wait()
	}
}

// What a thread did before is not counted, and a thread that is new counts with all it did.
func TestSince(t *testing.T) {
	then := activity{"a": {switches: 5, running: 50}, "ended": {switches: 9, running: 90}}
	now := activity{"a": {switches: 7, running: 80}, "new": {switches: 1, running: 3}}
	if got := now.since(then); got != (work{switches: 3, running: 33}) {
		t.Errorf("%+v", got)
	}
}
