package hostile

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// Rounds that have found faults of finite find none any more. A seed is another round when the
// table of attacks changes, so testdata/found.json has the rounds themselves.
func TestFoundRounds(t *testing.T) {
	needRoot(t)
	text, err := os.ReadFile("testdata/found.json")
	if err != nil {
		t.Fatal(err)
	}
	var found []struct {
		Fault string
		Round *round
	}
	if err := json.Unmarshal(text, &found); err != nil || len(found) == 0 {
		t.Fatalf("%d rounds: %v", len(found), err)
	}
	canaries := testkit.KeepCanaries(t)
	var sum summary
	for _, f := range found {
		t.Run(f.Fault, func(t *testing.T) {
			play(t, f.Round, &sum, canaries)
		})
	}
	fmt.Printf("hostile: rounds that have found something\n%v", &sum)
}
