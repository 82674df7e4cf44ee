package pretrain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/train"
)

// The interface that package train requires.
var _ train.EpochData = (*Data)(nil)

// memory is a Source of instances whose masks depend on the epoch: the first masked position moves by one per epoch.
type memory []Instance

func (m memory) Len() int         { return len(m) }
func (m memory) Length(i int) int { return len(m[i].IDs) }

func (m memory) Instance(i, epoch int, to *Instance) error {
	in := m[i]
	to.IDs, to.TypeIDs = append(to.IDs[:0], in.IDs...), append(to.TypeIDs[:0], in.TypeIDs...)
	to.Positions, to.MaskedIDs, to.Next = append(to.Positions[:0], in.Positions...), append(to.MaskedIDs[:0], in.MaskedIDs...), in.Next
	to.Positions[0] += int32(epoch)
	return nil
}

const madeVocabulary = 40

// madeInstances returns n instances of 7 to 20 tokens, two of them masked.
func madeInstances(n int) memory {
	var m memory
	for i := range n {
		length := 7 + i*5%14
		in := Instance{IDs: make([]int32, length), TypeIDs: make([]int32, length), Next: Next(i * i % 3 % 2)}
		for j := range in.IDs {
			in.IDs[j] = int32(5 + (i*7+j*j*3)%(madeVocabulary-5))
			if j > length/2 {
				in.TypeIDs[j] = 1
			}
		}
		in.IDs[0], in.IDs[length-1] = 2, 3
		in.Positions = []int32{1, int32(length - 2)}
		for _, p := range in.Positions {
			in.MaskedIDs = append(in.MaskedIDs, in.IDs[p])
			in.IDs[p] = 4
		}
		m = append(m, in)
	}
	return m
}

func testModel(t *testing.T, head bert.Head) *bert.Model {
	t.Helper()
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize, c.MaxPositionEmbeddings = madeVocabulary, 18, 2, 3, 30, 32
	c.InitializerRange = 0.5 // so that predictions differ
	m, err := bert.New(c, bert.Options{Head: head, Threads: 2, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*math.Max(1, math.Abs(b)) }

// The metrics are compared with those computed in float64 from the logits of each instance alone.
func TestEvaluate(t *testing.T) {
	source := madeInstances(23)
	for _, head := range []bert.Head{bert.PreTraining, bert.MaskedLM} {
		t.Run(head.String(), func(t *testing.T) {
			m := testModel(t, head)
			var masked, right, nextRight int
			var loss, nextLoss float64
			places, hits := make(map[int][2]int), make(map[int32][2]int) // masked and right, by place and by token
			session := m.NewSession()
			score := func(logits []float32, label int32) (loss float64, right int) {
				sum := 0.0
				for _, x := range logits {
					sum += math.Exp(float64(x))
				}
				if logits[label] == slices.Max(logits) {
					right = 1
				}
				return math.Log(sum) - float64(logits[label]), right
			}
			for n, in := range source {
				var b bert.Batch
				b.Add(in.IDs, in.TypeIDs)
				b.MaskedPositions = in.Positions
				out, err := session.Forward(&b, bert.Outputs{})
				if err != nil {
					t.Fatal(err)
				}
				for i, id := range in.MaskedIDs {
					logits := out.Logits[i*madeVocabulary:][:madeVocabulary]
					if n%3 == i { // random weights alone would be right too rarely
						id = int32(slices.Index(logits, slices.Max(logits)))
						in.MaskedIDs[i] = id
					}
					l, r := score(logits, id)
					loss, right, masked = loss+l, right+r, masked+1
					at := int(in.Positions[i])
					places[at] = [2]int{places[at][0] + 1, places[at][1] + r}
					hits[id] = [2]int{hits[id][0] + 1, hits[id][1] + r}
				}
				if head == bert.PreTraining {
					l, r := score(out.NextSentenceLogits, int32(in.Next))
					nextLoss, nextRight = nextLoss+l, nextRight+r
				}
			}
			n := float64(len(source))
			for _, tokens := range []int{0, 1, 50} {
				var done []int
				e, err := Evaluate(context.Background(), m, source, EvaluateOptions{
					Tokens: tokens, GlobalStep: 7, Progress: func(n, all int) { done = append(done, n) },
				})
				if err != nil {
					t.Fatal(err)
				}
				if !near(e.MaskedLMAccuracy, float64(right)/float64(masked)) || !near(e.MaskedLMLoss, loss/float64(masked)) ||
					e.Instances != len(source) || e.MaskedTokens != masked || e.GlobalStep != 7 {
					t.Errorf("%d tokens a batch: %+v, want %d right of %d and a loss of %v", tokens, e, right, masked, loss/float64(masked))
				}
				if (e.NextSentence != nil) != (head == bert.PreTraining) {
					t.Fatalf("next sentence: %v", e.NextSentence)
				}
				want := loss / float64(masked)
				if s := e.NextSentence; s != nil {
					if want += nextLoss / n; !near(s.NextSentenceAccuracy, float64(nextRight)/n) || !near(s.NextSentenceLoss, nextLoss/n) {
						t.Errorf("%d tokens a batch: %+v, want %d right of %v and a loss of %v", tokens, s, nextRight, n, nextLoss/n)
					}
				}
				if !near(e.Loss, want) {
					t.Errorf("%d tokens a batch: loss %v, want %v", tokens, e.Loss, want)
				}
				checkBreakdown(t, e.Breakdown, source, places, hits)
				if !slices.IsSorted(done) || done[len(done)-1] != len(source) || tokens == 1 && len(done) != len(source) {
					t.Errorf("%d tokens a batch: progress %v", tokens, done)
				}
			}
			if right == 0 || right == masked || head == bert.PreTraining && (nextRight == 0 || nextRight == len(source)) {
				t.Errorf("%d of %d and %d of %d are right: the test says little", right, masked, nextRight, len(source))
			}
		})
	}
}

// checkBreakdown compares a breakdown with counts by place and by token: masked and right.
func checkBreakdown(t *testing.T, b *Breakdown, source memory, places map[int][2]int, tokens map[int32][2]int) {
	t.Helper()
	if err := b.check(); err != nil {
		t.Fatal(err)
	}
	want, lengths, longest := newCounts(len(b.Lengths)), make([]int, len(b.Lengths)), 0
	for at, n := range places {
		want.add(at/b.Width, n[0], n[1])
	}
	seen := make(map[int32]int)
	for _, in := range source {
		lengths[(len(in.IDs)-1)/b.Width]++
		longest = max(longest, len(in.IDs))
		ids := slices.Clone(in.IDs)
		for i, at := range in.Positions {
			ids[at] = in.MaskedIDs[i]
		}
		for _, id := range ids {
			seen[id]++
		}
	}
	if !reflect.DeepEqual(b.Places, want) || !slices.Equal(b.Lengths, lengths) || b.Width != (longest+15)/16 {
		t.Errorf("the breakdown is %+v, want places %+v and lengths %v", b, want, lengths)
	}
	// Every token is in one group, no token in a later group is more frequent, and groups are of like size.
	order := slices.SortedFunc(maps.Keys(tokens), func(a, b int32) int { return cmp.Or(seen[b]-seen[a], int(a-b)) })
	all := 0
	for _, n := range tokens {
		all += n[0]
	}
	group, before := newCounts(frequencyGroups), 0
	different := make([]int, frequencyGroups)
	for _, id := range order {
		n := tokens[id]
		middle := float64(before) + float64(n[0]-1)/2 // of the tokens in this order
		k := int(middle / float64(all) * frequencyGroups)
		group.add(k, n[0], n[1])
		different[k]++
		before += n[0]
	}
	if !reflect.DeepEqual(b.Frequencies, group) || !slices.Equal(b.Vocabulary, different) {
		t.Errorf("by frequency there are %+v and %v, want %+v and %v", b.Frequencies, b.Vocabulary, group, different)
	}
	if b.Pieces != nil {
		t.Errorf("there are pieces without a tokenizer: %+v", b.Pieces)
	}
}

func TestEvaluateErrors(t *testing.T) {
	cancelled, cancel := context.WithCancelCause(context.Background())
	boom := errors.New("enough")
	cancel(boom)
	if _, err := Evaluate(cancelled, testModel(t, bert.MaskedLM), madeInstances(3), EvaluateOptions{}); err != boom {
		t.Errorf("cancelled: error is %v", err)
	}
	long := madeInstances(3)
	long[1].IDs = append(long[1].IDs, make([]int32, 40)...)
	unpaired := madeInstances(3)
	unpaired[2].Next = NotPaired
	beyond := madeInstances(3)
	beyond[0].Positions[1] = 99
	for _, test := range []struct {
		head   bert.Head
		source Source
		want   string
	}{
		{bert.MaskedLM, memory{}, "there are no instances"},
		{bert.NextSentence, madeInstances(1), "a BertForNextSentencePrediction can't be pre-trained"},
		{bert.PreTraining, unpaired, "instance 2: there is no second segment"},
		{bert.MaskedLM, beyond, "instance 0: masked position 99 is not one of its"},
		{bert.MaskedLM, long, "sequence 1 of the batch has"},
	} {
		if _, err := Evaluate(context.Background(), testModel(t, test.head), test.source, EvaluateOptions{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error is %v, want %q", err, test.want)
		}
	}
}

func TestSaveEvaluation(t *testing.T) {
	dir := t.TempDir()
	e := &Evaluation{MaskedLMAccuracy: 0.5, MaskedLMLoss: 2, NextSentence: &NextSentence{0.75, 0.25}, Loss: 2.25, GlobalStep: 9, Instances: 4, MaskedTokens: 8, Precision: bert.BFloat16}
	if err := e.Save(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, ResultsFile))
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"masked_lm_accuracy": 0.5, "masked_lm_loss": 2, "next_sentence_accuracy": 0.75, "next_sentence_loss": 0.25,
		"loss": 2.25, "global_step": 9, "instances": 4, "masked_tokens": 8, "compute_precision": "bf16",
	}
	if fmt.Sprint(keys) != fmt.Sprint(want) {
		t.Errorf("%s holds %s", ResultsFile, text)
	}
	if step, err := GlobalStep(dir); step != 9 || err != nil {
		t.Errorf("step %d, error %v; want 9", step, err)
	}
	if step, err := GlobalStep(t.TempDir()); step != 0 || err != nil {
		t.Errorf("without results: step %d, error %v", step, err)
	}
	e.NextSentence = nil
	names := e.Metrics().Names()
	if text, err := json.Marshal(e); err != nil || strings.Contains(string(text), "next") || fmt.Sprint(names) != "[masked_lm_accuracy masked_lm_loss]" {
		t.Errorf("without next-sentence prediction: %s, %v, error %v", text, names, err)
	}
}
