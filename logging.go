package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/record"
	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/nsutil/inspect"
)

// logLevel is the level of a name.
func logLevel(name string) (logrus.Level, bool) {
	switch name {
	case "error":
		return logrus.ErrorLevel, true
	case "warn":
		return logrus.WarnLevel, true
	case "info":
		return logrus.InfoLevel, true
	case "debug":
		return logrus.DebugLevel, true
	}
	return 0, false
}

// newLogger makes the logger that the options ask for: warnings only, by default. It is used from
// one goroutine, away from supervision, so that its output may block.
func newLogger(o *options, out stderr) *logrus.Logger {
	level := logrus.WarnLevel + logrus.Level(min(o.verbosity, 2))
	if o.logLevel != "" {
		level, _ = logLevel(o.logLevel)
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

// lineFormatter writes "finite: text key=value", with the level in front of what is not shown by
// default.
type lineFormatter struct{}

func (lineFormatter) Format(e *logrus.Entry) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("finite: ")
	if e.Level > logrus.WarnLevel {
		b.WriteString(e.Level.String())
		b.WriteString(": ")
	}
	b.WriteString(text.Printable(e.Message))
	keys := make([]string, 0, len(e.Data))
	for k := range e.Data {
		if k != record.TreeField {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		fmt.Fprintf(&b, " %s=%q", k, fmt.Sprint(e.Data[k]))
	}
	b.WriteByte('\n')
	if tree, ok := e.Data[record.TreeField].(*inspect.Snapshot); ok {
		b.WriteString(tree.Table())
	}
	return b.Bytes(), nil
}

// severityFormatter adds the field by which Google Kubernetes Engine sorts log lines.
type severityFormatter struct{ *logrus.JSONFormatter }

func (f severityFormatter) Format(e *logrus.Entry) ([]byte, error) {
	e.Data["severity"] = strings.ToUpper(e.Level.String())
	return f.JSONFormatter.Format(e)
}

// stderr writes to descriptor 2 and never fails: a reader that is gone, or a descriptor that is
// closed, must not end an init. Only the log's own goroutine writes, or finite where there is no
// command.
type stderr struct{}

// stderrFD is the descriptor of standard error.
var stderrFD = unix.Stderr

func (stderr) Write(p []byte) (int, error) {
	_ = record.WriteAll(stderrFD, p, time.Time{})
	return len(p), nil
}

// writeSoon is writeAll for a few lines that finite says without supervising anything: it has
// caught the signals that would end it, and a reader that does not read must not keep it.
func writeSoon(fd int, p []byte) error { return record.WriteAll(fd, p, time.Now().Add(time.Second)) }
