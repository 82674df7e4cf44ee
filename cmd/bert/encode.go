package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert/task"
)

func (a *app) encodeCommand() *cobra.Command {
	var (
		model   modelFlags
		in      inputFlags
		out     outputFlags
		options task.EncodeOptions
		layers  string
		pooling = newChoice(task.NoPooling.String(), task.Poolings()...)
		pairs   bool
	)
	cmd := &cobra.Command{
		Use:   "encode --model DIR [flags] [TEXT ...]",
		Short: "Print hidden states, vectors of texts, attention",
		Long: `encode prints what the encoder makes of each text: the hidden states of the layers asked for, [tokens][hidden]; with
--pooling one vector for the text, with --normalize of the length 1; with --attention every layer's attention probabilities,
[layer][head][from][to].
Layers count from 0, the embeddings; -1 is the last. --pooling cls, mean and max pool the last of the layers asked for.
Without --layers, hidden states are those of the last layer, and are left out where --pooling or --attention is given.

--pairs compares two texts, text and text_pair of a JSON line or the two arguments: it prints the cosine of their vectors, which
are the means of their hidden states unless --pooling says otherwise.

A text that is longer than the model's positions is an error, unless --max-seq-length says where to cut; the result then
has "truncated": true, and stderr says how many were.` + inputHelp,
		Example: `  bert encode --model bert-base-uncased --pooling mean --input sentences.txt > vectors.jsonl
  bert encode --model bert-base-uncased --layers -1,-2,-3,-4 "some text"
  bert encode --model bert-base-uncased --attention "some text" | jq .attention
  bert encode --model bert-base-uncased --pairs "A cat sleeps." "A kitten is asleep."`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if options.MaxLength < 0 {
				return usagef("--max-seq-length is %d, want at least 3", options.MaxLength)
			}
			config, err := model.check(a)
			if err != nil {
				return err
			}
			if options.Pooling, err = task.ParsePooling(pooling.value); err != nil {
				return usageError{err}
			}
			if layers != "" {
				if options.Layers, err = task.ParseLayers(layers, config.NumHiddenLayers); err != nil {
					return usageError{err}
				}
			}
			switch {
			case options.Normalize && options.Pooling == task.NoPooling && !pairs:
				return usagef("--normalize is for --pooling: it gives one vector its length")
			case pairs && (layers != "" && strings.Contains(layers, ",") || options.Attention):
				return usagef("--pairs prints cosines alone: want neither --attention nor several --layers")
			case pairs && options.Pooling == task.NoPooling:
				options.Pooling = task.MeanPooling
			}
			in.pairs = pairs
			stream, err := in.open(a, args)
			if err != nil {
				return err
			}
			defer stream.close()
			if pairs {
				c, err := task.Open(cmd.Context(), model.dir, task.Compare(options), model.options())
				if err != nil {
					return err
				}
				defer c.Close()
				a.warnPrecision(c.Model())
				return a.compare(cmd.Context(), c, stream, options.MaxLength, out.table(a))
			}
			e, err := task.Open(cmd.Context(), model.dir, task.Encode(options), model.options())
			if err != nil {
				return err
			}
			defer e.Close()
			a.warnPrecision(e.Model())
			return a.encode(cmd.Context(), e, stream, options.MaxLength, out.table(a))
		},
	}
	model.add(cmd)
	cmd.Flags().StringVar(&layers, "layers", "", "print the hidden states of `LAYERS`: all, or numbers as in -1,-2")
	addChoice(cmd, pooling, "pooling", "print one vector for the text")
	cmd.Flags().BoolVar(&options.Normalize, "normalize", false, "with --pooling: give the vector the length 1")
	cmd.Flags().BoolVar(&pairs, "pairs", false, "print the cosine of the two texts of each pair")
	cmd.Flags().BoolVar(&options.Attention, "attention", false, "print the attention probabilities")
	cmd.Flags().IntVar(&options.MaxLength, "max-seq-length", 0, "cut texts to `N` tokens, [CLS] and [SEP] included; 0: never")
	in.add(cmd)
	out.add(cmd)
	return cmd
}

func (a *app) encode(ctx context.Context, e *task.Runner[task.Encoded], in *source, maxSeqLength int, table bool) error {
	var (
		cut     truncations
		screen  = screenOf(a.stdout)
		results = 0
	)
	err := e.Stream(ctx, in, func(item task.Item, answer task.Encoded) error {
		cut.add(answer.DroppedTokens)
		if !table {
			return jsonLine(a.stdout, answer)
		}
		results++
		return writeOut(a.stdout, []byte(encodedTable(screen, &item, &answer, results > 1)))
	})
	if err != nil {
		return err
	}
	cut.report(a, maxSeqLength)
	in.reportSkipped(a)
	return nil
}

// compare prints how alike the texts of each pair are.
func (a *app) compare(ctx context.Context, e *task.Runner[task.Similarity], in *source, maxSeqLength int, table bool) error {
	var (
		cut    truncations
		screen = screenOf(a.stdout)
	)
	err := e.Stream(ctx, in, func(item task.Item, answer task.Similarity) error {
		cut.add(answer.DroppedTokens)
		if !table {
			return jsonLine(a.stdout, answer)
		}
		return writeOut(a.stdout, fmt.Appendf(nil, "%7.4f  %s\n", answer.Cosine, inputLine(screen, &item.Input)))
	})
	if err != nil {
		return err
	}
	cut.report(a, maxSeqLength)
	in.reportSkipped(a)
	return nil
}

// encodedTable shows the beginning of each vector and its length; the whole numbers are for JSON.
func encodedTable(s screen, in *task.Item, e *task.Encoded, below bool) string {
	var b strings.Builder
	if below {
		b.WriteByte('\n')
	}
	b.WriteString(inputLine(s, &in.Input))
	if e.Truncated {
		b.WriteString(s.style(dim, fmt.Sprintf("  (cut: %s dropped)", count(e.DroppedTokens, "token"))))
	}
	b.WriteByte('\n')
	columns := []column{{head: "#", right: true}, {head: "token"}, {head: "norm", right: true}, {head: "values"}}
	vector := func(name, token string, values []float32) []string {
		var squares float64
		var first []string
		for i, v := range values {
			squares += float64(v) * float64(v)
			if i < 6 {
				first = append(first, fmt.Sprintf("%7.4f", v))
			}
		}
		return []string{name, token, fmt.Sprintf("%.3f", math.Sqrt(squares)), strings.Join(first, " ") + fmt.Sprintf(" … (%d)", len(values))}
	}
	for _, layer := range e.Layers {
		b.WriteString(s.style(bold, fmt.Sprintf("layer %d", layer.Index)) + "\n")
		var rows [][]string
		for i, values := range layer.Values {
			rows = append(rows, vector(strconv.Itoa(i), visible(e.Tokens[i]), values))
		}
		b.WriteString(s.table(columns, rows))
	}
	if e.Pooled != nil {
		b.WriteString(s.table(columns, [][]string{vector("", "pooled", e.Pooled)}))
	}
	if e.Attention != nil {
		b.WriteString(s.style(bold, "attention of the last layer, mean of its heads: where most of it goes") + "\n")
		b.WriteString(s.table(
			[]column{{head: "#", right: true}, {head: "token"}, {head: "looks at"}, {head: "mean probability"}},
			attentionRows(e),
		))
	}
	return b.String()
}

// attentionRows gives, for each token, the token that has the largest share of the last layer's attention, in the mean over
// the heads.
func attentionRows(e *task.Encoded) [][]string {
	var (
		last = e.Attention[len(e.Attention)-1]
		rows [][]string
	)
	for from, token := range e.Tokens {
		mean := make([]float64, len(e.Tokens))
		best := 0
		for to := range mean {
			for _, head := range last {
				mean[to] += float64(head[from][to]) / float64(len(last))
			}
			if mean[to] > mean[best] {
				best = to
			}
		}
		rows = append(rows, []string{
			strconv.Itoa(from), visible(token), visible(e.Tokens[best]), fmt.Sprintf("%5.1f %%  %s", 100*mean[best], bar(mean[best], 20)),
		})
	}
	return rows
}
