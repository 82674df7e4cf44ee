package distill

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/internal/random"
	"github.com/go-bert/bert/tokenizer"
)

// augmented is a task's data with copies of each example, in which words are replaced by what a masked language model gives in their
// place. Example i is followed by its copies. A copy has the tokens' number of its original: words of one piece take the place of words
// of one piece, and the others stay.
type augmented struct {
	finetune.TrainingData
	copies int
	share  float64
	seed   uint64
	// candidates are the words that may stand at a token of the originals, top of each, end to end; a first one below 0: the token stays.
	candidates []int32
	starts     []int // of each original, in tokens
	top        int
}

// augment asks a masked language model about each word of the data, masked alone. progress is told how many examples of how many are done.
func augment(ctx context.Context, r *Recipe, d finetune.TrainingData, m *bert.Model, p *pieces, tok *tokenizer.Tokenizer, progress func(done, all int)) (*augmented, error) {
	a := &augmented{TrainingData: d, copies: r.Copies, share: r.AugmentShare, seed: *r.Training.WithDefaults().Seed, top: r.AugmentTop, starts: make([]int, 1, d.Len()+1)}
	g := &guesser{session: m.NewSession(), tokenizer: tok, pieces: p, top: r.AugmentTop, replace: words(tok, p)}
	var b bert.Batch
	for i := range d.Len() {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		b.Reset()
		if err := d.Append(&b, i); err != nil {
			return nil, err
		}
		from := len(a.candidates)
		a.candidates = append(a.candidates, make([]int32, b.Tokens()*a.top)...)
		if err := g.guess(&b, a.candidates[from:]); err != nil {
			return nil, fmt.Errorf("the model for augmentation: %w", err)
		}
		a.starts = append(a.starts, a.starts[i]+b.Tokens())
		if progress != nil {
			progress(i+1, d.Len())
		}
	}
	return a, nil
}

// words are the student's ids that are whole words of one piece, by id: what may be replaced, and what may take its place.
func words(tok *tokenizer.Tokenizer, p *pieces) []bool {
	list := make([]bool, tok.VocabSize())
	for i := range list {
		id := int32(i)
		name, _ := tok.Token(id)
		list[i] = !tok.IsSpecial(id) && !tok.Continues(id) && id != tok.UnknownID() && (p == nil || p.ids[i] >= 0) && hasLetter(name)
	}
	return list
}

// guesser finds the most probable words for masked ones.
type guesser struct {
	session   *bert.Session
	tokenizer *tokenizer.Tokenizer
	pieces    *pieces // of the model, whose ids may be others than the student's
	top       int
	replace   []bool // by the student's id
	batch     bert.Batch
	places    []int // in the original, of the sequences of batch
	order     []int32
}

// maxGuessTokens bounds a batch of guesses.
const maxGuessTokens = 4096

// guess fills in candidates of each token of a batch, [T,top].
func (g *guesser) guess(b *bert.Batch, candidates []int32) error {
	for i := range b.Tokens() {
		candidates[i*g.top] = -1
	}
	for s := range b.Len() {
		from, to := b.Sequence(s)
		for i := from; i < to; i++ {
			last := i+1 == to || !g.tokenizer.Continues(b.IDs[i+1])
			if !last || !g.replace[b.IDs[i]] {
				continue
			}
			at := g.batch.Tokens()
			g.batch.Add(b.IDs[from:to], b.TypeIDs[from:to])
			g.batch.IDs[at+i-from] = g.tokenizer.MaskID()
			g.batch.MaskedPositions = append(g.batch.MaskedPositions, int32(at+i-from))
			if g.pieces != nil {
				if err := g.pieces.translate(g.batch.IDs[at:]); err != nil {
					return err
				}
			}
			g.places = append(g.places, i)
			if g.batch.Tokens() >= maxGuessTokens {
				if err := g.flush(b, candidates); err != nil {
					return err
				}
			}
		}
	}
	return g.flush(b, candidates)
}

// flush runs the model over the sequences that wait.
func (g *guesser) flush(b *bert.Batch, candidates []int32) error {
	if len(g.places) == 0 {
		return nil
	}
	defer func() {
		g.batch.Reset()
		g.places = g.places[:0]
	}()
	out, err := g.session.Forward(&g.batch, bert.Outputs{})
	if err != nil {
		return err
	}
	width := len(out.Logits) / len(g.places)
	for k, i := range g.places {
		g.best(out.Logits[k*width:][:width], b.IDs[i], candidates[i*g.top:][:g.top])
	}
	return nil
}

// best finds the most probable words other than one, the first of equals; −1 where there are no more.
func (g *guesser) best(logits []float32, not int32, to []int32) {
	g.order = g.order[:0]
	of := func(id int32) float32 {
		if g.pieces != nil {
			id = g.pieces.ids[id]
		}
		return logits[id]
	}
	better := func(x, y int32) int { return cmp.Or(cmp.Compare(of(y), of(x)), cmp.Compare(x, y)) }
	for id, ok := range g.replace {
		if !ok || int32(id) == not {
			continue
		}
		at, _ := slices.BinarySearchFunc(g.order, int32(id), better)
		if at == len(to) {
			continue
		}
		if len(g.order) == len(to) {
			g.order = g.order[:len(to)-1]
		}
		g.order = slices.Insert(g.order, at, int32(id))
	}
	for i := range to {
		to[i] = -1
		if i < len(g.order) {
			to[i] = g.order[i]
		}
	}
}

// Len counts the copies.
func (a *augmented) Len() int { return a.TrainingData.Len() * (a.copies + 1) }

// Length is that of the original.
func (a *augmented) Length(i int) int { return a.TrainingData.Length(i / (a.copies + 1)) }

// Source is that of the original.
func (a *augmented) Source(i int) data.Source { return a.TrainingData.Source(i / (a.copies + 1)) }

// Append adds an example, or a copy.
func (a *augmented) Append(b *bert.Batch, i int) error {
	original, number := i/(a.copies+1), i%(a.copies+1)
	from := b.Tokens()
	if err := a.TrainingData.Append(b, original); err != nil || number == 0 {
		return err
	}
	draw := random.New(a.seed, forWords, uint64(number), uint64(original))
	for t, id := range b.IDs[from:] {
		list := a.candidates[(a.starts[original]+t)*a.top:][:a.top]
		if list[0] < 0 || draw.Float64() >= a.share {
			continue
		}
		if end := slices.Index(list, -1); end >= 0 {
			list = list[:end]
		}
		if id = list[draw.Below(uint64(len(list)))]; id >= 0 {
			b.IDs[from+t] = id
		}
	}
	return nil
}

// hasLetter says that a token is made of letters, and not of signs or digits.
func hasLetter(token string) bool { return strings.ContainsFunc(token, unicode.IsLetter) }
