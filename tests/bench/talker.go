package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// talker is a command under an init that says by lines how far it is, and does something when it is
// told to.
type talker struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

// startTalker starts a command under an init.
func startTalker(p peer, args ...string) (*talker, error) {
	cmd := p.command(args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return &talker{p.name, cmd, in, bufio.NewReader(out)}, nil
}

// stop ends it, by the end of its input if it listens.
func (c *talker) stop() {
	_ = c.in.Close()
	late := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	_ = c.cmd.Wait() // the status is nobody's business
	late.Stop()
}
