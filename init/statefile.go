package pid1

import (
	"encoding/json"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// startedPID is the process that finite was started as: this one, unless this is a supervisor.
// Where foreign is set, the number is that of another PID namespace, as the numbers of the senders
// of signals are.
var (
	startedPID = unix.Getpid()
	foreign    bool
)

// renderState renders a snapshot as the State of the OCI runtime-spec. Its status is running from
// the start to the end of the command's tree, and stopped then; to create and to start are one step
// here.
func renderState(s *snapshot) []byte {
	state := specs.State{Version: specs.Version, ID: "finite-" + strconv.Itoa(startedPID), Status: specs.StateRunning, Pid: s.result.PID, Bundle: s.dir}
	if s.args == nil { // a pause: it is this process that runs
		state.Pid = unix.Getpid()
	}
	if state.Bundle == "" {
		state.Bundle, _ = os.Getwd()
	}
	if s.state == reportEnded {
		state.Status = specs.StateStopped
		state.Annotations = map[string]string{"finite.cause": string(s.result.Cause.Kind), "finite.exit_status": strconv.Itoa(s.result.ExitStatus)}
	}
	text, err := json.Marshal(state)
	if err != nil { // there is nothing in it that cannot be encoded
		return nil
	}
	return append(text, '\n')
}
