package cluster

import "golang.org/x/sys/unix"

// affinity is the processors that this process may use, as Place.Cores has them; nil if the system doesn't say, as with more than
// 1,024 processors.
func affinity() []uint64 {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil
	}
	words := make([]uint64, len(set))
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			words[i/64] |= 1 << (i % 64)
		}
	}
	return words
}
