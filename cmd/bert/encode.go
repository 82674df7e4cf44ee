package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/task"
)

func (a *app) encodeCommand() *cobra.Command {
	var (
		model   modelFlags
		in      inputFlags
		out     outputFlags
		options task.EncodeOptions
		layers  string
		pooling = newChoice(task.ModelPooling.String(), task.Poolings()...)
		prompt  string
		pairs   bool
		shard   shardFlags
	)
	cmd := &cobra.Command{
		Use:   "encode [flags] [TEXT ...]",
		Short: "Print text vectors, hidden states or attention",
		Long: `encode runs the encoder on each text, for search, clustering or comparison. Of a sentence-transformers folder it prints
one vector for the text, the one that sentence-transformers gives. Of another model it prints the hidden states of the last
layer or, with --pooling, one vector. With --pairs it prints how similar two texts are. Without --model it takes the sentence
encoder that comes with the program.

A sentence-transformers folder has a file modules.json, which says how a vector is made of the hidden states: pooling, dense
layers, normalization. Its settings say how many tokens of a text are read and which prompt is put before it; --prompt and
--prompt-name choose another. --pooling makes the vector by that pooling alone, --pooling none and --layers print hidden states.

Hidden states have the shape [tokens][hidden]; --attention adds the attention probabilities of all layers,
[layer][head][from][to]. --layers selects layers: 0 is the embeddings, 1 the first layer, -1 the last. --pooling takes the
last of the selected layers. Without --layers, --pooling and --attention leave the hidden states out.

--pairs compares the two arguments, or text and text_pair of a JSON line: by the cosine of their vectors and, where a
sentence-transformers folder says so, by another similarity too. Without such a folder or --pooling, a vector is the mean of the
hidden states.

A text with more tokens than the model has positions is an error, unless --max-seq-length or the settings of a
sentence-transformers folder truncate it. The result then has "truncated": true, and a warning counts such texts.` + shardHelp + inputHelp,
		Example: `  bert encode "a text"
  bert encode --model sentence-transformers/all-MiniLM-L6-v2 --input sentences.txt > vectors.jsonl
  bert encode --model bert-base-uncased --pooling mean "some text"
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
			if cmd.Flags().Changed("prompt") {
				options.Prompt = &prompt
			}
			switch {
			case options.Prompt != nil && options.PromptName != "":
				return usagef("both --prompt and --prompt-name: want one of them")
			case pairs && (layers != "" && strings.Contains(layers, ",") || options.Attention):
				return usagef("--pairs prints similarities only: want neither --attention nor several --layers")
			case pairs && options.Pooling == task.NoPooling:
				return usagef("--pairs compares vectors: want another --pooling than none")
			}
			in.pairs = pairs
			return a.inParts(cmd, &shard, shard.dir, &in, &out, args, "model", model.fingerprint, func() error {
				if pairs {
					c, err := openStream(cmd.Context(), a, &model, &in, args, task.Compare(options))
					if err != nil {
						return err
					}
					defer c.Close()
					return c.print(cmd.Context(), a, printing[task.Similarity]{
						table: out.table(a), show: similarityTable, dropped: func(s *task.Similarity) int { return s.DroppedTokens },
					})
				}
				e, err := openStream(cmd.Context(), a, &model, &in, args, task.Encode(options))
				if errors.Is(err, task.ErrNoVector) {
					return usagef("--normalize needs --pooling: it scales that vector")
				}
				if err != nil {
					return err
				}
				defer e.Close()
				return e.print(cmd.Context(), a, printing[task.Encoded]{
					table: out.table(a), show: encodedTable, dropped: func(e *task.Encoded) int { return e.DroppedTokens },
				})
			})
		},
	}
	model.add(cmd)
	defaultModel(cmd)
	in.add(cmd)
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.IntVar(&options.MaxLength, "max-seq-length", 0, "truncate texts to `N` tokens, including [CLS] and [SEP] (default: as a sentence-transformers folder says)")
		flags.StringVar(&prompt, "prompt", "", "put `TEXT` before each text")
		flags.StringVar(&options.PromptName, "prompt-name", "", "put a sentence-transformers folder's prompt `NAME` before each text")
	})
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&layers, "layers", "", "print the hidden states of `LAYERS`: all, or numbers such as -1,-2")
		addChoice(cmd, pooling, "pooling", "how one vector is made of the hidden states of a text's tokens; model: as a sentence-transformers folder says")
		flags.BoolVar(&options.Normalize, "normalize", false, "scale the vector to length 1")
		flags.BoolVar(&pairs, "pairs", false, "print how similar two texts are")
		flags.BoolVar(&options.Attention, "attention", false, "print the attention probabilities")
	})
	shard.add(cmd, true)
	out.add(cmd)
	mainFlags(cmd, "model", "layers", "pooling", "normalize", "pairs", "attention", "prompt-name", "max-seq-length", "input", "shard", "output", "json", "threads")
	return cmd
}

// similarityTable shows how similar two texts are.
func similarityTable(s screen, in *task.Item, answer *task.Similarity, _ bool) string {
	return fmt.Sprintf("%7.4f  %s\n", answer.Of(), inputLine(s, &in.Input))
}

// encodedTable shows the norm and the first numbers of each vector. JSON has all of them.
func encodedTable(s screen, in *task.Item, e *task.Encoded, below bool) string {
	var b strings.Builder
	writeInput(&b, s, in, e.DroppedTokens, below)
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
		b.WriteString(s.style(bold, "attention of the last layer, mean over the heads: the largest") + "\n")
		b.WriteString(s.table(
			[]column{{head: "#", right: true}, {head: "token"}, {head: "looks at"}, {head: "mean probability"}},
			attentionRows(e),
		))
	}
	return b.String()
}

// attentionRows returns, for each token, the token with the largest attention probability in the last layer, as a mean over
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
