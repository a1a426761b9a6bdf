package nsutil

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
)

const allNamespaces = UserNamespace | CgroupNamespace | IPCNamespace | UTSNamespace |
	NetworkNamespace | PIDNamespace | TimeNamespace | MountNamespace

func TestParseNamespaces(t *testing.T) {
	for list, want := range map[string]struct {
		kinds Namespaces
		text  string
	}{
		"pid":                {PIDNamespace, "pid"},
		"mount,pid":          {PIDNamespace | MountNamespace, "pid,mount"},
		"mnt":                {MountNamespace, "mount"},
		"net":                {NetworkNamespace, "network"},
		"network":            {NetworkNamespace, "network"},
		"user, pid ,\tmount": {UserNamespace | PIDNamespace | MountNamespace, "user,pid,mount"},
		"pid,pid":            {PIDNamespace, "pid"},
		"uts,ipc,time":       {UTSNamespace | IPCNamespace | TimeNamespace, "ipc,uts,time"},
		"cgroup":             {CgroupNamespace, "cgroup"},
		"all":                {allNamespaces, "user,cgroup,ipc,uts,network,pid,time,mount"},
		"all,pid":            {allNamespaces, "user,cgroup,ipc,uts,network,pid,time,mount"},
	} {
		got, err := ParseNamespaces(list)
		if err != nil || got != want.kinds || got.String() != want.text {
			t.Errorf("ParseNamespaces(%q) = %#x %v, %v; want %#x %s", list, uint32(got), got, err,
				uint32(want.kinds), want.text)
		}
	}
	for list, name := range map[string]string{
		"": `""`, ",": `""`, "pid,": `""`, "pid,,net": `""`, " ": `""`, "PID": `"PID"`,
		"pid,bogus": `"bogus"`, "pid;net": `"pid;net"`, "none": `"none"`,
	} {
		if got, err := ParseNamespaces(list); err == nil || got != 0 ||
			!strings.Contains(err.Error(), "unknown namespace "+name) {
			t.Errorf("ParseNamespaces(%q) = %v, %v; want an error that names %s", list, got, err, name)
		}
	}
}

func TestNamespacesHas(t *testing.T) {
	both := PIDNamespace | MountNamespace
	if !both.Has(PIDNamespace) || !both.Has(both) || !both.Has(0) || PIDNamespace.Has(both) ||
		Namespaces(0).Has(PIDNamespace) {
		t.Error("Has is wrong")
	}
}

// What a set is written as is read as the same set, and nothing that is read has another bit.
func FuzzParseNamespaces(f *testing.F) {
	for _, s := range []string{"", "pid", "mnt,net", "all", "pid,", " user , time", "pid\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		n, err := ParseNamespaces(list)
		if err != nil {
			if n != 0 {
				t.Errorf("%q: %v with %v", list, n, err)
			}
			return
		}
		if n == 0 || n&^allNamespaces != 0 {
			t.Errorf("%q: %#x", list, uint32(n))
		}
		if again, err := ParseNamespaces(n.String()); err != nil || again != n {
			t.Errorf("%q: %v, and that is %v, %v", list, n, again, err)
		}
	})
}

func TestSplitJoin(t *testing.T) {
	for target, want := range map[string]struct {
		pid   int
		kinds Namespaces
		path  string
	}{
		"1":               {1, 0, ""},
		"0123":            {123, 0, ""},
		"4194304":         {4194304, 0, ""},
		"12:net":          {12, NetworkNamespace, ""},
		"12:pid,mnt":      {12, PIDNamespace | MountNamespace, ""},
		"12:all":          {12, allNamespaces, ""},
		"/proc/12/ns/net": {0, 0, "/proc/12/ns/net"},
		"/run/netns/a:b":  {0, 0, "/run/netns/a:b"},
		"netns":           {0, 0, "netns"},
		"-1":              {0, 0, "-1"},
		"self:net":        {0, 0, "self:net"},
	} {
		pid, kinds, path, err := SplitJoin(target)
		if err != nil || pid != want.pid || kinds != want.kinds || path != want.path {
			t.Errorf("SplitJoin(%q) = %d, %v, %q, %v; want %+v", target, pid, kinds, path, err, want)
		}
	}
	for _, bad := range []string{
		"", "0", "00", ":", ":net", "0:net", "12:", "12:bogus", "12:net,", "99999999999999999999",
	} {
		if pid, kinds, path, err := SplitJoin(bad); err == nil {
			t.Errorf("SplitJoin(%q) = %d, %v, %q; want an error", bad, pid, kinds, path)
		}
	}
}

// Whatever it is, it is a process or a path, or an error.
func FuzzSplitJoin(f *testing.F) {
	for _, s := range []string{"", "1", "1:net", "/a:b", "0", ":", "99999999999999999999:pid", "1:", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		pid, kinds, path, err := SplitJoin(target)
		switch {
		case err != nil:
		case path != "" && (path != target || pid != 0 || kinds != 0), path == "" && pid <= 0,
			kinds&^allNamespaces != 0:
			t.Errorf("SplitJoin(%q) = %d, %v, %q", target, pid, kinds, path)
		}
	})
}

// openCount counts this process's descriptors.
func openCount(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// There is nothing to join where this process is already, and nothing stays open.
func TestOpenNamespacesOfOneself(t *testing.T) {
	_ = procfs.Hold() // which stays open
	before := openCount(t)
	own := strconv.Itoa(os.Getpid())
	for _, target := range []string{
		own, own + ":net,uts", own + ":all", "/proc/self/ns/net", "/proc/self/ns/mnt", "/proc/self/ns/pid",
	} {
		if files, err := OpenNamespaces(target); err != nil || len(files) > 0 {
			t.Errorf("OpenNamespaces(%q) = %v, %v; want nothing", target, files, err)
			CloseNamespaces(files)
		}
	}
	if after := openCount(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func TestOpenNamespacesFails(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	plain, fifo, loop := filepath.Join(dir, "plain"), filepath.Join(dir, "fifo"), filepath.Join(dir, "loop")
	err := errors.Join(os.WriteFile(plain, nil, 0o600), unix.Mkfifo(fifo, 0o600), os.Symlink(loop, loop))
	if err != nil {
		t.Fatal(err)
	}
	_ = procfs.Hold() // which stays open
	before := openCount(t)
	for target, want := range map[string]string{
		strconv.Itoa(gone.Process.Pid):          "no such process",
		strconv.Itoa(gone.Process.Pid) + ":net": "no such process",
		"4194305":                               "no such process", // more than there can be
		"":                                      "empty",
		"0":                                     "not a PID",
		"1:bogus":                               `"bogus"`,
		plain:                                   "not a namespace's file",
		fifo:                                    "not a namespace's file", // which nobody writes to
		dir:                                     "not a namespace's file",
		"/dev/null":                             "not a namespace's file",
		"/proc/self/status":                     "not a namespace's file",
		loop:                                    unix.ELOOP.Error(),
		filepath.Join(dir, "none"):              unix.ENOENT.Error(),
		"a\x00b":                                unix.EINVAL.Error(),
	} {
		files, err := OpenNamespaces(target)
		if err == nil || len(files) > 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("OpenNamespaces(%q) = %v, %v; want %q", target, files, err, want)
		}
	}
	if after := openCount(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// Of another process, those namespaces are opened that are not this one's, in the order in which
// they can be joined.
func TestOpenNamespacesOfAnother(t *testing.T) {
	const script = `readlink /proc/self/ns/user; exec cat`
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--net", "--uts", "--mount",
		"sh", "-c", script)
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { stdin.Close(); _ = cmd.Wait() }()
	if n, _ := stdout.Read(make([]byte, 100)); n == 0 {
		t.Skip("no user namespace can be made here")
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	for target, want := range map[string][]Namespaces{
		pid:                           {UserNamespace, UTSNamespace, NetworkNamespace, MountNamespace},
		pid + ":mount,user":           {UserNamespace, MountNamespace},
		pid + ":ipc":                  nil,
		"/proc/" + pid + "/ns/net":    {NetworkNamespace},
		"/proc/" + pid + "/ns/../ns/": nil,
	} {
		files, err := OpenNamespaces(target)
		var got []Namespaces
		for _, f := range files {
			got = append(got, f.Kind)
			if flags, err := unix.FcntlInt(uintptr(f.FD), unix.F_GETFD, 0); err != nil ||
				flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s: descriptor %d is inherited, or closed: %v", target, f.FD, err)
			}
		}
		if (err != nil) != strings.HasSuffix(target, "/") || !slices.Equal(got, want) {
			t.Errorf("OpenNamespaces(%q) is of %v, %v; want %v", target, got, err, want)
		}
		CloseNamespaces(files)
	}
}
