// Command entered is linked with the entry point of package signals, and says what it knows about its start. With an argument it catches
// nothing, says that it is there and waits.
package main

import (
	"encoding/json"
	"os"

	"github.com/finite-init/finite/signals"
)

func main() {
	if len(os.Args) > 1 {
		os.Stdout.WriteString(".")
		select {}
	}
	source := signals.Listen()
	start, _ := signals.AtStart()
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"Source": source.Name(), "Mask": start.Mask, "Ignored": start.Ignored, "Files": start.Files,
		"Env": signals.Environ(),
	})
}
