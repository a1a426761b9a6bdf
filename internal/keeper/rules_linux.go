//go:build amd64 || arm64

package keeper

// rules are what signals are passed on as. Without a supervisor's word each is passed on as it is,
// where the arguments are plain, and left to the supervisor, where they are not.
var rules struct {
	given   bool
	group   bool // to the command's process group
	tellAll bool // the supervisor is told of each

	eachChild bool // and of each child that is reaped
	table     [64]uint8
}

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

// mayAskForEnd reports whether a signal, or what it is passed on as, is one that asks for an end.
//
//go:nosplit
func mayAskForEnd(number int32) bool {
	return inSet(endSet, number) || inSet(endSet, int32(ruleFor(number)))
}

// takeRules takes what signals are to be passed on as, and tells the front.
//
//go:nosplit
func takeRules(m *Message) {
	rules.given, rules.group, rules.tellAll, rules.table = true, m.Count != 0, m.Value != 0, m.Table
	if toFront >= 0 {
		send(toFront, kindRules, -1)
	}
}
