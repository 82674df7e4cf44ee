package pretrain

import (
	"fmt"
	"math"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/random"
)

// Data supplies the instances of a Source to package train. It is not safe for concurrent use.
type Data struct {
	source       Source
	nextSentence bool
	instance     Instance
}

// NewData returns data for a head. PreTraining needs pairs of segments, MaskedLM accepts any instances.
func NewData(s Source, head bert.Head) (*Data, error) {
	switch head {
	case bert.PreTraining, bert.MaskedLM:
		return &Data{source: s, nextSentence: head == bert.PreTraining}, nil
	}
	return nil, fmt.Errorf("a %v can't be pre-trained: want a %v or a %v", head, bert.PreTraining, bert.MaskedLM)
}

// Len returns the number of instances.
func (d *Data) Len() int { return d.source.Len() }

// Length returns the number of tokens of instance i.
func (d *Data) Length(i int) int { return d.source.Length(i) }

// Append adds instance i, masked for epoch 0.
func (d *Data) Append(b *bert.Batch, i int) error { return d.AppendEpoch(b, i, 0) }

// AppendEpoch adds instance i, masked for an epoch, with its labels.
func (d *Data) AppendEpoch(b *bert.Batch, i, epoch int) error {
	in := &d.instance
	if err := d.source.Instance(i, epoch, in); err != nil {
		return err
	}
	switch {
	case len(in.Positions) != len(in.MaskedIDs):
		return fmt.Errorf("%d masked positions, but %d ids for them", len(in.Positions), len(in.MaskedIDs))
	case d.nextSentence && in.Next == NotPaired:
		return fmt.Errorf("there is no second segment: a %v needs pairs", bert.PreTraining)
	}
	first := b.Tokens()
	if first > math.MaxInt32-len(in.IDs) {
		return fmt.Errorf("the batch already has %d tokens, which is too many", first)
	}
	for _, p := range in.Positions {
		if p < 0 || int(p) >= len(in.IDs) {
			return fmt.Errorf("masked position %d is not one of its %d tokens", p, len(in.IDs))
		}
	}
	b.Add(in.IDs, in.TypeIDs)
	for _, p := range in.Positions {
		b.MaskedPositions = append(b.MaskedPositions, int32(first)+p)
	}
	b.MaskedIDs = append(b.MaskedIDs, in.MaskedIDs...)
	if d.nextSentence {
		b.NextSentence = append(b.NextSentence, int32(in.Next))
	}
	return nil
}

// A part is a subset of a source's instances.
type part struct {
	Source
	indices []int32
}

func (p part) Len() int         { return len(p.indices) }
func (p part) Length(i int) int { return p.Source.Length(int(p.indices[i])) }
func (p part) Instance(i, epoch int, to *Instance) error {
	return p.Source.Instance(int(p.indices[i]), epoch, to)
}

// Split holds out about a share of a source's instances, chosen at random. The choice depends only on the seed. If documents were
// used more than once (dupe_factor), the same sentences are in both parts. If that matters, hold out documents instead, in
// a set of their own.
func Split(s Source, share float64, seed uint64) (rest, held Source, err error) {
	if !(share > 0 && share < 1) {
		return nil, nil, fmt.Errorf("the share to hold out is %v, want more than 0 and less than 1", share)
	}
	if s.Len() > math.MaxInt32 {
		return nil, nil, fmt.Errorf("there are %d instances, want at most %d", s.Len(), math.MaxInt32)
	}
	var in, out []int32
	for i := range s.Len() {
		if draw := random.New(seed, forHolding, uint64(i)); draw.Float64() < share {
			out = append(out, int32(i))
		} else {
			in = append(in, int32(i))
		}
	}
	if len(in) == 0 || len(out) == 0 {
		return nil, nil, fmt.Errorf("holding out a share of %v of %d instances leaves one part empty", share, s.Len())
	}
	return part{s, in}, part{s, out}, nil
}

// Spread returns n instances of a source at equal distances, or all if there are at most n.
func Spread(s Source, n int) Source {
	if n >= s.Len() {
		return s
	}
	indices := make([]int32, n)
	for i := range indices {
		indices[i] = int32(int64(i) * int64(s.Len()) / int64(n))
	}
	return part{s, indices}
}
