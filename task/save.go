package task

import (
	"fmt"
	"path/filepath"

	"github.com/go-bert/bert/data"
)

// scored is a codec whose kind has a scorer of its own, which takes predictions from files.
type scored interface {
	file() string // the name of the main one
	save(dir string, examples []data.Example, predictions []Prediction) error
}

// PredictionsFile is the name of the file in which the kind's scorer takes predictions: conlleval for words, SQuAD's scripts
// for questions. It is "" of a kind that has no such scorer.
func (k Kind) PredictionsFile() string {
	if s, ok := k.info().codec.(scored); ok {
		return s.file()
	}
	return ""
}

// SavePredictions writes the predictions of examples into dir as the kind's scorer takes them (WriteCoNLL, SaveAnswers), and
// returns the path of PredictionsFile.
func SavePredictions(dir string, k Kind, examples []data.Example, predictions []Prediction) (string, error) {
	s, ok := k.info().codec.(scored)
	if !ok {
		return "", fmt.Errorf("there is no form for predictions of %v", k)
	}
	return filepath.Join(dir, s.file()), s.save(dir, examples, predictions)
}
