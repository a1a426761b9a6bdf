//go:build amd64 || arm64

package keeper

// copyEnvironment gives the command an environment of its own, from which finite's variables can be
// dropped. Supervisors read the environment of the start. copyEnvironment returns false where there
// is no memory.
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
	plain.commandEnv, plain.variables = room, n
	return true
}

// dropped is in the place of a variable that the command does not get.
const dropped = 1 // in the place of a variable

// dropVariable takes the i-th variable out of the command's environment, if there are so many. So a
// finite that the command executes inherits no deadline.
//
//go:nosplit
func dropVariable(i int) {
	if i >= 0 && copyEnvironment() && i < plain.variables {
		setWord(plain.commandEnv, i, dropped)
	}
}

// dropPlain drops finite's variables, where the arguments are plain.
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

// closeEnvironment closes the gaps that dropped variables leave.
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
