package inspect

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/mounts"
	"github.com/finite-init/finite/internal/procfs"
)

// whyNot says why nothing can be read of the process that is asked for.
func (in *inspector) whyNot() error {
	switch {
	case unix.Kill(in.asked, 0) == unix.ESRCH:
		return unix.ESRCH
	case in.result.Incomplete:
		return errSilent
	}
	return errHidden
}

// hidePID returns the option hidepid of /proc if it may keep this user from seeing others.
func hidePID(p *procfs.Proc) string {
	text, err := p.ReadFile("self/mountinfo")
	if err != nil {
		return ""
	}
	value, group := "", -1
	for _, m := range mounts.Parse(text) {
		if m.Kind != "proc" || m.Point != cmp.Or(p.Root, "/proc") {
			continue
		}
		value, group = "", -1 // of several, the last one counts
		for option := range strings.SplitSeq(m.Options+","+m.SuperOptions, ",") {
			if v, ok := strings.CutPrefix(option, "hidepid="); ok && v != "0" && v != "off" {
				value = v
			}
			if v, ok := strings.CutPrefix(option, "gid="); ok {
				group, _ = strconv.Atoi(v)
			}
		}
	}
	if value == "" {
		return ""
	}
	groups, _ := unix.Getgroups()
	if group >= 0 && (slices.Contains(groups, group) || unix.Getegid() == group) || mayTrace() {
		return ""
	}
	return value
}

// mayTrace reports whether this process has CAP_SYS_PTRACE, and so sees everybody.
func mayTrace() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_PTRACE) != 0
}
