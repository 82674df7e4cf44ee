package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/tokenizer"
)

func (a *app) tokenizeCommand() *cobra.Command {
	var (
		v          vocabularyFlags
		in         inputFlags
		out        outputFlags
		options    tokenizer.Options
		truncation = newChoice(tokenizer.LongestFirst.String(), truncationNames()...)
	)
	cmd := &cobra.Command{
		Use:   "tokenize (--model DIR | --vocab FILE) [flags] [TEXT ...]",
		Short: "Split texts into tokens, with ids and offsets",
		Long: `tokenize prints the tokens of each text as a model reads them: their ids, their offsets in the text in bytes, and which of
them are special tokens such as [CLS].

Texts are truncated only with --max-seq-length. The rest of a text then follows as further windows under "overflowing"; each
repeats the last --stride tokens of the one before it.` + inputHelp,
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
			a.warnTokenizer(t)
			stream, err := in.open(a, args)
			if err != nil {
				return err
			}
			defer stream.close()
			return a.tokenize(cmd.Context(), t, stream, options, out.table(a))
		},
	}
	v.add(cmd)
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.IntVar(&options.MaxLength, "max-seq-length", 0, "truncate texts to `N` tokens, including [CLS] and [SEP] (default: no limit)")
		addChoice(cmd, truncation, "truncation", "which text of a pair loses tokens")
		flags.IntVar(&options.Stride, "stride", 0, "repeat the last `N` tokens of each window at the beginning of the next")
	})
	in.add(cmd)
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
		return tokenizer.Load(v.model)
	}
	return nil, usagef("neither --model DIR nor --vocab FILE is given: want one of them")
}

// warnTokenizer shows what a user should know about the files of a tokenizer.
func (a *app) warnTokenizer(t *tokenizer.Tokenizer) {
	for _, note := range t.Notes() {
		text := note.Text
		if note.Kind == tokenizer.NoteCasedVocabulary {
			text += "; with --vocab, give --cased"
		}
		a.log.Warn(text)
	}
}

// tokenizedJSON is the result for a text, or one of its windows.
type tokenizedJSON struct {
	Tokens      []string        `json:"tokens"`
	IDs         []int32         `json:"ids"`
	TypeIDs     []int32         `json:"type_ids"`
	Offsets     [][2]int32      `json:"offsets"`             // null for input that is ids
	Mask        []int           `json:"special_tokens_mask"` // []uint8 would become base64
	Overflowing []tokenizedJSON `json:"overflowing"`
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
		if err := tokenizeInput(t, &encoding, &input, options); err != nil {
			if err := in.Skip(&data.SourceError{Source: at, Err: err}); err != nil {
				return err
			}
			continue
		}
		if table {
			text := tokenTable(screen, t, &input, &encoding)
			if !first {
				text = "\n" + text
			}
			first = false
			err = writeOut(a.stdout, []byte(text))
		} else {
			err = jsonLine(a.stdout, tokenized(t, &encoding))
		}
		if err != nil {
			return err
		}
	}
}

// tokenizeInput encodes a text or a pair. Input that is ids already is copied.
func tokenizeInput(t *tokenizer.Tokenizer, dst *tokenizer.Encoding, in *data.Input, o tokenizer.Options) error {
	switch {
	case in.IDs == nil && in.TextPair == "":
		return t.Encode(dst, in.Text, o)
	case in.IDs == nil:
		return t.EncodePair(dst, in.Text, in.TextPair, o)
	case o.MaxLength > 0 && len(in.IDs) > o.MaxLength:
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

func tokenized(t *tokenizer.Tokenizer, e *tokenizer.Encoding) tokenizedJSON {
	out := tokenizedJSON{
		Tokens: t.Tokens(e.IDs), IDs: e.IDs, TypeIDs: e.TypeIDs,
		Mask: make([]int, len(e.SpecialTokensMask)), Overflowing: make([]tokenizedJSON, len(e.Overflowing)),
	}
	for i, m := range e.SpecialTokensMask {
		out.Mask[i] = int(m)
	}
	for _, o := range e.Offsets {
		out.Offsets = append(out.Offsets, [2]int32{o.Start, o.End})
	}
	for i := range e.Overflowing {
		out.Overflowing[i] = tokenized(t, &e.Overflowing[i])
	}
	return out
}

func tokenTable(s screen, t *tokenizer.Tokenizer, in *data.Input, e *tokenizer.Encoding) string {
	windows := append([]tokenizer.Encoding{*e}, e.Overflowing...)
	columns := []column{{head: "#", right: true}, {head: "token"}, {head: "id", right: true}, {head: "type", right: true}, {head: "bytes", right: true}, {head: "text"}}
	var out string
	for w := range windows {
		e := &windows[w]
		if len(windows) > 1 {
			out += s.style(bold, fmt.Sprintf("window %d of %d", w+1, len(windows))) + "\n"
		}
		var rows [][]string
		for i, id := range e.IDs {
			token, _ := t.Token(id)
			row := []string{strconv.Itoa(i), visible(token), strconv.Itoa(int(id)), strconv.Itoa(int(e.TypeIDs[i])), "", ""}
			if len(e.Offsets) > 0 && e.SpecialTokensMask[i] == 0 {
				o, text := e.Offsets[i], in.Text
				if e.SequenceIDs[i] == 1 {
					text = in.TextPair
				}
				row[4], row[5] = fmt.Sprintf("%d–%d", o.Start, o.End), visible(text[o.Start:o.End])
			}
			rows = append(rows, row)
		}
		out += s.table(columns, rows)
	}
	return out
}
