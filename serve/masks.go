package serve

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

// filling is a token for a masked place, as transformers' pipeline of fill-mask gives it (transformers 5.8,
// pipelines/fill_mask.py).
type filling struct {
	token    int32
	text     string // the token
	sequence string // the input with the token
	score    float32
}

// targetIDs are the ids of the tokens that may fill a mask: of a text that is no token the first of its tokens. nil: any token may.
func targetIDs(t *tokenizer.Tokenizer, targets []string) ([]int32, error) {
	if targets == nil {
		return nil, nil
	}
	var out []int32
	for i, target := range targets {
		id, ok := t.ID(target)
		if !ok {
			ids, err := t.AppendIDs(nil, target)
			if err != nil {
				return nil, &fieldError{fmt.Sprintf("parameters.targets[%d]", i), err}
			}
			if len(ids) == 0 {
				return nil, &fieldError{fmt.Sprintf("parameters.targets[%d]", i), fmt.Errorf("%s has no token", message.Quote(target))}
			}
			id = ids[0]
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	if len(out) == 0 {
		return nil, &fieldError{"parameters.targets", errors.New("want at least one")}
	}
	return out, nil
}

// maskedPlaces are the places of the masks in a sequence.
func maskedPlaces(t *tokenizer.Tokenizer, ids []int32) []int32 {
	var out []int32
	for i, id := range ids {
		if id == t.MaskID() {
			out = append(out, int32(i))
		}
	}
	return out
}

// fillings are the topK most probable tokens, of targets if there are any, for a mask at a place of a sequence that has masks of them.
// logits are those of the vocabulary.
func fillings(t *tokenizer.Tokenizer, ids []int32, at int32, masks int, logits []float32, topK int, targets []int32) ([]filling, error) {
	if targets != nil {
		topK = min(topK, len(targets))
	}
	tokens, probabilities, err := metric.TopProbabilities(logits, topK, func(id int) bool {
		if targets != nil {
			return slices.Contains(targets, int32(id))
		}
		_, ok := t.Token(int32(id))
		return ok
	})
	if err != nil {
		return nil, errNotFinite
	}
	out := make([]filling, len(tokens))
	for i, id := range tokens {
		filled := slices.Clone(ids)
		filled[at] = int32(id)
		filled = slices.DeleteFunc(filled, func(id int32) bool { return id == t.PadID() })
		out[i] = filling{int32(id), t.Decode([]int32{int32(id)}, false), t.Decode(filled, masks == 1), float32(probabilities[i])}
	}
	return out, nil
}
