package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/pretrain"
)

type instancesFlags struct {
	inputs     []string
	vocab      string
	modes      vocabularyFlags
	output     string
	options    pretrain.InstanceOptions
	noNSP      bool
	format     *choice
	imdbSplits []string
	encoding   string
	groupKiB   int
	shard      string
	workers    int
	memory     int64 // MiB
	resume     bool
	out        outputFlags
}

func (a *app) instancesCommand() *cobra.Command {
	f := instancesFlags{options: pretrain.DefaultInstanceOptions()}
	cmd := &cobra.Command{
		Use:   "instances --input FILE --vocab DIR|vocab.txt --output DIR [flags] [FILE ...]",
		Short: "Make pre-training data from text",
		Long: `instances makes the training data of bert pretrain from text: pairs of segments, the second of which follows the first in the
text or comes from another document, with masked tokens. The procedure is that of google-research/bert
create_pretraining_data.py.

The input is text files, plain or compressed with gzip, zstd, bzip2 or xz: documents separated by blank lines, one sentence per line.
--sentences splits lines that hold whole paragraphs. IMDB, as the folder aclImdb or its .tar.gz, is accepted too: the
splits in --imdb-splits, never the test split.

The output folder gets instances-*.bin, the tokenizer, index.json with checksums, and summary.json. With --dynamic no masks are
stored: training draws new ones in every epoch, and every text is stored once (--dupe-factor 1). --file-format tfrecord writes
the files that run_pretraining.py reads.

Memory does not grow with the text. Each of the --workers groups being made takes about ten times --group-size with the default
--dupe-factor, about three times with --dynamic; --memory limits the number of groups at a time.

The same text, vocabulary and options give the same bytes, whatever --workers and --memory are. With --shard 0/3, 1/3 and 2/3,
three machines that share a folder make the set together; the last one to finish completes it. They may start at once, but two
processes can't make the same part at the same time. --shard env takes the part from the job array of Slurm or from srun, and
--shard env/N from an indexed Job of Kubernetes too. --resume continues an interrupted run, and makes again what a complete
set has lost or what is damaged in it.`,
		Example: `  bert instances --input corpus.txt --vocab bert-base-uncased --output instances
  bert instances --sentences --dynamic --vocab vocab.txt --output instances wikipedia-*.txt.zst aclImdb_v1.tar.gz
  bert instances --input corpus.txt.gz --vocab vocab.txt --output shared/instances --shard env --resume`,
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
	flags.StringArrayVar(&f.inputs, "input", nil, "read text from `FILE`, or IMDB; may be repeated; - is stdin")
	flags.StringVar(&f.vocab, "vocab", "", "the `PATH` of the vocabulary: a folder with a tokenizer, a file with one token per line, or starter")
	_ = flags.SetAnnotation("vocab", namesModel, nil)
	_ = cmd.RegisterFlagCompletionFunc("vocab", completeModel(true))
	flags.StringVar(&f.output, "output", "", "write the instances to `DIR`")
	_ = cmd.MarkFlagDirname("output") // the errors are for flags that do not exist
	f.modes.addModes(cmd)
	flags.IntVar(&o.MaxSeqLength, "max-seq-length", o.MaxSeqLength, "make instances of at most `N` tokens, including [CLS] and [SEP]")
	flags.IntVar(&o.MaxPredictions, "max-predictions-per-seq", o.MaxPredictions, "mask at most `N` tokens of an instance")
	flags.Float64Var(&o.MaskedLMProb, "masked-lm-prob", o.MaskedLMProb, "mask this `SHARE` of the tokens")
	flags.Float64Var(&o.ShortSeqProb, "short-seq-prob", o.ShortSeqProb, "make shorter instances from this `SHARE` of the documents")
	flags.IntVar(&o.DupeFactor, "dupe-factor", o.DupeFactor, fmt.Sprintf("process each document `N` times, with other pairs and masks (default %d, with --dynamic 1)", o.DupeFactor))
	flags.BoolVar(&o.WholeWordMask, "whole-word-mask", false, "mask all pieces of a word or none")
	flags.BoolVar(&f.noNSP, "no-nsp", false, "no next-sentence prediction: an instance is one segment, with as many sentences of a document as fit")
	flags.BoolVar(&o.Dynamic, "dynamic", false, "store no masks: training draws new ones in every epoch")
	flags.BoolVar(&o.SplitSentences, "sentences", false, "split lines that hold paragraphs into sentences")
	flags.StringSliceVar(&f.imdbSplits, "imdb-splits", []string{"train", "unsup"}, "the `SPLITS` of IMDB to read")
	addEncoding(flags, &f.encoding)
	flags.Uint64Var(&o.Seed, "seed", o.Seed, "the `SEED` of everything drawn at random")
	f.format = newChoice(o.Format.String(), pretrain.FormatNames()...)
	addChoice(cmd, f.format, "file-format", "own: mapped into memory, about 2 bytes per token; tfrecord: the format of run_pretraining.py")
	flags.StringVar(&f.shard, "shard", "0/1", "make part `I/N` of the set, counted from 0; all parts go to the same folder; env or env/N: as Slurm or Kubernetes says")
	flags.IntVar(&f.workers, "workers", 0, "make `N` groups of documents at a time (default: the number of CPUs)")
	flags.Int64Var(&f.memory, "memory", 0, "use at most about `MIB` mebibytes, by making fewer groups at a time (default: no limit)")
	flags.IntVar(&f.groupKiB, "group-size", o.GroupBytes>>10, "make a file from `KiB` of text; random second segments come from the same file's text")
	flags.BoolVar(&f.resume, "resume", false, "continue an interrupted run in --output")
	place(cmd, modelSection, "vocab")
	place(cmd, dataSection, "input", "imdb-splits", "encoding", "sentences")
	place(cmd, trainingSection, "max-seq-length", "max-predictions-per-seq", "masked-lm-prob", "short-seq-prob", "dupe-factor",
		"whole-word-mask", "no-nsp", "dynamic", "seed")
	place(cmd, outputSection, "output", "file-format", "shard", "group-size", "resume")
	place(cmd, generalSection, "workers", "memory")
	f.out.add(cmd)
	mainFlags(cmd, "input", "sentences", "vocab", "max-seq-length", "dynamic", "whole-word-mask", "seed", "output", "resume", "memory")
}

func (f *instancesFlags) job(cmd *cobra.Command) (*pretrain.InstanceJob, error) {
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
	var err error
	if o.Format, err = pretrain.ParseFormat(f.format.value); err != nil {
		return nil, usageError{err}
	}
	o.GroupBytes = f.groupKiB << 10
	if o.Dynamic && o.Format == pretrain.TFRecord {
		return nil, usagef("--dynamic and --file-format tfrecord exclude each other: TFRecord files store the masks")
	}
	if o.Dynamic && !cmd.Flags().Changed("dupe-factor") {
		o.DupeFactor = 1
	}
	if o.MaxPredictions > o.MaxSeqLength && !cmd.Flags().Changed("max-predictions-per-seq") {
		o.MaxPredictions = o.MaxSeqLength
	}
	if err := o.Validate(); err != nil {
		return nil, flagNamed(err)
	}
	part, err := parsePart(f.shard)
	if err != nil {
		return nil, err
	}
	return &pretrain.InstanceJob{Dir: f.output, Options: o, Shard: part.Index, Shards: part.Count, Workers: f.workers, Memory: f.memory << 20, Resume: f.resume}, nil
}

func (a *app) instances(cmd *cobra.Command, f *instancesFlags) error {
	job, err := f.job(cmd)
	if err != nil {
		return err
	}
	info, err := os.Stat(f.vocab)
	switch {
	case err != nil:
		return files.PathError(err)
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
	a.warnNotes(job.Tokenizer.Notes())
	if job.Memory > 0 {
		debug.SetMemoryLimit(job.Memory) // the collector keeps what the job would let lie
	}
	job.Corpus = &pretrain.Corpus{Paths: f.inputs, Stdin: a.stdin, IMDBSplits: f.imdbSplits, Encoding: f.encoding}

	ctx, stop := untilInterrupted(cmd.Context(), func(s os.Signal) {
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
		return explainInstances(err)
	}
	a.log.Info(instancesProgress(result.InstanceProgress, time.Since(begin)))
	if result.Kept > 0 {
		a.log.Info("kept from before: " + count(result.Kept, "file"))
	}
	if result.Summary == nil {
		a.log.Info(fmt.Sprintf("the set lacks %s yet, of other parts: the last part to end completes it", count(result.Missing, "file")))
		return nil
	}
	return a.summarise(job, result.Summary, f.out.table(a))
}

// explainInstances names the flags that help against what is wrong with instances.
func explainInstances(err error) error {
	var (
		memory     *pretrain.MemoryError
		one        *pretrain.OneDocumentError
		exists     *pretrain.ExistsError
		incomplete *pretrain.IncompleteError
		damaged    *pretrain.DamagedError
	)
	switch {
	case errors.As(err, &memory):
		return fmt.Errorf("%w (--memory, --group-size)", err)
	case errors.As(err, &one):
		return fmt.Errorf("%w (--no-nsp)", err)
	case errors.As(err, &exists):
		return fmt.Errorf("%w (--resume goes on with them)", err)
	case errors.As(err, &incomplete):
		return fmt.Errorf("%w (bert instances with the same flags and --resume)", err)
	case errors.As(err, &damaged):
		return fmt.Errorf("%w (bert instances with the same flags and --resume)", err)
	}
	return err
}

// instances shows how far a job is.
func (p *progress) instances(job *pretrain.InstanceJob, begin time.Time) {
	last := begin
	job.Report = func(now pretrain.InstanceProgress) {
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

func instancesProgress(p pretrain.InstanceProgress, took time.Duration) string {
	line := fmt.Sprintf("%s MiB read", thousands(int(p.Read>>20)))
	if p.Size > 0 {
		line += fmt.Sprintf(" (%.0f %%)", 100*float64(p.Read)/float64(p.Size))
	}
	return line + fmt.Sprintf("; %s, %s, %s of %s; %s/s, %s",
		count(p.Groups, "file"), count(int(p.Stats.Documents), "document"), count(int(p.Stats.Instances), "instance"),
		count(int(p.Stats.Tokens), "token"), count(int(float64(p.Stats.Tokens)/took.Seconds()), "token"), shortTime(took))
}

// summarise describes the set, and prints its summary unless it is wanted as a table: the description is that already.
func (a *app) summarise(job *pretrain.InstanceJob, s *pretrain.Summary, table bool) error {
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
	if table {
		return nil
	}
	return jsonLine(a.stdout, s)
}
