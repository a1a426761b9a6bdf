package inspect_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/finite-init/finite/nsutil/inspect"
)

// A process says why it has not ended: here the one that has started this one.
func ExampleInspect() {
	found, err := inspect.Inspect(os.Getppid())
	if err != nil {
		fmt.Println(err)
		return
	}
	text := found.Text(inspect.Style{Width: 200})
	fmt.Println(strings.Contains(text, "WHY IT HAS NOT ENDED"))
	// Output: true
}
