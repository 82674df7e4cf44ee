package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/parts"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// joinFlags are those of bert join.
type joinFlags struct {
	output      string
	model, data string
	wait        time.Duration
	out         outputFlags
}

func (a *app) joinCommand() *cobra.Command {
	var f joinFlags
	cmd := &cobra.Command{
		Use:   "join DIR [flags] [DIR ...]",
		Short: "Put the parts of a command together (--shard)",
		Long: `join takes the folder in which the parts of bert predict, encode, tokenize or evaluate with --shard are, checks that all of them
are there and belong together, and makes what one run makes of the whole, byte for byte. Parts that are spread over several folders are
found in all that are named.

The results of predict, encode and tokenize are printed, or written to --output. For the data of a task that has a benchmark, --output
is a folder and gets the predictions in the benchmark's files, as bert predict --output writes them.

Of evaluate, the metrics are computed from what the model said in the parts, printed, and written to eval_results.json in --output, by
default the parts' folder. The data and the model are read again, from where the parts found them or from --data and --model; the model
computes nothing but the explanations that --save-logits has.

Texts that were truncated and lines that were skipped are counted over all parts.`,
		Example: `  bert predict --model my-model --input reviews.txt --shard 0/2 --output parts
  bert predict --model my-model --input reviews.txt --shard 1/2 --output parts
  bert join parts > labels.jsonl
  bert join --wait 24h parts --output labels.jsonl`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("no folder: want that of the parts")
			}
			return a.join(cmd, &f, args)
		},
	}
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.output, "output", "", "write to the file or folder `PATH`, which is whole or not there (default: print)")
	})
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.data, "data", "", "the data of a task are in `PATH` (default: where the parts found them)")
	})
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.model, "model", "", "the model is in `DIR` (default: where the parts found it)")
	})
	markModel(cmd, "model")
	flagsIn(cmd, generalSection, func(flags *pflag.FlagSet) {
		flags.DurationVar(&f.wait, "wait", 0, "wait for parts that are not done, for at most so `LONG`, such as 90m or 24h")
	})
	f.out.add(cmd)
	return cmd
}

func (a *app) join(cmd *cobra.Command, f *joinFlags, dirs []string) error {
	ctx := cmd.Context()
	s, err := f.open(ctx, a, dirs)
	if err != nil {
		return err
	}
	for _, note := range s.Notes() {
		a.log.Warn(note)
	}
	_, ofTask := s.Job.Settings.Get("task")
	switch {
	case s.Job.Command == "evaluate":
		return a.joinEvaluation(ctx, f, s, dirs[0])
	case f.out.format.value == "table":
		return usagef("--format table is not for the results of bert %s: want them as JSON", s.Job.Command)
	case f.output == "":
		err = s.Copy(ctx, errorOf{a.stdout})
	case ofTask:
		err = a.joinPredictions(ctx, f, s)
	default:
		err = files.Beside(filepath.Dir(f.output), []string{filepath.Base(f.output)}, func() error {
			return files.PathError(files.WriteFile(f.output, 0o666, func(w io.Writer) error { return s.Copy(ctx, w) }))
		})
	}
	if err != nil {
		return err
	}
	c := s.Counts()
	(&truncations{all: c.Results, texts: c.Truncated, tokens: c.Dropped}).report(a, c.Longest)
	if c.Skipped > 0 {
		a.warnSkippedLines(c.Skipped, c.FirstSkipped)
	}
	a.log.Info(fmt.Sprintf("%s, %s", count(s.Job.Parts, "part"), count(c.Results, "result")))
	return nil
}

// open opens the parts, once they are done if --wait says so.
func (f *joinFlags) open(ctx context.Context, a *app, dirs []string) (*parts.Set, error) {
	if f.wait <= 0 {
		return parts.Open(dirs...)
	}
	ctx, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	return parts.OpenWhenDone(ctx, func(missing error) { a.log.Info("waiting: " + missing.Error()) }, dirs...)
}

// errorOf is a writer to stdout, which its errors name.
type errorOf struct{ w io.Writer }

func (e errorOf) Write(b []byte) (int, error) {
	if err := writeOut(e.w, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// again sets the flags of a command to what they were when the parts were done.
func (f *joinFlags) again(ctx context.Context, a *app, cmd *cobra.Command, s *parts.Set, output string) error {
	cmd.SetContext(ctx)
	of := map[string]string{"model": f.model, "data": f.data}
	for _, x := range slices.Concat(s.Job.Settings, s.Job.Paths) {
		flag := cmd.Flags().Lookup(x.Name)
		if flag == nil {
			continue // a hash
		}
		value := x.Value
		if folder, ok := s.Job.Paths.Get(folderPath); ok && slices.Contains(pathFlags, x.Name) && !filepath.IsAbs(value) {
			if _, err := os.Stat(value); err != nil {
				value = filepath.Join(folder, value)
			}
		}
		if err := flag.Value.Set(cmp.Or(of[x.Name], value)); err != nil {
			return fmt.Errorf("job.json: %s: %w", x.Name, err)
		}
		flag.Changed = true
	}
	return cmd.Flags().Set("output", output)
}

// joinEvaluation makes the evaluation of all parts.
func (a *app) joinEvaluation(ctx context.Context, f *joinFlags, s *parts.Set, dir string) error {
	again := &evaluateFlags{joined: s}
	cmd := a.evaluateCommandOf(again)
	if err := f.again(ctx, a, cmd, s, cmp.Or(f.output, dir)); err != nil {
		return err
	}
	again.out = f.out
	if err := sameModel(ctx, s.Job, &again.model); err != nil {
		return err
	}
	return a.evaluate(cmd, again)
}

// joinPredictions writes the predictions of the data of a task in the files of its benchmark or, where it has none, as lines.
func (a *app) joinPredictions(ctx context.Context, f *joinFlags, s *parts.Set) error {
	again := &predictFlags{joined: s}
	cmd := a.predictCommandOf(again)
	if err := f.again(ctx, a, cmd, s, f.output); err != nil {
		return err
	}
	if err := sameModel(ctx, s.Job, &again.model); err != nil {
		return err
	}
	return a.predictData(cmd, again, nil)
}

// submitParts writes the predictions of parts in the form of their task's benchmark.
func (a *app) submitParts(ctx context.Context, f *predictFlags, t *task.Task, split data.Split, examples []data.Example) (err error) {
	if err := sameInput(f.joined.Job, f.data.path, examples); err != nil {
		return err
	}
	var predictions []task.Prediction
	err = f.joined.Each(ctx, func(part int, content io.Reader) error {
		d := json.NewDecoder(bufio.NewReaderSize(content, 1<<16))
		for {
			var p task.Prediction
			if err := d.Decode(&p); err == io.EOF {
				return nil
			} else if err != nil {
				return fmt.Errorf("%s: %w", f.joined.Path(part), err)
			}
			predictions = append(predictions, p)
		}
	})
	if err != nil {
		return err
	}
	if len(predictions) != len(examples) {
		return fmt.Errorf("the parts have %s of %s", count(len(predictions), "prediction"), count(len(examples), "example"))
	}
	release, err := files.Claim(f.output)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, release()) }()
	return a.savePredictions(f.output, t, split, examples, predictions)
}

// sameModel reports a model that is not the one of the parts.
func sameModel(ctx context.Context, j *parts.Job, m *modelFlags) error {
	now, err := m.fingerprint(ctx)
	if err != nil {
		return err
	}
	if was, _ := j.Settings.Get("model" + hashSuffix); was != now {
		return fmt.Errorf("%s: not the model of the parts: its files have SHA-256 %.8s…, there %.8s… (--model DIR)", m.dir, now, was)
	}
	return nil
}

// sameInput reports examples that are not those of the parts.
func sameInput(j *parts.Job, path string, examples []data.Example) error {
	if now := data.Hash(examples); now != j.Input.SHA256 {
		return fmt.Errorf("%s: not the data of the parts: it has %s with SHA-256 %.8s…, there %s with %.8s… (--data PATH)",
			path, count(len(examples), "example"), now, thousands(j.Input.Examples), j.Input.SHA256)
	}
	return nil
}

// joinedLogits are those of all parts.
func joinedLogits(ctx context.Context, s *parts.Set) (*task.Logits, error) {
	l := new(task.Logits)
	err := s.Each(ctx, func(part int, content io.Reader) error {
		if _, err := io.Copy(io.Discard, content); err != nil { // whose hash is checked
			return err
		}
		return l.Read(s.Path(part))
	})
	return l, err
}

// examplesPart takes a part of a task's examples.
func (a *app) examplesPart(cmd *cobra.Command, p parts.Part, dir string, model *modelFlags, path string, examples []data.Example) (w *parts.Work, own []data.Example, finished bool, err error) {
	from, to := p.Range(len(examples))
	sum, err := model.fingerprint(cmd.Context())
	if err != nil {
		return nil, nil, false, err
	}
	in := parts.Input{Name: path, Examples: len(examples), SHA256: data.Hash(examples)}
	j, err := a.job(cmd, p, in, "model", sum)
	if err != nil {
		return nil, nil, false, err
	}
	w, finished, err = a.begin(cmd.Context(), dir, j, p, func() (parts.Done, error) {
		return parts.Done{From: int64(from), To: int64(to)}, nil
	})
	return w, examples[from:to], finished, err
}

// evaluatePart runs a model on a part of the examples, and keeps what it says.
func (a *app) evaluatePart(cmd *cobra.Command, f *evaluateFlags, p parts.Part, m *bert.Model, tok *tokenizer.Tokenizer, d task.Spec, set *data.Set) error {
	ctx := cmd.Context()
	w, own, finished, err := a.examplesPart(cmd, p, f.output, &f.model, f.data.path, set.Examples)
	if err != nil || finished {
		return err
	}
	a.warnNotes(tok.NotesFor(m))
	a.describeModel(m, "weights from "+f.model.dir)
	return a.finish(w, task.LogitsExtension, func(to io.Writer, done *parts.Done) error {
		from, end := p.Range(len(set.Examples))
		done.From, done.To, done.Kernels, done.Counts.Results = int64(from), int64(end), m.Kernels(), end-from
		logits := new(task.Logits)
		if len(own) > 0 {
			dataset, err := task.NewDataset(ctx, tok, d, own)
			if err != nil {
				return err
			}
			a.describeData(fmt.Sprintf("part %v of the evaluation data", p), dataset)
			progress := a.newProgress()
			defer progress.close()
			if logits, err = dataset.Logits(ctx, m, task.EvaluateOptions{Progress: progress.evaluated}); err != nil {
				return err
			}
		}
		return logits.Write(to)
	})
}

// predictPart predicts a part of the examples of a task.
func (a *app) predictPart(cmd *cobra.Command, f *predictFlags, part parts.Part, p *task.Runner[task.Prediction], examples []data.Example) error {
	w, own, finished, err := a.examplesPart(cmd, part, f.output, &f.model, f.data.path, examples)
	if err != nil || finished {
		return err
	}
	return a.finish(w, ".jsonl", func(_ io.Writer, done *parts.Done) error {
		from, to := part.Range(len(examples))
		done.From, done.To, done.Kernels = int64(from), int64(to), p.Model().Kernels()
		return a.predict(cmd.Context(), p, &exampleInputs{examples: own}, f, nil)
	})
}
