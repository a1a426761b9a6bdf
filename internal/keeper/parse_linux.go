//go:build amd64 || arm64

package keeper

// plain is what the arguments and the environment say. They are plain where there is no option but
// -t, --timeout, -k, --grace and --unshare with values that value_linux.go reads, and no variable
// of finite's but FINITE_TIMEOUT and FINITE_GRACE. Package main parses the rest; a test compares
// both parsers.
var plain struct {
	start         uintptr // where argv begins
	count         int     // argc
	program       uintptr // argv[0]; 0: there is none
	argv          uintptr // the command's arguments, in the array that the kernel made
	envp          uintptr // the environment
	commandEnv    uintptr // the command's environment: envp, or a copy
	variables     int     // how many variables the copy was made of
	path          uintptr // the value of PATH; 0: there is none
	timeout       int64   // ns; 0: none
	grace         int64   // ns; 0: SIGKILL at once
	namespaces    uint64  // namespaces (CLONE_NEW*)
	namespaceText uintptr // the namespaces as the option names them
	planned       bool    // arguments that are not plain may be about namespaces
	joins         bool    // namespaces may be joined
}

// defaultGrace is the grace time where no option sets one.
const defaultGrace = 5 * second

// understood says what the arguments are.
type understood int32

const (
	isPlain  understood = iota // plain: no supervisor has to parse them
	needsGo                    // a supervisor has to parse them
	needsOld                   // they run no command: the Go runtime starts without a keeper
)

// parse reads argc, argv and envp as the kernel lays them out at sp (execve(2)). It writes to plain
// only.
//
//go:nosplit
func parse(sp uintptr) understood {
	argc := int(wordAt(sp, 0))
	argv := sp + 8
	plain.start, plain.count = argv, argc
	plain.envp = argv + uintptr(argc+1)*8
	plain.grace = defaultGrace
	plain.program = wordAt(argv, 0)
	plain.namespaces, plain.planned, plain.joins = 0, false, false
	switch {
	case argc < 2 || asksForOld(argv):
		return needsOld
	case parsePlain(argc, argv):
		return isPlain
	}
	plain.namespaces = 0
	asksForNamespaces(argv)
	return needsGo
}

// asksForNamespaces looks for options and variables about namespaces. An argument of the command's
// that looks like one counts as well: the planner finds that there is nothing to make.
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
// like one counts as well, which does no harm.
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
		if what == forNamespaces && !addNamespaces(value) ||
			what != forNamespaces && !setDuration(value, what == forGrace) {
			return false
		}
	}
	plain.argv = argv + uintptr(i)*8
	return i < argc
}

// optionValue returns where the value of a plain option is: behind its name, or an empty string
// where the value is the next argument. It returns 0 for any other option.
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
			value, what = hasPrefix(arg, "--unshare"), forNamespaces
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
	forNamespaces
)

// parseEnvironment reads the variables, and returns false where they are not plain. An empty
// variable counts as not set. The last one of a name counts.
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
