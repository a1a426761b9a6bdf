package signals

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must come. It is not a measure of anything.
const patience = 20 * time.Second

func TestSourceDelivers(t *testing.T) {
	s := Listen()
	defer s.Close()
	s.Late()
	want := append(append([]unix.Signal{}, stops...), standard...)
	for sig := RTMin + 1; sig <= RTMax; sig++ {
		want = append(want, sig)
	}
	for _, sig := range want {
		if err := unix.Kill(unix.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-s.C:
			if got.Number != sig {
				t.Errorf("sent %s, got %s", Name(sig), Name(got.Number))
			}
		case <-time.After(patience):
			t.Fatalf("%s did not arrive", Name(sig))
		}
	}
}

// A flood of one signal does not crowd out another, and what is merged is delivered at least once
// after it was last sent.
func TestSourceKeepsSignalsApart(t *testing.T) {
	s := Listen()
	defer s.Close()
	s.Late()
	for range 1000 {
		_ = unix.Kill(unix.Getpid(), unix.SIGWINCH)
		_ = unix.Kill(unix.Getpid(), unix.SIGUSR1)
	}
	_ = unix.Kill(unix.Getpid(), unix.SIGTERM)
	got := map[unix.Signal]int{}
	for got[unix.SIGTERM] == 0 || got[unix.SIGWINCH] == 0 || got[unix.SIGUSR1] == 0 {
		select {
		case sig := <-s.C:
			got[sig.Number]++
		case <-time.After(patience):
			t.Fatalf("got %v, and then nothing", got)
		}
	}
}

func TestSourceClose(t *testing.T) {
	s := Listen()
	s.Close()
	s.Close()
	s.Late() // too late: nothing is caught any more
	if n := len(s.notify.channels); n != len(stops) {
		t.Errorf("%d signals are caught after Close, want %d that were before", n, len(stops))
	}
}

// A write to a pipe that nobody reads raises SIGPIPE; shielded, it is only an error, and nobody is
// told of a signal.
func TestShieldedTakesItsOwnSIGPIPE(t *testing.T) {
	s := Listen()
	defer s.Close()
	s.Late()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[1])
	unix.Close(p[0])
	err := Shielded(func() error { _, err := unix.Write(p[1], []byte("x")); return err })
	if err != unix.EPIPE {
		t.Fatalf("Shielded returned %v, want EPIPE", err)
	}
	// A signal sent now would be delivered after the SIGPIPE, if there were one.
	_ = unix.Kill(unix.Getpid(), unix.SIGUSR1)
	select {
	case got := <-s.C:
		if got.Number != unix.SIGUSR1 {
			t.Errorf("got %s", Name(got.Number))
		}
	case <-time.After(patience):
		t.Fatal("nothing arrived")
	}
	// And one that somebody sends still arrives.
	_ = unix.Kill(unix.Getpid(), unix.SIGPIPE)
	if got := <-s.C; got.Number != unix.SIGPIPE {
		t.Errorf("got %s, want SIGPIPE", Name(got.Number))
	}
}
