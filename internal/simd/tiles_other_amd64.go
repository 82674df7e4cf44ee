//go:build !linux && !purego

package simd

// tilesPermitted is false: how to ask is not known here.
func tilesPermitted() bool { return false }
