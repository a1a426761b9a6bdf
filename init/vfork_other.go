//go:build !amd64 && !arm64

package pid1

import (
	"errors"
)

// forkInherited is not called: what was inherited is not known on this architecture.
func forkInherited(how forkMode, cfg *Config, path string, args, env []string) (child, error) {
	return forkExec(how, path, args, env, cfg.Dir)
}

// box is for architectures with a vfork of our own.
type box struct{}

func newBox(cfg *Config) (*box, error) {
	if cfg.Unshare == 0 && len(cfg.Join) == 0 {
		return nil, nil
	}
	field, value := "Unshare", any(cfg.Unshare)
	if len(cfg.Join) > 0 {
		field, value = "Join", cfg.Join[0]
	}
	return nil, &UsageError{field, value, errors.ErrUnsupported.Error() + " on this architecture"}
}

func (*box) close()                                       {}
func (*box) describe(_ Step, _ []string, err error) error { return err }
