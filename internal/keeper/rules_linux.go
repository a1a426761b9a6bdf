//go:build amd64 || arm64

package keeper

// rules are what signals are passed on as. table[n-1] is the number that signal n is passed on
// under, RuleAsk or RuleDrop. Until a supervisor gives rules, each signal is passed on under its
// own number where the arguments are plain, and left to a supervisor where they are not.
var rules struct {
	given   bool
	group   bool // signals go to the command's process group
	tellAll bool // the supervisor is told of each signal

	eachChild bool // the supervisor is told of each child before it is reaped
	table     [64]uint8
}

// ruleFor is the rule for a signal.
//
//go:nosplit
func ruleFor(number int32) uint8 {
	switch {
	case number < 1 || number > 64:
		return RuleDrop
	case rules.given:
		return *(*uint8)(pointer(addr(&rules.table) + uintptr(number-1)))
	case facts.Plain:
		return uint8(number)
	}
	return RuleAsk
}

// mayAskForEnd reports whether a signal is a stop signal, or is passed on as one.
//
//go:nosplit
func mayAskForEnd(number int32) bool {
	return inSet(endSet, number) || inSet(endSet, int32(ruleFor(number)))
}

// takeRules takes the rules from a message, and tells the front.
//
//go:nosplit
func takeRules(m *Message) {
	rules.given, rules.group, rules.tellAll, rules.table = true, m.Count != 0, m.Value != 0, m.Table
	if toFront >= 0 {
		send(toFront, kindRules, -1)
	}
}
