package pretrain

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// TestProbes: each evaluation records what the model fills in and which masked tokens are right, the last of them what the model says
// that was saved. Neither changes the model.
func TestProbes(t *testing.T) {
	f := makeRunFiles(t)
	r := Recipe{
		Instances: []string{f.short, f.long}, PhaseSteps: []int{4, 2}, Config: f.config, BatchSize: PerPhase{4}, EvalInstances: f.short,
		Probe: []string{"the [MASK] was [MASK].", "a [MASK], <b>"}, Training: Training{LearningRate: 1e-2, EvalSteps: 2},
	}
	dir := filepath.Join(t.TempDir(), "out")
	result, err := pretrainOnce(t.Context(), r, Options{Output: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := train.ReadEvents(dir)
	if err != nil || len(e.Evaluations) != 3 {
		t.Fatalf("%d evaluations, %v", len(e.Evaluations), err)
	}
	var last *Details
	for _, v := range e.Evaluations {
		if last, err = ParseDetails(v.Evaluation.Details); err != nil {
			t.Fatal(err)
		}
		if len(last.Probes) != 2 || last.Probes[0].Text != r.Probe[0] || len(last.Probes[0].Masks) != 2 || len(last.Probes[1].Masks) != 1 {
			t.Fatalf("the probes are %+v", last.Probes)
		}
		for _, c := range last.Probes[0].Masks {
			if len(c) != probeTop || !slices.IsSortedFunc(c, func(a, b Candidate) int { return int(math.Copysign(1, b.Probability-a.Probability)) }) {
				t.Errorf("the candidates are %+v", c)
			}
		}
	}
	// Of masks, no other counts: what is right of all groups is what the accuracy says.
	right := 0
	for _, n := range last.Breakdown.Places.Right {
		right += n
	}
	p := last.Breakdown.Pieces
	if p == nil || p.Right[0]+p.Right[1] != right || p.Masked[0]+p.Masked[1] != result.Evaluation.MaskedTokens {
		t.Errorf("the pieces are %+v, want %d right of %d", p, right, result.Evaluation.MaskedTokens)
	}
	if got := float64(right) / float64(result.Evaluation.MaskedTokens); got != result.Evaluation.MaskedLMAccuracy {
		t.Errorf("the accuracy of the places is %v, want %v", got, result.Evaluation.MaskedLMAccuracy)
	}
	// The saved model says the same, by a pass of its own and a softmax in float64.
	m, err := bert.Load(t.Context(), dir, bert.Options{Head: bert.MaskedLM})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var (
		x tokenizer.Encoding
		b bert.Batch
	)
	if err := tok.Encode(&x, r.Probe[1], tokenizer.Options{}); err != nil {
		t.Fatal(err)
	}
	b.Add(x.IDs, x.TypeIDs)
	b.MaskedPositions = []int32{int32(slices.Index(x.IDs, tok.MaskID()))}
	out, err := m.NewSession().Forward(&b, bert.Outputs{})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, l := range out.Logits {
		sum += math.Exp(float64(l))
	}
	for _, c := range last.Probes[1].Masks[0] {
		id, ok := tok.ID(c.Token)
		if want := math.Exp(float64(out.Logits[id])) / sum; !ok || !near(c.Probability, want) {
			t.Errorf("%s has %v, want %v", c.Token, c.Probability, want)
		}
	}
	// Without probes the model is the same.
	r.Probe = nil
	without := filepath.Join(t.TempDir(), "without")
	if _, err := pretrainOnce(t.Context(), r, Options{Output: without}, nil); err != nil {
		t.Fatal(err)
	}
	if string(mustRead(t, dir, "model.safetensors")) != string(mustRead(t, without, "model.safetensors")) {
		t.Error("probes change the model")
	}
	// The folder says what was trained on.
	sets, err := ReadTrainingSets(dir)
	if err != nil || len(sets) != 2 {
		t.Fatalf("%+v, %v", sets, err)
	}
	for i, path := range []string{f.short, f.long} {
		s, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		want := TrainingSet{Path: path, Instances: s.Len(), Tokens: s.Info().Tokens, Longest: s.Info().Longest, Width: (s.Info().Longest + 15) / 16}
		want.Lengths = make([]int, (want.Longest+want.Width-1)/want.Width)
		for k := range s.Len() {
			want.Lengths[(s.Length(k)-1)/want.Width]++
		}
		if !reflect.DeepEqual(sets[i], want) {
			t.Errorf("set %d is %+v, want %+v", i, sets[i], want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestProbeErrors(t *testing.T) {
	f := makeRunFiles(t)
	for want, texts := range map[string][]string{
		`probe is "the film", want a text with a [MASK]`: {"a [MASK]", "the film"},
		"want at most 20 [MASK] in all texts together":   slices.Repeat([]string{"[MASK] [MASK] [MASK]"}, 7),
		"want at most 40 tokens, which are the model's":  {"[MASK]" + strings.Repeat(" film", 60)},
		"want texts of at most 2000 bytes":               {strings.Repeat("a", 2001)},
	} {
		r := Recipe{Instances: []string{f.short}, Config: f.config, EvalInstances: f.short, Probe: texts}
		j, err := r.Prepare(t.Context(), Options{Output: filepath.Join(t.TempDir(), "out")})
		if err == nil {
			j.Close()
		}
		wantError(t, err, want)
		if !errors.As(err, new(*recipe.Error)) {
			t.Errorf("the error is a %T", err)
		}
	}
	r := Recipe{Instances: []string{f.short}, Config: f.config, Probe: []string{"[MASK]"}}
	wantError(t, r.Validate(), "none without instances to evaluate on")
}

// Any text is either read as details that can be drawn, or refused.
func FuzzDetails(f *testing.F) {
	f.Add([]byte(`{"breakdown":{"width":1,"places":{"masked":[2],"right":[1]},"lengths":[1],"frequencies":{"masked":[1,0,0,0,0,0,0,0,0,1],"right":[0,0,0,0,0,0,0,0,0,1]},"vocabulary":[1,0,0,0,0,0,0,0,0,1]}}`))
	f.Add([]byte(`{"probes":[{"text":"a","masks":[[{"token":"b","probability":0.5}]]}]}`))
	f.Add([]byte(`{"breakdown":{"width":0}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := ParseDetails(text)
		if err != nil {
			return
		}
		if b := d.Breakdown; b != nil {
			if err := b.check(); err != nil || len(b.Places.Masked) != len(b.Lengths) || len(b.Frequencies.Right) != frequencyGroups {
				t.Fatalf("%q is read as %+v: %v", text, b, err)
			}
		}
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseDetails(again); err != nil || fmt.Sprint(back) == "" {
			t.Fatalf("%s is not read again: %v", again, err)
		}
	})
}
