package pid1

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/simkernel"
	"github.com/finite-init/finite/nsutil"
)

// Histories that have shown a fault, each as short as it can be.
func TestSimulateFound(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	type act = simkernel.Act
	for name, change := range map[string]func(s *scenario){
		"a stop signal goes to the whole tree once, without /proc": func(s *scenario) {
			s.world.Leaf, s.world.Faults.NoProc, s.cfg.Forward = true, true, ending.ForwardAll
			s.world.Command = simkernel.Script{Stops: simkernel.Exits, StopsAfter: 50 * time.Millisecond}
		},
		"who is in the cgroup alone is killed, without cgroup.kill": func(s *scenario) {
			s.world.Leaf, s.world.Faults.LeafKill = true, unix.EOPNOTSUPP
			s.world.Command.Acts = []act{{Deed: simkernel.Emigrate}}
		},
		"who has left the cgroup is killed, while another cannot be": func(s *scenario) {
			s.world.Leaf, s.cfg.GiveUp = true, MinGiveUp
			s.world.Command.Acts = []act{
				{At: time.Millisecond, Deed: simkernel.Fork}, {At: 10 * time.Millisecond, Deed: simkernel.SleepOn},
			}
			s.world.Command.Child.Acts = []act{{Deed: simkernel.LeaveLeaf}}
		},
		"the others are killed, while the stat of one hangs": func(s *scenario) {
			s.world.Command.Acts = []act{
				{At: time.Millisecond, Deed: simkernel.Fork}, {At: 2 * time.Millisecond, Deed: simkernel.Fork},
			}
			s.world.Command.Child.Acts = []act{{At: 10 * time.Millisecond, Deed: simkernel.Fork}}
			s.world.Command.Child.Child = &simkernel.Script{Acts: []act{{Deed: simkernel.Hang}}}
		},
		"the kill has one round, if a signal before it has taken the time": func(s *scenario) {
			s.cfg.Grace, s.cfg.GiveUp, s.cfg.Forward = time.Microsecond, MinGiveUp, ending.ForwardAll
			s.world.Command.Acts = []act{
				{At: time.Millisecond, Deed: simkernel.Fork}, {At: 2 * time.Millisecond, Deed: simkernel.Fork},
			}
			s.world.Command.Child.Acts = []act{{At: 10 * time.Millisecond, Deed: simkernel.Fork}}
			s.world.Command.Child.Child = &simkernel.Script{Acts: []act{{Deed: simkernel.Hang}}}
		},
		"the cause has a kind, where a tracer keeps the zombie": func(s *scenario) {
			s.cfg.Grace, s.cfg.GiveUp = ending.AtOnce, MinGiveUp
			s.world.Command.Life, s.world.Command.Held = s.cfg.Timeout-time.Millisecond, -1
		},
	} {
		s := &scenario{
			cfg: Config{
				Args: []string{
					"command",
				}, Timeout: 100 * time.Millisecond, Grace: time.Second, GiveUp: time.Second,
			},
			world: simkernel.Options{Role: nsutil.RoleSubreaper},
		}
		s.world.Command = simkernel.Script{
			Stops: simkernel.Ignores,
			Child: &simkernel.Script{Stops: simkernel.Ignores},
		}
		change(s)
		if h := playScenario(t, s, true); len(h.faults) > 0 {
			t.Errorf("%s: %s\n%s", name, strings.Join(h.faults, "\n"), strings.Join(h.lines, "\n"))
		}
	}
}
