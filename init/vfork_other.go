//go:build !amd64 && !arm64

package pid1

import "github.com/finite-init/finite/signals"

// forkInherited is not called: what was inherited is not known on this architecture.
func forkInherited(how forkMode, path string, args, env []string, dir string, _ *signals.Inherited) (child, error) {
	return forkExec(how, path, args, env, dir)
}
