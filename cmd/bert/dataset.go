package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// showExamples writes the first n sequences as google-research/bert run_classifier.py and run_squad.py log them. There is no
// input_mask, because there is no padding.
func showExamples(w io.Writer, d *task.Dataset, t *tokenizer.Tokenizer, n int) error {
	var (
		out    strings.Builder
		batch  bert.Batch
		labels = d.Spec().Labels
	)
	for i := 0; i < d.Len() && n > 0; i++ {
		batch.Reset()
		if err := d.Append(&batch, i); err != nil {
			return err
		}
		for s := range batch.Len() {
			from, to := batch.Sequence(s)
			ids := batch.IDs[from:to]
			fmt.Fprintf(&out, "*** Example ***\nguid: %s\ntokens: %s\ninput_ids: %s\nsegment_ids: %s\n",
				d.Source(i), strings.Join(t.Tokens(ids), " "), spaced(ids), spaced(batch.TypeIDs[from:to]))
			if len(batch.From) > 0 {
				fmt.Fprintf(&out, "start_position: %d\nend_position: %d\n", batch.From[s], batch.To[s])
			}
			n--
		}
		for _, c := range batch.Classes {
			if batch.Choices > 0 {
				fmt.Fprintf(&out, "label: %d\n", c)
			} else {
				fmt.Fprintf(&out, "label: %s (id = %d)\n", labels[c], c)
			}
		}
		if len(batch.Values) > 0 {
			fmt.Fprintf(&out, "label: %s\n", spaced(batch.Values))
		}
		if len(batch.TokenClasses) > 0 {
			fmt.Fprintf(&out, "label_ids: %s\n", spaced(batch.TokenClasses))
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// spaced writes numbers with blanks between them.
func spaced[T any](numbers []T) string { return strings.Trim(fmt.Sprint(numbers), "[]") }
