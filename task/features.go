package task

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/tokenizer"
)

// featurizer turns inputs into token ids.
type featurizer struct {
	tokenizer *tokenizer.Tokenizer // nil where inputs are ids alone
	options   tokenizer.Options
	spec      *Spec // for a kind's codec; nil where there is no task
	longest   int   // tokens of a sequence of ready-made ids
	vocab     int   // ids
	types     int   // type ids
	longBytes int   // of a text that is encoded in pieces: longBytes, but in tests
}

// encode puts the ids and type ids of an input into e. The other fields of e are only good for a text.
func (f *featurizer) encode(e *tokenizer.Encoding, in *data.Input) error {
	if in.IDs != nil {
		return f.take(e, in)
	}
	switch {
	case in.TypeIDs != nil:
		return errors.New("type ids without ids")
	case in.Words != nil:
		return errors.New("words, but the model reads texts")
	case in.Choices != nil:
		return errors.New("choices, but the model reads texts")
	}
	cut := 0
	if cuts := !f.options.Overflow || f.options.Truncation == tokenizer.DoNotTruncate; cuts && (len(in.Text) > f.longBytes || len(in.TextPair) > f.longBytes) {
		short, n, err := f.shortened(in, f.longBytes)
		if err != nil {
			return err
		}
		in, cut = &short, n
	}
	var err error
	if f.isPair(in) {
		err = f.tokenizer.EncodePair(e, in.Text, in.TextPair, f.options)
	} else {
		err = f.tokenizer.Encode(e, in.Text, f.options)
	}
	if err != nil {
		return err
	}
	e.Truncated += cut
	// Only where the options don't truncate.
	if n := e.Len(); f.options.MaxLength > 0 && n > f.options.MaxLength {
		return errors.New(tooLong(n+cut, f.options.MaxLength))
	}
	return nil
}

// isPair says that an input has a second text, as the tokenizer has it: one that is given and empty is none to Google's.
func (f *featurizer) isPair(in *data.Input) bool {
	return in.TextPair != "" || in.Pair && !f.tokenizer.Config().Google
}

// names are the tokens of ids, or the ids where there is no tokenizer.
func (f *featurizer) names(ids []int32) []string {
	if f.tokenizer != nil {
		return f.tokenizer.Tokens(ids)
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = strconv.Itoa(int(id))
	}
	return names
}

// take checks ids that were made elsewhere.
func (f *featurizer) take(e *tokenizer.Encoding, in *data.Input) error {
	switch n := len(in.IDs); {
	case in.Text != "" || in.IsPair():
		return errors.New("both text and ids")
	case n == 0:
		return errors.New("no ids")
	case n > f.longest:
		return fmt.Errorf("%s ids, want at most %s", message.Thousands(n), message.Thousands(f.longest))
	case in.TypeIDs != nil && len(in.TypeIDs) != n:
		return fmt.Errorf("%d type ids for %d ids", len(in.TypeIDs), n)
	}
	for i, id := range in.IDs {
		if id < 0 || int(id) >= f.vocab {
			return fmt.Errorf("id %d, the number %d, is not in the vocabulary of %s", id, i+1, message.Thousands(f.vocab))
		}
	}
	for i, id := range in.TypeIDs {
		if id < 0 || int(id) >= f.types {
			return fmt.Errorf("type id %d, the number %d, is not one of %d", id, i+1, f.types)
		}
	}
	e.Reset()
	e.IDs = append(e.IDs, in.IDs...)
	e.TypeIDs = append(e.TypeIDs, in.TypeIDs...)
	for len(e.TypeIDs) < len(e.IDs) {
		e.TypeIDs = append(e.TypeIDs, 0)
	}
	return nil
}

// newView is a sequence of features that are held end to end. Of a kind without places it has the ids alone.
func newView(ids []int32, typeIDs []uint8, offsets []tokenizer.Offset, words []int32, from, to int) sequence {
	s := sequence{ids: ids[from:to]}
	if offsets == nil {
		return s
	}
	s.offsets, s.words = offsets[from:to], words[from:to]
	s.typeIDs = make([]int32, to-from)
	if typeIDs != nil {
		for i, t := range typeIDs[from:to] {
			s.typeIDs[i] = int32(t)
		}
	}
	return s
}

// sequence is what a model reads at a time: an input, a window of a long one, or one of its choices.
type sequence struct {
	ids, typeIDs []int32
	dropped      int // tokens of the input that this is without
	cost         int // share of a batch's budget: its tokens, and what needs memory beside

	// Only of a kind with places: the place of each token in its text, and the number of its word, −1 for tokens that the
	// template adds. See tokenizer.Encoding.
	offsets []tokenizer.Offset
	words   []int32
}

// newSequence copies an encoding, which will be overwritten.
func newSequence(e *tokenizer.Encoding, places bool) sequence {
	s := sequence{dropped: e.Truncated, cost: e.Len()}
	both := make([]int32, 2*e.Len())
	s.ids, s.typeIDs = both[:e.Len()], both[e.Len():]
	copy(s.ids, e.IDs)
	copy(s.typeIDs, e.TypeIDs)
	if places {
		s.offsets, s.words = slices.Clone(e.Offsets), slices.Clone(e.WordIDs)
	}
	return s
}

// targets are the labels of examples as a batch takes them. Which are filled is the codec's affair.
type targets struct {
	classes  []int32   // of each example: bert.Batch.Classes
	values   []float32 // of each example, one or one for each label: bert.Batch.Values
	tokens   []int32   // of each token: bert.Batch.TokenClasses
	from, to []int32   // of each sequence: bert.Batch.From and To
}

// add appends u.
func (t *targets) add(u *targets) {
	t.classes = append(t.classes, u.classes...)
	t.values = append(t.values, u.values...)
	t.tokens = append(t.tokens, u.tokens...)
	t.from = append(t.from, u.from...)
	t.to = append(t.to, u.to...)
}
