package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is what one run of the benchmark found.
type result struct {
	Date     string            `json:"date"`
	Machine  machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Sections []section         `json:"sections"`
	Ceilings []ceiling         `json:"ceilings"`
}

// machine is where it ran.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	System string `json:"system"`
	Go     string `json:"go"`
	Guest  bool   `json:"guest"` // of a hypervisor
}

// section is one measurement: a table with a row for each subject.
type section struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	How     string   `json:"how"` // what was measured
	Columns []string `json:"columns"`
	Rows    []row    `json:"rows"`

	plot int // which column is worth a picture, from 1; 0: none
}

type row struct {
	Name   string   `json:"name"`
	Values []number `json:"values"`
}

// number is a figure, or none.
type number float64

var none = number(math.NaN())

func (n number) known() bool { return !math.IsNaN(float64(n)) }

func (n number) rounded() number { return number(math.Round(float64(n))) }

// MarshalJSON writes none as null.
func (n number) MarshalJSON() ([]byte, error) {
	if !n.known() {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', 6, 64), nil
}

// String writes four digits, or all of a whole number.
func (n number) String() string {
	f := float64(n)
	switch {
	case !n.known():
		return "–"
	case f == math.Trunc(f):
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(f))))
	return strconv.FormatFloat(f, 'f', min(max(0, digits), 3), 64)
}

// add appends a section and prints it.
func (r *result) add(s section) {
	r.Sections = append(r.Sections, s)
	fmt.Print(text(s.Title, s.table()))
}

// at returns a figure, and none if it was not measured.
func (r *result) at(id, name, column string) number {
	for _, s := range r.Sections {
		i := slices.Index(s.Columns, column)
		for _, row := range s.Rows {
			if s.ID == id && row.Name == name && i >= 0 {
				return row.Values[i]
			}
		}
	}
	return none
}

// ceiling is what a figure must not be above. It stays in the list when the figure was not made.
type ceiling struct {
	What  string `json:"what"`
	Limit number `json:"limit"`
	Value number `json:"value"`
}

// ceilings compares the figures with what the project has set itself.
func (r *result) ceilings() {
	const tini = "tini-static"
	add := func(what string, limit, value number) {
		r.Ceilings = append(r.Ceilings, ceiling{what, limit, value})
	}
	// times is a figure of finite's, as a multiple of that of another one in the same table.
	times := func(id, name, column, other string) number {
		return r.at(id, name, column) / r.at(id, other, column)
	}
	for _, role := range []struct{ start, suffix, words string }{
		{"start", "", ""}, {"start-pid1", asInit, " as PID 1"},
	} {
		name, peer := current+role.suffix, tini+role.suffix
		add("first byte"+role.words+", times tini-static", 0.9, times(role.start, name, firstByte, peer))
		add("whole run"+role.words+", times tini-static", 0.9, times(role.start, name, wholeRun, peer))
	}
	add(
		"first byte with a deadline, times timeout",
		0.7,
		times("start-deadline", "finite -t 60s", firstByte, "timeout 60"),
	)
	add(
		"whole run with a deadline, times timeout",
		0.7,
		times("start-deadline", "finite -t 60s", wholeRun, "timeout 60"),
	)

	for _, options := range []string{" --give-up 5s", " -v"} {
		add(
			"first byte with"+options+", times before",
			1,
			times("start-go", current+options, firstByte, earlier+options),
		)
		add(
			"whole run with"+options+", times before",
			1,
			times("start-go", current+options, wholeRun, earlier+options),
		)
	}
	add(
		"whole run with --unshare pid,mount, times unshare and tini-static",
		0.8,
		times("start-namespaces", current+" --unshare pid,mount", wholeRun, unsharedTini),
	)
	add(
		"the same with a deadline, times unshare, tini-static and timeout",
		0.6,
		times("start-namespaces", current+" -t 60s --unshare pid,mount", wholeRun, unsharedTimeout),
	)

	const dirty = "alone: private dirty, kB"
	add("processes", 2, r.at("memory", current, "processes"))
	add("private dirty, times tini-static", 1.4, times("memory", current, dirty, tini))
	add("processes as PID 1", 1, r.at("memory", current+asInit, "processes"))
	add("threads as PID 1", 1, r.at("memory", current+asInit, "threads"))
	add("private dirty as PID 1, times tini-static", 1, times("memory", current+asInit, dirty, tini+asInit))

	for _, role := range []struct{ suffix, words string }{{"", ""}, {asInit, " as PID 1"}} {
		name := current + role.suffix
		const p50 = "p50, µs"
		best := r.at("forwarding", tini+role.suffix, p50)
		if other := r.at("forwarding", "catatonit"+role.suffix, p50); other < best || !best.known() {
			best = other
		}
		add(
			"forwarding p50"+role.words+", times the better of tini-static and catatonit",
			1.1,
			r.at("forwarding", name, p50)/best,
		)
		add("wake-ups in a minute"+role.words, 0, r.at("idle", name, "wake-ups"))
		add(
			"wake-ups in a minute"+role.words+", with a deadline",
			0,
			r.at("idle", current+" -t 1h"+role.suffix, "wake-ups"),
		)
	}
	add(
		"processor time for a lone orphan, times tini-static",
		1.2,
		times("orphans", current+asInit, orphanProcessor, tini+asInit),
	)
	add(
		"orphans one after the other, times tini-static",
		1.15,
		times("orphans", current+asInit, "one by one, ms", tini+asInit),
	)
	add("orphans at once, times tini-static", 1.2, times("orphans", current+asInit, "at once, ms", tini+asInit))
	add(
		"deadline excess p50 at 1s, times timeout",
		1.2,
		times("deadline", current+", idle", "1s: p50, ms", timeout+", idle"),
	)
	const escapees = "3000 processes, ms"
	add("3000 escapees as PID 1, times the kernel", 1.5, times("kill", current+asInit, escapees, kernel))
	add(
		"3000 escapees as a subreaper, times the kernel",
		4,
		times("kill", current+", subreaper", escapees, kernel),
	)
	add("binary, MB", 4, r.at("size", current, "binary, MB"))
}

// ceilingTable returns the cells, the header first.
func (r *result) ceilingTable() [][]string {
	lines := [][]string{{"", "at most", "measured", ""}}
	for _, c := range r.Ceilings {
		verdict := "holds"
		switch {
		case !c.Value.known():
			verdict = "not measured"
		case c.Value > c.Limit:
			verdict = "does not hold"
		}
		lines = append(lines, []string{c.What, c.Limit.String(), c.Value.String(), verdict})
	}
	return lines
}

// save writes the result, its tables and its pictures into a directory.
func (r *result) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "tables.md"), []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	for _, s := range r.Sections {
		if s.plot == 0 {
			continue
		}
		for _, theme := range themes {
			if err := s.draw(filepath.Join(dir, s.ID+theme.suffix+".svg"), theme); err != nil {
				return fmt.Errorf("%s: %w", s.ID, err)
			}
		}
	}
	return nil
}

// describe notes where and of what this is the result.
func (r *result) describe(peers []peer) {
	r.Date = time.Now().UTC().Format(time.DateOnly)
	r.Machine = machine{
		CPU: field(
			"/proc/cpuinfo",
			"model name",
		), Cores: runtime.NumCPU(), Memory: field("/proc/meminfo", "MemTotal"), Go: runtime.Version(),
		Kernel: output("uname", "-sr"), System: strings.Trim(field("/etc/os-release", "PRETTY_NAME"), `"`),
		Guest: strings.Contains(field("/proc/cpuinfo", "flags"), "hypervisor"),
	}
	r.Versions = map[string]string{}
	for _, p := range peers {
		switch p.name {
		case current, earlier:
			r.Versions[p.name], _, _ = strings.Cut(output(p.args[0], "--version"), "\n")
		default:
			if v := output("dpkg-query", "-W", "-f", "${Version}", p.pkg); v != "" {
				r.Versions[p.name] = v
			}
		}
	}
}

// field returns what stands behind a name and a colon, or an equals sign, in a file.
func field(file, name string) string {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if i := strings.IndexAny(line, ":="); i > 0 && strings.TrimSpace(line[:i]) == name {
			return strings.TrimSpace(line[i+1:])
		}
	}
	return ""
}

// kilobytes returns the number in a field of /proc that is in kB.
func kilobytes(file, name string) (int, error) {
	return strconv.Atoi(strings.TrimSuffix(field(file, name), " kB"))
}

func output(name string, args ...string) string {
	b, _ := exec.Command(name, args...).Output()
	return strings.TrimSpace(string(b))
}
