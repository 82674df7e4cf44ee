// Package lazyregexp compiles regular expressions when they are first used. Compiled when a program starts, those of all packages
// would take a noticeable part of a short command's time.
package lazyregexp

import (
	"regexp"
	"sync"
)

// New returns a function that returns the compiled expression. It is safe for concurrent use, and panics on its first call if the
// expression is invalid.
func New(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
