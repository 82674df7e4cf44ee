package pretrain

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// TestLines: a line is a sequence, cut where it is longer; its masks depend on the seed, the epoch and the line alone, and say what was
// there before.
func TestLines(t *testing.T) {
	tok := testTokenizer(t)
	text := "  The film.\n\nnever again, the sea was unwanted, the film was bad\n \nthe film.\n"
	read := func(o InstanceOptions) *Lines {
		t.Helper()
		l, err := ReadLines(context.Background(), &Corpus{Paths: []string{"-"}, Stdin: strings.NewReader(text)}, tok, o)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	plain := read(InstanceOptions{MaxSeqLength: 8, Seed: 7})
	if plain.Len() != 3 || plain.Truncated() != 1 || plain.Length(1) != 8 || plain.Tokens() != 8+2*plain.Length(0) {
		t.Fatalf("%d lines of %d tokens, %d cut, the second of %d", plain.Len(), plain.Tokens(), plain.Truncated(), plain.Length(1))
	}
	var a, b Instance
	masked := 0
	dynamic := read(InstanceOptions{MaxSeqLength: 8, Seed: 7, MaskedLMProb: 0.3})
	for i := range plain.Len() {
		if err := plain.Instance(i, 3, &a); err != nil {
			t.Fatal(err)
		}
		if n := len(a.IDs); n != plain.Length(i) || len(a.Positions) != 0 || a.IDs[0] != tok.ClassifierID() || a.IDs[n-1] != tok.SeparatorID() {
			t.Errorf("line %d is %v, masked at %v", i, tok.Tokens(a.IDs), a.Positions)
		}
		var epochs [][]int32
		for epoch := range 8 {
			if err := dynamic.Instance(i, epoch, &b); err != nil {
				t.Fatal(err)
			}
			epochs = append(epochs, slices.Clone(b.Positions))
			masked += len(b.Positions)
			for k, p := range b.Positions {
				b.IDs[p] = b.MaskedIDs[k]
			}
			if !slices.Equal(b.IDs, a.IDs) {
				t.Errorf("line %d, epoch %d: without masks it is %v, want %v", i, epoch, tok.Tokens(b.IDs), tok.Tokens(a.IDs))
			}
			if err := dynamic.Instance(i, epoch, &b); err != nil || !slices.Equal(b.Positions, epochs[epoch]) {
				t.Errorf("line %d, epoch %d: other masks the second time (%v)", i, epoch, err)
			}
		}
		if slices.EqualFunc(epochs, slices.Repeat(epochs[:1], len(epochs)), slices.Equal) {
			t.Errorf("line %d has the same masks in all epochs", i)
		}
	}
	if masked == 0 {
		t.Error("nothing is masked")
	}
	if plain.SHA256() != dynamic.SHA256() {
		t.Error("the same lines have other digests")
	}
	text = "other\n"
	if other := read(InstanceOptions{MaxSeqLength: 8}); other.SHA256() == plain.SHA256() {
		t.Error("other lines have the same digest")
	}
	if err := plain.Instance(3, 0, &a); err == nil {
		t.Error("there is a line too many")
	}
	if _, err := ReadLines(context.Background(), &Corpus{Paths: []string{"-"}, Stdin: strings.NewReader("\n \n")}, tok, InstanceOptions{MaxSeqLength: 8}); err == nil {
		t.Error("no text is accepted")
	}
}
