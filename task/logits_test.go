package task

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/go-bert/bert/checkpoint"
)

// Logits of parts are read one after another, as they were written; a file of something else is refused.
func TestLogitsFiles(t *testing.T) {
	dir := t.TempDir()
	want := [][]float32{{1, 2}, {-0.1, 1e-30, 3, 4}, {5, 6}}
	got := new(Logits)
	for i, l := range []*Logits{{values: want[:2], width: 2}, {}, {values: want[2:], width: 2}} {
		path := filepath.Join(dir, string(rune('a'+i))+LogitsExtension)
		var b bytes.Buffer
		if err := l.Write(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := got.Read(path); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(got.values, want) || got.width != 2 {
		t.Errorf("%v of width %d", got.values, got.width)
	}
	rows := func(n byte) checkpoint.Tensor {
		return checkpoint.Tensor{Name: rowsTensor, DType: checkpoint.I64, Shape: []int{1}, Data: []byte{n, 0, 0, 0, 0, 0, 0, 0}}
	}
	logits := func(width int) checkpoint.Tensor {
		return checkpoint.Tensor{Name: logitsTensor, DType: checkpoint.F32, Shape: []int{1, width}, Data: make([]byte, 4*width)}
	}
	for _, c := range []struct {
		tensors []checkpoint.Tensor
		want    string
	}{
		{[]checkpoint.Tensor{rows(1)}, "no file of logits"},
		{[]checkpoint.Tensor{rows(1), logits(3)}, "3 logits a row, want 2"},
		{[]checkpoint.Tensor{rows(2), logits(2)}, "has more rows than there are"},
		{[]checkpoint.Tensor{rows(0), logits(2)}, "1 rows of logits, of which the sequences have 0"},
	} {
		path := filepath.Join(dir, "x.safetensors")
		if err := checkpoint.WriteSafetensors(path, c.tensors, nil); err != nil {
			t.Fatal(err)
		}
		l := &Logits{width: 2}
		if err := l.Read(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// The hash of a model is that of its files, wherever they are, and of nothing else in the folder.
func TestFingerprint(t *testing.T) {
	ctx := t.Context()
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	sum := func(dir string, tokenizerOnly bool) string {
		t.Helper()
		s, err := Fingerprint(ctx, dir, "", tokenizerOnly)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := t.TempDir(), t.TempDir()
	for _, dir := range []string{a, b} {
		write(dir, "config.json", "{}")
		write(dir, "vocab.txt", "x")
		write(dir, "model.safetensors", "w")
	}
	write(b, "eval_results.json", "{}")
	if sum(a, false) != sum(b, false) || sum(a, true) != sum(b, true) || sum(a, true) == sum(a, false) {
		t.Error("the folder makes a difference, or the weights make none")
	}
	write(b, "model.safetensors", "v")
	if sum(a, false) == sum(b, false) || sum(a, true) != sum(b, true) {
		t.Error("weights make no difference, or one to the tokenizer")
	}
	write(b, "vocab.txt", "y")
	if sum(a, true) == sum(b, true) {
		t.Error("the vocabulary makes no difference")
	}
}
