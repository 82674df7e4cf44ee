//go:build !linux

package cluster

// affinity is nil: there are no groups on other systems.
func affinity() []uint64 { return nil }
