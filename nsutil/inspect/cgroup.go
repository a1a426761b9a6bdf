package inspect

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/finite-init/finite/internal/mounts"
	"github.com/finite-init/finite/internal/procfs"
)

// PIDLimit is a cgroup that limits how many processes and threads there can be in it and below it
// (pids.max).
type PIDLimit struct {
	Dir     string `json:"dir"`
	Max     int    `json:"max"`
	Current int    `json:"current"`
	// Zombies counts those of the inspected processes that are in it and dead. v1 does not tell
	// where a zombie was.
	Zombies    int  `json:"zombies,omitempty"`
	Refused    int  `json:"refused,omitempty"` // how often fork(2) has failed because of it
	NearlyFull bool `json:"nearly_full"`
}

const nearlyFullPercent = 90

// membership is what a process's cgroups say of it.
type membership struct {
	shown    string
	limits   []PIDLimit // from the process's cgroup upwards
	frozenBy string     // the directory of the cgroup that was told to freeze
	frozenV1 bool
}

// readCgroup reads in which cgroups the process is, and what these say. All that may wait for
// somebody who changes cgroups.
func (in *inspector) readCgroup(p *Inspected) {
	if in.cgroups == nil {
		in.cgroups = &cgroupReader{limits: make(map[string]*PIDLimit), frozen: make(map[string]bool)}
	}
	pid, known := p.PID, in.cgroups
	m, ok := procfs.Within(in.reader, func(proc *procfs.Proc) (m membership) {
		if text, err := proc.Read(pid, "cgroup"); err == nil {
			m = known.membership(proc, bytes.Clone(text)) // the buffer is used for what comes
		}
		return m
	})
	if !ok {
		in.cgroups = nil // it is that read's now
		in.result.Incomplete = true
	}
	p.Cgroup, p.FrozenBy, p.frozenV1 = m.shown, m.frozenBy, m.frozenV1
	for i := range m.limits {
		limit := &m.limits[i]
		if known := in.limits[limit.Dir]; known != nil {
			limit = known
		} else {
			in.limits[limit.Dir] = limit
		}
		p.limits = append(p.limits, limit)
	}
}

// pidLimits lists the cgroups with a limit.
func (in *inspector) pidLimits() []PIDLimit {
	dirs := make([]string, 0, len(in.limits))
	for dir := range in.limits {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	var all []PIDLimit
	for _, dir := range dirs {
		all = append(all, *in.limits[dir])
	}
	return all
}

// cgroupReader reads every cgroup once. One read at a time uses it.
type cgroupReader struct {
	mounts []mounts.Mount
	limits map[string]*PIDLimit // by directory; nil: none
	frozen map[string]bool      // by directory: this very cgroup was told to freeze
}

func (c *cgroupReader) membership(proc *procfs.Proc, text []byte) (m membership) {
	if c.mounts == nil {
		mountinfo, err := proc.ReadFile("self/mountinfo")
		if err != nil {
			mountinfo = nil
		}
		c.mounts = append(mounts.Parse(mountinfo), mounts.Mount{}) // known now, even if there are none
	}
	m.shown = shownCgroup(text)
	paths := mounts.ParseCgroups(text)
	point, dir := mounts.Locate(c.mounts, mounts.Mount.IsUnified, paths.Unified)
	if paths.Unified == "" {
		point, dir = "", ""
	}
	for d := range upwards(point, dir) {
		if c.isFrozen(proc, d, "cgroup.freeze") {
			m.frozenBy = d
			break
		}
	}
	if paths.PIDs != "" {
		point, dir = mounts.Locate(c.mounts, func(m mounts.Mount) bool { return m.IsV1("pids") }, paths.PIDs)
	}
	for d := range upwards(point, dir) {
		if limit := c.limit(proc, d); limit != nil {
			m.limits = append(m.limits, *limit)
		}
	}
	if paths.Freezer == "" || m.frozenBy != "" {
		return m
	}
	isFreezer := func(m mounts.Mount) bool { return m.IsV1("freezer") }
	point, dir = mounts.Locate(c.mounts, isFreezer, paths.Freezer)
	for d := range upwards(point, dir) {
		if c.isFrozen(proc, d, "freezer.self_freezing") {
			m.frozenBy, m.frozenV1 = d, true
			break
		}
	}
	return m
}

// upwards goes from dir to point.
func upwards(point, dir string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for dir != "" && mounts.IsWithin(point, dir) && yield(dir) {
			dir = dir[:max(0, strings.LastIndexByte(dir, '/'))]
		}
	}
}

func (c *cgroupReader) isFrozen(proc *procfs.Proc, dir, file string) bool {
	frozen, ok := c.frozen[dir]
	if !ok {
		frozen = readNumber(proc, dir+"/"+file) == 1
		c.frozen[dir] = frozen
	}
	return frozen
}

func (c *cgroupReader) limit(proc *procfs.Proc, dir string) *PIDLimit {
	limit, ok := c.limits[dir]
	if ok {
		return limit
	}
	if highest := readNumber(proc, dir+"/pids.max"); highest >= 0 {
		limit = &PIDLimit{Dir: dir, Max: highest, Current: max(0, readNumber(proc, dir+"/pids.current"))}
		limit.NearlyFull = limit.Current*100 >= highest*nearlyFullPercent
		if text, err := proc.ReadPath(dir + "/pids.events"); err == nil {
			limit.Refused, _ = procfs.Keyed(text, "max")
		}
	}
	c.limits[dir] = limit
	return limit
}

// readNumber reads a file that holds a number. It returns -1 if there is none: "max", or no such
// file.
func readNumber(proc *procfs.Proc, path string) int {
	text, err := proc.ReadPath(path)
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return -1
	}
	return n
}

// shownCgroup returns the path that says most about where a process is: v2's, or if that is the
// root or there is none, that of v1's pids controller, or of any.
func shownCgroup(text []byte) string {
	unified, pids, other := "", "", ""
	for line := range bytes.Lines(text) {
		id, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		switch {
		case !ok:
		case id == "0" && controllers == "":
			unified = path
		case mounts.HasWord(controllers, "pids"):
			pids = path
		case len(path) > len(other):
			other = path
		}
	}
	for _, path := range []string{unified, pids, other} {
		if path != "" && path != "/" {
			return path
		}
	}
	return cmp.Or(unified, pids, other)
}
