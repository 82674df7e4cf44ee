package serve

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/tokenizer"
)

// aggregation is how the labels of tokens become entities: aggregation_strategy of transformers' pipeline of token classification,
// whose results these are (transformers 5.8, pipelines/token_classification.py).
type aggregation uint8

const (
	aggregateNone    aggregation = iota // a label for each token
	aggregateSimple                     // neighbours with the same label
	aggregateFirst                      // a word has the label of its first token
	aggregateAverage                    // of the mean of its tokens' probabilities
	aggregateMax                        // of its token with the largest probability
)

var aggregations = [...]string{"none", "simple", "first", "average", "max"}

// labelled is a piece of a text with a label: a token, a word or an entity.
type labelled struct {
	label      string
	word       string // the text as its tokens spell it
	score      float32
	start, end int // bytes of the text
	index      int // of the token in its sequence, of aggregateNone
	scores     []float32
	subword    bool
}

// labelling is what is known of a text whose tokens are labelled.
type labelling struct {
	tokenizer *tokenizer.Tokenizer
	labels    []string
	ignore    []string // labels that are left out
	by        aggregation
}

// entities are those of a window of a text: e is its encoding, logits [n,C] those of its tokens.
func (l *labelling) entities(text string, e *tokenizer.Encoding, logits []float32) []labelled {
	pieces := l.tokens(text, e, logits)
	if l.by > aggregateSimple {
		pieces = l.words(pieces)
	}
	if l.by > aggregateNone {
		pieces = l.group(pieces)
	}
	return slices.DeleteFunc(pieces, func(p labelled) bool { return slices.Contains(l.ignore, p.label) })
}

// tokens are the tokens of a text with their probabilities.
func (l *labelling) tokens(text string, e *tokenizer.Encoding, logits []float32) []labelled {
	c := len(l.labels)
	out := make([]labelled, 0, e.Len())
	for i, id := range e.IDs {
		if e.SpecialTokensMask[i] != 0 {
			continue
		}
		p := labelled{start: int(e.Offsets[i].Start), end: int(e.Offsets[i].End), index: i, scores: slices.Clone(logits[i*c : (i+1)*c])}
		softmax(p.scores)
		best := largest(p.scores)
		p.label, p.score = l.labels[best], p.scores[best]
		p.word, _ = l.tokenizer.Token(id)
		if there := text[p.start:p.end]; id == l.tokenizer.UnknownID() {
			p.word = there
		} else {
			// What transformers takes for the mark of a token that continues a word: it is longer than its text, by ##.
			p.subword = utf8.RuneCountInString(p.word) != utf8.RuneCountInString(there)
		}
		out = append(out, p)
	}
	return out
}

// words joins the tokens of each word, which then have one label.
func (l *labelling) words(tokens []labelled) []labelled {
	var out []labelled
	for from := 0; from < len(tokens); {
		to := from + 1
		for to < len(tokens) && tokens[to].subword {
			to++
		}
		out = append(out, l.word(tokens[from:to]))
		from = to
	}
	return out
}

func (l *labelling) word(tokens []labelled) labelled {
	w := tokens[0]
	switch l.by {
	case aggregateMax:
		for _, t := range tokens {
			if t.score > w.score {
				w = t
			}
		}
	case aggregateAverage:
		mean := make([]float32, len(w.scores))
		for _, t := range tokens {
			for i, s := range t.scores {
				mean[i] += s
			}
		}
		for i := range mean {
			mean[i] /= float32(len(tokens))
		}
		best := largest(mean)
		w.label, w.score = l.labels[best], mean[best]
	}
	w.word, w.start, w.end = l.spell(tokens), tokens[0].start, tokens[len(tokens)-1].end
	return w
}

func (l *labelling) spell(pieces []labelled) string {
	words := make([]string, len(pieces))
	for i, p := range pieces {
		words[i] = p.word
	}
	return l.tokenizer.DecodeTokens(words)
}

// group joins neighbours that have the same label but for its B- or I-. One with B- begins anew.
func (l *labelling) group(pieces []labelled) []labelled {
	var out []labelled
	for from := 0; from < len(pieces); {
		_, tag := splitLabel(pieces[from].label)
		to := from + 1
		for to < len(pieces) {
			begins, next := splitLabel(pieces[to].label)
			if begins || next != tag {
				break
			}
			to++
		}
		g := labelled{label: pieces[from].label, word: l.spell(pieces[from:to]), start: pieces[from].start, end: pieces[to-1].end}
		if _, after, ok := strings.Cut(g.label, "-"); ok {
			g.label = after
		}
		sum := 0.0
		for _, p := range pieces[from:to] {
			sum += float64(p.score)
		}
		g.score = float32(sum / float64(to-from))
		out = append(out, g)
		from = to
	}
	return out
}

// splitLabel is a label without B- or I-, and whether it had B-.
func splitLabel(label string) (begins bool, tag string) {
	if tag, ok := strings.CutPrefix(label, "B-"); ok {
		return true, tag
	}
	return false, strings.TrimPrefix(label, "I-")
}

// joinWindows takes, of entities of several windows of a text that overlap, the longest or of equally long ones the surest.
func joinWindows(entities []labelled) []labelled {
	if len(entities) == 0 {
		return entities
	}
	slices.SortStableFunc(entities, func(a, b labelled) int { return a.start - b.start })
	var out []labelled
	last := entities[0]
	for _, e := range entities {
		if last.start <= e.start && e.start < last.end {
			if n, m := e.end-e.start, last.end-last.start; n > m || n == m && e.score > last.score {
				last = e
			}
			continue
		}
		out = append(out, last)
		last = e
	}
	return append(out, last)
}
