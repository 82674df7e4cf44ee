package task

import "github.com/go-bert/bert/data"

// prepared is an input with its sequences, or with what is known of them.
type prepared struct {
	input     data.Input
	sequences []sequence

	// Of prepareMany.
	long    bool // there are too many sequences to hold
	count   int  // of sequences
	tokens  int  // of all of them
	dropped int  // tokens of the input that its sequences are without: the most that one is without
}

func (p *prepared) weight() int {
	if p.long {
		return p.tokens
	}
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
