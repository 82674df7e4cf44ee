//go:build !unix

package files

func isMount(string) bool { return false }
