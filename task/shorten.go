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

// pieces are the encodings of the parts of a text or of words, without special tokens, one after another. at is the number of bytes
// before the part, word that of the words. They end where each returns false.
func (f *featurizer) pieces(text string, words []string, each func(e *tokenizer.Encoding, at, word int) bool) error {
	var (
		e    tokenizer.Encoding
		o    = tokenizer.Options{OmitSpecialTokens: true}
		word = 0
	)
	if words != nil {
		for len(words) > 0 {
			n := min(len(words), pieceBytes/4)
			if err := f.tokenizer.EncodeWords(&e, words[:n], o); err != nil {
				return err
			}
			if !each(&e, 0, word) {
				return nil
			}
			word, words = word+n, words[n:]
		}
		return nil
	}
	at := 0
	for piece := range f.tokenizer.Chunks(text, pieceBytes) {
		if err := f.tokenizer.Encode(&e, piece, o); err != nil {
			return err
		}
		if !each(&e, at, word) {
			return nil
		}
		at += len(piece)
		if n := e.Len(); n > 0 {
			word += int(e.WordIDs[n-1]) + 1
		}
	}
	return nil
}

// longWindows calls add with the windows of a long text, or of many words, as an Encoding with o.Overflow has them, one by one.
// second says that the text is the second of a pair, beside another that each window repeats; pair that it is the first.
// It is false, and nothing is done, where the windows have to be made at once.
func (f *featurizer) longWindows(in *data.Input, e *tokenizer.Encoding, o tokenizer.Options, dropped int, add func(*tokenizer.Encoding)) (done bool, err error) {
	second := o.Truncation == tokenizer.OnlySecond
	text, sequence := in.Text, int8(0)
	if second {
		text, sequence = in.TextPair, 1
	}
	if len(text) <= f.longBytes && len(in.Words) <= f.longBytes/4 || o.TruncateLeft {
		return false, nil
	}
	// The first window says what is before the text in each, and after it.
	begin := *in
	if in.Words != nil {
		begin.Words = in.Words[:min(len(in.Words), pieceBytes/4)]
	} else {
		s, err := f.shorten(text, o.MaxLength+1, false)
		if err != nil || s.kept <= o.MaxLength {
			return false, err
		}
		if second {
			begin.TextPair = s.text
		} else {
			begin.Text = s.text
		}
	}
	one := o
	one.Overflow, one.Stride = false, 0
	switch {
	case in.Words != nil:
		err = f.tokenizer.EncodeWords(e, begin.Words, one)
	case in.TextPair != "":
		err = f.tokenizer.EncodePair(e, begin.Text, begin.TextPair, one)
	default:
		err = f.tokenizer.Encode(e, begin.Text, one)
	}
	if err != nil {
		return true, err
	}
	from, to := -1, -1
	for i, s := range e.SequenceIDs {
		if s == sequence {
			if from < 0 {
				from = i
			}
			to = i + 1
		}
	}
	keep := to - from
	if from < 0 || e.Truncated == 0 || keep-o.Stride < 1 {
		return false, nil // the tokenizer says what is wrong, if anything is
	}
	w := windower{frame: e, from: from, to: to, step: keep - o.Stride, dropped: dropped, add: add}
	err = f.pieces(text, in.Words, func(e *tokenizer.Encoding, at, word int) bool {
		w.take(e, at, word)
		return true
	})
	if err == nil {
		w.end()
	}
	return true, err
}

// windower makes windows of tokens that come piece by piece.
type windower struct {
	frame    *tokenizer.Encoding // a window, whose tokens in [from, to) are replaced
	from, to int
	step     int
	dropped  int // which the first window counts
	add      func(*tokenizer.Encoding)

	ids     []int32 // of the tokens from the next window on
	offsets []tokenizer.Offset
	words   []int32
	out     tokenizer.Encoding
	n       int // windows so far
}

func (w *windower) take(e *tokenizer.Encoding, at, word int) {
	w.ids = append(w.ids, e.IDs...)
	for i, o := range e.Offsets {
		w.offsets = append(w.offsets, tokenizer.Offset{Start: o.Start + int32(at), End: o.End + int32(at)})
		w.words = append(w.words, e.WordIDs[i]+int32(word))
	}
	// A window that might be the last one waits for the end.
	from, keep := 0, w.to-w.from
	for len(w.ids)-from > keep {
		w.window(from, from+keep)
		from += w.step
	}
	if from > 0 {
		w.ids = append(w.ids[:0], w.ids[from:]...)
		w.offsets = append(w.offsets[:0], w.offsets[from:]...)
		w.words = append(w.words[:0], w.words[from:]...)
	}
}

// end makes the last window. There is always one: its tokens go beyond the window before it.
func (w *windower) end() { w.window(0, len(w.ids)) }

func (w *windower) window(from, to int) {
	f, out := w.frame, &w.out
	out.Reset()
	part := func(a, b int) {
		out.IDs, out.TypeIDs = append(out.IDs, f.IDs[a:b]...), append(out.TypeIDs, f.TypeIDs[a:b]...)
		out.Offsets, out.WordIDs = append(out.Offsets, f.Offsets[a:b]...), append(out.WordIDs, f.WordIDs[a:b]...)
		out.SpecialTokensMask, out.SequenceIDs = append(out.SpecialTokensMask, f.SpecialTokensMask[a:b]...), append(out.SequenceIDs, f.SequenceIDs[a:b]...)
	}
	part(0, w.from)
	out.IDs, out.Offsets, out.WordIDs = append(out.IDs, w.ids[from:to]...), append(out.Offsets, w.offsets[from:to]...), append(out.WordIDs, w.words[from:to]...)
	for range to - from {
		out.TypeIDs = append(out.TypeIDs, f.TypeIDs[w.from])
		out.SpecialTokensMask = append(out.SpecialTokensMask, 0)
		out.SequenceIDs = append(out.SequenceIDs, f.SequenceIDs[w.from])
	}
	part(w.to, len(f.IDs))
	out.Truncated = 0
	if w.n == 0 {
		out.Truncated = w.dropped
	}
	w.n++
	w.add(out)
}

// tooLong is the error of an input of n tokens that may not be truncated.
func tooLong(n, most int) string {
	return message.Thousands(n) + " tokens, want at most " + message.Thousands(most) + ": shorten the text, or have it truncated"
}
