package nsutil

import (
	"github.com/finite-init/finite/internal/sys"
)

// PidfdReadable reports whether the process that pidfd names has ended (poll(2) on it; Linux 5.3). It does not block.
func PidfdReadable(pidfd int) bool {
	return sys.Readable(pidfd)
}
