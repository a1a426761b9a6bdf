//go:build amd64

package faults

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// point is a call of one kind of process.
type point struct {
	setting *setting
	kind    string
	call    *call
	nth     int
}

// oneCase is a fault at a point.
type oneCase struct {
	point
	fault string
}

// String is the key by which a case is played again.
func (c *oneCase) String() string {
	return fmt.Sprintf("%s/%s/%s/%d/%s", c.setting.name, c.kind, c.call.name, c.nth, c.fault)
}

// kindOfFault is what every long run covers.
func (c *oneCase) kindOfFault() string { return c.kind + "/" + c.call.name + "/" + c.fault }

// hasAll reports whether the key has all of the texts of a list.
func (c *oneCase) hasAll(texts string) bool {
	key := c.String()
	for text := range strings.SplitSeq(texts, ",") {
		if !strings.Contains(key, text) {
			return false
		}
	}
	return true
}

// parseCase reads a key.
func parseCase(key string) (*oneCase, error) {
	f := strings.Split(key, "/")
	if len(f) != 6 {
		return nil, fmt.Errorf("case %q: want role/setting/process/call/n/fault", key)
	}
	c := &oneCase{point{settings[f[0]+"/"+f[1]], f[2], callNamed(f[3]), 0}, f[5]}
	var err error
	c.nth, err = strconv.Atoi(f[4])
	switch {
	case c.setting == nil:
		return nil, fmt.Errorf("case %q: no setting %q", key, f[0]+"/"+f[1])
	case c.call == nil:
		return nil, fmt.Errorf("case %q: no system call %q in the table", key, f[3])
	case err != nil:
		return nil, fmt.Errorf("case %q: %w", key, err)
	}
	return c, nil
}

// target is what the tracer is told of a case.
func (c *oneCase) target() *target {
	return &target{
		Kind: c.kind, Number: c.call.number, Nth: c.nth, Fault: c.fault,
		Errno: errnoNamed(c.fault), After: c.call.name == "close", // which always closes (close(2))
	}
}

// plan orders all cases of the points: first one of every kind of fault, and then the others, both
// by the seed.
func plan(points []point, seed uint64) (all []*oneCase, kinds int) {
	for _, p := range points {
		for _, fault := range faultsOf(p.call) {
			if fault == faultHang && isExempt(p.kind, p.setting) != "" {
				continue
			}
			all = append(all, &oneCase{p, fault})
		}
	}
	d := rand.New(rand.NewPCG(seed, 0x6661756c7473))
	d.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	covered := map[string]bool{}
	var first, rest []*oneCase
	for _, c := range all {
		if covered[c.kindOfFault()] {
			rest = append(rest, c)
			continue
		}
		covered[c.kindOfFault()] = true
		first = append(first, c)
	}
	return append(first, rest...), len(first)
}
