package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

func (a *app) tokenizeCommand() *cobra.Command {
	var (
		v          vocabularyFlags
		in         inputFlags
		out        outputFlags
		options    tokenizer.Options
		shard      shardFlags
		truncation = newChoice(tokenizer.LongestFirst.String(), truncationNames()...)
	)
	cmd := &cobra.Command{
		Use:   "tokenize (--model DIR | --vocab FILE) [flags] [TEXT ...]",
		Short: "Split texts into tokens, with ids and offsets",
		Long: `tokenize prints the tokens of each text as a model reads them: their ids, their offsets in the text in bytes, and which of
them are special tokens such as [CLS].

Texts are truncated only with --max-seq-length. The rest of a text then follows as further windows under "overflowing"; each
repeats the last --stride tokens of the one before it.` + shardHelp + inputHelp,
		Example: `  bert tokenize --model bert-base-uncased "Nous sommes au café."
  bert tokenize --vocab vocab.txt --max-seq-length 128 --stride 32 --input long.txt
  echo '{"text": "Who?", "text_pair": "She did."}' | bert tokenize --model bert-base-uncased`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if options.Truncation, err = tokenizer.ParseTruncation(truncation.value); err != nil {
				return usageError{err}
			}
			switch {
			case options.MaxLength < 0:
				return usagef("--max-seq-length is %d, want at least 1", options.MaxLength)
			case options.Stride < 0:
				return usagef("--stride is %d, want 0 or more", options.Stride)
			case options.MaxLength == 0 && (cmd.Flags().Changed("stride") || cmd.Flags().Changed("truncation")):
				return usagef("--truncation and --stride need --max-seq-length")
			}
			options.Overflow = options.MaxLength > 0
			t, err := v.load()
			if err != nil {
				return err
			}
			a.warnNotes(t.Notes())
			return a.inParts(cmd, &shard, shard.dir, &in, &out, args, "tokenizer", v.fingerprint, func() error {
				stream, err := in.open(a, args)
				if err != nil {
					return err
				}
				defer stream.close()
				return a.tokenize(cmd.Context(), t, stream, options, out.table(a))
			})
		},
	}
	v.add(cmd)
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.IntVar(&options.MaxLength, "max-seq-length", 0, "truncate texts to `N` tokens, including [CLS] and [SEP] (default: no limit)")
		addChoice(cmd, truncation, "truncation", "which text of a pair loses tokens")
		flags.IntVar(&options.Stride, "stride", 0, "repeat the last `N` tokens of each window at the beginning of the next")
	})
	in.add(cmd)
	shard.add(cmd, true)
	out.add(cmd)
	return cmd
}

func truncationNames() []string {
	return []string{tokenizer.LongestFirst.String(), tokenizer.OnlyFirst.String(), tokenizer.OnlySecond.String()}
}

// vocabularyFlags name a tokenizer.
type vocabularyFlags struct {
	model, vocab  string
	cased, google bool
}

func (v *vocabularyFlags) add(cmd *cobra.Command) {
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&v.model, "model", "", "take the tokenizer of the model in `DIR`: tokenizer.json or vocab.txt")
		flags.StringVar(&v.vocab, "vocab", "", "the vocabulary `FILE`, one token per line")
	})
	v.addModes(cmd)
	cmd.MarkFlagsMutuallyExclusive("model", "vocab")
	cmd.MarkFlagsMutuallyExclusive("model", "cased")
	cmd.MarkFlagsMutuallyExclusive("model", "google")
	markModel(cmd, "model")
	_ = cmd.MarkFlagFilename("vocab", "txt") // the error is for a flag that does not exist
}

func (v *vocabularyFlags) addModes(cmd *cobra.Command) {
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.BoolVar(&v.cased, "cased", false, "with --vocab: keep case and accents")
		flags.BoolVar(&v.google, "google", false, "with --vocab: tokenize as google-research/bert does where Hugging Face's library differs")
	})
}

// load reads the tokenizer. One rule holds for --model and --vocab: where neither a file nor a flag says otherwise, text is
// lower-cased, with a warning if the vocabulary is cased; only Google's mode then keeps case.
func (v *vocabularyFlags) load() (*tokenizer.Tokenizer, error) {
	switch {
	case v.vocab != "" && v.google:
		t, err := tokenizer.LoadVocab(v.vocab, tokenizer.GoogleConfig(!v.cased))
		if err == nil && slices.ContainsFunc(t.Notes(), func(n tokenizer.Note) bool { return n.Kind == tokenizer.NoteCasedVocabulary }) {
			return tokenizer.LoadVocab(v.vocab, tokenizer.GoogleConfig(false))
		}
		return t, err
	case v.vocab != "":
		c := tokenizer.DefaultConfig()
		c.LowerCase = !v.cased
		return tokenizer.LoadVocab(v.vocab, c)
	case v.model != "":
		return tokenizer.Load(bert.TokenizerDir(v.model, ""))
	}
	return nil, usagef("neither --model DIR nor --vocab FILE is given: want one of them")
}

// fingerprint is the hash of the tokenizer's files.
func (v *vocabularyFlags) fingerprint(ctx context.Context) (string, error) {
	if v.model != "" {
		return task.Fingerprint(ctx, bert.TokenizerDir(v.model, ""), "", true)
	}
	return task.FileFingerprint(ctx, v.vocab)
}

func (a *app) tokenize(ctx context.Context, t *tokenizer.Tokenizer, in *source, options tokenizer.Options, table bool) error {
	var (
		encoding tokenizer.Encoding
		screen   = screenOf(a.stdout)
		first    = true
	)
	for {
		input, at, err := in.Read(ctx)
		if err == io.EOF {
			in.reportSkipped(a)
			return nil
		}
		if err != nil {
			return err
		}
		each, err := tokenizeInput(t, &encoding, &input, options)
		if err != nil {
			if err := in.Skip(&data.SourceError{Source: at, Err: err}); err != nil {
				return err
			}
			continue
		}
		if table {
			err = a.tokenTables(screen, t, &input, each, first)
			first = false
		} else {
			err = writeTokens(a.stdout, t, each)
		}
		if a.part != nil {
			a.part.Counts.Results++
		}
		if err != nil {
			return err
		}
	}
}

// tokenizeInput encodes a text or a pair, and returns its windows. Input that is ids already is copied.
func tokenizeInput(t *tokenizer.Tokenizer, dst *tokenizer.Encoding, in *data.Input, o tokenizer.Options) (windows, error) {
	long := len(in.Text)+len(in.TextPair) > longText
	switch {
	case in.IDs != nil:
		return one(dst), takeIDs(t, dst, in, o)
	case long && o.MaxLength == 0:
		return longTokens(t, in, o)
	case long:
		each := func(visit func(*tokenizer.Encoding) error) error {
			if !in.IsPair() {
				return t.Windows(in.Text, o, visit)
			}
			return t.PairWindows(in.Text, in.TextPair, o, visit)
		}
		// What is wrong with the options shows in the first window.
		if err := each(func(*tokenizer.Encoding) error { return errStop }); err != nil && !errors.Is(err, errStop) {
			return nil, err
		}
		return func(visit func(pieces) error) error {
			return each(func(e *tokenizer.Encoding) error { return visit(onePart(e)) })
		}, nil
	default:
		return one(dst), encodeInput(t, dst, in, o)
	}
}

// encodeInput encodes an input at once.
func encodeInput(t *tokenizer.Tokenizer, dst *tokenizer.Encoding, in *data.Input, o tokenizer.Options) error {
	switch {
	case in.IDs != nil:
		return takeIDs(t, dst, in, o)
	case !in.IsPair():
		return t.Encode(dst, in.Text, o)
	}
	return t.EncodePair(dst, in.Text, in.TextPair, o)
}

func takeIDs(t *tokenizer.Tokenizer, dst *tokenizer.Encoding, in *data.Input, o tokenizer.Options) error {
	if o.MaxLength > 0 && len(in.IDs) > o.MaxLength {
		return fmt.Errorf("%d ids, want at most %d: ids are never cut", len(in.IDs), o.MaxLength)
	}
	dst.Reset()
	for i, id := range in.IDs {
		if _, ok := t.Token(id); !ok {
			return fmt.Errorf("ids: number %d is %d, which is not in the vocabulary of %d tokens", i+1, id, t.VocabSize())
		}
		var special uint8
		if id == t.ClassifierID() || id == t.SeparatorID() {
			special = 1
		}
		dst.SpecialTokensMask = append(dst.SpecialTokensMask, special)
	}
	dst.IDs = append(dst.IDs, in.IDs...)
	if dst.TypeIDs = append(dst.TypeIDs, in.TypeIDs...); in.TypeIDs == nil {
		dst.TypeIDs = append(dst.TypeIDs, make([]int32, len(in.IDs))...)
	}
	return nil
}

// tokenTables prints the windows of an input as tables.
func (a *app) tokenTables(s screen, t *tokenizer.Tokenizer, in *data.Input, each windows, first bool) error {
	n := 0
	err := each(func(pieces) error {
		n++
		return nil
	})
	if err != nil {
		return err
	}
	if !first {
		if err := writeOut(a.stdout, []byte("\n")); err != nil {
			return err
		}
	}
	w := 0
	return each(func(p pieces) error {
		w++
		if n > 1 {
			if err := writeOut(a.stdout, []byte(s.style(bold, fmt.Sprintf("window %d of %d", w, n))+"\n")); err != nil {
				return err
			}
		}
		number := 0
		return p(func(e *tokenizer.Encoding, at [2]int32) error {
			text := tokenTable(s, t, in, e, at, number)
			number += e.Len()
			return writeOut(a.stdout, []byte(text))
		})
	})
}

// tokenTable is a table of tokens, of which the first has a number; at is where the texts begin that their places count from.
func tokenTable(s screen, t *tokenizer.Tokenizer, in *data.Input, e *tokenizer.Encoding, at [2]int32, first int) string {
	columns := []column{{head: "#", right: true}, {head: "token"}, {head: "id", right: true}, {head: "type", right: true}, {head: "bytes", right: true}, {head: "text"}}
	var rows [][]string
	for i, id := range e.IDs {
		token, _ := t.Token(id)
		row := []string{strconv.Itoa(first + i), visible(token), strconv.Itoa(int(id)), strconv.Itoa(int(e.TypeIDs[i])), "", ""}
		if len(e.Offsets) > 0 && e.SpecialTokensMask[i] == 0 {
			o, text, from := e.Offsets[i], in.Text, at[0]
			if e.SequenceIDs[i] == 1 {
				text, from = in.TextPair, at[1]
			}
			o.Start, o.End = o.Start+from, o.End+from
			row[4], row[5] = fmt.Sprintf("%d–%d", o.Start, o.End), visible(text[o.Start:o.End])
		}
		rows = append(rows, row)
	}
	return s.table(columns, rows)
}
