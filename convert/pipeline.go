package convert

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/tokenizer"
)

// pipeline is the one to write beside a model, nil for none. folder is that of the model, tokens that of its tokenizer.
func (r *Result) pipeline(folder, tokens string, c bert.Config, o Options) (*sentence.Pipeline, error) {
	use := formats[o.Format].pipeline
	p, err := sentence.Load(folder, c.HiddenSize)
	var unsupported *sentence.UnsupportedError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if use != needed {
			return nil, nil
		}
		return newPipeline(tokens, c, o)
	case use == leftBehind:
		what := "the modules of " + folder
		if err == nil {
			what = fmt.Sprintf("the pipeline of %s (%v)", folder, p)
		}
		r.Notes = append(r.Notes, fmt.Sprintf("%s is left behind: this format has no place for it", what))
		return nil, nil
	case o.Pooling != nil: // in place of whatever is there
		return newPipeline(tokens, c, o)
	case errors.As(err, &unsupported) && use == carriedOn:
		r.Notes = append(r.Notes, fmt.Sprintf("the modules of %s are left behind: %v", folder, err))
		return nil, nil
	case err != nil:
		return nil, err
	case o.Normalize:
		return nil, fmt.Errorf("%s has a pipeline (%v): a normalized one needs a pooling too", folder, p)
	}
	r.Notes = append(r.Notes, p.Notes...)
	return p, nil
}

// newPipeline makes the pipeline of a plain BERT, for texts as long as its tokenizer and its positions allow.
func newPipeline(tokens string, c bert.Config, o Options) (*sentence.Pipeline, error) {
	length := c.MaxPositionEmbeddings
	if t, err := tokenizer.Load(tokens); err == nil { // without a tokenizer, carry says so
		if n := t.Config().ModelMaxLength; n > 0 {
			length = min(length, n)
		}
	}
	return sentence.New(sentence.Options{Modes: o.Pooling, Normalize: o.Normalize, Hidden: c.HiddenSize, MaxSeqLength: length})
}
