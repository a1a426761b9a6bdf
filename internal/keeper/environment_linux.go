//go:build amd64 || arm64

package keeper

// copyEnvironment gives the command an environment of its own, from which finite's variables can be
// dropped. A supervisor that is started later still finds them where they were.
//
//go:nosplit
func copyEnvironment() bool {
	if plain.commandEnv != plain.envp {
		return true
	}
	room, n := makeArray(plain.envp, 1)
	if room == 0 {
		return false
	}
	for i := range n {
		setWord(room, i, wordAt(plain.envp, i))
	}
	plain.commandEnv = room
	return true
}

const dropped = 1 // in the place of a variable

// dropVariable takes a variable out of the command's environment: a finite further down does not
// inherit a deadline.
//
//go:nosplit
func dropVariable(i int) {
	if copyEnvironment() {
		setWord(plain.commandEnv, i, dropped)
	}
}

// dropPlain drops the variables that parse has understood.
//
//go:nosplit
func dropPlain() {
	plain.commandEnv = plain.envp
	for i := 0; wordAt(plain.envp, i) != 0; i++ {
		if byteAt(wordAt(plain.envp, i)) == 'F' && hasPrefix(wordAt(plain.envp, i), "FINITE_") != 0 {
			dropVariable(i)
		}
	}
}

// closeEnvironment moves what is left together.
//
//go:nosplit
func closeEnvironment() {
	if plain.commandEnv == plain.envp {
		return
	}
	n := 0
	for i := 0; wordAt(plain.envp, i) != 0; i++ {
		if entry := wordAt(plain.commandEnv, i); entry != dropped {
			setWord(plain.commandEnv, n, entry)
			n++
		}
	}
	setWord(plain.commandEnv, n, 0)
}
