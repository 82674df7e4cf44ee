package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/task"
)

// modelFlags name a model to run.
type modelFlags struct {
	dir     string
	threads int
	loaded  func(bert.LoadReport) // set by check
}

func (m *modelFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.dir, "model", "", "the model `DIR`: config.json, model.safetensors, vocab.txt or tokenizer.json")
	_ = cmd.MarkFlagDirname("model") // the error is for a flag that does not exist
	addThreads(cmd, &m.threads)
}

func addThreads(cmd *cobra.Command, threads *int) {
	cmd.Flags().IntVar(threads, "threads", 0, "compute on `N` threads; 0: as many as the machine has")
}

// check reports a model that is not named or not there, and numbers that can't be, and reads the model's configuration.
func (m *modelFlags) check(a *app) (bert.Config, error) {
	if m.dir == "" {
		return bert.Config{}, usagef("--model DIR is missing: want the folder of a model")
	}
	if err := checkThreads(m.threads); err != nil {
		return bert.Config{}, err
	}
	c, err := bert.LoadConfig(m.dir)
	if err != nil {
		return c, err
	}
	a.warnConfig(c, m.dir)
	m.loaded = a.warnAssumed
	return c, nil
}

// warnAssumed warns of what a model's configuration leaves open and Load decided.
func (a *app) warnAssumed(report bert.LoadReport) {
	for _, note := range report.Assumed {
		a.log.Warn(note)
	}
}

// options are those to open the model with.
func (m *modelFlags) options() task.Options {
	return task.Options{Model: bert.Options{Threads: m.threads}, Loaded: m.loaded}
}

func checkThreads(threads int) error {
	if threads < 0 {
		return usagef("--threads is %d, want 0 for all or a positive number", threads)
	}
	return nil
}

// warnConfig warns of keys in a model's config.json that may have been meant to change something.
func (a *app) warnConfig(c bert.Config, where string) {
	for _, key := range c.Unknown {
		a.log.Warn(fmt.Sprintf("%s: config.json has the unknown key %q, which changes nothing here", where, key))
	}
}

func (a *app) predictCommand() *cobra.Command {
	var (
		model modelFlags
		in    inputFlags
		out   outputFlags
	)
	cmd := &cobra.Command{
		Use:   "predict --model DIR [flags] [TEXT ...]",
		Short: "Classify texts with a fine-tuned model",
		Long: `predict prints, for each text, the label that the model gives it, and the probability, the logarithm of the probability and
the logit of every label.

A text that is longer than what the model was fine-tuned for (max_seq_length in its task.json, else its positions) is
cut; the result then has "truncated": true, and stderr says how many were.` + inputHelp,
		Example: `  bert predict --model my-model "A joy from start to finish."
  bert predict --model my-model --input reviews.txt > labels.jsonl
  echo '{"text": "Is it raining?", "text_pair": "The sun shines."}' | bert predict --model my-model`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := model.check(a); err != nil {
				return err
			}
			stream, err := in.open(a, args)
			if err != nil {
				return err
			}
			defer stream.close()
			p, err := task.Open(model.dir, model.options())
			if err != nil {
				return err
			}
			defer p.Close()
			return a.predict(cmd.Context(), p, stream, out.table(a))
		},
	}
	model.add(cmd)
	in.add(cmd)
	out.add(cmd)
	return cmd
}

func (a *app) predict(ctx context.Context, p *task.Predictor, in *source, table bool) error {
	var (
		cut     truncations
		screen  = screenOf(a.stdout)
		results = 0
	)
	err := p.Stream(ctx, in, func(item task.Item, answer task.Prediction) error {
		cut.add(answer.DroppedTokens)
		if !table {
			return jsonLine(a.stdout, newPredictionJSON(&answer))
		}
		results++
		return writeOut(a.stdout, []byte(predictionTable(screen, &item, &answer, results > 1)))
	})
	if err != nil {
		return err
	}
	cut.report(a, p.Description().MaxSeqLength)
	in.reportSkipped(a)
	return nil
}

// predictionJSON is a result of predict.
type predictionJSON struct {
	Label            string    `json:"label"`
	Probabilities    scores    `json:"probabilities"`
	LogProbabilities scores    `json:"log_probabilities"`
	Logits           []float32 `json:"logits"`
	Truncated        bool      `json:"truncated,omitempty"`
	DroppedTokens    int       `json:"dropped_tokens,omitempty"`
}

func newPredictionJSON(p *task.Prediction) predictionJSON {
	return predictionJSON{p.Label, scores(p.Probabilities), scores(p.LogProbabilities), p.Logits, p.Truncated, p.DroppedTokens}
}

// scores are an object that keeps the order of the labels, with as many digits as float32 has: the rest is noise.
type scores task.Scores

func (s scores) MarshalJSON() ([]byte, error) {
	out := []byte("{")
	for i, score := range s {
		label, err := json.Marshal(score.Label)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(float32(score.Value))
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, label...), ':'), value...)
	}
	return append(out, '}'), nil
}

// truncations counts the texts that were cut.
type truncations struct{ all, texts, tokens int }

func (c *truncations) add(dropped int) {
	c.all++
	if dropped > 0 {
		c.texts++
		c.tokens += dropped
	}
}

// report says on stderr what was cut.
func (c *truncations) report(a *app, maxSeqLength int) {
	if c.texts > 0 {
		a.log.Warn(fmt.Sprintf("%s of %s cut to %d tokens; %s dropped",
			thousands(c.texts), count(c.all, "text"), maxSeqLength, count(c.tokens, "token")))
	}
}

// inputLine shows what a result is about.
func inputLine(s screen, in *task.Input) string {
	text := in.Text
	if in.TextPair != "" {
		text += " | " + in.TextPair
	}
	if in.IDs != nil {
		text = fmt.Sprintf("ids %v", in.IDs)
	}
	return s.style(cyan, strings.TrimRight(fit(visible(text), s.width), " "))
}

// maxBars is the number of labels that a table shows bars for: the most probable ones.
const maxBars = 10

func predictionTable(s screen, in *task.Item, p *task.Prediction, below bool) string {
	var b strings.Builder
	if below {
		b.WriteByte('\n')
	}
	b.WriteString(inputLine(s, &in.Input) + "\n  " + s.style(bold, visible(p.Label)))
	if p.Truncated {
		b.WriteString(s.style(dim, fmt.Sprintf("  (cut: %s dropped)", count(p.DroppedTokens, "token"))))
	}
	b.WriteByte('\n')
	scores := slices.Clone(p.Probabilities)
	if len(scores) > maxBars {
		slices.SortStableFunc(scores, func(a, b task.Score) int {
			switch {
			case a.Value > b.Value:
				return -1
			case a.Value < b.Value:
				return 1
			}
			return 0
		})
		scores = scores[:maxBars]
	}
	bars := make([]barRow, len(scores))
	for i, score := range scores {
		bars[i] = barRow{score.Label, score.Value, score.Label == p.Label}
	}
	b.WriteString(s.bars(bars))
	return b.String()
}
