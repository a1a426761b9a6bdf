package record

import (
	"encoding/json"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// renderState renders an account as the State of the OCI runtime-spec. Its status is running from
// the start to the end of the command's tree, and stopped then; to create and to start are one step
// here.
func renderState(s *account, self *Self) []byte {
	state := specs.State{
		Version: specs.Version,
		ID:      "finite-" + strconv.Itoa(self.PID),
		Status:  specs.StateRunning,
		Pid:     s.result.PID,
		Bundle:  s.dir,
	}
	if s.args == nil { // a pause: it is this process that runs
		state.Pid = unix.Getpid()
	}
	if state.Bundle == "" {
		state.Bundle, _ = os.Getwd()
	}
	if s.state == ReportEnded {
		state.Status = specs.StateStopped
		state.Annotations = map[string]string{
			"finite.cause":       string(s.result.Cause.Kind),
			"finite.exit_status": strconv.Itoa(s.result.ExitStatus),
		}
	}
	text, err := json.Marshal(state)
	if err != nil { // there is nothing in it that cannot be encoded
		return nil
	}
	return append(text, '\n')
}
