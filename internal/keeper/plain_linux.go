//go:build amd64 || arm64

package keeper

import (
	"runtime"
	"time"
	"unsafe"
)

// Understood is what the parser without a runtime makes of plain arguments.
type Understood struct {
	Command        []string
	Timeout, Grace time.Duration
	Namespaces     uint64 // CLONE_NEW*
}

// Plain says what that parser makes of arguments and environment, and whether they are plain. A
// test compares it with the parser of all arguments.
func Plain(args, env []string) (u Understood, ok bool) {
	var text [][]byte
	block := []uintptr{uintptr(len(args))}
	add := func(list []string) {
		for _, s := range list {
			b := append([]byte(s), 0)
			text = append(text, b)
			block = append(block, uintptr(unsafe.Pointer(&b[0])))
		}
		block = append(block, 0)
	}
	add(args)
	add(env)
	before := plain
	defer func() { plain = before }()
	plain.timeout = 0
	ok = parse(uintptr(unsafe.Pointer(&block[0]))) == isPlain
	if ok {
		command := args[int(plain.argv-plain.start)/8:]
		u = Understood{command, time.Duration(plain.timeout), time.Duration(plain.grace), plain.namespaces}
	}
	runtime.KeepAlive(text)
	runtime.KeepAlive(block)
	return u, ok
}
