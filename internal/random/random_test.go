package random

import (
	"slices"
	"testing"
)

// TestShuffleHead checks that the head, and the state of the stream afterwards, are those of Shuffle.
func TestShuffleHead(t *testing.T) {
	for size := range 40 {
		for head := range size + 2 {
			want, got := make([]int, size), make([]int, size)
			for i := range size {
				want[i], got[i] = i, i
			}
			s := New(7, uint64(size))
			r := s
			s.Shuffle(size, func(i, j int) { want[i], want[j] = want[j], want[i] })
			ShuffleHead(&r, got, head)
			if n := min(head, size); !slices.Equal(got[:n], want[:n]) || r != s {
				t.Fatalf("the first %d of %d: %v, want %v; the streams %#x and %#x", n, size, got[:n], want[:n], r, s)
			}
		}
	}
}
