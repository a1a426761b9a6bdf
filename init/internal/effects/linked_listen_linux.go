//go:build amd64 || arm64

package effects

import (
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/nsutil"
)

// tellChild tells of a child that is about to be reaped, or was.
func (k *Linked) tellChild(name string, m *keeper.Message) {
	c := Change(m.Change)
	k.Observer.Ended(name, &c, unix.ByteSliceToString(m.Signal.Name[:]), m.Times[0])
}

// Listen passes on what the keeper says. It is called once, in a goroutine of its own.
func (k *Linked) Listen() {
	for {
		m, fd, err := k.link.Hear()
		if err != nil {
			k.Post(machine.Event{Kind: machine.EvKeeperGone})
			return
		}
		switch m.Kind {
		case keeper.KindAsk:
			k.tell(keeper.Message{Kind: keeper.KindAlive})
		case keeper.KindStarted:
			k.Observer.Started(int(m.Value), k.Command.Args) // here, for it is to be the first
			k.Post(
				machine.Event{
					Kind:     machine.EvStarted,
					Pid:      int(m.Value),
					Pidfd:    fd,
					InCgroup: m.Count&keeper.StartedInCgroup != 0,
					Job:      m.Count&keeper.StartedInGroup != 0,
				},
			)
		case keeper.KindNotStarted:
			k.notStarted(unix.Errno(m.Value), m.Count)
		case keeper.KindSignalled:
			s := m.Signal
			sig := Arrived(&s)
			sig.Passed = m.Value != 0
			k.Post(machine.Event{Kind: machine.EvSignal, Signal: sig})
		case keeper.KindChild:
			k.tellChild("reaped", &m)
		case keeper.KindExited:
			k.tellChild("exited", &m)
			// One of those may read until the end of what is written there.
			if k.link.Facts.OlderCount > 0 && k.Role == nsutil.RoleInit {
				_ = unix.Dup3(unix.Stderr, k.link.Stderr, unix.O_CLOEXEC)
			}
			k.Post(machine.Event{Kind: machine.EvExited, Change: Change(m.Change)})
		case keeper.KindChanged:
			c := Change(m.Change)
			k.Observer.Stopped(&c)
			k.Post(machine.Event{Kind: machine.EvStopped, Change: c})
		case keeper.KindReaped:
			k.Post(machine.Event{Kind: machine.EvReaped, Count: int(m.Count), Killed: int(m.Killed)})
		case keeper.KindRemaining: // they may read until the end of what the caller had open
			k.leaveCaller()
			k.Post(machine.Event{Kind: machine.EvRemaining})
		case keeper.KindEmpty:
			k.Post(machine.Event{Kind: machine.EvEmpty})
		case keeper.KindFrontGone:
			k.Post(machine.Event{Kind: machine.EvFrontGone})
		case keeper.KindHeld:
			k.pin.answered()
		}
	}
}
