//go:build !unix

package testbound

import "testing"

// Pipe skips the test: this system has no named pipes.
func Pipe(t testing.TB, dir, name string) string {
	t.Helper()
	t.Skip("no named pipes on this system")
	return ""
}
