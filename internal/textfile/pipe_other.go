//go:build !unix

package textfile

// wakeReader reports that an open of a pipe can't be ended.
func wakeReader(string) bool { return false }
