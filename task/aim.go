package task

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
)

// Quantity is which number of an answer an explanation is about.
type Quantity uint8

const (
	// Logit is the model's own number, on which everything before it acts directly.
	Logit Quantity = iota
	// Margin is the logit minus that of the strongest rival, of classes or tokens that exclude each other.
	Margin
	// Probability is what a softmax or, of a multi-label model, the logistic function makes of the logit. Where it is next to 0
	// or 1, it hardly depends on anything any more.
	Probability
)

var quantityNames = [...]string{Logit: "logit", Margin: "margin", Probability: "probability"}

func (q Quantity) String() string {
	if int(q) >= len(quantityNames) {
		return fmt.Sprintf("Quantity(%d)", q)
	}
	return quantityNames[q]
}

// Quantities lists what ParseQuantity reads.
func Quantities() []string { return slices.Clone(quantityNames[:]) }

// ParseQuantity reads logit, margin or probability.
func ParseQuantity(name string) (Quantity, error) {
	if i := slices.Index(quantityNames[:], name); i >= 0 {
		return Quantity(i), nil
	}
	return 0, fmt.Errorf("quantity %s: want %s", message.Quote(name), strings.Join(quantityNames[:], ", "))
}

// MarshalText writes String.
func (q Quantity) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalText is ParseQuantity.
func (q *Quantity) UnmarshalText(text []byte) (err error) {
	*q, err = ParseQuantity(string(text))
	return err
}

// question is what is asked about an input.
type question struct {
	quantity Quantity
	label    string // "": of the answer
	input    *data.Input
}

// aim is a number that a sequence's logits give, of which an explanation is asked.
type aim struct {
	target   Target
	sequence int // of the input's
	// tokens are those at which the number is read: of a label of the whole, [CLS]; of a word, its first piece; of an answer its ends.
	tokens []int
	// at is the number and, unless d is nil, adds its gradient at the logits to d. Both are as long as the sequence's logits.
	at func(logits, d []float32) float64
}

// Target says what an explanation is about. Which fields it has depends on the model's Kind.
type Target struct {
	Quantity Quantity `json:"quantity"`
	Label    string   `json:"label,omitempty"`
	Rival    string   `json:"rival,omitempty"`  // of a Margin of labels
	Choice   *int     `json:"choice,omitempty"` // of multiple choice, from 0
	// Word and FirstPiece are the number of the word that has the label, from 0, and its first token's in the sequence.
	Word       *int `json:"word,omitempty"`
	FirstPiece *int `json:"first_piece,omitempty"`
	// Side is start, end or both, of an answer's tokens, whose text is Answer; "" where it is that there is none.
	Side   string  `json:"side,omitempty"`
	Answer *string `json:"answer,omitempty"`
}

// Name says to people what it is. Of a word it has the number.
func (t *Target) Name() string {
	switch {
	case t.Side != "":
		answer := "(no answer)"
		if t.Answer != nil && *t.Answer != "" {
			answer = *t.Answer
		}
		return t.named(answer + ": " + t.Side)
	case t.Word != nil:
		return t.named(fmt.Sprintf("word %d: %s", *t.Word, t.Label))
	}
	return t.named(t.Label)
}

// named is a name with the rival.
func (t *Target) named(name string) string {
	if t.Rival != "" {
		name += " before " + t.Rival
	}
	return name
}

// linear is Σ factors·logits.
func linear(factors map[int]float32) func(logits, d []float32) float64 {
	order := slices.Sorted(maps.Keys(factors))
	return func(logits, d []float32) float64 {
		v := 0.0
		for _, i := range order {
			v += float64(factors[i]) * float64(logits[i])
			if d != nil {
				d[i] += factors[i]
			}
		}
		return v
	}
}

// ofSoftmax is a quantity of the class at logits[places[class]], where the logits at places are rivals. It returns the strongest
// rival, −1 where the quantity has none.
func ofSoftmax(q Quantity, class int, places []int, logits []float32) (at func(logits, d []float32) float64, rival int, err error) {
	rival = -1
	switch q {
	case Logit:
		return linear(map[int]float32{places[class]: 1}), rival, nil
	case Margin:
		for i, p := range places {
			if i != class && (rival < 0 || logits[p] > logits[places[rival]]) {
				rival = i
			}
		}
		if rival < 0 {
			return nil, rival, fmt.Errorf("a margin of the only one: want %v", Logit)
		}
		return linear(map[int]float32{places[class]: 1, places[rival]: -1}), rival, nil
	case Probability:
		return func(logits, d []float32) float64 {
			own := make([]float32, len(places))
			for i, p := range places {
				own[i] = logits[p]
			}
			log, _ := logSoftmax(own)
			v := math.Exp(log[class])
			if d != nil {
				for i, p := range places {
					d[p] -= float32(v * math.Exp(log[i]))
				}
				d[places[class]] += float32(v)
			}
			return v
		}, rival, nil
	}
	return nil, rival, fmt.Errorf("there is no %v", q)
}

// upTo is 0, 1, … n−1.
func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// labelOf is the id of the label that is asked about, −1 where it is that of the answer.
func (q *question) labelOf(labels []string) (int, error) {
	if q.label == "" {
		return -1, nil
	}
	if i := slices.Index(labels, q.label); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("label %s is not one of the model's: %s", message.Quote(q.label), message.QuoteAll(labels))
}

// noLabel is an error where a label is asked about.
func (q *question) noLabel(k Kind) error {
	if q.label != "" {
		return fmt.Errorf("label %s, but a model of %v has none to ask about", message.Quote(q.label), k)
	}
	return nil
}

// strongest is the window with the largest logit of a class.
func strongest(logits [][]float32, class int) int {
	best := 0
	for w := range logits {
		if logits[w][class] > logits[best][class] {
			best = w
		}
	}
	return best
}
