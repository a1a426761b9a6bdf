//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// plain is what the arguments and the environment say, where they are plain: no option but -t,
// --timeout, -k and --grace with plain durations, and no variable of finite's but FINITE_TIMEOUT
// and FINITE_GRACE. Package main has the parser of everything; a test compares the two.
var plain struct {
	start      uintptr // where argv begins
	count      int     // argc
	program    uintptr // argv[0]; 0: there is none
	argv       uintptr // the command's arguments, in the array that the kernel made
	envp       uintptr // the environment
	commandEnv uintptr // and what of it is the command's
	path       uintptr // the value of PATH; 0: there is none
	timeout    int64   // ns; 0: none
	grace      int64   // ns; 0: SIGKILL at once
	kinds      uint64  // namespaces (CLONE_NEW*)
	kindsText  uintptr // as they were named
	planned    bool    // the arguments may be about namespaces, and need Go
	joins      bool    // namespaces may be joined
}

const defaultGrace = 5 * second

// understood says what the arguments are.
type understood int32

const (
	isPlain  understood = iota // the keeper can act on them
	needsGo                    // a supervisor understands them
	needsOld                   // they run no command, or ask for what a keeper does not do
)

// parse reads argc, argv and envp as the kernel lays them out at sp (execve(2)). It changes nothing
// but plain.
//
//go:nosplit
func parse(sp uintptr) understood {
	argc := int(wordAt(sp, 0))
	argv := sp + 8
	plain.start, plain.count = argv, argc
	plain.envp = argv + uintptr(argc+1)*8
	plain.grace = defaultGrace
	plain.program = wordAt(argv, 0)
	plain.kinds, plain.planned, plain.joins = 0, false, false
	switch {
	case argc < 2 || asksForOld(argv):
		return needsOld
	case parsePlain(argc, argv):
		return isPlain
	}
	plain.kinds = 0
	asksForNamespaces(argv)
	return needsGo
}

// asksForNamespaces looks for options and variables about namespaces. An argument of the command's
// that looks like one counts as well: the planner finds out.
//
//go:nosplit
func asksForNamespaces(argv uintptr) {
	for i := 1; wordAt(argv, i) != 0 && !equals(wordAt(argv, i), "--"); i++ {
		joins := hasPrefix(wordAt(argv, i), "--join") != 0
		plain.joins = plain.joins || joins
		plain.planned = plain.planned || joins || hasPrefix(wordAt(argv, i), "--unshare") != 0
	}
	for i := 0; wordAt(plain.envp, i) != 0; i++ {
		name := hasPrefix(wordAt(plain.envp, i), "FINITE_")
		if name == 0 {
			continue
		}
		joins := hasPrefix(name, "JOIN=") != 0
		plain.joins = plain.joins || joins
		plain.planned = plain.planned || joins || hasPrefix(name, "UNSHARE=") != 0
	}
}

// asksForOld looks for the options that run no command. An argument of the command's that looks
// like one counts as well: it does no harm.
//
//go:nosplit
func asksForOld(argv uintptr) bool {
	for i := 1; wordAt(argv, i) != 0; i++ {
		arg := wordAt(argv, i)
		if equals(arg, "--") {
			break
		}
		if hasPrefix(arg, "--inspect") != 0 || hasPrefix(arg, "--help") != 0 ||
			hasPrefix(arg, "--version") != 0 || hasPrefix(arg, "--timeline") != 0 || equals(arg, "-h") {
			return true
		}
	}
	return false
}

// parsePlain reads plain arguments, and returns false for others.
//
//go:nosplit
func parsePlain(argc int, argv uintptr) bool {
	if !parseEnvironment() {
		return false
	}
	i := 1
	for ; i < argc; i++ {
		arg := wordAt(argv, i)
		if byteAt(arg) != '-' {
			break
		}
		if equals(arg, "--") {
			i++
			break
		}
		value, what := optionValue(arg)
		if value == 0 {
			return false
		}
		if byteAt(value) == 0 {
			if i++; i == argc {
				return false
			}
			value = wordAt(argv, i)
		}
		if what == forKinds && !addKinds(value) || what != forKinds && !setDuration(value, what == forGrace) {
			return false
		}
	}
	plain.argv = argv + uintptr(i)*8
	return i < argc
}

// optionValue returns where the value of a plain option is: behind its name, or an empty string
// where the value is the next argument. It returns 0 for what is no plain option.
//
//go:nosplit
func optionValue(arg uintptr) (value uintptr, what valueOf) {
	if value = hasPrefix(arg, "-t"); value != 0 {
		return value, forTimeout
	}
	if value = hasPrefix(arg, "-k"); value != 0 {
		return value, forGrace
	}
	if value = hasPrefix(arg, "--timeout"); value == 0 {
		if value, what = hasPrefix(arg, "--grace"), forGrace; value == 0 {
			value, what = hasPrefix(arg, "--unshare"), forKinds
		}
	}
	switch {
	case value == 0 || byteAt(value) == 0:
		return value, what
	case byteAt(value) != '=' || byteAt(value+1) == 0: // another option, or an empty value
		return 0, what
	}
	return value + 1, what
}

// valueOf is what the value of a plain option is.
type valueOf int32

const (
	forTimeout valueOf = iota
	forGrace
	forKinds
)

// addKinds reads a list of namespaces, once, and returns false for one that takes more than a few
// calls to make, or that is not right.
//
//go:nosplit
func addKinds(list uintptr) bool {
	if plain.kinds != 0 {
		return false
	}
	plain.kindsText = list
	for a := list; ; {
		end := a
		for byteAt(end) != ',' && byteAt(end) != 0 {
			end++
		}
		kind := kindOf(a, end)
		if kind == 0 {
			return false
		}
		plain.kinds |= kind
		if byteAt(end) == 0 {
			return end-list < 128
		}
		a = end + 1
	}
}

//go:nosplit
func kindOf(a, end uintptr) uint64 {
	switch end {
	case hasPrefix(a, "pid"):
		return unix.CLONE_NEWPID
	case hasPrefix(a, "mount"), hasPrefix(a, "mnt"):
		return unix.CLONE_NEWNS
	case hasPrefix(a, "network"), hasPrefix(a, "net"):
		return unix.CLONE_NEWNET
	case hasPrefix(a, "uts"):
		return unix.CLONE_NEWUTS
	case hasPrefix(a, "ipc"):
		return unix.CLONE_NEWIPC
	case hasPrefix(a, "cgroup"):
		return unix.CLONE_NEWCGROUP
	}
	return 0
}

// parseEnvironment reads the variables. An empty one counts as not set. Of several of a name the
// last one counts.
//
//go:nosplit
func parseEnvironment() bool {
	timeout, grace := uintptr(0), uintptr(0)
	for i := 0; wordAt(plain.envp, i) != 0; i++ {
		entry := wordAt(plain.envp, i)
		switch byteAt(entry) {
		case 'P':
			if value := hasPrefix(entry, "PATH="); value != 0 {
				plain.path = value
			}
		case 'F':
			if hasPrefix(entry, "FINITE_") == 0 {
				continue
			}
			if value := hasPrefix(entry, "FINITE_TIMEOUT="); value != 0 {
				timeout = value
			} else if value := hasPrefix(entry, "FINITE_GRACE="); value != 0 {
				grace = value
			} else {
				return false
			}
		}
	}
	return (timeout == 0 || byteAt(timeout) == 0 || setDuration(timeout, false)) &&
		(grace == 0 || byteAt(grace) == 0 || setDuration(grace, true))
}

//go:nosplit
func setDuration(value uintptr, isGrace bool) bool {
	d := duration(value)
	switch {
	case d < 0:
		return false
	case isGrace:
		plain.grace = d
	default:
		plain.timeout = d
	}
	return true
}

// duration reads up to six digits, a fraction of up to three, and a unit: ms, s (or none), m, h or
// d. It returns nanoseconds, or -1 for anything else.
//
//go:nosplit
func duration(a uintptr) int64 {
	whole, digits := int64(0), 0
	for ; byteAt(a) >= '0' && byteAt(a) <= '9'; a++ {
		whole = whole*10 + int64(byteAt(a)-'0')
		digits++
	}
	if digits == 0 || digits > 6 {
		return -1
	}
	thousandths, place := int64(0), int64(100)
	if byteAt(a) == '.' {
		for a++; byteAt(a) >= '0' && byteAt(a) <= '9'; a++ {
			thousandths += int64(byteAt(a)-'0') * place
			place /= 10
		}
		if place == 100 || place == 0 && byteAt(a-4) != '.' {
			return -1
		}
	}
	unit := int64(second)
	switch byteAt(a) {
	case 0:
		a--
	case 's':
	case 'h':
		unit = 3600 * second
	case 'd':
		if unit = 24 * 3600 * second; digits > 5 {
			return -1 // out of range
		}
	case 'm':
		if unit = 60 * second; byteAt(a+1) == 's' {
			unit, a = millisecond, a+1
		}
	default:
		return -1
	}
	if byteAt(a+1) != 0 {
		return -1
	}
	return whole*unit + thousandths*(unit/1000)
}

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
