package tokenizer

import "fmt"

// noLimit is the room if nothing is truncated.
const noLimit = -1

// layout decides how much of each text an encoding holds.
type layout struct {
	pair   bool
	google bool
	room   int // the number of text tokens that fit, or noLimit
}

// room checks the options and returns how many text tokens fit beside the special tokens.
func (o Options) room(form template, pair bool) (int, error) {
	switch {
	case o.Truncation < LongestFirst || o.Truncation > DoNotTruncate:
		return 0, fmt.Errorf("tokenizer: %v: want LongestFirst, OnlyFirst, OnlySecond or DoNotTruncate", o.Truncation)
	case o.MaxLength < 0:
		return 0, fmt.Errorf("tokenizer: MaxLength is %d: want at least 1, or 0 for no limit", o.MaxLength)
	case o.Stride < 0:
		return 0, fmt.Errorf("tokenizer: Stride is %d: want at least 0", o.Stride)
	case o.MaxLength == 0 || o.Truncation == DoNotTruncate:
		return noLimit, nil
	case o.Truncation == OnlySecond && !pair:
		return 0, fmt.Errorf("tokenizer: only_second: there is no second text to truncate; use longest_first or only_first")
	case o.Truncation == LongestFirst && pair && o.windows():
		return 0, fmt.Errorf("tokenizer: longest_first truncates both texts of a pair, which does not work with windows; use only_first or only_second")
	}
	room := o.MaxLength
	if !o.OmitSpecialTokens {
		room -= form.added()
	}
	if room < 1 {
		return 0, fmt.Errorf("tokenizer: MaxLength %d leaves no room for text beside %d special tokens; use at least %d",
			o.MaxLength, o.MaxLength-room, o.MaxLength-room+1)
	}
	if o.windows() && o.Stride >= room {
		return 0, fmt.Errorf("tokenizer: Stride %d repeats all of the %d tokens of text in a window of %d; use a stride below %d",
			o.Stride, room, o.MaxLength, room)
	}
	return room, nil
}

func (o Options) windows() bool { return o.Overflow || o.Stride > 0 }

// keep returns how many of their a and b tokens the texts of a pair may keep; b is 0 for a single text.
func (l layout) keep(o Options, a, b int) (int, int, error) {
	if l.room == noLimit || a+b <= l.room {
		return a, b, nil
	}
	switch {
	case !l.pair:
		return l.room, 0, nil
	case o.Truncation == OnlyFirst:
		if b >= l.room {
			return 0, 0, noRoom(o, "second", b, l.room)
		}
		return l.room - b, b, nil
	case o.Truncation == OnlySecond:
		if a >= l.room {
			return 0, 0, noRoom(o, "first", a, l.room)
		}
		return a, l.room - a, nil
	}
	a, b = longestFirst(a, b, l.room, l.google)
	return a, b, nil
}

func noRoom(o Options, other string, tokens, room int) error {
	return fmt.Errorf("tokenizer: %v: the %s text alone has %d tokens, and MaxLength %d has room for %d of both; shorten it or raise MaxLength",
		o.Truncation, other, tokens, o.MaxLength, room)
}

// longestFirst divides room between two texts that do not fit together. The shorter one stays whole if it has at most half the
// room; otherwise each gets half. HF gives an odd place to the longer text, or to the second if they are equally long. Google
// always gives it to the first: google-research/bert _truncate_seq_pair removes one token at a time from the longer text, or
// from the second on a tie.
func longestFirst(a, b, room int, google bool) (int, int) {
	halfA := room / 2
	if google || a > b {
		halfA = room - room/2
	}
	halfB := room - halfA
	switch {
	case a <= halfA:
		return a, room - a
	case b <= halfB:
		return room - b, b
	}
	return halfA, halfB
}

// assemble writes the encoding of a and b, and its windows, to dst.
func (form template) assemble(dst *Encoding, o Options, l layout, a, b []piece) error {
	keepA, keepB, err := l.keep(o, len(a), len(b))
	if err != nil {
		return err
	}
	dst.Overflowing = dst.Overflowing[:0]
	cut, keep := a, keepA
	if keepA == len(a) {
		cut, keep = b, keepB
	}
	if !o.windows() || keep == len(cut) {
		form.write(dst, o, o.part(a, 0, keepA), o.part(b, 0, keepB), len(a)+len(b))
		return nil
	}
	step := keep - o.Stride
	if step < 1 {
		return fmt.Errorf("tokenizer: Stride %d repeats all of the %d tokens that the other text leaves room for; use a stride below %d or raise MaxLength",
			o.Stride, keep, keep)
	}
	for at := 0; ; at += step {
		end := min(at+keep, len(cut))
		w := dst
		if at > 0 {
			w = dst.overflow()
		}
		if keepA < len(a) {
			form.write(w, o, o.part(a, at, end), b, len(a)+len(b))
		} else {
			form.write(w, o, a, o.part(b, at, end), len(a)+len(b))
		}
		if end == len(cut) {
			return nil
		}
	}
}

// part returns p[from:to], or the same range counted from the end if the left is truncated.
func (o Options) part(p []piece, from, to int) []piece {
	if o.TruncateLeft {
		return p[len(p)-to : len(p)-from]
	}
	return p[from:to]
}

// overflow adds a window, reusing the memory of an earlier one if possible.
func (e *Encoding) overflow() *Encoding {
	n := len(e.Overflowing)
	if n < cap(e.Overflowing) {
		e.Overflowing = e.Overflowing[:n+1]
	} else {
		e.Overflowing = append(e.Overflowing, Encoding{})
	}
	w := &e.Overflowing[n]
	w.Overflowing = w.Overflowing[:0]
	return w
}

// write fills e according to the template; total is the number of tokens before truncation.
func (form template) write(e *Encoding, o Options, a, b []piece, total int) {
	texts := [2][]piece{a, b}
	n := 0
	for _, item := range form {
		if item.sequence >= 0 {
			n += len(texts[item.sequence])
		} else if !o.OmitSpecialTokens {
			n += len(item.ids)
		}
	}
	e.resize(n)
	e.Truncated = total - len(a) - len(b)
	at := 0
	for _, item := range form {
		if item.sequence < 0 {
			if !o.OmitSpecialTokens {
				for _, id := range item.ids {
					e.IDs[at], e.TypeIDs[at], e.Offsets[at] = id, item.typeID, Offset{}
					e.SpecialTokensMask[at], e.SequenceIDs[at], e.WordIDs[at] = 1, -1, -1
					at++
				}
			}
			continue
		}
		pieces := texts[item.sequence]
		ids, offsets, words := e.IDs[at:][:len(pieces)], e.Offsets[at:][:len(pieces)], e.WordIDs[at:][:len(pieces)]
		for i, p := range pieces {
			ids[i], offsets[i], words[i] = p.id, Offset{p.start, p.end}, p.word
		}
		end := at + len(pieces)
		fill(e.TypeIDs[at:end], item.typeID)
		fill(e.SequenceIDs[at:end], item.sequence)
		clear(e.SpecialTokensMask[at:end])
		at = end
	}
}

func fill[T any](s []T, v T) {
	for i := range s {
		s[i] = v
	}
}
