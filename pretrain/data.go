package pretrain

import (
	"fmt"
	"math"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/random"
)

// Data gives the instances of a Source to package train. It serves one goroutine at a time.
type Data struct {
	source       Source
	nextSentence bool
	instance     Instance
}

// NewData makes data for a head: PreTraining needs pairs of segments, MaskedLM takes any.
func NewData(s Source, head bert.Head) (*Data, error) {
	switch head {
	case bert.PreTraining, bert.MaskedLM:
		return &Data{source: s, nextSentence: head == bert.PreTraining}, nil
	}
	return nil, fmt.Errorf("a %v is not pre-trained: want a %v or a %v", head, bert.PreTraining, bert.MaskedLM)
}

// Len is the number of instances.
func (d *Data) Len() int { return d.source.Len() }

// Length is the number of tokens of instance i.
func (d *Data) Length(i int) int { return d.source.Length(i) }

// Append adds instance i as it is in epoch 0.
func (d *Data) Append(b *bert.Batch, i int) error { return d.AppendEpoch(b, i, 0) }

// AppendEpoch adds instance i as it is masked in an epoch, with its labels.
func (d *Data) AppendEpoch(b *bert.Batch, i, epoch int) error {
	in := &d.instance
	if err := d.source.Instance(i, epoch, in); err != nil {
		return err
	}
	switch {
	case len(in.Positions) != len(in.MaskedIDs):
		return fmt.Errorf("%d masked positions, but %d ids for them", len(in.Positions), len(in.MaskedIDs))
	case d.nextSentence && in.Next == NotPaired:
		return fmt.Errorf("there is no second segment to predict: a %v learns from pairs", bert.PreTraining)
	}
	first := b.Tokens()
	if first > math.MaxInt32-len(in.IDs) {
		return fmt.Errorf("the batch has %d tokens already, which is too many", first)
	}
	for _, p := range in.Positions {
		if p < 0 || int(p) >= len(in.IDs) {
			return fmt.Errorf("masked position %d is none of its %d tokens", p, len(in.IDs))
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

// part is some of a source's instances.
type part struct {
	Source
	indices []int32
}

func (p part) Len() int         { return len(p.indices) }
func (p part) Length(i int) int { return p.Source.Length(int(p.indices[i])) }
func (p part) Instance(i, epoch int, to *Instance) error {
	return p.Source.Instance(int(p.indices[i]), epoch, to)
}

// Split takes about a share of the instances out of a source, at random. Which ones depends on the seed alone. Where
// documents were gone through more than once (dupe_factor), the same sentences stand in both parts: hold out documents
// instead, in a set of their own, if it matters.
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
		return nil, nil, fmt.Errorf("a share of %v of %d instances leaves one side with none", share, s.Len())
	}
	return part{s, in}, part{s, out}, nil
}

// Spread is n instances of a source at equal distances, or all of them if there are no more.
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
