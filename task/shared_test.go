package task

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/tinymodel"
	"github.com/go-bert/bert/tokenizer"
)

// What is prepared and answered together with other inputs is what Do gives; and Runners of one model have its sessions in common.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	if err := tinymodel.Save(dir); err != nil {
		t.Fatal(err)
	}
	var turns atomic.Int64
	s, err := OpenShared(t.Context(), dir, Options{Model: bert.Options{Threads: 1}, Turn: func(context.Context) (func(), error) {
		turns.Add(1)
		return func() {}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	vectors, err := Share(s, Encode(EncodeOptions{Pooling: MeanPooling}), ShareOptions{Cut: CutLeft})
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := Share(s, Encode(EncodeOptions{}), ShareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Share(s, FillMask(1), ShareOptions{}); !errors.As(err, new(*WrongTaskError)) {
		t.Errorf("a model without a masked-LM head fills masks: %v", err)
	}
	inputs := data.Texts("the film", "good", "the film was good and the film was bad and the film was dull and the film was a joy . . . . . . . . . .", "bad")
	var prepared []Prepared
	keys := make(map[string]bool)
	for i := range inputs {
		p, err := vectors.Prepare(&inputs[i])
		if err != nil {
			t.Fatal(err)
		}
		key, ok := p.AppendKey(nil)
		if !ok || keys[string(key)] {
			t.Errorf("the key of %q is another's", inputs[i].Text)
		}
		keys[string(key)] = true
		prepared = append(prepared, p)
	}
	if p := prepared[2]; p.Tokens() != 32 || p.DroppedTokens() == 0 || p.Sequences() != 1 || p.Longest() != 32 {
		t.Errorf("%d tokens, %d dropped, %d sequences", p.Tokens(), p.DroppedTokens(), p.Sequences())
	}
	together, err := vectors.Answer(t.Context(), prepared)
	if err != nil {
		t.Fatal(err)
	}
	if n := turns.Load(); n != 1 {
		t.Errorf("%d turns for a batch", n)
	}
	for i := range inputs {
		one, err := vectors.Do(t.Context(), inputs[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(one[0], together[i]) {
			t.Errorf("%q: %v together, %v alone", inputs[i].Text, together[i], one[0])
		}
	}
	if _, err := hidden.Answer(t.Context(), prepared); err == nil {
		t.Error("a Runner answers what another has prepared")
	}
	if _, err := hidden.Do(t.Context(), inputs[:1]); err != nil {
		t.Error(err)
	}
	if n := len(s.lender.idle); n != 1 {
		t.Errorf("%d sessions, want one for both", n)
	}
	if err := hidden.Close(); err != nil {
		t.Error(err)
	}
	if _, err := vectors.Do(t.Context(), inputs[:1]); err != nil {
		t.Errorf("after the other was closed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := vectors.Do(t.Context(), inputs[:1]); !errors.Is(err, bert.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// Of an answer that is a part of the text, or one of its choices, the text is part of the key.
func TestPreparedKey(t *testing.T) {
	tok, err := tokenizer.New(tinymodel.Vocabulary(), tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize, c.MaxPositionEmbeddings = tok.VocabSize(), 12, 1, 2, 20, 32
	for _, k := range []struct {
		head bert.Head
		same bool
	}{{bert.SequenceClassification, true}, {bert.TokenClassification, false}} {
		o := bert.Options{Head: k.head, Labels: []string{"O", "B-X"}, Threads: 1}
		m, err := bert.New(c, o)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		r, err := NewRunner(m, tok, nil, Predict(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		key := func(text string) string {
			p, err := r.Prepare(&data.Input{Text: text})
			if err != nil {
				t.Fatal(err)
			}
			b, _ := p.AppendKey(nil)
			return string(b)
		}
		if same := key("Film good") == key("film  good"); same != k.same {
			t.Errorf("%v: texts of the same ids have the same key: %v, want %v", k.head, same, k.same)
		}
		if key("film good") == key("film bad") {
			t.Errorf("%v: texts of other ids have the same key", k.head)
		}
	}
}
