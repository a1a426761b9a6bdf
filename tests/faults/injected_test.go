//go:build amd64

package faults

import "testing"

// What a fault must bring about, it does.
func TestInjected(t *testing.T) {
	needTracing(t)
	w := startWorkers(t, 1)[0]
	defer w.end()
	for key, status := range map[string]int{
		"subreaper/plain/child/execve/1/ENOENT":       127,
		"subreaper/plain/child/execve/1/EACCES":       126,
		"subreaper/plain/child/execve/1/SIGKILL":      137,
		"subreaper/plain/front/clone/1/EAGAIN":        125,
		"subreaper/plain/front/clone/1/SIGKILL":       -9,
		"subreaper/deadline/keeper/ppoll/1/SIGKILL":   125,
		"subreaper/deadline/child/execve/1/hang":      124,
		"init/planned/planner/epoll_create1/1/EMFILE": 125,
		"init/plain/keeper/clone/1/delay":             3,
		"init/deadline/keeper/ppoll/1/SIGSTOP":        124,
	} {
		t.Run(key, func(t *testing.T) {
			c, err := parseCase(key)
			if err != nil {
				t.Fatal(err)
			}
			s, err := w.play(&order{c.setting.name, c.target()})
			if err == nil {
				err = c.check(&s)
			}
			if err != nil || !s.Hit || s.Status != status {
				t.Errorf("%v; seen: %+v", err, s)
			}
		})
	}
}
