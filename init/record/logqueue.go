package record

import (
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/finite-init/finite/init/ending"
)

// Fields are what a line of the log has besides its text.
type Fields = logrus.Fields

// logQueueLength is the length of the queue between the owner and the log, for bursts.
const logQueueLength = 256

// logQueue hands lines to a goroutine of its own, which formats and writes them, and which the
// first line starts. add and close are the owner's; add never blocks.
type logQueue struct {
	logger  *logrus.Logger
	lines   chan logLine  // nil until there is a line
	idle    chan struct{} // closed when the goroutine has ended
	dropped atomic.Int64
}

type logLine struct {
	at     time.Time
	level  logrus.Level
	text   string
	fields Fields
}

var logLevels = [...]logrus.Level{
	ending.LevelDebug: logrus.DebugLevel,
	ending.LevelInfo:  logrus.InfoLevel,
	ending.LevelWarn:  logrus.WarnLevel,
	ending.LevelError: logrus.ErrorLevel,
}

func (q *logQueue) start() {
	q.lines, q.idle = make(chan logLine, logQueueLength), make(chan struct{})
	go func() {
		defer close(q.idle)
		for line := range q.lines {
			q.write(line)
		}
	}()
}

// write keeps a logger that panics (a hook of the caller's) from ending the process.
func (q *logQueue) write(line logLine) {
	defer func() {
		if recover() != nil {
			q.dropped.Add(1)
		}
	}()
	q.logger.WithTime(line.at).WithFields(line.fields).Log(line.level, line.text)
}

func (q *logQueue) enabled(l ending.Level) bool {
	return q.logger != nil && q.logger.IsLevelEnabled(logLevels[l])
}

func (q *logQueue) add(l ending.Level, text string, f Fields) {
	if !q.enabled(l) {
		return
	}
	if q.lines == nil {
		q.start()
	}
	select {
	case q.lines <- logLine{at: time.Now(), level: logLevels[l], text: text, fields: f}:
	default:
		q.dropped.Add(1)
	}
}

// close waits for what is queued, until the given time at most, and returns how many lines were not
// written.
func (q *logQueue) close(until time.Time) int {
	if q.lines == nil {
		return 0
	}
	close(q.lines)
	if isClosedBy(q.idle, until) {
		return int(q.dropped.Load())
	}
	return int(q.dropped.Load()) + len(q.lines)
}
