package hostile

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/hostile/plan"
)

const (
	asInit      = "init"
	asSubreaper = "subreaper"
	asJob       = "job"
	asNamespace = "namespace"
	asGuest     = "guest"
)

// role is how finite stands in its cage.
type role struct {
	name     string
	terminal bool // the observer has a controlling terminal, as a shell has
	apart    bool // in namespaces that finite makes or joins: the command does not see the front
	flags    uintptr
}

var roles = []role{
	{name: asInit, flags: unix.CLONE_NEWPID},
	{name: asSubreaper},
	{name: asJob, terminal: true},
	{name: asNamespace, apart: true},
	{name: asGuest, apart: true},
}

func roleNamed(name string) *role {
	return &roles[slices.IndexFunc(roles, func(r role) bool { return r.name == name })]
}

// user is who finite and the command are.
type user struct {
	name string
	uid  int
	caps []uintptr // of the bounding set
}

const mounter = "root that mounts"

var users = []user{
	{name: "root", caps: nil},
	{name: "nobody", uid: 65534},
	{name: mounter, caps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_CHOWN}},
}

// namespaces are those that the user may make.
func (u *user) namespaces() string {
	if u.name == mounter {
		return "pid,mount"
	}
	return "user,pid,mount"
}

func userNamed(name string) *user {
	return &users[slices.IndexFunc(users, func(u user) bool { return u.name == name })]
}

// attack is what the tests know of an attack.
type attack struct {
	name    string
	targets []string
	once    bool // by the command alone: a loop of it cannot be prevented
	left    bool // by what is left alone
	spoils  bool // supervisors, or what they write, may be prevented by it
	signals bool // supervisors may die of it
	starves bool // finite may be slow
	short   bool // it takes a deadline to go on after it
	needs   func(*round) bool
}

var (
	anybody = []string{"front", "keeper", "supervisor", "all"}
	outer   = []string{"front", "keeper", "all"}
)

func mounts(r *round) bool { return r.User == mounter }

var attacks = []attack{
	{name: "stop", targets: anybody, once: true},
	{name: "stop again", targets: []string{"supervisor"}},
	{name: "stop everybody", once: true, short: true},
	{name: "kill", targets: []string{"supervisor"}},
	{name: "flood", targets: anybody, signals: true},
	{name: "forge", targets: anybody, signals: true},
	{name: "everybody", signals: true},
	{name: "trace", targets: anybody},
	{name: "memory", targets: anybody},
	{name: "descriptors", targets: anybody},
	{name: "peek", targets: anybody},
	{name: "proc files", targets: anybody},
	{name: "userfaultfd", needs: func(r *round) bool { return r.User != "nobody" }},
	{name: "limits", targets: anybody, spoils: true},
	{name: "limit files", targets: anybody, spoils: true},
	{name: "schedule", targets: anybody, starves: true},
	{name: "groups", targets: outer},
	{name: "terminal", needs: func(r *round) bool { return roleNamed(r.Role).terminal }},
	{name: "swap", needs: func(r *round) bool { return r.Report || r.State }},
	{name: "wall", spoils: true, needs: func(r *round) bool { return r.Report || r.State }},
	{name: "stderr", targets: outer},
	{name: "rights", spoils: true},
	{name: "orphans"},
	{name: "hold", left: true},
	{name: "cgroup", needs: func(r *round) bool { return r.Cgroup }},
	{name: "cover proc", targets: []string{"all"}, spoils: true, needs: mounts},
	{name: "cover files", spoils: true, needs: mounts},
	{name: "fuse", spoils: true, needs: mounts},
}

func attackNamed(name string) *attack {
	return &attacks[slices.IndexFunc(attacks, func(a attack) bool { return a.name == name })]
}

// fits reports whether a step can be added to a round.
func (a *attack) fits(r *round, s plan.Step, leftover bool) bool {
	stops := func(a *attack) bool { return a.once }
	switch {
	case a.once && leftover, a.left && !leftover, a.needs != nil && !a.needs(r):
		return false
	case (a.short || a.once && s.Target == "all") && !r.limited():
		return false
	case a.once && (r.Kills != "" || r.has(stops)): // one SIGSTOP is survived, and one SIGKILL
		return false
	}
	return true
}
