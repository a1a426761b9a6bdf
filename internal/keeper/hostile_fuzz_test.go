//go:build amd64 || arm64

package keeper

import (
	"encoding/binary"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// play calls f with variables of the keeper and the front as they are before there is a command,
// and without a timer. It restores them.
func play(f func()) {
	a, b, c, d, e := facts, run, rules, supervisor, due
	g, h, i, j, k := kept, keptCount, withheld, hold, stops
	l, m, n, o, p := toFront, toKeeper, lastEnd, wakeTimer.made, heart
	defer func() {
		facts, run, rules, supervisor, due = a, b, c, d, e
		kept, keptCount, withheld, hold, stops = g, h, i, j, k
		toFront, toKeeper, lastEnd, wakeTimer.made, heart = l, m, n, o, p
	}()
	facts = Facts{Cgroup: -1, Pidfd: -1, Procs: -1, Directory: -1, ParentFD: -1}
	toFront, toKeeper, wakeTimer.made = -1, -1, -1
	run.pidfd, run.earlyFD = -1, -1
	f()
}

// messagesOf cuts bytes into messages. The first byte of each chooses among these kinds.
func messagesOf(text []byte, kinds ...Kind) (all []Message) {
	for chunk := range slices.Chunk(text, int(messageSize)) {
		var m Message
		copy((*[messageSize]byte)(unsafe.Pointer(&m))[:], chunk)
		m.Kind = kinds[int(chunk[0])%len(kinds)]
		all = append(all, m)
	}
	return all
}

// seedMessages are messages with numbers that are out of every range.
func seedMessages(f *testing.F, kinds int) {
	for _, n := range []int32{0, 1, -1, 4, 15, 64, 65, 255, 1 << 20, -1 << 31, 1<<31 - 1} {
		var text []byte
		for kind := range kinds {
			b := make([]byte, messageSize)
			for i := 0; i < len(b); i += 4 {
				binary.NativeEndian.PutUint32(b[i:], uint32(n))
			}
			b[0] = byte(kind)
			text = append(text, b...)
		}
		f.Add(text)
	}
}

// Whatever a supervisor sends, the keeper writes to nothing but what the message is about, and
// within it. Left out are the messages that start or end something.
func FuzzObey(f *testing.F) {
	kinds := []Kind{
		KindAlive, KindLeftovers, KindLook, KindHold, KindRelease, KindDrop, KindRules, KindLatest, KindFact,
		KindRecord, KindKeep, KindEnd, KindStart, KindAsk, kindStatus, KindPlanned, -1,
	}
	seedMessages(f, len(kinds))
	f.Fuzz(func(t *testing.T, text []byte) {
		play(func() {
			withBlock([]string{"finite", "-v", "x", "y"}, []string{"A=1"}, func() {
				defer forgetEnvironment()
				for _, m := range messagesOf(text, kinds...) {
					obey(t, m)
				}
			})
		})
	})
}

// obey has the keeper take one message.
func obey(t *testing.T, m Message) {
	m.Count &^= StartEnforce // which changes what others may do to this process
	before := facts
	packet.message, packet.passed.fd = m, -1
	noteMessage()
	obeySupervisor()
	after := facts
	if m.Kind == KindRecord && m.Value >= 0 && m.Value < MaxRecords {
		if after.Records[m.Value] != m.Place {
			t.Errorf("record %d is at %+v, not %+v", m.Value, after.Records[m.Value], m.Place)
		}
		after.Records[m.Value] = before.Records[m.Value]
	}
	switch m.Kind {
	case KindLeftovers:
		after.LeftoversAt = before.LeftoversAt
	case KindLatest:
		after.LateStatus = before.LateStatus
	case KindStart:
		after.Timeout, after.Grace = before.Timeout, before.Grace
		if plain.argv != 0 && plain.argv <= plain.start || plain.argv >= plain.start+uintptr(plain.count)*8 {
			t.Errorf("the command is argument %d", int(plain.argv-plain.start)/8)
		}
	case KindFact:
		after.DeadlineAt, after.LifelineAt, after.KilledAt = before.DeadlineAt, before.LifelineAt, before.KilledAt
		after.Stop, after.StopAt = before.Stop, before.StopAt
		after.Rungs, after.RungCount = before.Rungs, before.RungCount
	case KindRules:
		if rules.table != m.Table {
			t.Errorf("rules %v, not %v", rules.table, m.Table)
		}
	}
	if after != before {
		t.Errorf("%+v changed the facts\n%+v to\n%+v", m, before, after)
	}
	if facts.RungCount < 0 || facts.RungCount > maxRungs || keptCount < 0 || int(keptCount) > len(kept) {
		t.Errorf("%d rungs, %d kept", facts.RungCount, keptCount)
	}
	if n := m.Signal.Number; (n < 1 || n > 64) && ruleFor(n) != RuleDrop {
		t.Errorf("signal %d has the rule %d", n, ruleFor(n))
	}
}

// Whatever a keeper sends, the front hears all of it, ends at the status that was told last, and
// forgets none of its own descriptors.
func FuzzHearKeeper(f *testing.F) {
	kinds := []Kind{
		kindStarted, kindStopped, kindStop, kindContinued, kindUntil, kindRules, kindStatus, kindSignal, KindStart,
		0,
	}
	seedMessages(f, len(kinds))
	f.Fuzz(func(t *testing.T, text []byte) {
		play(func() {
			all := messagesOf(text[:min(len(text), 64*int(messageSize))], kinds...)
			p := newPeers(t)
			toKeeper = int32(p.own)
			var want Message
			for _, m := range all {
				if b := (*[messageSize]byte)(unsafe.Pointer(&m))[:]; unix.Sendmsg(p.evil, b, nil, nil, 0) != nil {
					t.Fatal("the front has no room")
				}
				hearKeeper()
				if m.Kind == kindStatus {
					want = m
				}
			}
			if run.told != (want.Kind == kindStatus) || run.told && run.status != want.Value {
				t.Errorf("told %v, %d; want %+v", run.told, run.status, want)
			}
			if toKeeper != int32(p.own) || run.pidfd != -1 {
				t.Errorf("socket %d, pidfd %d", toKeeper, run.pidfd)
			}
			for _, fd := range []int{p.evil, p.own, p.pipe[0], p.pipe[1]} {
				_ = unix.Close(fd)
			}
		})
	})
}

// Whatever a front sends when the command has ended, the keeper counts each signal once and passes
// none on.
func FuzzHearFront(f *testing.F) {
	kinds := []Kind{kindSignal, kindHeard, kindRunning, kindStatus, KindEnd, 0}
	seedMessages(f, len(kinds))
	f.Fuzz(func(t *testing.T, text []byte) {
		play(func() {
			facts.Plain, facts.Ended.Code, lastEnd.change.Code = true, codeExited, codeExited
			p := newPeers(t)
			toFront = int32(p.own)
			want := int32(0)
			for _, m := range messagesOf(text[:min(len(text), 64*int(messageSize))], kinds...) {
				if b := (*[messageSize]byte)(unsafe.Pointer(&m))[:]; unix.Sendmsg(p.evil, b, nil, nil, 0) != nil {
					t.Fatal("the keeper has no room")
				}
				hearFront()
				if m.Kind == kindSignal && m.Value != keptByTerminal {
					want++
				}
			}
			forwarded := facts.Forwarded + facts.Undelivered
			if forwarded != want || toFront != int32(p.own) || facts.Stop.Number != 0 {
				t.Errorf("%d signals, want %d; socket %d; %+v", forwarded, want, toFront, facts.Stop)
			}
			for _, fd := range []int{p.evil, p.own, p.pipe[0], p.pipe[1]} {
				_ = unix.Close(fd)
			}
		})
	})
}
