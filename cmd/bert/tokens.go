package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// This file writes tokens in as much memory as a piece of the text needs: the tokens of a text of 12 MB have 2 GB in JSON.

// longText is the length in bytes of a text that is tokenized in pieces, pieceBytes that of the pieces.
const (
	longText   = 1 << 16
	pieceBytes = 1 << 12
)

var errStop = errors.New("enough")

// windows calls visit with the windows of an input, in order. They can be had several times.
type windows func(visit func(pieces) error) error

// pieces calls visit with the encodings of which a window is made, one after another. at is the place in the first and in the second
// text that their offsets count from.
type pieces func(visit func(e *tokenizer.Encoding, at [2]int32) error) error

func onePart(e *tokenizer.Encoding) pieces {
	return func(visit func(*tokenizer.Encoding, [2]int32) error) error { return visit(e, [2]int32{}) }
}

// one is an encoding with the windows that it has.
func one(e *tokenizer.Encoding) windows {
	return func(visit func(pieces) error) error {
		if err := visit(onePart(e)); err != nil {
			return err
		}
		for i := range e.Overflowing {
			if err := visit(onePart(&e.Overflowing[i])); err != nil {
				return err
			}
		}
		return nil
	}
}

// longTokens is the one window of long texts that are not truncated.
func longTokens(t *tokenizer.Tokenizer, in *data.Input, o tokenizer.Options) (windows, error) {
	texts := [2]string{in.Text, in.TextPair}
	// Short parts of the texts say what is between them.
	var begin [2]string
	for i, text := range texts {
		for piece := range t.Chunks(text, pieceBytes) {
			ids, err := t.AppendIDs(nil, piece)
			if err != nil {
				return nil, err
			}
			if begin[i] = piece; len(ids) > 0 {
				break
			}
		}
	}
	var frame tokenizer.Encoding
	err := t.Encode(&frame, begin[0], o)
	if in.IsPair() {
		err = t.EncodePair(&frame, begin[0], begin[1], o)
	}
	if err != nil {
		return nil, err
	}
	window := func(visit func(*tokenizer.Encoding, [2]int32) error) error {
		var e tokenizer.Encoding
		for i := 0; i < frame.Len(); {
			sequence, from := frame.SequenceIDs[i], i
			for i < frame.Len() && frame.SequenceIDs[i] == sequence {
				i++
			}
			if sequence < 0 {
				special := tokenizer.Encoding{
					IDs: frame.IDs[from:i], TypeIDs: frame.TypeIDs[from:i], Offsets: frame.Offsets[from:i],
					SpecialTokensMask: frame.SpecialTokensMask[from:i], SequenceIDs: frame.SequenceIDs[from:i],
				}
				if err := visit(&special, [2]int32{}); err != nil {
					return err
				}
				continue
			}
			var at [2]int32
			for piece := range t.Chunks(texts[sequence], pieceBytes) {
				if err := t.Encode(&e, piece, tokenizer.Options{OmitSpecialTokens: true}); err != nil {
					return err
				}
				for j := range e.TypeIDs {
					e.TypeIDs[j], e.SequenceIDs[j] = frame.TypeIDs[from], sequence
				}
				if err := visit(&e, at); err != nil {
					return err
				}
				at[sequence] += int32(len(piece))
			}
		}
		return nil
	}
	return func(visit func(pieces) error) error { return visit(window) }, nil
}

// tokenFields are the keys of the JSON object of a window, with what each has of a token.
var tokenFields = []struct {
	key    string
	append func(b []byte, t *tokenizer.Tokenizer, e *tokenizer.Encoding, i int, at int32) []byte
}{
	{"tokens", func(b []byte, t *tokenizer.Tokenizer, e *tokenizer.Encoding, i int, _ int32) []byte {
		return appendJSON(b, t.Tokens(e.IDs[i : i+1])[0])
	}},
	{"ids", func(b []byte, _ *tokenizer.Tokenizer, e *tokenizer.Encoding, i int, _ int32) []byte {
		return strconv.AppendInt(b, int64(e.IDs[i]), 10)
	}},
	{"type_ids", func(b []byte, _ *tokenizer.Tokenizer, e *tokenizer.Encoding, i int, _ int32) []byte {
		return strconv.AppendInt(b, int64(e.TypeIDs[i]), 10)
	}},
	{offsetsKey, func(b []byte, _ *tokenizer.Tokenizer, e *tokenizer.Encoding, i int, at int32) []byte {
		b = strconv.AppendInt(append(b, '['), int64(e.Offsets[i].Start+at), 10)
		b = strconv.AppendInt(append(b, ','), int64(e.Offsets[i].End+at), 10)
		return append(b, ']')
	}},
	{"special_tokens_mask", func(b []byte, _ *tokenizer.Tokenizer, e *tokenizer.Encoding, i int, _ int32) []byte {
		return strconv.AppendInt(b, int64(e.SpecialTokensMask[i]), 10)
	}},
}

// offsetsKey is the key that is null for input that is ids.
const offsetsKey = "offsets"

// overflowingKey is the key of the further windows.
const overflowingKey = "overflowing"

// writeTokens writes the windows of an input as a line of JSON: the first is an object that has the further ones.
func writeTokens(w io.Writer, t *tokenizer.Tokenizer, each windows) error {
	out := &jsonWriter{w: w}
	n := 0
	err := each(func(p pieces) error {
		if n > 1 {
			out.b = append(out.b, "[]},"...)
		}
		n++
		if err := writeWindow(out, t, p); err != nil {
			return err
		}
		if n == 1 {
			out.b = append(out.b, '[')
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n > 1 {
		out.b = append(out.b, "[]}"...)
	}
	out.b = append(out.b, "]}\n"...)
	return out.flush(0)
}

// writeWindow writes the object of a window up to the value of overflowingKey.
func writeWindow(out *jsonWriter, t *tokenizer.Tokenizer, p pieces) error {
	out.b = append(out.b, '{')
	for _, field := range tokenFields {
		out.b = append(append(append(out.b, '"'), field.key...), '"', ':', '[')
		some, none := false, false
		err := p(func(e *tokenizer.Encoding, at [2]int32) error {
			if field.key == offsetsKey && len(e.Offsets) < e.Len() {
				none = true
				return nil
			}
			for i := range e.IDs {
				if some {
					out.b = append(out.b, ',')
				}
				some = true
				from := int32(0)
				if field.key == offsetsKey && e.SequenceIDs[i] >= 0 {
					from = at[e.SequenceIDs[i]]
				}
				out.b = field.append(out.b, t, e, i, from)
				if err := out.flush(flushBytes); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if none {
			out.b = append(out.b[:len(out.b)-1], "null"...)
		} else {
			out.b = append(out.b, ']')
		}
		out.b = append(out.b, ',')
	}
	out.b = append(append(append(out.b, '"'), overflowingKey...), '"', ':')
	return nil
}

// flushBytes is how much is written at once.
const flushBytes = 1 << 16

// jsonWriter collects JSON and writes it in pieces.
type jsonWriter struct {
	w io.Writer
	b []byte
}

// flush writes what there is if that is more than so many bytes.
func (j *jsonWriter) flush(most int) error {
	if len(j.b) <= most {
		return nil
	}
	err := writeOut(j.w, j.b)
	j.b = j.b[:0]
	return err
}

// appendJSON appends a string as jsonLine writes it.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			var out bytes.Buffer
			e := json.NewEncoder(&out)
			e.SetEscapeHTML(false)
			_ = e.Encode(s) // a string has no error
			return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
