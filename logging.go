package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/signals"
)

var logLevels = map[string]logrus.Level{
	"error": logrus.ErrorLevel, "warn": logrus.WarnLevel, "info": logrus.InfoLevel, "debug": logrus.DebugLevel,
}

// newLogger makes the logger that the options ask for: warnings only, by default. It is used from one goroutine, away from supervision,
// so that its output may block.
func newLogger(o *options, out stderr) *logrus.Logger {
	level := logrus.WarnLevel + logrus.Level(min(o.verbosity, 2))
	if o.logLevel != "" {
		level = logLevels[o.logLevel]
	}
	logger := &logrus.Logger{Out: out, Level: level, Hooks: make(logrus.LevelHooks), ExitFunc: func(int) {}}
	logger.Formatter = lineFormatter{}
	if o.logFormat == "json" {
		logger.Formatter = severityFormatter{&logrus.JSONFormatter{
			TimestampFormat: "2006-01-02T15:04:05.000Z07:00",
			FieldMap:        logrus.FieldMap{logrus.FieldKeyMsg: "message"},
		}}
	}
	return logger
}

// lineFormatter writes "finite: text key=value", with the level in front of what is not shown by default.
type lineFormatter struct{}

func (lineFormatter) Format(e *logrus.Entry) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("finite: ")
	if e.Level > logrus.WarnLevel {
		b.WriteString(e.Level.String())
		b.WriteString(": ")
	}
	b.WriteString(printable(e.Message))
	keys := make([]string, 0, len(e.Data))
	for k := range e.Data {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		fmt.Fprintf(&b, " %s=%q", k, fmt.Sprint(e.Data[k]))
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// severityFormatter adds the field by which Google Kubernetes Engine sorts log lines.
type severityFormatter struct{ *logrus.JSONFormatter }

func (f severityFormatter) Format(e *logrus.Entry) ([]byte, error) {
	e.Data["severity"] = strings.ToUpper(e.Level.String())
	return f.JSONFormatter.Format(e)
}

// printable keeps names that others chose (a process's, a file's) from breaking a line or writing to the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError || (r >= 0x80 && r < 0xa0) {
			return '?'
		}
		return r
	}, s)
}

// stderr writes to descriptor 2 and never fails: a reader that is gone, or a descriptor that is closed, must not end an init. A write
// may block; only the log's own goroutine does it, or finite before there is a command.
type stderr struct{}

func (stderr) Write(p []byte) (int, error) {
	_ = writeAll(unix.Stderr, p)
	return len(p), nil
}

// writeSoon is writeAll for a few lines that finite says without supervising anything: it has caught the signals that would end it, and a
// reader that does not read must not keep it. A pipe that is ready has room for them (pipe(7), PIPE_BUF).
func writeSoon(fd int, p []byte) error {
	const limit = 1000 // ms
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, limit); err == nil && n == 0 {
		return unix.ETIMEDOUT
	}
	return writeAll(fd, p)
}

func writeAll(fd int, p []byte) error {
	return signals.Shielded(func() error {
		for len(p) > 0 {
			n, err := unix.Write(fd, p)
			switch err {
			case nil:
				p = p[n:]
			case unix.EINTR:
			case unix.EAGAIN: // somebody made it non-blocking, for everybody
				_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
			default:
				return err
			}
		}
		return nil
	})
}
