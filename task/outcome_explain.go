package task

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// ScoredWord is a word, as the model reads it, with what it adds to a number.
type ScoredWord struct {
	Text  string  `json:"text"`
	Score float32 `json:"score"`
}

// explainedOutcomes is how many examples AddExplanations explains.
const explainedOutcomes = 20

// AddExplanations says of the 20 examples of the greatest loss what in their words speaks for the label that the model predicts: the
// gradient of its logit times the word embeddings, as [GradientInput] has it, by a pass forward and back for each. Of a text in windows
// it is about the first. d is the data of the evaluation, and m the model. Nothing is done where examples have not one label each,
// and where the model's precision has no gradients.
func (o *Outcomes) AddExplanations(ctx context.Context, m *bert.Model, d *Dataset, t *tokenizer.Tokenizer) error {
	if p, _ := m.Precision(); o.Kind != SingleLabel || m.Head() != bert.SequenceClassification || !p.Trains() {
		return nil
	}
	session := m.NewSession()
	for _, i := range o.worst(explainedOutcomes) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		x := &o.Examples[i]
		best := 0
		for j, v := range x.LogProbabilities {
			if v > x.LogProbabilities[best] {
				best = j
			}
		}
		ids, typeIDs := d.firstSequence(i)
		scores, err := gradientTimesInput(session, m, ids, typeIDs, best, len(o.Labels))
		if err != nil {
			return fmt.Errorf("%s: %w", x.Source, err)
		}
		x.Scored = scoredWords(t, ids[:min(len(ids), outcomeTokens)], scores)
	}
	return nil
}

// gradientTimesInput is, for each token, the product of its word embedding and the gradient of a class's logit there.
func gradientTimesInput(s *bert.Session, m *bert.Model, ids, typeIDs []int32, class, classes int) ([]float64, error) {
	rows, err := m.WordEmbeddings(ids)
	if err != nil {
		return nil, err
	}
	var b bert.Batch
	b.Add(ids, typeIDs)
	gradient, err := s.InputGradient(&b, func(a *bert.Activations) error {
		at := make([]float32, classes)
		at[class] = 1
		return a.AddLogits(at)
	})
	if err != nil {
		return nil, err
	}
	scores, h := make([]float64, len(ids)), len(rows)/len(ids)
	for i, v := range rows {
		scores[i/h] += float64(v) * float64(gradient[i])
	}
	return scores, nil
}

// firstSequence is the first sequence of example i.
func (d *Dataset) firstSequence(i int) (ids, typeIDs []int32) {
	from, _ := d.itemsOf(i)
	n := d.Sequences(0)
	at, to := d.starts[from*n], d.starts[from*n+1]
	ids = d.ids[at:to]
	typeIDs = make([]int32, len(ids))
	if d.typeIDs != nil {
		for k := range typeIDs {
			typeIDs[k] = int32(d.typeIDs[at+k])
		}
	}
	return ids, typeIDs
}

// scoredWords are the words that tokens make, without [CLS] and the last [SEP]. A word's score is the sum of its pieces'.
func scoredWords(t *tokenizer.Tokenizer, ids []int32, scores []float64) []ScoredWord {
	var (
		words []ScoredWord
		sums  []float64
	)
	for i, id := range ids {
		if id == t.ClassifierID() || id == t.SeparatorID() && i == len(ids)-1 {
			continue
		}
		token := t.Tokens(ids[i : i+1])[0]
		if t.Continues(id) && len(words) > 0 {
			words[len(words)-1].Text += strings.TrimPrefix(token, t.Config().Prefix)
			sums[len(sums)-1] += scores[i]
			continue
		}
		words, sums = append(words, ScoredWord{Text: token}), append(sums, scores[i])
	}
	for i, v := range sums {
		words[i].Score = float32(v)
	}
	return words
}
