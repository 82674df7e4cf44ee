package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"

	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/tokenizer"
)

// vocabFlags say what vocabulary is learnt from what.
type vocabFlags struct {
	input   []string
	splits  []string // of aclImdb
	coding  string
	output  string
	cased   bool
	accents *choice
	memory  int64 // MiB
	options tokenizer.LearnOptions
	out     outputFlags
}

func (a *app) vocabCommand() *cobra.Command {
	f := vocabFlags{options: tokenizer.DefaultLearnOptions(), accents: newChoice("auto", "auto", "keep", "strip")}
	o := &f.options
	cmd := &cobra.Command{
		Use:   "vocab --input FILE --size N --output DIR [flags] [FILE ...]",
		Short: "Learn a WordPiece vocabulary from text",
		Long: `vocab learns a WordPiece vocabulary: it counts the words of texts, then merges their characters into pieces, the most
frequent pair first, until the vocabulary has --size tokens. It writes vocab.txt, tokenizer.json and tokenizer_config.json.

The input is text files, plain or compressed with gzip, zstd, bzip2 or xz, or IMDB, as the folder aclImdb or its .tar.gz: the
splits in --imdb-splits, never the test split. The same texts give the same vocabulary on any number of threads.

Ids are assigned in this order: [PAD] [UNK] [CLS] [SEP] [MASK], --special-tokens, [unused0] and so on, the characters, the
characters within words (##a), the merges.

Any language works. In languages without spaces between words, the text between two punctuation marks is a word, up to 100
characters; every Chinese or Japanese ideograph is a word. Many scripts, such as Thai and Hindi, lose vowels when accents are
stripped: use --accents keep or --cased.

Counts that take more than half of --memory go to temporary files and remain exact. If merging would take more than --memory,
the rarest words are left out, and a warning says so.`,
		Example: `  bert vocab --input wikipedia.txt.zst --size 12000 --output vocab
  bert vocab --input corpus/*.txt.gz --size 30522 --reserved 99 --cased --output vocab
  zcat reviews.gz | bert vocab --input - --size 8000 --output vocab --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.input = append(f.input, args...)
			if err := f.check(); err != nil {
				return err
			}
			return a.vocab(cmd.Context(), &f)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.input, "input", nil, "read text from `FILE`, or IMDB; may be repeated; - is stdin")
	flags.IntVar(&o.Size, "size", o.Size, "size of the vocabulary: `N` tokens in all")
	flags.StringVar(&f.output, "output", "", "write the vocabulary to `DIR`")
	_ = cmd.MarkFlagDirname("output") // the error is for a flag that does not exist
	flags.BoolVar(&f.cased, "cased", false, "keep case and accents")
	addChoice(cmd, f.accents, "accents", "whether to strip accents and vowel signs; auto: strip, or keep with --cased")
	flags.Int64Var(&o.MinFrequency, "min-frequency", o.MinFrequency, "merge only pairs that occur at least `N` times")
	flags.IntVar(&o.LimitAlphabet, "limit-alphabet", o.LimitAlphabet, "keep the `N` most frequent characters; 0: all")
	flags.StringSliceVar(&o.SpecialTokens, "special-tokens", nil, "add the tokens `A,B`, which are never split")
	flags.IntVar(&o.Reserved, "reserved", 0, "reserve `N` tokens: [unused0] and so on")
	flags.StringSliceVar(&f.splits, "imdb-splits", []string{"train", "unsup"}, "the `SPLITS` of IMDB to read")
	addEncoding(flags, &f.coding)
	addThreads(cmd, &o.Threads)
	flags.Int64Var(&f.memory, "memory", o.Memory>>20, "use about `MIB` mebibytes for words and their counts")
	flags.StringVar(&o.TempDir, "temp-dir", "", "put temporary files in `DIR` (default: the system's folder for them)")
	_ = cmd.MarkFlagDirname("temp-dir")
	place(cmd, dataSection, "input", "imdb-splits", "encoding")
	place(cmd, trainingSection, "size", "cased", "accents", "min-frequency", "limit-alphabet", "special-tokens", "reserved")
	place(cmd, outputSection, "output")
	place(cmd, generalSection, "memory", "temp-dir")
	f.out.add(cmd)
	mainFlags(cmd, "input", "size", "cased", "special-tokens", "output", "json", "threads", "memory")
	return cmd
}

// maxMemory is more mebibytes than any machine has; it keeps the number of bytes from overflowing.
const maxMemory = 1 << 40

// check reports mistakes in the flags that can be seen before anything is read.
func (f *vocabFlags) check() error {
	o := &f.options
	switch {
	case len(f.input) == 0:
		return usagef("--input FILE is missing: want text to learn from; -: stdin")
	case f.output == "":
		return usagef("--output DIR is missing: want the folder to write the vocabulary to")
	case o.Size < 1:
		return usagef("--size is %d, want at least 1", o.Size)
	case o.MinFrequency < 1:
		return usagef("--min-frequency is %d, want at least 1", o.MinFrequency)
	case o.LimitAlphabet < 0:
		return usagef("--limit-alphabet is %d, want at least 1, or 0 for all characters", o.LimitAlphabet)
	case o.Reserved < 0:
		return usagef("--reserved is %d, want 0 or more", o.Reserved)
	case f.memory < 1 || f.memory > maxMemory:
		return usagef("--memory is %d, want mebibytes, at least 1", f.memory)
	}
	o.Memory = f.memory << 20
	return checkThreads(o.Threads)
}

func (f *vocabFlags) config() tokenizer.Config {
	c := tokenizer.DefaultConfig()
	c.LowerCase = !f.cased
	if f.accents.value != "auto" {
		strip := f.accents.value == "strip"
		c.StripAccents = &strip
	}
	return c
}

func (a *app) vocab(ctx context.Context, f *vocabFlags) error {
	begun := time.Now()
	if slices.Contains(f.input, "-") && isTerminal(a.stdin) {
		a.log.Info("reading text from the terminal; Ctrl-D ends it")
	}
	texts := &pretrain.Corpus{Paths: f.input, Stdin: a.stdin, IMDBSplits: f.splits, Encoding: f.coding}
	progress := newVocabProgress(a, texts)
	f.options.Report = progress.report
	ctx, stop := untilInterrupted(ctx, func(s os.Signal) {
		a.log.Warn(fmt.Sprintf("%v: ending; again to end at once", s))
	})
	defer stop()
	job := &pretrain.VocabularyJob{Corpus: texts, Config: f.config(), Dir: f.output, Options: f.options}
	job.Learned = func(r *pretrain.VocabularyResult) {
		progress.close()
		a.describeLearning(f, r.Tokenizer, &r.Stats)
	}
	result, err := job.Run(ctx)
	progress.close()
	stats := result.Stats
	var size *tokenizer.LearnSizeError
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted: nothing was written")
	case errors.Is(err, tokenizer.ErrNoWords):
		return fmt.Errorf("%s: no word in it: want text", strings.Join(f.input, ", "))
	case errors.As(err, &size) && size.Most == 0:
		return fmt.Errorf("--size %d is too small: special and reserved tokens and %s alone take %d: ask for more, or for fewer characters with --limit-alphabet",
			size.Size, count(stats.Characters-stats.DroppedCharacters, "character"), size.Least)
	case errors.As(err, &size):
		return fmt.Errorf("--size %d can't be reached: with --min-frequency %d the texts give %s: ask for %d, for a lower --min-frequency, or give more text",
			size.Size, size.MinFrequency, count(size.Most, "token"), size.Most)
	case err != nil:
		return err
	}
	a.log.Info(fmt.Sprintf("saved in %s after %s", f.output, shortTime(time.Since(begun))))
	if !f.out.table(a) {
		return jsonLine(a.stdout, stats)
	}
	return nil
}

// describeLearning describes the vocabulary and the text it was learnt from.
func (a *app) describeLearning(f *vocabFlags, t *tokenizer.Tokenizer, s *tokenizer.LearnStats) {
	a.log.Info(fmt.Sprintf("%s (%s distinct) in %s of text", count(int(s.Words), "word"), thousands(int(s.DistinctWords)), megabytes(s.Bytes)))
	a.log.Info(fmt.Sprintf("%s, %s; the last pair occurs %s; %s in all", count(s.Characters-s.DroppedCharacters, "character"),
		count(s.Merges, "merge"), count(int(s.LastFrequency), "time"), count(s.Size, "token")))
	if s.DroppedCharacters > 0 {
		a.log.Info(fmt.Sprintf("%s beyond --limit-alphabet left out, which make %.3g %% of the words unknown",
			count(s.DroppedCharacters, "character"), 100*float64(s.UnknownWords)/float64(s.Words)))
	}
	if s.LongWords > 0 {
		a.log.Warn(fmt.Sprintf("%s of more than %d characters left out, which the tokenizer does not know", count(int(s.LongWords), "word"), t.Config().MaxWordChars))
	}
	if s.SpilledBytes > 0 {
		a.log.Info(fmt.Sprintf("%s of counts went through temporary files", megabytes(s.SpilledBytes)))
	}
	if s.RareWords > 0 {
		a.log.Warn(fmt.Sprintf("merges were chosen without the %s distinct words that occur %s or less: --memory %d holds no more",
			thousands(int(s.RareWords)), count(int(s.RareFrequency), "time"), f.memory))
	}
}

// megabytes is 12.3 MB, or 812 bytes.
func megabytes(n int64) string {
	if n < 1e6 {
		return count(int(n), "byte")
	}
	return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
}

// vocabProgress shows how far learning is: a bar on a terminal, now and then a line elsewhere.
type vocabProgress struct {
	*progress
	texts *pretrain.Corpus
	size  int64 // of the files; 0: not known
	bar   *mpb.Bar
	stage string
	line  time.Time // of the last line
}

func newVocabProgress(a *app, texts *pretrain.Corpus) *vocabProgress {
	return &vocabProgress{progress: a.newProgress(), texts: texts, size: texts.Size(), line: time.Now()}
}

func (p *vocabProgress) report(now tokenizer.LearnProgress) {
	stage, done, all := "reading", p.texts.Read()>>20, p.size>>20
	if now.Merged {
		stage, done, all = "merging", int64(now.Tokens), int64(now.Size)
	}
	if p.bars == nil || all == 0 {
		const pause = 10 * time.Second
		if time.Since(p.line) < pause {
			return
		}
		p.line = time.Now()
		if now.Merged {
			p.app.log.Info(fmt.Sprintf("%s of %s tokens", thousands(now.Tokens), thousands(now.Size)))
		} else {
			p.app.log.Info(megabytes(now.Bytes) + " of text read")
		}
		return
	}
	if stage != p.stage {
		p.closeBar()
		p.stage = stage
		unit := ""
		if !now.Merged {
			unit = "MiB"
		}
		p.bar = p.newBar(stage, int(all), func() string { return unit })
	}
	p.bar.SetCurrent(done)
}

func (p *vocabProgress) closeBar() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bar = nil
	}
}

func (p *vocabProgress) close() {
	p.closeBar()
	p.progress.close()
}
