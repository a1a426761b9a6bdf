//go:build amd64 || arm64

package keeper

import "unsafe"

// Add appends a call to a plan, in a planner. It returns the number of the call. A plan has room
// for 192 calls. One more panics.
func (p *Plan) Add(kind int64, words uint64, number uintptr, args ...uintptr) int {
	n := int(p.Count)
	c := &p.Calls[n]
	c.Number, c.Kind, c.Words = uint64(number), kind, words
	for i, a := range args {
		c.Args[i] = uint64(a)
	}
	p.Count++
	return n
}

// StoreIn has the result of one call become the first argument of another, which need not have been
// added yet.
func (p *Plan) StoreIn(from, to int) {
	p.Calls[from].Store = uint64(uintptr(unsafe.Pointer(&p.Calls[to].Args)))
}

// Text puts a C string into a plan and returns its address. A plan has room for 16 KiB. One byte
// more panics.
func (p *Plan) Text(s string) uintptr { return p.Bytes(append([]byte(s), 0)) }

// Bytes puts bytes into a plan, as Text does. Their address is a multiple of 8.
func (p *Plan) Bytes(b []byte) uintptr {
	p.used = (p.used + 7) &^ 7
	room := p.text[p.used:]
	if len(b) > len(room) {
		panic("no room in the plan")
	}
	copy(room, b)
	p.used += uint32(len(b))
	return uintptr(unsafe.Pointer(&room[0]))
}
