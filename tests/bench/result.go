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
	fmt.Print(s.text())
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

// ceiling is what a figure must not be above.
type ceiling struct {
	What  string `json:"what"`
	Limit number `json:"limit"`
	Value number `json:"value"`
}

// ceilings compares the figures with what the project has set itself.
func (r *result) ceilings() {
	const f = "finite"
	over := func(a, b number) number { return a / b }
	bestPeer := func(id, column string) number {
		best := none
		for _, name := range []string{"tini-static", "catatonit"} {
			if v := r.at(id, name, column); !best.known() || v < best {
				best = v
			}
		}
		return best
	}
	kill := func(role string) number {
		const column = "3000 processes, ms"
		return over(r.at("kill", "finite, "+role, column), r.at("kill", "the kernel, SIGKILL to PID 1", column))
	}
	for _, c := range []ceiling{
		{"start-up, times tini-static", 1.75, over(r.at("start", f, "p50, ms"), r.at("start", "tini-static", "p50, ms"))},
		{"start-up, times the smallest Go program", 1.10, over(r.at("start", f, "p50, ms"), r.at("start", smallest, "p50, ms"))},
		{"idle wake-ups in 10 s", 0, r.at("idle", f, "wake-ups in the first sixth")},
		{"threads", 8, r.at("idle", f, "threads")},
		{"private dirty, kB", 1200, r.at("memory", f, "alone: private dirty, kB")},
		{"PSS alone, kB", 4000, r.at("memory", f, "alone: PSS, kB")},
		{"PSS of each of many, kB", 1600, r.at("memory", f, "of many, each: PSS, kB")},
		{"binary, MB", 4, r.at("size", f, "binary, MB")},
		{"forwarding p50, times the best peer", 1.7, over(r.at("forwarding", f, "p50, µs"), bestPeer("forwarding", "p50, µs"))},
		{"orphans one after the other, times tini-static", 1.15, over(r.at("orphans", f, "one by one, ms"), r.at("orphans", "tini-static", "one by one, ms"))},
		{"orphans at once, times tini-static", 1.2, over(r.at("orphans", f, "at once, ms"), r.at("orphans", "tini-static", "at once, ms"))},
		{"deadline excess p50 at 1s, times GNU timeout", 1.5, over(r.at("deadline", "finite, idle", "1s: p50, ms"), r.at("deadline", "GNU timeout, idle", "1s: p50, ms"))},
		{"3000 escapees as PID 1, times the kernel", 1.5, kill("PID 1")},
		{"3000 escapees as a subreaper, times the kernel", 4, kill("subreaper")},
	} {
		if c.Value.known() {
			r.Ceilings = append(r.Ceilings, c)
		}
	}
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
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: field("/proc/meminfo", "MemTotal"), Go: runtime.Version(),
		Kernel: output("uname", "-sr"), System: strings.Trim(field("/etc/os-release", "PRETTY_NAME"), `"`),
		Guest: strings.Contains(field("/proc/cpuinfo", "flags"), "hypervisor"),
	}
	r.Versions = map[string]string{}
	for _, p := range peers {
		switch p.name {
		case "finite":
			r.Versions[p.name], _, _ = strings.Cut(output(p.args[0], "--version"), "\n")
		case smallest:
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
