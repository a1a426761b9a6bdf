//go:build amd64 || arm64

package main

import (
	"cmp"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/nsutil"
)

// What the parser without a runtime takes for plain, the parser of everything understands in the
// same way.
func FuzzPlainArguments(f *testing.F) {
	for _, args := range []string{
		"-- true", "true", "-t 5 -- true", "-t5 true", "--timeout 1.5 -k 300ms -- true -t 9",
		"--timeout=10s --grace=2m true", "-t 1h -k 1d -- true",
		"-k 0 true", "-t 0 true", "-t 0.001 true", "-t 1.001 true", "-t 0.3 true", "-t 999999h true",
		"-t 99999d true", "-t 100000d true", "-t 1.0001 true",
		"-t -5 true", "-t 5x true", "-t .5 true", "-t 5. true", "-t 1e3 true", "-t true", "-t", "",
		"--timeout true", "--timeout= true", "--timeouts 5 true",
		"--grace 5 --", "-tk 5 true", "-k5 -t 7 -k 9 true", "- true", "-v true", "--report r -- true",
		"-t 5ms5 true", "-t 5m s true",
		"--unshare pid,mount true", "--unshare=net,network,mnt,uts,ipc,cgroup -- true",
		"--unshare pid --unshare net true", "--unshare pid, true",
		"--unshare ,pid true", "--unshare pi true", "--unshare pids true", "--unshare all true",
		"--unshare= true", "--unshare", "--unshared pid true",
	} {
		f.Add(args, "")
	}
	for _, env := range []string{
		"FINITE_TIMEOUT=3", "FINITE_GRACE=1.5s", "FINITE_TIMEOUT=", "FINITE_TIMEOUT=1 FINITE_TIMEOUT=2",
		"FINITE_TIMEOUT=x", "FINITE_REPORT=r", "FINITEX=1",
	} {
		f.Add("-k 7 true", env)
	}
	f.Fuzz(func(t *testing.T, line, variables string) {
		if strings.ContainsRune(line+variables, 0) {
			return
		}
		args := append([]string{"finite"}, strings.Fields(line)...)
		env := strings.Fields(variables)
		got, ok := keeper.Plain(args, env)
		if !ok {
			return
		}
		opts, err := parseOptions(args, env)
		if err != nil {
			t.Fatalf("%q %q: plain, but the parser of everything says: %v", args, env, err)
		}
		want := opts.config.Grace
		switch want {
		case 0:
			want = ending.DefaultGrace
		case ending.AtOnce:
			want = 0
		}
		all := keeper.Understood{
			Command:    opts.config.Args,
			Timeout:    opts.config.Timeout,
			Grace:      want,
			Namespaces: uint64(opts.config.Unshare),
		}
		if !reflect.DeepEqual(got, all) {
			t.Errorf("%q %q: %+v; the parser of everything has %+v", args, env, got, all)
		}
	})
}

// The plain forms are plain. Without this, the comparison could be empty.
func TestPlainForms(t *testing.T) {
	for _, tt := range []struct {
		args, env      string
		command        string
		timeout, grace time.Duration
		kinds          nsutil.Namespaces
	}{
		{args: "-- seq 3", command: "seq 3"},
		{args: "seq -t 3", command: "seq -t 3"},
		{args: "-t 5 -- x", command: "x", timeout: 5 * time.Second},
		{args: "-t1.5 x", command: "x", timeout: 1500 * time.Millisecond},
		{
			args: "--timeout=300ms --grace 10s x", command: "x", timeout: 300 * time.Millisecond,
			grace: 10 * time.Second,
		},
		{args: "--timeout 2m -k 1h -- x", command: "x", timeout: 2 * time.Minute, grace: time.Hour},
		{
			args: "-t 1d x", env: "FINITE_TIMEOUT=9 FINITE_GRACE=0.25", command: "x",
			timeout: 24 * time.Hour, grace: 250 * time.Millisecond,
		},
		{
			args: "--unshare pid,mnt,network -t 5 x", command: "x", timeout: 5 * time.Second,
			kinds: nsutil.PIDNamespace | nsutil.MountNamespace | nsutil.NetworkNamespace,
		},
		{
			args: "--unshare=uts,ipc,cgroup -- x", command: "x",
			kinds: nsutil.UTSNamespace | nsutil.IPCNamespace | nsutil.CgroupNamespace,
		},
	} {
		got, ok := keeper.Plain(append([]string{"finite"}, strings.Fields(tt.args)...), strings.Fields(tt.env))
		want := keeper.Understood{
			Command:    strings.Fields(tt.command),
			Timeout:    tt.timeout,
			Grace:      cmp.Or(tt.grace, 5*time.Second),
			Namespaces: uint64(tt.kinds),
		}
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s %s: %v, %+v; want %+v", tt.env, tt.args, ok, got, want)
		}
	}
}
