//go:build !linux

package bench

// Pages are the bytes of memory that a process has: all that is resident, and that with each page that several processes
// have divided by their number.
type Pages struct{ Resident, Proportional int64 }

// PagesOf knows nothing here.
func PagesOf(int) (p Pages, known bool) { return p, false }
