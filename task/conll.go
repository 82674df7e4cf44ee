package task

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/metric"
)

// tagLabels adds to the labels of words in IOB2 the others that their types have, so that an I- that the training data lacks
// has its class too.
func tagLabels(labels []string) []string {
	s := metric.NewTagSet(labels)
	if s.Whole {
		return labels
	}
	all := slices.Clone(labels)
	for typ := range s.Types {
		for _, label := range []string{s.Label(true, typ), s.Label(false, typ), metric.OutsideTag} {
			if !slices.Contains(all, label) {
				all = append(all, label)
			}
		}
	}
	return all
}

func (tokenClassification) file() string { return "predictions.txt" }

func (c tokenClassification) save(dir string, examples []data.Example, predictions []Prediction) error {
	return files.PathError(files.WriteFile(filepath.Join(dir, c.file()), 0o666, func(w io.Writer) error {
		return WriteCoNLL(w, examples, predictions)
	}))
}

// WriteCoNLL writes sentences with predictions as conlleval reads them: a line a word with the word, its tag unless the data
// has none, and the predicted tag, with blanks between them, and an empty line after each sentence.
func WriteCoNLL(w io.Writer, examples []data.Example, predictions []Prediction) error {
	if len(examples) != len(predictions) {
		return fmt.Errorf("%d predictions for %d sentences", len(predictions), len(examples))
	}
	b := bufio.NewWriter(w)
	for i, x := range examples {
		if len(predictions[i].Labels) != len(x.Words) || x.Labels != nil && len(x.Labels) != len(x.Words) {
			return fmt.Errorf("%v: %d words, %d tags and %d predictions", x.Source, len(x.Words), len(x.Labels), len(predictions[i].Labels))
		}
		for j, word := range x.Words {
			b.WriteString(word)
			if x.Labels != nil {
				b.WriteString(" " + x.Labels[j])
			}
			b.WriteString(" " + predictions[i].Labels[j] + "\n")
		}
		b.WriteByte('\n')
	}
	return b.Flush()
}
