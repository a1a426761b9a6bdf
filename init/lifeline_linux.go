package pid1

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

// lifeline watches descriptors for a hang-up (poll(2), POLLHUP and POLLRDHUP) without reading from
// them and without changing them: O_NONBLOCK would be the command's too. An epoll instance of its
// own does that, which the runtime polls in turn.
type lifeline struct {
	file *sys.File
}

// newLifeline calls fire, once, in a goroutine, when one of the descriptors has hung up, or the
// parent has ended. It returns nil for none.
func newLifeline(cfg *Config, fire func()) (*lifeline, error) {
	fds := cfg.Lifeline
	if len(fds) == 0 {
		return nil, nil
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	for _, fd := range fds {
		if fd == LifelineParent {
			if err := addParent(epoll, cfg); err != nil {
				_ = unix.Close(epoll)
				return nil, &UsageError{"Lifeline", "parent", err.Error()}
			}
			continue
		}
		err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLRDHUP})
		if err == unix.EPERM {
			err = errNoHangUp
		}
		if err != nil && err != unix.EEXIST {
			_ = unix.Close(epoll)
			name := "fd:" + strconv.Itoa(fd)
			if fd == unix.Stdin {
				name = "stdin"
			}
			return nil, &UsageError{"Lifeline", name, err.Error()}
		}
	}
	_ = unix.SetNonblock(epoll, true) // says that the runtime may poll it
	file, err := sys.NewFile(epoll, "lifeline")
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	l := &lifeline{file}
	go func() {
		if file.Wait() == nil {
			fire()
		}
	}()
	return l, nil
}

// addParent adds the parent process, whose pidfd can be read when it has ended. The pidfd stays
// open: who has it would not be told otherwise.
func addParent(epoll int, cfg *Config) error {
	if cfg.parentFD <= 0 {
		fd, err := sys.PidfdOpen(cfg.ParentPID)
		if err != nil {
			return fmt.Errorf("the parent process cannot be watched: %w", err)
		}
		cfg.parentFD = fd
		if unix.Getppid() != cfg.ParentPID {
			return errors.New("the parent process has ended already")
		}
	}
	return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, cfg.parentFD, &unix.EpollEvent{Events: unix.EPOLLIN})
}

var errNoHangUp = errors.New("a file that cannot hang up; it must be a pipe, a socket or a terminal")

func (l *lifeline) close() {
	if l != nil {
		l.file.Close()
	}
}
