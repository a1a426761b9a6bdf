// Command entered is linked with the entry point of package signals, and says what it knows about its start. With the argument "wait" it catches
// nothing, says that it is there and waits; with "arguments", it says what others it has.
package main

import (
	"encoding/json"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/signals"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "wait":
			os.Stdout.WriteString(".")
			select {}
		case "arguments":
			_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"Args": os.Args[2:], "Env": signals.Environ()})
			return
		}
	}
	source := signals.Listen()
	start, _ := signals.AtStart()
	var now unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &now)
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"Source": source.Name(), "Mask": start.Mask, "Ignored": start.Ignored, "Files": start.Files,
		"Now": now, "Env": signals.Environ(), "Procs": runtime.GOMAXPROCS(0),
	})
}
