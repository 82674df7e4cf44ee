package task

import (
	"errors"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// encodeLong calls add with the sequences of a text or a pair of texts: Spec.Long says which a long one has.
func (f *featurizer) encodeLong(in *data.Input, e *tokenizer.Encoding, add func(*tokenizer.Encoding)) error {
	long := TruncateLong
	if in.IDs == nil {
		long = f.spec.Long
	}
	switch long {
	case Windows:
		return f.encodeWindows(in, e, add)
	case HeadTail:
		if err := f.encodeHeadTail(in, e); err != nil {
			return err
		}
	default:
		if err := f.encode(e, in); err != nil {
			return err
		}
	}
	add(e)
	return nil
}

func (f *featurizer) encodeWindows(in *data.Input, e *tokenizer.Encoding, add func(*tokenizer.Encoding)) error {
	own := *f
	own.options.Overflow = true
	own.options.Stride = 0
	// Windows overlap by the room of a window less a step. A second text, which every window repeats, takes part of the room.
	room := f.options.MaxLength - 2
	if in.TextPair != "" {
		if f.options.Truncation == tokenizer.LongestFirst {
			return errors.New("windows of a pair of texts need to know which text is long: want truncation only_first or only_second")
		}
		repeated := in.TextPair
		if f.options.Truncation == tokenizer.OnlySecond {
			repeated = in.Text
		}
		if err := f.tokenizer.Encode(e, repeated, tokenizer.Options{OmitSpecialTokens: true}); err != nil {
			return err
		}
		room -= e.Len() + 1
	}
	own.options.Stride = max(0, room-f.spec.step())
	if err := own.encode(e, in); err != nil {
		return err
	}
	addWindows(e, 0, add)
	return nil
}

// addWindows calls add with the windows of a text. None counts the tokens of the other windows as dropped; dropped is the number of
// tokens in no window, which the first counts.
func addWindows(e *tokenizer.Encoding, dropped int, add func(*tokenizer.Encoding)) {
	e.Truncated = dropped
	add(e)
	for i := range e.Overflowing {
		e.Overflowing[i].Truncated = 0
		add(&e.Overflowing[i])
	}
}

// headShare is the share of a long text's room that its beginning gets.
const headShare = 128.0 / 510

func (f *featurizer) encodeHeadTail(in *data.Input, e *tokenizer.Encoding) error {
	if err := f.encode(e, in); err != nil || e.Truncated == 0 {
		return err
	}
	// The truncation decides how many tokens each text keeps.
	var keep [2]int
	for _, s := range e.SequenceIDs {
		if s >= 0 {
			keep[s]++
		}
	}
	dropped := e.Truncated
	whole := *f
	whole.options = tokenizer.Options{}
	if err := whole.encode(e, in); err != nil {
		return err
	}
	var all, seen [2]int
	for _, s := range e.SequenceIDs {
		if s >= 0 {
			all[s]++
		}
	}
	to := 0
	for from, s := range e.SequenceIDs {
		if s >= 0 {
			at := seen[s]
			seen[s]++
			if head := int(headShare * float64(keep[s])); at >= head && at < all[s]-(keep[s]-head) {
				continue
			}
		}
		e.IDs[to], e.TypeIDs[to], e.Offsets[to] = e.IDs[from], e.TypeIDs[from], e.Offsets[from]
		e.SpecialTokensMask[to], e.SequenceIDs[to], e.WordIDs[to] = e.SpecialTokensMask[from], s, e.WordIDs[from]
		to++
	}
	e.IDs, e.TypeIDs, e.Offsets = e.IDs[:to], e.TypeIDs[:to], e.Offsets[:to]
	e.SpecialTokensMask, e.SequenceIDs, e.WordIDs = e.SpecialTokensMask[:to], e.SequenceIDs[:to], e.WordIDs[:to]
	e.Truncated = dropped
	return nil
}
