package task

import (
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/tokenizer"
)

// This file keeps what a long text takes in proportion: a tokenizer.Encoding has 41 bytes for each token of a text, of which
// truncation leaves a few hundred.

const (
	// longBytes is the length in bytes of a text that is encoded in pieces.
	longBytes = 1 << 16
	// pieceBytes is the length of the pieces.
	pieceBytes = 1 << 12
)

// tokensOf is a text and how many tokens it has, of which a part of the text has kept.
type tokensOf struct {
	text      string
	all, kept int
}

// shorten is the beginning of a text (its end, if left is cut) that has at least so many tokens, and how many there are.
func (f *featurizer) shorten(text string, atLeast int, left bool) (tokensOf, error) {
	var (
		s      tokensOf
		ids    []int32
		err    error
		to     int   // bytes of the pieces so far
		places []int // of the pieces, if the left is cut, and their tokens
		counts []int
	)
	for piece := range f.tokenizer.Chunks(text, pieceBytes) {
		if ids, err = f.tokenizer.AppendIDs(ids[:0], piece); err != nil {
			return s, err
		}
		s.all += len(ids)
		switch {
		case left:
			places, counts = append(places, to), append(counts, len(ids))
		case s.kept < atLeast:
			s.kept += len(ids)
			s.text = text[:to+len(piece)]
		}
		to += len(piece)
	}
	for i := len(places) - 1; i >= 0 && s.kept < atLeast; i-- {
		s.kept += counts[i]
		s.text = text[places[i]:]
	}
	return s, nil
}

// shortened is an input whose long texts are cut to what truncation to f.options.MaxLength can keep, for a codec that looks at no
// places in the text. dropped is the number of tokens that were cut. The truncation that follows keeps the same tokens as that of
// the whole input.
func (f *featurizer) shortened(in *data.Input, long int) (out data.Input, dropped int, err error) {
	out = *in
	if f.options.MaxLength <= 0 || len(in.Text) <= long && len(in.TextPair) <= long {
		return out, 0, nil
	}
	most, left := f.options.MaxLength+1, f.options.TruncateLeft
	a, err := f.shorten(in.Text, most, left)
	if err != nil {
		return out, 0, err
	}
	b, err := f.shorten(in.TextPair, most, left)
	if err != nil {
		return out, 0, err
	}
	// Which text is longer matters to the truncation of a pair.
	switch {
	case a.all > b.all && a.kept <= b.kept:
		a, err = f.shorten(in.Text, b.kept+1, left)
	case a.all <= b.all && a.kept > b.kept:
		b, err = f.shorten(in.TextPair, a.kept, left)
	}
	out.Text, out.TextPair = a.text, b.text
	return out, a.all - a.kept + b.all - b.kept, err
}

// repeated is a text that is encoded beside many others.
type repeated struct {
	f *featurizer
	tokensOf
}

// repeatedText is the length in bytes of a text that is not encoded anew beside each other one.
const repeatedText = 1 << 11

// repeated prepares a text that is the first of many pairs.
func (f *featurizer) repeated(text string) (*repeated, error) {
	r := &repeated{f, tokensOf{text: text}}
	if len(text) <= repeatedText || f.options.MaxLength <= 0 || f.options.Truncation > tokenizer.OnlyFirst {
		return r, nil // or it must not be cut
	}
	var err error
	r.tokensOf, err = f.shorten(text, f.options.MaxLength+1, f.options.TruncateLeft)
	return r, err
}

// encode encodes a pair of which the first text is the repeated one.
func (r *repeated) encode(e *tokenizer.Encoding, pair *data.Input) error {
	// Which text has more tokens matters, and no text has more than bytes.
	if len(pair.TextPair) >= r.kept {
		return r.f.encode(e, pair)
	}
	short := *pair
	short.Text = r.text
	if err := r.f.encode(e, &short); err != nil {
		return err
	}
	e.Truncated += r.all - r.kept
	return nil
}

// longWindows calls add with the windows of a long text, or of many words, as an Encoding with o.Overflow has them, one by one. It is
// false, and nothing is done, where the text is not long.
func (f *featurizer) longWindows(in *data.Input, o tokenizer.Options, dropped int, add func(*tokenizer.Encoding)) (done bool, err error) {
	if len(in.Text) <= f.longBytes && len(in.TextPair) <= f.longBytes && len(in.Words) <= f.longBytes/4 {
		return false, nil
	}
	visit := func(e *tokenizer.Encoding) error {
		e.Truncated, dropped = dropped, 0 // the first counts what is in no window
		add(e)
		return nil
	}
	switch {
	case in.Words != nil:
		err = f.tokenizer.WordWindows(in.Words, o, visit)
	case f.isPair(in):
		err = f.tokenizer.PairWindows(in.Text, in.TextPair, o, visit)
	default:
		err = f.tokenizer.Windows(in.Text, o, visit)
	}
	return true, err
}

// tooLong is the error of an input of n tokens that may not be truncated.
func tooLong(n, most int) string {
	return message.Thousands(n) + " tokens, want at most " + message.Thousands(most) + ": shorten the text, or have it truncated"
}
