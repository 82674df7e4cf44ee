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
	if f.isPair(in) {
		if f.options.Truncation == tokenizer.LongestFirst {
			return errors.New("windows of a pair of texts need to know which text is long: want truncation only_first or only_second")
		}
		repeated := in.TextPair
		if f.options.Truncation == tokenizer.OnlySecond {
			repeated = in.Text
		}
		if len(repeated) > f.longBytes {
			// It leaves no room, as the tokenizer says of its beginning too.
			begin, err := f.shorten(repeated, f.options.MaxLength+1, false)
			if err != nil {
				return err
			}
			cut := *in
			if repeated = begin.text; f.options.Truncation == tokenizer.OnlySecond {
				cut.Text = repeated
			} else {
				cut.TextPair = repeated
			}
			in = &cut
		}
		if err := f.tokenizer.Encode(e, repeated, tokenizer.Options{OmitSpecialTokens: true}); err != nil {
			return err
		}
		room -= e.Len() + 1
	}
	own.options.Stride = max(0, room-f.spec.step())
	o := own.options
	if !f.isPair(in) && o.Truncation == tokenizer.LongestFirst {
		o.Truncation = tokenizer.OnlyFirst // the same
	}
	refused := in.Words != nil || in.Choices != nil || in.TypeIDs != nil || o.Truncation == tokenizer.DoNotTruncate ||
		!f.isPair(in) && o.Truncation == tokenizer.OnlySecond
	if !refused { // by encode
		if done, err := f.longWindows(in, o, 0, add); done || err != nil {
			return err
		}
	}
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
	in, cut, err := f.middle(in)
	if err != nil {
		return err
	}
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
	dropped := e.Truncated + cut
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

// middle is an input without the middle of its long texts, of which encodeHeadTail keeps nothing, and the number of tokens that it is
// without.
func (f *featurizer) middle(in *data.Input) (*data.Input, int, error) {
	if len(in.Text) <= f.longBytes && len(in.TextPair) <= f.longBytes || f.options.MaxLength <= 0 {
		return in, 0, nil
	}
	most := f.options.MaxLength + 1
	type ends struct {
		text string
		all  int
		kept int
	}
	cut := func(text string, most int) (ends, error) {
		head, err := f.shorten(text, most, false)
		if err != nil {
			return ends{}, err
		}
		tail, err := f.shorten(text, most, true)
		if err != nil || len(head.text)+len(tail.text) >= len(text) {
			return ends{text, head.all, head.all}, err
		}
		// A blank keeps the two apart. A token that goes across is in neither what is kept of the beginning nor of the end.
		text = head.text + " " + tail.text
		ids, err := f.tokenizer.AppendIDs(nil, text)
		return ends{text, head.all, len(ids)}, err
	}
	a, err := cut(in.Text, most)
	if err != nil {
		return nil, 0, err
	}
	b, err := cut(in.TextPair, most)
	if err != nil {
		return nil, 0, err
	}
	// Which text is longer matters to the truncation of a pair.
	switch {
	case a.all > b.all && a.kept <= b.kept:
		a, err = cut(in.Text, b.kept+1)
	case a.all <= b.all && a.kept > b.kept:
		b, err = cut(in.TextPair, a.kept)
	}
	out := *in
	out.Text, out.TextPair = a.text, b.text
	return &out, a.all - a.kept + b.all - b.kept, err
}
