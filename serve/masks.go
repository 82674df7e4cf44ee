package serve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// filling is a token for a masked place, as transformers' pipeline of fill-mask gives it (transformers 4.57, pipelines/fill_mask.py).
type filling struct {
	token    int32
	text     string // the token
	sequence string // the input with the token
	score    float32
}

// targetIDs are the ids of the tokens that may fill a mask: of a text that is no token the first of its tokens.
func targetIDs(t *tokenizer.Tokenizer, targets []string) ([]int32, error) {
	if targets == nil {
		return nil, nil
	}
	if len(targets) == 0 {
		return nil, &fieldError{"parameters.targets", errors.New("want at least one")}
	}
	var out []int32
	for i, target := range targets {
		id, ok := t.ID(target)
		if !ok {
			ids, err := t.AppendIDs(nil, target)
			if err == nil && len(ids) == 0 {
				err = fmt.Errorf("%s has no token", message.Quote(target))
			}
			if err != nil {
				return nil, &fieldError{fmt.Sprintf("parameters.targets[%d]", i), err}
			}
			id = ids[0]
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out, nil
}

// fillings are the candidates for a mask of a sequence that has masks of them.
func fillings(t *tokenizer.Tokenizer, ids []int32, mask *task.Mask, masks int) []filling {
	out := make([]filling, len(mask.Candidates))
	for i, candidate := range mask.Candidates {
		id, _ := t.ID(candidate.Token)
		filled := slices.Clone(ids)
		filled[mask.Position] = id
		filled = slices.DeleteFunc(filled, func(id int32) bool { return id == t.PadID() })
		out[i] = filling{id, t.Decode([]int32{id}, false), t.Decode(filled, masks == 1), float32(candidate.Probability)}
	}
	return out
}

// encodeIDs makes a string of ids, so that they can be part of a key.
func encodeIDs(ids []int32) string {
	var b []byte
	for _, id := range ids {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return string(b)
}

func decodeIDs(s string) []int32 {
	var ids []int32
	for b := []byte(s); len(b) > 0; {
		id, n := binary.Uvarint(b)
		ids, b = append(ids, int32(id)), b[n:]
	}
	return ids
}
