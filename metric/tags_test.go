package metric

import (
	"slices"
	"strings"
	"testing"
)

func TestTagSet(t *testing.T) {
	for _, c := range []struct {
		labels, types string
		whole         bool
		iob2          string
	}{
		{"I-X E-X S-Y O B-X", "X Y", false, "B-X I-X B-Y O B-X"},
		{"B I O I", "", false, "B I O B"},
		{"NN O VB", "NN VB", true, "B-NN O B-VB"},
		{"B-A-B I-A-B", "A-B", false, "B-A-B I-A-B"},
	} {
		labels := strings.Fields(c.labels)
		s := NewTagSet(labels)
		if strings.Join(s.Types, " ") != c.types || s.Whole != c.whole {
			t.Errorf("%s: types %q, whole %v; want %q, %v", c.labels, s.Types, s.Whole, c.types, c.whole)
		}
		for _, label := range labels {
			if !s.Known(label) {
				t.Errorf("%s: %s isn't known", c.labels, label)
			}
		}
		if s.IOB2(labels); !slices.Equal(labels, strings.Fields(c.iob2)) {
			t.Errorf("%s: %q, want %s", c.labels, labels, c.iob2)
		}
	}
	s := NewTagSet([]string{"B-X", "O"})
	if s.Known("B-Y") || s.Known("X") || s.Tag("B-Y") != (Tag{}) {
		t.Error("labels of no type of the set are known")
	}
}
