package main

import (
	"testing"

	"github.com/go-bert/bert/data"
)

// TestDemoReviews: as many of each label, in both parts; none twice; and the parts and the sentences have nothing in
// common that could be learned by heart.
func TestDemoReviews(t *testing.T) {
	training, held, err := demoReviews()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, text := range sentences {
		seen[text] = true
	}
	for _, part := range []struct {
		examples []data.Example
		each     int
	}{{training, 200}, {held, 40}} {
		counts := map[string]int{}
		for _, e := range part.examples {
			counts[e.Label]++
			if seen[e.Text] {
				t.Errorf("twice: %s", e.Text)
			}
			seen[e.Text] = true
		}
		if len(counts) != 2 || counts["positive"] != part.each || counts["negative"] != part.each {
			t.Errorf("%v, want %d of each label", counts, part.each)
		}
	}
}
