package engines

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// dockerd is a daemon of the tests' own, in the room. It ends with the room.
type dockerd struct {
	socket string
	config string // of the client: an empty directory
}

const image = "finite-engines"

var startDockerd = sync.OnceValues(newDockerd)

// docker returns the daemon, which is started by the first test that asks.
func docker(t *testing.T) *dockerd {
	t.Helper()
	need(t, "dockerd", "docker")
	enter(t)
	d, err := startDockerd()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// dockerClient is the distribution's, which goes with its daemon, or else any.
func dockerClient() string {
	for _, name := range []string{"/usr/bin/docker", "docker"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func newDockerd() (*dockerd, error) {
	r := opened
	dir := filepath.Join(r.dir, "docker")
	d := &dockerd{socket: filepath.Join(dir, "sock"), config: filepath.Join(dir, "client")}
	configPath := filepath.Join(dir, "daemon.json")
	if err := errors.Join(os.MkdirAll(d.config, 0o755),
		os.WriteFile(configPath, []byte("{}\n"), 0o644)); err != nil {
		return nil, err
	}
	logPath := filepath.Join(dir, "log")
	log, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	daemon := r.command("dockerd", "--host", "unix://"+d.socket,
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"),
		"--config-file", configPath, "--exec-opt", "native.cgroupdriver=cgroupfs",
		"--bridge=none", "--iptables=false", "--ip-forward=false", "--userland-proxy=false")
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		return nil, err
	}
	gone := make(chan error, 1)
	go func() { gone <- daemon.Wait() }()
	if err := d.awaitAnswer(gone); err != nil {
		text, _ := os.ReadFile(logPath)
		return nil, fmt.Errorf("dockerd: %w\n%s", err, text)
	}
	return d, d.buildImage(filepath.Dir(r.rootfs))
}

// awaitAnswer asks the daemon until it answers.
func (d *dockerd) awaitAnswer(gone <-chan error) error {
	deadline := time.After(testkit.Patience())
	for {
		if d.command("version").Run() == nil {
			return nil
		}
		select {
		case err := <-gone:
			return fmt.Errorf("ended: %w", err)
		case <-deadline:
			return errors.New("does not answer")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// buildImage makes the image from dir, which holds rootfs, without a registry.
func (d *dockerd) buildImage(dir string) error {
	const dockerfile = "FROM scratch\nCOPY rootfs /\nENV PATH=/bin\nENTRYPOINT [\"/finite\", \"--\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return err
	}
	if out, err := d.command("build", "--network", "none", "-t", image, dir).CombinedOutput(); err != nil {
		return fmt.Errorf("docker build: %w\n%s", err, out)
	}
	return nil
}

// command is a command of the docker client.
func (d *dockerd) command(args ...string) *exec.Cmd {
	cmd := exec.Command(dockerClient(), args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+d.socket, "DOCKER_CONFIG="+d.config,
		"DOCKER_BUILDKIT=0")
	return cmd
}
