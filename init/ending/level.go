package ending

// Level says how much a note matters. Warnings are shown by default, so they are for what is
// abnormal.
type Level uint8

// The levels.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)
