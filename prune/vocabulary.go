package prune

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/go-bert/bert/tokenizer"
)

// Vocabulary says which tokens of a model are kept: those that a corpus uses. The special and the added tokens always are.
type Vocabulary struct {
	// Texts are the lines of the corpus. They are read twice, and have to be the same each time.
	Texts func(ctx context.Context) iter.Seq2[[]byte, error]
	// MinCount is how often the corpus has to use a token; 0 and 1: once.
	MinCount int64
	// Size is the most tokens that are kept, those that are used most; 0: any number.
	Size int
	// DropCharacters leaves out the pieces of one character that the corpus does not use. A word with such a character, which the model knew
	// before, becomes the unknown token.
	DropCharacters bool
}

// exact reports whether every token that the corpus uses is kept.
func (v *Vocabulary) exact() bool { return v.MinCount <= 1 && v.Size == 0 }

// VocabularyResult says what became of a vocabulary.
type VocabularyResult struct {
	Before int `json:"before"` // tokens
	After  int `json:"after"`
	// Special are the special and added tokens, Characters the pieces of one character, and those that alone have some character, which are
	// kept whether the corpus uses them or not. Used are the tokens that the corpus uses.
	Special    int `json:"special"`
	Characters int `json:"characters"`
	Used       int `json:"used"`
	// Lacking are those of Characters that are kept because a character has no piece of its own. A word with such a character may still become
	// unknown, where other pieces of it were left out.
	Lacking int `json:"lacking"`
	// Corpus is what the new vocabulary makes of the corpus, by the files that were written.
	Corpus CorpusCheck `json:"corpus"`
}

// CorpusCheck compares the tokens that two tokenizers make of a corpus.
type CorpusCheck struct {
	Lines         int64 `json:"lines"`   // that are not blank
	Changed       int64 `json:"changed"` // lines that have other tokens
	TokensBefore  int64 `json:"tokens_before"`
	TokensAfter   int64 `json:"tokens_after"`
	UnknownBefore int64 `json:"unknown_before"` // of them, the unknown token
	UnknownAfter  int64 `json:"unknown_after"`
	// FirstChanged is the first line that changed, counted from 1 among those that are not blank; 0: none did.
	FirstChanged int64 `json:"first_changed,omitempty"`
}

// add adds what another part of the corpus gave.
func (c *CorpusCheck) add(o *CorpusCheck) {
	c.Lines += o.Lines
	c.Changed += o.Changed
	c.TokensBefore += o.TokensBefore
	c.TokensAfter += o.TokensAfter
	c.UnknownBefore += o.UnknownBefore
	c.UnknownAfter += o.UnknownAfter
	if o.FirstChanged > 0 && (c.FirstChanged == 0 || o.FirstChanged < c.FirstChanged) {
		c.FirstChanged = o.FirstChanged
	}
}

// choose lists the ids to keep. also is one that is kept too.
func (v *Vocabulary) choose(ctx context.Context, t *tokenizer.Tokenizer, also int32, progress func(lines int64)) ([]int32, *VocabularyResult, error) {
	counts, lines, err := v.count(ctx, t, progress)
	if err != nil {
		return nil, nil, err
	}
	if lines == 0 {
		return nil, nil, fmt.Errorf("the texts that the vocabulary is to be kept for are empty")
	}
	r := &VocabularyResult{Before: t.VocabSize()}
	keep := make([]bool, t.VocabSize())
	left := func(ids []int32) (n int) {
		for _, id := range ids {
			if !keep[id] {
				keep[id] = true
				n++
			}
		}
		return n
	}
	special := t.Needed()
	if also >= 0 && int(also) < len(keep) {
		special = append(special, also)
	}
	r.Special = left(special)
	if !v.DropCharacters {
		single, lacking := t.Characters()
		r.Characters = left(single)
		r.Lacking = left(lacking)
		r.Characters += r.Lacking
	}
	forced := r.Special + r.Characters
	if v.Size > 0 && v.Size < forced {
		return nil, nil, &SizeError{Size: v.Size, Special: r.Special, Characters: r.Characters}
	}
	var used []int32
	for id, n := range counts {
		if n > 0 {
			r.Used++
		}
		if n >= max(1, v.MinCount) && !keep[id] {
			used = append(used, int32(id))
		}
	}
	if v.Size > 0 && len(used) > v.Size-forced {
		slices.SortStableFunc(used, func(a, b int32) int { return cmp.Compare(counts[b], counts[a]) })
		used = used[:v.Size-forced]
	}
	left(used)
	var ids []int32
	for id, kept := range keep {
		if kept {
			ids = append(ids, int32(id))
		}
	}
	r.After = len(ids)
	return ids, r, nil
}

// SizeError says that a vocabulary can't be as small as was asked for.
type SizeError struct{ Size, Special, Characters int }

func (e *SizeError) Error() string {
	return fmt.Sprintf("a vocabulary of %d tokens is too small: special and added tokens take %d and single characters %d", e.Size, e.Special, e.Characters)
}

// count counts the tokens of the corpus, by id.
func (v *Vocabulary) count(ctx context.Context, t *tokenizer.Tokenizer, progress func(lines int64)) (counts []int64, lines int64, err error) {
	var mu sync.Mutex
	counts = make([]int64, t.VocabSize())
	err = v.eachPart(ctx, progress, func(p *textPart) error {
		var (
			e   tokenizer.Encoding
			own = make(map[int32]int64)
		)
		for i, text := range p.lines {
			if err := t.Encode(&e, text, textOptions); err != nil {
				return lineError(p.first+int64(i), err)
			}
			for _, id := range e.IDs {
				own[id]++
			}
		}
		mu.Lock()
		defer mu.Unlock()
		lines += int64(len(p.lines))
		for id, n := range own {
			counts[id] += n
		}
		return nil
	})
	return counts, lines, err
}

// textOptions encode a line without special tokens, however long.
var textOptions = tokenizer.Options{OmitSpecialTokens: true}

// check compares what two tokenizers make of the corpus: token i of after is ids[i] of before.
func (v *Vocabulary) check(ctx context.Context, before, after *tokenizer.Tokenizer, ids []int32, progress func(lines int64)) (*CorpusCheck, error) {
	var (
		mu  sync.Mutex
		sum CorpusCheck
	)
	err := v.eachPart(ctx, progress, func(p *textPart) error {
		var (
			a, b tokenizer.Encoding
			part CorpusCheck
		)
		for i, text := range p.lines {
			line := p.first + int64(i)
			for _, side := range []struct {
				t *tokenizer.Tokenizer
				e *tokenizer.Encoding
			}{{before, &a}, {after, &b}} {
				if err := side.t.Encode(side.e, text, textOptions); err != nil {
					return lineError(line, err)
				}
			}
			part.Lines++
			part.TokensBefore += int64(a.Len())
			part.TokensAfter += int64(b.Len())
			part.UnknownBefore += unknown(before, &a)
			part.UnknownAfter += unknown(after, &b)
			if !slices.EqualFunc(a.IDs, b.IDs, func(old, id int32) bool { return int(id) < len(ids) && ids[id] == old }) || !slices.Equal(a.Offsets, b.Offsets) {
				part.Changed++
				if part.FirstChanged == 0 {
					part.FirstChanged = line
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		sum.add(&part)
		return nil
	})
	return &sum, err
}

func unknown(t *tokenizer.Tokenizer, e *tokenizer.Encoding) (n int64) {
	for _, id := range e.IDs {
		if id == t.UnknownID() {
			n++
		}
	}
	return n
}

func lineError(line int64, err error) error { return fmt.Errorf("line %d of the texts: %w", line, err) }

// textPart is some lines of a corpus, of which the first has the given number.
type textPart struct {
	first int64
	lines []string
}

// partBytes is how much text is in a part.
const partBytes = 1 << 18

// eachPart hands the corpus to do, some lines at a time, on all processors. The error is that of the first line that has one. progress, if
// not nil, is called with the number of lines that were read.
func (v *Vocabulary) eachPart(ctx context.Context, progress func(lines int64), do func(*textPart) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		parts = make(chan *textPart)
		wait  sync.WaitGroup
		mu    sync.Mutex
		first = int64(math.MaxInt64) // the part of failed
		fail  error
	)
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for p := range parts {
				if err := do(p); err != nil {
					mu.Lock()
					if p.first < first {
						first, fail = p.first, err
					}
					mu.Unlock()
					stop(err)
				}
			}
		})
	}
	read := v.read(ctx, progress, parts)
	close(parts)
	wait.Wait()
	if fail != nil {
		return fail
	}
	return read
}

// read cuts the corpus into parts.
func (v *Vocabulary) read(ctx context.Context, progress func(lines int64), parts chan<- *textPart) error {
	var (
		p     = &textPart{first: 1}
		size  int
		lines int64
	)
	send := func() error {
		if len(p.lines) == 0 {
			return nil
		}
		select {
		case parts <- p:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		p, size = &textPart{first: lines + 1}, 0
		if progress != nil {
			progress(lines)
		}
		return nil
	}
	for line, err := range v.Texts(ctx) {
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		lines++
		p.lines = append(p.lines, string(line))
		if size += len(line); size >= partBytes {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return send()
}
