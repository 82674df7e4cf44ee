package serve

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/go-bert/bert/tokenizer"
)

// asking is how answers are found in a context, as by transformers' pipeline of question answering, whose results these are
// (transformers 4.57, pipelines/question_answering.py).
type asking struct {
	topK       int  // answers that are given
	maxLength  int  // of a window of question and context, in tokens
	stride     int  // tokens that two windows have in common
	maxAnswer  int  // the longest answer, in tokens
	impossible bool // there may be no answer
	byWords    bool // answers begin and end with words
}

func defaultAsking() asking {
	return asking{topK: 1, maxLength: -1, stride: -1, maxAnswer: 15, byWords: true}
}

// resolve fills in what the request leaves to the model, whose sequences have up to longest tokens.
func (a *asking) resolve(longest int) error {
	if a.maxLength < 0 {
		a.maxLength = min(longest, 384)
	}
	if a.maxLength > longest {
		a.maxLength = longest
	}
	if a.stride < 0 {
		a.stride = min(a.maxLength/2, 128)
	}
	if a.stride > a.maxLength {
		return &fieldError{"parameters.doc_stride", errors.New("is larger than `max_seq_len`")}
	}
	return nil
}

// windows are the encodings of a question with its context. tokens bounds those of all windows together.
func (a *asking) windows(t *tokenizer.Tokenizer, question, context string, tokens int) ([]*tokenizer.Encoding, error) {
	var out []*tokenizer.Encoding
	o := tokenizer.Options{MaxLength: a.maxLength, Truncation: tokenizer.OnlySecond, Stride: a.stride, Overflow: true}
	err := t.PairWindows(question, context, o, func(e *tokenizer.Encoding) error {
		if tokens -= e.Len(); tokens < 0 {
			return errTooManyWindows
		}
		out = append(out, cloneEncoding(e))
		return nil
	})
	return out, err
}

// errTooManyWindows is the error of a text that needs more windows than a request may have tokens.
var errTooManyWindows = errors.New("the text has more windows than a request may have tokens")

func cloneEncoding(e *tokenizer.Encoding) *tokenizer.Encoding {
	return &tokenizer.Encoding{
		IDs: slices.Clone(e.IDs), TypeIDs: slices.Clone(e.TypeIDs), Offsets: slices.Clone(e.Offsets),
		SpecialTokensMask: slices.Clone(e.SpecialTokensMask), SequenceIDs: slices.Clone(e.SequenceIDs), WordIDs: slices.Clone(e.WordIDs),
		Truncated: e.Truncated,
	}
}

// span is an answer: bytes of the context, from start to before end.
type span struct {
	text       string
	start, end int
	score      float64
}

// candidate is a pair of tokens of a window.
type candidate struct {
	from, to int
	score    float32
}

// answers are the best answers in the windows of a context, of which logits has [n,2]: that of beginning and of ending at each token.
func (a *asking) answers(t *tokenizer.Tokenizer, context string, windows []*tokenizer.Encoding, logits [][]float32) []span {
	var (
		out  []span
		null = 1e6
	)
	for i, e := range windows {
		var found []candidate
		found, null = a.candidates(t, e, logits[i], null)
		for _, c := range found {
			start, end := a.place(e, c)
			text := context[start:end]
			// The same words elsewhere are the same answer.
			same := slices.IndexFunc(out, func(s span) bool { return strings.EqualFold(s.text, text) })
			if same >= 0 {
				out[same].score += float64(c.score)
				continue
			}
			out = append(out, span{text, start, end, float64(c.score)})
		}
	}
	if a.impossible {
		out = append(out, span{score: null})
	}
	slices.SortStableFunc(out, func(x, y span) int { return cmp.Compare(y.score, x.score) })
	return out[:min(len(out), a.topK)]
}

// candidates are the best spans of a window, and the least score of there being no answer so far.
func (a *asking) candidates(t *tokenizer.Tokenizer, e *tokenizer.Encoding, logits []float32, null float64) ([]candidate, float64) {
	n := e.Len()
	begin, end := make([]float32, n), make([]float32, n)
	for i := range n {
		begin[i], end[i] = logits[2*i], logits[2*i+1]
		if e.SequenceIDs[i] != 1 && e.IDs[i] != t.ClassifierID() {
			begin[i], end[i] = -10000, -10000
		}
	}
	softmax(begin)
	softmax(end)
	null = min(null, float64(begin[0]*end[0]))
	begin[0], end[0] = 0, 0
	most := a.topK
	if a.byWords {
		most = 2*a.topK + 10
	}
	best := make([]candidate, 0, min(most, 64))
	for i := range n {
		if begin[i] == 0 {
			continue
		}
		for j := i; j < min(n, i+a.maxAnswer); j++ {
			c := candidate{i, j, begin[i] * end[j]}
			if c.score == 0 || len(best) == most && c.score <= best[most-1].score {
				continue
			}
			at, _ := slices.BinarySearchFunc(best, c, func(x, c candidate) int {
				if x.score >= c.score {
					return -1
				}
				return 1
			})
			if len(best) == most {
				best = best[:most-1]
			}
			best = slices.Insert(best, at, c)
		}
	}
	return best, null
}

// place is where a candidate is in the context: as its tokens, or as the words that they belong to.
func (a *asking) place(e *tokenizer.Encoding, c candidate) (start, end int) {
	start, end = int(e.Offsets[c.from].Start), int(e.Offsets[c.to].End)
	if a.byWords && e.WordIDs[c.from] >= 0 && e.WordIDs[c.to] >= 0 {
		for i := c.from; i >= 0 && e.SequenceIDs[i] == 1 && e.WordIDs[i] == e.WordIDs[c.from]; i-- {
			start = int(e.Offsets[i].Start)
		}
		for i := c.to; i < e.Len() && e.SequenceIDs[i] == 1 && e.WordIDs[i] == e.WordIDs[c.to]; i++ {
			end = int(e.Offsets[i].End)
		}
	}
	return start, max(start, end)
}
