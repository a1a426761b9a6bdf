// Package usage has the error of a field that cannot be used as it is.
package usage

import (
	"fmt"
)

// Error says which field of a configuration cannot be used. Why names other fields as Config.Name.
type Error struct {
	Field string
	Value any
	Why   string
}

func (e *Error) Error() string { return fmt.Sprintf("%s %v: %s", e.Field, e.Value, e.Why) }
