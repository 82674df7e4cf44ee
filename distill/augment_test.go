package distill

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

// texts are training data of one text each.
type texts struct {
	tok  *tokenizer.Tokenizer
	list []string
}

func (x texts) Len() int { return len(x.list) }
func (x texts) Length(i int) int {
	var b bert.Batch
	if err := x.Append(&b, i); err != nil {
		panic(err)
	}
	return b.Tokens()
}
func (x texts) Append(b *bert.Batch, i int) error {
	b.Classes = append(b.Classes, int32(i))
	return oneText{tok: x.tok, text: x.list[i]}.Append(b, i)
}
func (x texts) Source(i int) data.Source { return data.Source{File: "f", Line: i + 1} }

// TestAugment: copies are as long as their originals and have their labels; words of one piece become words that the model finds most
// probable in their place, and nothing else changes. It is the same again, and in any order.
func TestAugment(t *testing.T) {
	tok, err := tokenizer.New(strings.Fields("[PAD] [UNK] [CLS] [SEP] [MASK] the film ##s was good bad dull a joy , . 7"), tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	c := tinyConfig(1, 8)
	c.VocabSize = tok.VocabSize()
	m := tinyModel(t, c, bert.MaskedLM, 3)
	original := texts{tok, []string{"the films , was good .", "a joy 7", "bad bad bad bad bad bad"}}
	r := &Recipe{Augmentation: Augmentation{Copies: 4, AugmentShare: 0.5, AugmentTop: 3}}
	a, err := augment(context.Background(), r, original, m, nil, tok, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Len() != 15 {
		t.Fatalf("%d examples, want 15", a.Len())
	}
	at := func(i int) []int32 {
		var b bert.Batch
		if err := a.Append(&b, i); err != nil {
			t.Fatal(err)
		}
		if b.Tokens() != a.Length(i) || !slices.Equal(b.Classes, []int32{int32(i / 5)}) || a.Source(i).Line != 1+i/5 {
			t.Errorf("example %d has %d tokens (Length %d), label %v, source %v", i, b.Tokens(), a.Length(i), b.Classes, a.Source(i))
		}
		return b.IDs
	}
	changed, kept := 0, 0
	for i := a.Len() - 1; i >= 0; i-- {
		first, copied := at(i/5*5), at(i)
		if i%5 == 0 {
			var b bert.Batch
			if err := original.Append(&b, i/5); err != nil || !slices.Equal(b.IDs, copied) {
				t.Errorf("example %d is not the original (%v)", i, err)
			}
			continue
		}
		for j, id := range copied {
			name := tok.Tokens(first[j : j+1])[0]
			switch word := slices.Contains(strings.Fields("the was good bad dull a joy"), name); {
			case id == first[j] && word:
				kept++
			case id == first[j]:
			case !word:
				t.Errorf("example %d: %s became %v", i, name, tok.Tokens(copied[j:j+1]))
			default:
				changed++
				if new := tok.Tokens(copied[j : j+1])[0]; !slices.Contains(strings.Fields("the film was good bad dull a joy"), new) {
					t.Errorf("example %d: %s became %s", i, name, new)
				}
			}
		}
		if !slices.Equal(copied, at(i)) {
			t.Errorf("example %d is another the second time", i)
		}
	}
	if share := float64(changed) / float64(changed+kept); share < 0.3 || share > 0.7 {
		t.Errorf("%d words of %d changed, want about half", changed, changed+kept)
	}

	// The candidates are the model's: those of the largest logits at the masked word, without the word itself.
	var b bert.Batch
	if err := original.Append(&b, 1); err != nil {
		t.Fatal(err)
	}
	const joy = 2
	word := b.IDs[joy]
	b.IDs[joy] = tok.MaskID()
	b.MaskedPositions = []int32{joy}
	out, err := m.NewSession().Forward(&b, bert.Outputs{})
	if err != nil {
		t.Fatal(err)
	}
	var best []int32
	for range 3 {
		top := int32(-1)
		for id := range int32(len(out.Logits)) {
			if name, _ := tok.Token(id); id == word || !hasLetter(name) || strings.ContainsAny(name, "[#") || slices.Contains(best, id) {
				continue
			}
			if top < 0 || out.Logits[id] > out.Logits[top] {
				top = id
			}
		}
		best = append(best, top)
	}
	if got := a.candidates[(a.starts[1]+joy)*a.top:][:a.top]; !slices.Equal(got, best) {
		t.Errorf("the candidates for joy are %v, want %v", tok.Tokens(got), tok.Tokens(best))
	}
}
