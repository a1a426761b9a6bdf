package engines

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// makeRootfs makes a directory that is an image's content and a bundle's root: busybox with its
// links, finite, and a file that is no program.
func makeRootfs(root string) error {
	for _, dir := range []string{"bin", "dev", "etc", "proc", "run", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	finite, err := testkit.Build(filepath.Dir(root))
	if err != nil {
		return err
	}
	if err := errors.Join(
		copyFile(busybox, filepath.Join(root, "bin", "busybox"), 0o755),
		copyFile(finite, filepath.Join(root, "finite"), 0o755),
		os.WriteFile(filepath.Join(root, "etc", "not-executable"), []byte("no\n"), 0o644),
		os.Chmod(filepath.Join(root, "tmp"), 0o777|os.ModeSticky),
	); err != nil {
		return err
	}
	applets, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return fmt.Errorf("busybox --list: %w", err)
	}
	for _, applet := range strings.Fields(string(applets)) {
		if applet == "busybox" {
			continue
		}
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string, mode os.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, mode)
}
