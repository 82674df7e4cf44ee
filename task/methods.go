package task

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/go-bert/bert/explain"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
)

// CompareMethodsOptions say which explanations CompareMethods sets beside one another. The zero value is all of them.
type CompareMethodsOptions struct {
	Methods []Method // nil: all
	// Quantity, Label and Path are those of ExplainOptions.
	Quantity Quantity
	Label    string
	Path     explain.IntegratedOptions
	// Orders is how many orders at random the methods are held against; 0: 10. Seed draws them.
	Orders int
	Seed   uint64
}

// MethodComparison is what several methods say of an answer, how far they agree, and how far the model bears them out.
//
// Legend: K methods, W words.
type MethodComparison struct {
	Methods []Method         `json:"methods"` // [K]
	Targets []ComparedTarget `json:"targets"` // as of an Explanation
	// Windows, Truncated and DroppedTokens are those of an Explanation.
	Windows       int  `json:"windows,omitempty"`
	Truncated     bool `json:"truncated,omitempty"`
	DroppedTokens int  `json:"dropped_tokens,omitempty"`
}

// ComparedTarget compares the explanations of one number.
type ComparedTarget struct {
	Target Target         `json:"target"`
	Window int            `json:"window,omitempty"`
	Value  float32        `json:"value"`
	Words  []ComparedWord `json:"words"` // [W], in the order of the sequence
	// Correlations are Spearman's, of the words' scores by each two methods, [K,K]; nil where one gives all words the same score.
	// Methods that agree have 1. Where attention has little to do with the others, it says little of the answer.
	Correlations [][]*float32  `json:"correlations"`
	Removal      RemovalCurves `json:"removal"`
}

// ComparedWord has the scores of a word, [K].
type ComparedWord struct {
	Text   string    `json:"text"`
	Start  int       `json:"start"`
	End    int       `json:"end"`
	Pair   bool      `json:"pair,omitempty"`
	Scores []float32 `json:"scores"`
}

// RemovalCurves are the number that is explained where [MASK] takes the place of more and more words, those first that a method
// scores highest: see explain.Removal. Falls say how far a curve lies below where it begins, on average: a method that is no better
// than orders at random explains nothing.
//
// Legend: S steps.
type RemovalCurves struct {
	Words      []int       `json:"words"`   // [S]: how many words are removed
	Methods    [][]float32 `json:"methods"` // [K,S]
	Random     []float32   `json:"random"`  // [S]: the mean of orders at random
	Falls      []float32   `json:"falls"`   // [K]
	RandomFall float32     `json:"random_fall"`
}

// removalSteps are the steps of a curve of removal: each takes about a tenth of the words.
const removalSteps = 10

// CompareMethods sets explanations by several methods beside one another. It takes their passes, and up to 10 for each method and
// order.
func CompareMethods(o CompareMethodsOptions) Use[MethodComparison] {
	return Use[MethodComparison]{asked: Predicting, gradients: true, start: func(e *engine, d *Description) (*work[MethodComparison], error) {
		o := o
		if o.Methods == nil {
			for m := range methodNames {
				o.Methods = append(o.Methods, Method(m))
			}
		}
		if o.Orders = cmp.Or(o.Orders, 10); o.Orders < 1 {
			return nil, fmt.Errorf("%d orders at random, want at least 1", o.Orders)
		}
		c := &comparer{options: o}
		for i, m := range o.Methods {
			if slices.Contains(o.Methods[:i], m) {
				return nil, fmt.Errorf("method %v is there twice", m)
			}
			x, err := newExplainer(e, d, ExplainOptions{Method: m, Quantity: o.Quantity, Label: o.Label, Path: o.Path})
			if err != nil {
				return nil, err
			}
			c.methods = append(c.methods, x)
		}
		var err error
		if c.masks, err = newExplainer(e, d, ExplainOptions{Method: Occlusion, Quantity: o.Quantity, Label: o.Label}); err != nil {
			return nil, err
		}
		return &work[MethodComparison]{prepare: c.masks.prepare, answer: answering(c.masks, c.compare), budget: 1}, nil
	}}
}

type comparer struct {
	options CompareMethodsOptions
	methods []*explainer
	masks   *explainer // puts [MASK] in the place of words
}

func (c *comparer) compare(ctx context.Context, in *prepared, logits [][]float32) (MethodComparison, error) {
	out := MethodComparison{Methods: c.options.Methods, Targets: []ComparedTarget{}, Truncated: in.dropped > 0, DroppedTokens: in.dropped}
	if !c.masks.kind.choices && in.count > 1 {
		out.Windows = in.count
	}
	aims, err := c.masks.aims(in, logits)
	if err != nil {
		return out, err
	}
	for i := range aims {
		t, err := c.target(ctx, in, &aims[i])
		if err != nil {
			return out, err
		}
		if out.Windows > 0 {
			t.Window = aims[i].sequence
		}
		out.Targets = append(out.Targets, *t)
	}
	return out, nil
}

// target compares the explanations of an aim.
func (c *comparer) target(ctx context.Context, in *prepared, a *aim) (*ComparedTarget, error) {
	s := &in.sequences[a.sequence]
	out := &ComparedTarget{Target: a.target, Words: []ComparedWord{}}
	scores := make([][]float64, len(c.methods)) // [K,W]
	for k, x := range c.methods {
		t, err := x.attribute(ctx, &in.input, s, a)
		if err != nil {
			return nil, err
		}
		out.Value = t.Value
		for w, word := range t.Words {
			if k == 0 {
				out.Words = append(out.Words, ComparedWord{Text: word.Text, Start: word.Start, End: word.End, Pair: word.Pair})
			}
			out.Words[w].Scores = append(out.Words[w].Scores, word.Score)
			scores[k] = append(scores[k], float64(word.Score))
		}
	}
	out.Correlations = make([][]*float32, len(scores))
	for k := range scores {
		out.Correlations[k] = make([]*float32, len(scores))
		for l := range scores {
			if r, err := metric.Spearman(scores[k], scores[l]); err == nil {
				r32 := float32(r)
				out.Correlations[k][l] = &r32
			}
		}
	}
	return out, c.remove(ctx, s, a, scores, out)
}

// remove finds the curves of removal.
func (c *comparer) remove(ctx context.Context, s *sequence, a *aim, scores [][]float64, out *ComparedTarget) error {
	words := sequenceWords(s)
	if len(words) == 0 {
		return nil
	}
	point, masked, err := c.masks.points(s)
	if err != nil {
		return err
	}
	var orders [][]int
	for k := range scores {
		order := upTo(len(words))
		slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(scores[k][y], scores[k][x]) })
		orders = append(orders, order)
	}
	for o := range c.options.Orders {
		orders = append(orders, explain.Shuffled(len(words), c.options.Seed, o))
	}
	groups := wordCoordinates(words, len(point)/len(s.ids))
	curves, err := explain.Removal(ctx, &modelFunction{c.masks.engine, s, a}, point, masked, groups, orders, removalSteps)
	if err != nil {
		return err
	}
	r := &out.Removal
	random := make([]float64, removalSteps+1)
	for i, curve := range curves {
		if i < len(scores) {
			r.Methods, r.Falls = append(r.Methods, narrow([][]float64{curve})[0]), append(r.Falls, float32(explain.MeanFall(curve)))
			continue
		}
		for step, v := range curve {
			random[step] += v / float64(c.options.Orders)
		}
	}
	for step := range random {
		r.Words = append(r.Words, explain.RemovedAt(step, removalSteps, len(words)))
	}
	r.Random, r.RandomFall = narrow([][]float64{random})[0], float32(explain.MeanFall(random))
	return nil
}

// ParseMethods reads names of methods; "all" is all of them.
func ParseMethods(names []string) ([]Method, error) {
	var out []Method
	for _, name := range names {
		if name == "all" && len(names) == 1 {
			return nil, nil
		}
		m, err := ParseMethod(name)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, m) {
			return nil, fmt.Errorf("method %s is there twice", message.Quote(name))
		}
		out = append(out, m)
	}
	return out, nil
}
