package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert/pretrain"
)

type instancesFlags struct {
	inputs     []string
	vocab      string
	modes      vocabularyFlags
	output     string
	options    pretrain.Options
	noNSP      bool
	format     *choice
	imdbSplits []string
	groupKiB   int
	shard      string
	workers    int
	memory     int64 // MiB
	resume     bool
}

func (a *app) instancesCommand() *cobra.Command {
	f := instancesFlags{options: pretrain.DefaultOptions()}
	cmd := &cobra.Command{
		Use:   "instances --input FILE --vocab DIR|vocab.txt --output DIR [flags] [FILE ...]",
		Short: "Make instances for pre-training from text",
		Long: `instances makes what bert pretrain trains on: sequences of two segments, the second of which follows the first in the text
or is from another document, with masked tokens. It is the procedure of google-research/bert create_pretraining_data.py.

The text is files, plain or compressed by gzip or zstd, of documents with blank lines in between and a sentence a line.
--sentences splits lines that hold paragraphs. The film reviews of Maas et al., as the folder aclImdb or its .tar.gz,
are text too: their training and unlabelled parts (--imdb-splits), never the test part.

The output folder gets instances-*.bin, the tokenizer, index.json with checksums, and summary.json. --dynamic stores no
masks; training then draws new ones each epoch, and the text is stored once (--dupe-factor 1). --format tfrecord writes what
run_pretraining.py reads.

Memory does not grow with the text. It is that of --workers groups of --group-size of text, each of which takes ten times its
size with the default --dupe-factor and three times with --dynamic; --memory makes fewer groups at once where they don't fit.

The same text, vocabulary and options give the same bytes, whatever --workers and --memory are. With --shard 0/3, 1/3 and 2/3 three machines
that share a folder make the set together; the last to end completes it. A run that was interrupted goes on with --resume.`,
		Example: `  bert instances --input corpus.txt --vocab bert-base-uncased --output instances
  bert instances --sentences --dynamic --vocab vocab.txt --output instances wikipedia-*.txt.zst aclImdb_v1.tar.gz
  bert instances --input corpus.txt.gz --vocab vocab.txt --output shared/instances --shard $SLURM_ARRAY_TASK_ID/16 --resume`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.inputs = append(f.inputs, args...)
			return a.instances(cmd, &f)
		},
	}
	f.add(cmd)
	return cmd
}

func (f *instancesFlags) add(cmd *cobra.Command) {
	o, flags := &f.options, cmd.Flags()
	flags.StringArrayVar(&f.inputs, "input", nil, "read text from `FILE`, or aclImdb; may be repeated; -: stdin")
	flags.StringVar(&f.vocab, "vocab", "", "the vocabulary: a `PATH` of a folder with a tokenizer, or of a file with one token a line; or starter")
	_ = flags.SetAnnotation("vocab", namesModel, nil)
	flags.StringVar(&f.output, "output", "", "write the instances to `DIR`")
	_ = cmd.MarkFlagDirname("output") // the errors are for flags that do not exist
	f.modes.addModes(cmd)
	flags.IntVar(&o.MaxSeqLength, "max-seq-length", o.MaxSeqLength, "instances of at most `N` tokens, [CLS] and [SEP] included")
	flags.IntVar(&o.MaxPredictions, "max-predictions-per-seq", o.MaxPredictions, "mask at most `N` tokens of an instance")
	flags.Float64Var(&o.MaskedLMProb, "masked-lm-prob", o.MaskedLMProb, "mask a `SHARE` of the tokens")
	flags.Float64Var(&o.ShortSeqProb, "short-seq-prob", o.ShortSeqProb, "make shorter instances of a `SHARE` of the documents")
	flags.IntVar(&o.DupeFactor, "dupe-factor", o.DupeFactor, "go through each document `N` times, with other pairs and masks (--dynamic: 1)")
	flags.BoolVar(&o.WholeWordMask, "whole-word-mask", false, "mask all pieces of a word or none")
	flags.BoolVar(&f.noNSP, "no-nsp", false, "no next-sentence prediction: instances of one segment, as many whole sentences of a document as fit")
	flags.BoolVar(&o.Dynamic, "dynamic", false, "store no masks, draw them afresh each epoch")
	flags.BoolVar(&o.SplitSentences, "sentences", false, "lines hold paragraphs: split them into sentences")
	flags.StringSliceVar(&f.imdbSplits, "imdb-splits", []string{"train", "unsup"}, "the `SPLITS` of aclImdb that are read")
	flags.Uint64Var(&o.Seed, "seed", o.Seed, "`SEED` of what is drawn at random")
	f.format = newChoice(string(pretrain.Own), string(pretrain.Own), string(pretrain.TFRecord))
	addChoice(cmd, f.format, "format", "own: mapped, about 2 bytes a token; tfrecord: Google's")
	flags.StringVar(&f.shard, "shard", "0/1", "make part `I/N` of the set, I from 0; all parts go to one folder")
	flags.IntVar(&f.workers, "workers", 0, "make `N` groups of documents at once; 0: as many as there are processors")
	flags.Int64Var(&f.memory, "memory", 0, "take about `MIB` mebibytes at most: make no more groups at once than fit; 0: no bound")
	flags.IntVar(&f.groupKiB, "group-size", o.GroupBytes>>10, "`KiB` of text that make a file; random second segments come from the same file's text")
	flags.BoolVar(&f.resume, "resume", false, "go on with what is in --output")
}

func (f *instancesFlags) job(cmd *cobra.Command) (*pretrain.Job, error) {
	switch {
	case len(f.inputs) == 0:
		return nil, usagef("--input FILE is missing: want text")
	case f.vocab == "":
		return nil, usagef("--vocab is missing: want a folder with a tokenizer, or vocab.txt")
	case f.output == "":
		return nil, usagef("--output DIR is missing")
	case f.workers < 0:
		return nil, usagef("--workers is %d, want 0 or more", f.workers)
	case f.memory < 0 || f.memory > maxMemory:
		return nil, usagef("--memory is %d, want mebibytes, or 0 for no bound", f.memory)
	case f.groupKiB < 1 || f.groupKiB > 256<<10:
		return nil, usagef("--group-size is %d, want 1 to %d", f.groupKiB, 256<<10)
	}
	o := f.options
	o.NextSentence = !f.noNSP
	o.Format = pretrain.Format(f.format.value)
	o.GroupBytes = f.groupKiB << 10
	if o.Dynamic && !cmd.Flags().Changed("dupe-factor") {
		o.DupeFactor = 1
	}
	if o.MaxPredictions > o.MaxSeqLength && !cmd.Flags().Changed("max-predictions-per-seq") {
		o.MaxPredictions = o.MaxSeqLength
	}
	if err := o.Validate(); err != nil {
		if bad := (*pretrain.OptionError)(nil); errors.As(err, &bad) {
			return nil, usagef("--%s %s", strings.ReplaceAll(bad.Option, "_", "-"), bad.Problem)
		}
		return nil, err
	}
	i, n, ok := strings.Cut(f.shard, "/")
	shard, err1 := strconv.Atoi(i)
	shards, err2 := strconv.Atoi(n)
	if !ok || err1 != nil || err2 != nil || shards < 1 || shard < 0 || shard >= shards {
		return nil, usagef("--shard is %q, want I/N with I from 0 to N-1", f.shard)
	}
	return &pretrain.Job{Dir: f.output, Options: o, Shard: shard, Shards: shards, Workers: f.workers, Memory: f.memory << 20, Resume: f.resume}, nil
}

func (a *app) instances(cmd *cobra.Command, f *instancesFlags) error {
	job, err := f.job(cmd)
	if err != nil {
		return err
	}
	info, err := os.Stat(f.vocab)
	switch {
	case err != nil:
		return pathError(err)
	case !info.IsDir():
		f.modes.vocab = f.vocab
	case f.modes.cased || f.modes.google:
		return usagef("--cased and --google are for a --vocab that is a file: the tokenizer in a folder says itself")
	default:
		f.modes.model = f.vocab
	}
	if job.Tokenizer, err = f.modes.load(); err != nil {
		return err
	}
	if job.Memory > 0 {
		debug.SetMemoryLimit(job.Memory) // the collector keeps what the job would let lie
	}
	job.Corpus = &pretrain.Corpus{Paths: f.inputs, Stdin: a.stdin, IMDBSplits: f.imdbSplits}

	ctx, stop := untilInterrupted(context.Background(), func(s os.Signal) {
		a.log.Warn(fmt.Sprintf("%v: ending; again to end at once", s))
	})
	defer stop()
	begin := time.Now()
	p := a.newProgress()
	p.instances(job, begin)
	result, err := job.Run(ctx)
	p.close()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted: what is done is in %s, --resume goes on", f.output)
	}
	if err != nil {
		return withInstancesFlags(err)
	}
	a.log.Info(instancesProgress(result.Progress, time.Since(begin)))
	if result.Kept > 0 {
		a.log.Info("kept from before: " + count(result.Kept, "file"))
	}
	if result.Summary == nil {
		a.log.Info(fmt.Sprintf("the set lacks %s yet, of other parts: the last part to end completes it", count(result.Missing, "file")))
		return nil
	}
	return a.summarise(job, result.Summary)
}

// withInstancesFlags adds the flags that help to an error of package pretrain, whose texts name none.
func withInstancesFlags(err error) error {
	for _, advice := range []struct {
		about error
		flags string
	}{
		{pretrain.ErrMemory, "--memory, --group-size"},
		{pretrain.ErrOneDocument, "--no-nsp"},
		{pretrain.ErrExists, "--resume"},
		{pretrain.ErrIncomplete, "bert instances --resume"},
		{pretrain.ErrNoInstances, "bert instances makes them"},
	} {
		if errors.Is(err, advice.about) {
			return fmt.Errorf("%w (%s)", err, advice.flags)
		}
	}
	return err
}

// instances shows how far a job is.
func (p *progress) instances(job *pretrain.Job, begin time.Time) {
	last := begin
	job.Report = func(now pretrain.Progress) {
		line := instancesProgress(now, time.Since(begin))
		switch {
		case p.bars != nil:
			if p.steps == nil {
				p.status.Store(&line)
				p.steps = p.newBar("MiB", int(now.Size>>20), func() string { return *p.status.Load() })
			}
			p.status.Store(&line)
			p.steps.SetCurrent(now.Read >> 20)
		case time.Since(last) >= 5*time.Second:
			last = time.Now()
			p.app.log.Info(line)
		}
	}
}

func instancesProgress(p pretrain.Progress, took time.Duration) string {
	line := fmt.Sprintf("%s MiB read", thousands(int(p.Read>>20)))
	if p.Size > 0 {
		line += fmt.Sprintf(" (%.0f %%)", 100*float64(p.Read)/float64(p.Size))
	}
	return line + fmt.Sprintf("; %s, %s, %s of %s; %s/s, %s",
		count(p.Groups, "file"), count(int(p.Stats.Documents), "document"), count(int(p.Stats.Instances), "instance"),
		count(int(p.Stats.Tokens), "token"), count(int(float64(p.Stats.Tokens)/took.Seconds()), "token"), shortTime(took))
}

// summarise says what the set is, and prints the summary.
func (a *app) summarise(job *pretrain.Job, s *pretrain.Summary) error {
	a.log.Info(fmt.Sprintf("text: %s, %s, %s, %.3f %% of them [UNK]", count(int(s.Documents), "document"), count(int(s.Sentences), "sentence"),
		count(int(s.TextTokens), "token"), 100*s.UnknownShare))
	line := fmt.Sprintf("instances: %s, mean length %.1f (%.1f %% of %d)", thousands(int(s.Instances)), s.MeanLength, 100*s.FillShare, job.Options.MaxSeqLength)
	if job.Options.NextSentence {
		line += fmt.Sprintf(", %.1f %% with a random next, %s truncated", 100*s.RandomNextShare, count(int(s.TruncatedTokens), "token"))
	}
	a.log.Info(line + fmt.Sprintf(", %.1f %% made short; %s masked (%.1f %%)", 100*s.ShortShare, count(int(s.MaskedTokens), "token"), 100*s.MaskedShare))
	if s.CutDocuments > 0 {
		a.log.Warn(fmt.Sprintf("%s longer than --group-size were cut", count(int(s.CutDocuments), "document")))
	}
	if s.Sentences > 0 && !job.Options.SplitSentences && s.TextTokens/s.Sentences > int64(job.Options.MaxSeqLength)/2 {
		a.log.Warn(fmt.Sprintf("lines have %d tokens on average: if they hold paragraphs, --sentences splits them", s.TextTokens/s.Sentences))
	}
	return jsonLine(a.stdout, s)
}
