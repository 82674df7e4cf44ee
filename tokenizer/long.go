package tokenizer

// This file encodes long texts window by window. An Encoding has 25 bytes for each token, and windows that overlap have each
// token several times.

// pieceBytes is the length of the pieces in which a long text is encoded, pieceWords that in given words.
const (
	pieceBytes = 1 << 12
	pieceWords = 1 << 10
)

// Windows calls visit with the encoding of a text and its further windows: those of Encode with o.Overflow, but one by one, in little
// memory. An Encoding is valid until visit returns; its Truncated is 0. An error of visit ends the windows and is returned.
func (t *Tokenizer) Windows(text string, o Options, visit func(*Encoding) error) error {
	return t.windows(&windowedInput{a: text}, o, visit)
}

// PairWindows is Windows for EncodePair.
func (t *Tokenizer) PairWindows(a, b string, o Options, visit func(*Encoding) error) error {
	return t.windows(&windowedInput{pair: true, a: a, b: b}, o, visit)
}

// WordWindows is Windows for EncodeWords.
func (t *Tokenizer) WordWindows(words []string, o Options, visit func(*Encoding) error) error {
	if words == nil {
		words = []string{}
	}
	return t.windows(&windowedInput{words: words}, o, visit)
}

// windowedInput is a text, a pair of texts, or words.
type windowedInput struct {
	pair  bool
	a, b  string
	words []string
}

func (t *Tokenizer) encodeInput(dst *Encoding, in *windowedInput, o Options) error {
	return t.encode(dst, in.pair, o, in.a, in.b, in.words)
}

// beginning is the beginning of a text with more than most tokens, and whether it has so many.
func (t *Tokenizer) beginning(text string, most int) (begin string, more bool, err error) {
	var (
		ids []int32
		n   = 0
		to  = 0
	)
	for piece := range t.Chunks(text, pieceBytes) {
		if ids, err = t.AppendIDs(ids[:0], piece); err != nil {
			return "", false, err
		}
		n += len(ids)
		to += len(piece)
		if n > most {
			return text[:to], true, nil
		}
	}
	return text, false, nil
}

func (t *Tokenizer) windows(in *windowedInput, o Options, visit func(*Encoding) error) error {
	o.Overflow = true
	var frame Encoding
	w, err := t.windower(in, o, &frame, visit)
	if err != nil {
		return err
	}
	if w == nil {
		if err := t.encodeInput(&frame, in, o); err != nil {
			return err
		}
		frame.Truncated = 0
		further := frame.Overflowing
		frame.Overflowing = nil
		if err := visit(&frame); err != nil {
			return err
		}
		for i := range further {
			further[i].Truncated = 0
			if err := visit(&further[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return w.run(t, in)
}

// windower is what makes the windows one by one; nil where all are made at once, because there is only one, because they go
// from the end to the beginning, or because Encode has an error to report.
func (t *Tokenizer) windower(in *windowedInput, o Options, frame *Encoding, visit func(*Encoding) error) (*windower, error) {
	if o.TruncateLeft || o.MaxLength <= 0 || o.Truncation == DoNotTruncate || in.pair && o.Truncation == LongestFirst {
		return nil, nil
	}
	second := in.pair && o.Truncation == OnlySecond
	begin := *in
	switch {
	case in.words != nil:
		if len(in.words) <= pieceWords {
			return nil, nil
		}
		begin.words = in.words[:pieceWords]
	default:
		text := &begin.a
		if second {
			text = &begin.b
		}
		if len(*text) <= pieceBytes {
			return nil, nil
		}
		var (
			more bool
			err  error
		)
		if *text, more, err = t.beginning(*text, o.MaxLength); err != nil || !more {
			return nil, err
		}
	}
	// The first window says what is before the text in each, and after it.
	one := o
	one.Overflow, one.Stride = false, 0
	if err := t.encodeInput(frame, &begin, one); err != nil {
		return nil, err
	}
	w := &windower{frame: frame, visit: visit, second: second, from: -1}
	sequence := int8(0)
	if second {
		sequence = 1
	}
	for i, s := range frame.SequenceIDs {
		if s == sequence {
			if w.from < 0 {
				w.from = i
			}
			w.to = i + 1
		}
	}
	if w.step = w.to - w.from - o.Stride; w.from < 0 || frame.Truncated == 0 || w.step < 1 {
		return nil, nil
	}
	return w, nil
}

// windower makes windows of tokens that come piece by piece.
type windower struct {
	frame    *Encoding // a window, whose tokens in [from, to) are replaced
	from, to int
	step     int
	second   bool // the text is the second of a pair
	visit    func(*Encoding) error

	ids     []int32 // of the tokens from the next window on
	offsets []Offset
	words   []int32
	out     Encoding
}

// run encodes the text in pieces.
func (w *windower) run(t *Tokenizer, in *windowedInput) error {
	var (
		e    Encoding
		o    = Options{OmitSpecialTokens: true}
		at   = 0 // bytes so far
		word = 0
	)
	for words := in.words; len(words) > 0; {
		n := min(len(words), pieceWords)
		if err := t.EncodeWords(&e, words[:n], o); err != nil {
			return err
		}
		if err := w.take(&e, 0, word); err != nil {
			return err
		}
		word, words = word+n, words[n:]
	}
	text := in.a
	if w.second {
		text = in.b
	}
	for piece := range t.Chunks(text, pieceBytes) {
		if err := t.Encode(&e, piece, o); err != nil {
			return err
		}
		if err := w.take(&e, at, word); err != nil {
			return err
		}
		at += len(piece)
		if n := e.Len(); n > 0 {
			word += int(e.WordIDs[n-1]) + 1
		}
	}
	return w.window(0, len(w.ids)) // the last one: its tokens go beyond the window before it
}

// take adds the tokens of a piece, before which there are so many bytes and words.
func (w *windower) take(e *Encoding, at, word int) error {
	w.ids = append(w.ids, e.IDs...)
	for i, o := range e.Offsets {
		w.offsets = append(w.offsets, Offset{o.Start + int32(at), o.End + int32(at)})
		w.words = append(w.words, e.WordIDs[i]+int32(word))
	}
	// A window that may be the last one waits.
	from, keep := 0, w.to-w.from
	for len(w.ids)-from > keep {
		if err := w.window(from, from+keep); err != nil {
			return err
		}
		from += w.step
	}
	if from > 0 {
		w.ids = append(w.ids[:0], w.ids[from:]...)
		w.offsets = append(w.offsets[:0], w.offsets[from:]...)
		w.words = append(w.words[:0], w.words[from:]...)
	}
	return nil
}

func (w *windower) window(from, to int) error {
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
	return w.visit(out)
}
