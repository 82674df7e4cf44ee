package pretrain

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/go-bert/bert/internal/files"
)

// maxResults bounds eval_results.json. That of a fine-tuning may be much longer.
const maxResults = 64 << 20

// ReadEvaluation reads eval_results.json from dir. Where there is none the error is an fs.ErrNotExist. The result of another
// evaluation has no MaskedTokens.
func ReadEvaluation(dir string) (*Evaluation, error) {
	path := filepath.Join(dir, ResultsFile)
	content, err := files.ReadFile(path, maxResults)
	if err != nil {
		return nil, err
	}
	e := new(Evaluation)
	var next struct {
		Accuracy *float64 `json:"next_sentence_accuracy"`
		Loss     float64  `json:"next_sentence_loss"`
	}
	if err := json.Unmarshal(content, e); err != nil {
		return nil, fmt.Errorf("%s: not the result of an evaluation", path)
	}
	if err := json.Unmarshal(content, &next); err != nil {
		return nil, fmt.Errorf("%s: not the result of an evaluation", path)
	}
	e.NextSentence = nil
	if next.Accuracy != nil {
		e.NextSentence = &NextSentence{*next.Accuracy, next.Loss}
	}
	return e, nil
}
