package pid1

// cleanup is what is to be done at the end, the last thing first.
type cleanup []func()

func (c *cleanup) add(f func()) { *c = append(*c, f) }

func (c *cleanup) run() {
	for i := len(*c) - 1; i >= 0; i-- {
		(*c)[i]()
	}
	*c = nil
}

// drop forgets everything: what was made has another owner now.
func (c *cleanup) drop() { *c = nil }
