package signals_test

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/signals"
)

// A signal is known by its names and by its number.
func ExampleParse() {
	for _, name := range []string{"TERM", "sigterm", "15", "RTMIN+3"} {
		sig, err := signals.Parse(name)
		fmt.Println(signals.Name(sig), err)
	}
	_, err := signals.Parse("FOO")
	fmt.Println(err)
	// Output:
	// SIGTERM <nil>
	// SIGTERM <nil>
	// SIGTERM <nil>
	// SIGRTMIN+3 <nil>
	// unknown signal "FOO"
}

// A rule passes a signal on as another one, or drops it.
func ExampleRewrite() {
	var rewrite signals.Rewrite
	for _, rule := range []string{"TERM:QUIT", "HUP:0"} {
		if err := rewrite.ParseRule(rule); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT} {
		to, keep := rewrite.Apply(sig)
		fmt.Println(signals.Name(sig), signals.Name(to), keep)
	}
	// Output:
	// SIGTERM SIGQUIT true
	// SIGHUP 0 false
	// SIGINT SIGINT true
}
