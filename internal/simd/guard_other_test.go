//go:build !linux

package simd

import "testing"

// guarded has no protected pages here; the canaries alone watch.
func guarded(_ testing.TB, n int) []float32 { return make([]float32, n) }
