package task

import (
	"encoding/binary"

	"github.com/go-bert/bert/data"
)

// Prepared is an input as the model of a Runner reads it: see [Runner.Prepare]. It isn't changed by being answered.
type Prepared struct {
	prepared
	by    *engine
	byIDs bool
}

// Tokens is the number of tokens that the model reads: of all sequences, [CLS] and [SEP] included.
func (p *Prepared) Tokens() int {
	if p.sequences == nil {
		return p.tokens
	}
	n := 0
	for i := range p.sequences {
		n += len(p.sequences[i].ids)
	}
	return n
}

// Sequences is the number of sequences: one, or those of windows, choices, hypotheses or texts to compare.
func (p *Prepared) Sequences() int { return max(p.count, len(p.sequences)) }

// Longest is the number of tokens of the longest sequence that is held.
func (p *Prepared) Longest() int {
	n := 0
	for i := range p.sequences {
		n = max(n, len(p.sequences[i].ids))
	}
	return n
}

// DroppedTokens is the number of tokens of the input that the model doesn't get to read, as in the answer.
func (p *Prepared) DroppedTokens() int {
	if p.count > 0 {
		return p.dropped
	}
	n := 0
	for i := range p.sequences {
		n += p.sequences[i].dropped
	}
	return n
}

// Cost is the input's share of Options.Tokens: its tokens, and what needs memory beside.
func (p *Prepared) Cost() int { return p.weight() }

// AppendKey appends to b what the answer depends on beside the Runner: inputs with the same key have the same answer. ok is false of
// an input that has too many sequences to hold, which has no key.
func (p *Prepared) AppendKey(b []byte) (key []byte, ok bool) {
	if p.long {
		return b, false
	}
	number := func(n int) { b = binary.AppendUvarint(b, uint64(n)) }
	number(len(p.sequences))
	for i := range p.sequences {
		s := &p.sequences[i]
		number(s.dropped)
		number(len(s.ids))
		for _, id := range s.ids {
			number(int(id))
		}
		for _, id := range s.typeIDs {
			number(int(id))
		}
	}
	in := &p.input
	number(len(in.IDs)) // a prompt has no part in them
	if p.byIDs {
		return b, true
	}
	text := func(s string) {
		number(len(s))
		b = append(b, s...)
	}
	text(in.Text)
	text(in.TextPair)
	text(in.Target)
	for _, list := range [][]string{in.Words, in.Choices} {
		number(len(list))
		for _, s := range list {
			text(s)
		}
	}
	return b, true
}

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
