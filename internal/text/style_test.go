package text

import (
	"os"
	"strings"
	"testing"
)

func TestStyleFor(t *testing.T) {
	pipe, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	for env, want := range map[string]Style{
		"":                            {},
		"LANG=en_US.UTF-8":            {Unicode: true},
		"LANG=C":                      {},
		"LC_ALL=C LANG=C.UTF-8":       {},
		"LC_ALL= LC_CTYPE=de_DE.utf8": {Unicode: true},
	} {
		getenv := func(name string) string {
			for kv := range strings.FieldsSeq(env) {
				if k, v, _ := strings.Cut(kv, "="); k == name {
					return v
				}
			}
			return ""
		}
		if got := StyleFor(int(pipe.Fd()), getenv); got != want {
			t.Errorf("%s: got %+v, want %+v", env, got, want)
		}
	}
}
