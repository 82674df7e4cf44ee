//go:build !linux

package bench

// Pages is the memory of a process in bytes. Proportional divides each shared page by the number of processes that share it.
type Pages struct{ Resident, Proportional int64 }

// PagesOf returns false: the memory of other processes is unknown on this system.
func PagesOf(int) (p Pages, known bool) { return p, false }
