package main

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// tokenizedJSON is what bert tokenize prints of a text, or of one of its windows.
type tokenizedJSON struct {
	Tokens      []string        `json:"tokens"`
	IDs         []int32         `json:"ids"`
	TypeIDs     []int32         `json:"type_ids"`
	Offsets     [][2]int32      `json:"offsets"`             // null for input that is ids
	Mask        []int           `json:"special_tokens_mask"` // []uint8 would become base64
	Overflowing []tokenizedJSON `json:"overflowing"`
}

func tokenized(t *tokenizer.Tokenizer, e *tokenizer.Encoding) tokenizedJSON {
	out := tokenizedJSON{
		Tokens: t.Tokens(e.IDs), IDs: e.IDs, TypeIDs: e.TypeIDs,
		Mask: make([]int, len(e.SpecialTokensMask)), Overflowing: make([]tokenizedJSON, len(e.Overflowing)),
	}
	for i, m := range e.SpecialTokensMask {
		out.Mask[i] = int(m)
	}
	for _, o := range e.Offsets {
		out.Offsets = append(out.Offsets, [2]int32{o.Start, o.End})
	}
	for i := range e.Overflowing {
		out.Overflowing[i] = tokenized(t, &e.Overflowing[i])
	}
	return out
}

// What is written piece by piece is what encoding/json makes of the whole.
func TestWriteTokens(t *testing.T) {
	if testing.Short() {
		t.Skip("writes lines, on one goroutine")
	}
	tok, err := tokenizer.New(append([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<&>", "é", "\"", "\\", "the", "##n", "!", "a"}, "z"), tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("the a! then \" é [MASK] ", 5000)
	if len(long) < longText {
		t.Fatal("a short text")
	}
	for _, in := range []data.Input{
		{}, {Text: "the a"}, {Text: "the", TextPair: "a\\z"}, {IDs: []int32{2, 5, 3}}, {IDs: []int32{2, 5, 3}, TypeIDs: []int32{0, 1, 1}},
		{Text: long}, {Text: "the", TextPair: long}, {Text: long, TextPair: "a a"}, {Text: long, TextPair: long}, {Text: strings.Repeat(" ", longText+1) + "a"}, {Text: strings.Repeat(" ", longText+1)},
	} {
		for _, o := range []tokenizer.Options{{}, {MaxLength: 6, Overflow: true, Truncation: tokenizer.OnlySecond}, {MaxLength: 9, Stride: 2, Overflow: true, Truncation: tokenizer.OnlyFirst}, {MaxLength: 9, Overflow: true}} {
			var e, scratch tokenizer.Encoding
			wantErr := encodeInput(tok, &e, &in, o)
			each, err := tokenizeInput(tok, &scratch, &in, o)
			if (err == nil) != (wantErr == nil) {
				t.Errorf("%d and %d bytes, %+v: %v, want %v", len(in.Text), len(in.TextPair), o, err, wantErr)
			}
			if err != nil || wantErr != nil {
				continue
			}
			var got, want bytes.Buffer
			if err := jsonLine(&want, tokenized(tok, &e)); err != nil {
				t.Fatal(err)
			}
			if err := writeTokens(&got, tok, each); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Errorf("%d and %d bytes, %+v:\n%.300s, want\n%.300s", len(in.Text), len(in.TextPair), o, got.Bytes(), want.Bytes())
			}
		}
	}
}

func TestJSONWriterLine(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	matrix := func(n, width int) (m [][]float32) {
		for range n {
			row := make([]float32, width)
			for i := range row {
				row[i] = r.Float32()
			}
			m = append(m, row)
		}
		return m
	}
	var scores task.Scores
	for i := range 3 * shortList {
		scores = append(scores, task.Score{Label: strings.Repeat("é<\"", i%3) + string(rune('a'+i%26)), Value: r.Float64()})
	}
	zero, one := 0.0, 1
	numbers := []float32{
		0, float32(math.Copysign(0, -1)), 1, -1, 0.1, 1e-6, math.Nextafter32(1e-6, 0), 1.5e-7, -1e-9, 1e-10, 1e21, math.Nextafter32(1e21, 0), -3e30, 1 << 24,
		math.MaxFloat32, math.SmallestNonzeroFloat32,
	}
	for range 20_000 {
		if f := math.Float32frombits(r.Uint32()); f-f == 0 {
			numbers = append(numbers, f)
		}
	}
	for i, v := range []any{
		task.Prediction{}, task.Prediction{Labels: []string{}, Entities: []task.Entity{}}, task.Prediction{Label: "<é>", Value: &zero, Choice: &one, NullOdds: &zero, Truncated: true, DroppedTokens: 3, Windows: 4},
		task.Prediction{Probabilities: scores, LogProbabilities: scores[:4], Logits: matrix(1, 2000)[0]},
		task.Prediction{Entities: slices.Repeat([]task.Entity{{Type: "A", Text: "<é>", Start: 1, End: 2, Score: 0.5}}, 2*shortList+1), Answer: &task.Answer{Text: "x"}, NBest: []task.Answer{{Text: "y"}}},
		task.Encoded{}, task.Encoded{Tokens: slices.Repeat([]string{"<a>"}, 1500), Layers: []task.LayerStates{{Index: -1, Values: matrix(700, 600)}, {Index: 2, Values: [][]float32{}}, {}}, Pooled: matrix(1, 700)[0]},
		task.Encoded{Tokens: []string{}, Pooled: numbers},
		task.Encoded{Tokens: []string{"a"}, Attention: [][][][]float32{{matrix(3, 3), matrix(3, 3)}, {matrix(600, 600)}}},
	} {
		var got, want bytes.Buffer
		if err := jsonLine(&want, v); err != nil {
			t.Fatal(err)
		}
		if err := (&jsonWriter{w: &got}).line(v); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%d: %.500s, want\n%.500s", i, got.Bytes(), want.Bytes())
		}
	}
}

// A number that JSON lacks is encoding/json's error.
func TestJSONWriterNotFinite(t *testing.T) {
	for _, f := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		v := task.Encoded{Pooled: []float32{1, f}}
		var out bytes.Buffer
		want, got := jsonLine(&out, v), (&jsonWriter{w: &out}).line(v)
		if want == nil || got == nil || got.Error() != want.Error() || out.Len() > 0 {
			t.Errorf("%v: error %v, want %v; %d bytes written", f, got, want, out.Len())
		}
	}
}

func BenchmarkJSONWriterLine(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	v := task.Encoded{Tokens: slices.Repeat([]string{"the", "##n"}, 12), Pooled: make([]float32, 384)}
	for i := range v.Pooled {
		v.Pooled[i] = float32(r.NormFloat64()) / 20
	}
	lines := jsonWriter{w: io.Discard}
	b.ReportAllocs()
	for b.Loop() {
		if err := lines.line(v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJSONLine(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	v := task.Encoded{Tokens: slices.Repeat([]string{"the", "##n"}, 12), Pooled: make([]float32, 384)}
	for i := range v.Pooled {
		v.Pooled[i] = float32(r.NormFloat64()) / 20
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := jsonLine(io.Discard, v); err != nil {
			b.Fatal(err)
		}
	}
}
