//go:build amd64 || arm64

package spawn

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// A range that is granted is one that there can be, and every ID in it has one place in the map.
func FuzzSubordinate(f *testing.F) {
	f.Add([]byte("root:100000:65536\n1000:200000:65536\n"), uint32(1000), true)
	f.Add([]byte("1000:-1:5\n1000:5:0\n1000:x:y\n1000:1:1:1\n1000:+7:3\n"), uint32(1000), false)
	f.Add([]byte("7:4294967295:9223372036854775807\n7:9223372036854775807:2\n7:100:10\n"), uint32(7), true)
	f.Add([]byte(":1:1\n\x00:2:2\n0:3:3"), uint32(0), false)
	f.Fuzz(func(t *testing.T, text []byte, uid uint32, root bool) {
		file := filepath.Join(t.TempDir(), "subuid")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		start, count := subordinate(file, int(uid))
		if start == 0 && count == 0 {
			return
		}
		if start <= 0 || count <= 0 || start+count-1 >= math.MaxUint32 || start+count < start {
			t.Fatalf("%q grants %d IDs from %d", text, count, start)
		}
		if !bytes.Contains(text, fmt.Appendf(nil, ":%d", count)) && !bytes.Contains(text, []byte(":0")) {
			t.Fatalf("%q grants %d IDs", text, count)
		}
		words := idMap(root, int(uid), start, count)
		total := 0
		for i := 0; i+2 < len(words); i += 3 {
			inside, err1 := strconv.ParseUint(words[i], 10, 33)
			outside, err2 := strconv.ParseUint(words[i+1], 10, 33)
			length, err3 := strconv.ParseUint(words[i+2], 10, 33)
			if errors.Join(err1, err2, err3) != nil || length == 0 || outside+length > 1<<32 || inside > 1<<33 {
				t.Fatalf("%d IDs from %d: %q", count, start, words)
			}
			total += int(length)
		}
		if len(words)%3 != 0 || total != count+1 {
			t.Fatalf("%d IDs from %d: %q", count, start, words)
		}
	})
}
