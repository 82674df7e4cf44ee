package task

import (
	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
)

// prepared is an input with its sequences.
type prepared struct {
	input     data.Input
	sequences []sequence
}

func (p prepared) weight() int {
	n := 0
	for _, s := range p.sequences {
		n += s.cost
	}
	return n
}

// flatten lists the sequences of all inputs.
func flatten(inputs []prepared) []sequence {
	s := make([]sequence, 0, len(inputs))
	for i := range inputs {
		s = append(s, inputs[i].sequences...)
	}
	return s
}

// itemised is sequences in items: each one of its own, or the choices of an input together.
type itemised struct {
	sequences
	starts []int // of each item in the sequences, and the end
}

// newItemised makes an item of each sequence or, with together, of those of each input.
func newItemised(inputs []prepared, together bool) *itemised {
	t := &itemised{starts: []int{0}}
	for i := range inputs {
		before := len(t.sequences)
		t.sequences = append(t.sequences, inputs[i].sequences...)
		if together {
			before = len(t.sequences) - 1
		}
		for s := before; s < len(t.sequences); s++ {
			t.starts = append(t.starts, s+1)
		}
	}
	return t
}

func (t *itemised) Len() int { return len(t.starts) - 1 }

func (t *itemised) Sequences(i int) int { return t.starts[i+1] - t.starts[i] }

func (t *itemised) Length(i int) int {
	return prepared{sequences: t.sequences[t.starts[i]:t.starts[i+1]]}.weight()
}

func (t *itemised) Append(b *bert.Batch, i int) error {
	for s := t.starts[i]; s < t.starts[i+1]; s++ {
		if err := t.sequences.Append(b, s); err != nil {
			return err
		}
	}
	return nil
}
