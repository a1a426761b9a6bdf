package effects

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/internal/usage"
	"github.com/finite-init/finite/internal/sys"
)

// lifeline watches descriptors for a hang-up (poll(2), POLLHUP and POLLRDHUP) without reading from
// them and without changing them: O_NONBLOCK would be the command's too. An epoll instance of its
// own does that, which the runtime polls in turn.
type lifeline struct {
	file   *sys.File
	parent int // a pidfd that was opened for it; -1: none
}

// LifelineParent stands for the parent process among the descriptors of a lifeline. Linux 5.3.
const LifelineParent = -1

// Parent is the parent process, as it was at the start.
type Parent struct {
	PID   int
	Pidfd int // 0 or less: it is opened where it is needed
}

// NewLifeline calls fire, once, in a goroutine, when one of the descriptors has hung up, or the
// parent has ended. It returns nil for none.
func NewLifeline(fds []int, parent Parent, fire func()) (_ *lifeline, err error) {
	if len(fds) == 0 {
		return nil, nil
	}
	l := &lifeline{parent: -1}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	for _, fd := range fds {
		if fd == LifelineParent {
			if err := l.addParent(epoll, parent); err != nil {
				_ = unix.Close(epoll)
				return nil, &usage.Error{Field: "Lifeline", Value: "parent", Why: err.Error()}
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
			return nil, &usage.Error{Field: "Lifeline", Value: name, Why: err.Error()}
		}
	}
	_ = unix.SetNonblock(epoll, true) // says that the runtime may poll it
	if l.file, err = sys.NewFile(epoll, "lifeline"); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	go func() {
		if l.file.Wait() == nil {
			fire()
		}
	}()
	return l, nil
}

// addParent adds the parent process, whose pidfd can be read when it has ended.
func (l *lifeline) addParent(epoll int, parent Parent) (err error) {
	if parent.Pidfd <= 0 {
		if l.parent, err = sys.PidfdOpen(parent.PID); err != nil {
			l.parent = -1
			return fmt.Errorf("the parent process cannot be watched: %w", err)
		}
		parent.Pidfd = l.parent
		if unix.Getppid() != parent.PID {
			return errors.New("the parent process has ended already")
		}
	}
	return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, parent.Pidfd, &unix.EpollEvent{Events: unix.EPOLLIN})
}

var errNoHangUp = errors.New("a file that cannot hang up; it must be a pipe, a socket or a terminal")

func (l *lifeline) Close() {
	if l == nil {
		return
	}
	if l.file != nil {
		l.file.Close()
	}
	if l.parent >= 0 {
		_ = unix.Close(l.parent)
	}
}
