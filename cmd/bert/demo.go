package main

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/report"
	"github.com/go-bert/bert/starter"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// reviews are short film and concert reviews with the columns split, label and text, written for this demonstration.
//
//go:embed demo/reviews.tsv
var reviews string

// sentences are what the demonstration's model is asked about in the end.
var sentences = []string{
	"That movie was absolutely awful",
	"The acting was a bit lacking",
	"The film was creative and surprising",
	"Absolutely fantastic!",
}

// demoMaxSeqLength is more than any of the reviews has.
const demoMaxSeqLength = 192

// The learning rates of the two trainings: weights that were pre-trained want a lower one.
const (
	starterLearningRate = 3e-4
	randomLearningRate  = 5e-4
)

// demoFlags are those of bert demo.
type demoFlags struct {
	output  string
	seed    uint64
	threads int
	effort  float64
}

func (a *app) demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo [flags]",
		Short: "Fine-tune the starter model on reviews that come with the program",
		Long: `demo fine-tunes the starter model, a small BERT that comes with the program, on 400 short reviews that come along too, measures
it on 80 others, and asks it about four sentences. It then trains the same network from random weights on the same reviews,
to show what pre-training is for. It needs no files and, on two cores, less than half a minute.`,
		Example: `  bert demo
  bert demo --output demo-model && bert predict --model demo-model "What a lovely evening."`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkThreads(f.threads); err != nil {
				return err
			}
			if !(f.effort > 0 && f.effort <= 100) {
				return usagef("--effort is %v, want a number in (0, 100]", f.effort)
			}
			return a.demo(cmd.Context(), &f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.output, "output", "", "keep the model in `DIR`, with a page of pictures (default: nothing is kept)")
	_ = cmd.MarkFlagDirname("output") // the error is for a flag that does not exist
	flags.Uint64Var(&f.seed, "seed", 42, "`SEED` of new weights, the order of the examples and dropout")
	flags.Float64Var(&f.effort, "effort", 1, "train for `N` epochs: less than 1 for a slow machine")
	addThreads(cmd, &f.threads)
	return cmd
}

// recipe is that of a training at a learning rate.
func (f *demoFlags) recipe(rate float64) train.Recipe {
	return train.Recipe{
		Epochs: f.effort, BatchSize: 16, LearningRate: rate, Seed: &f.seed, Optimizer: train.AdamW, SaveSteps: new(0), LogSteps: 5,
	}
}

func (a *app) demo(ctx context.Context, f *demoFlags) error {
	begun := time.Now()
	temp, remove, err := files.TempFolder("bert-demo")
	if err != nil {
		return err
	}
	defer remove()
	output := cmp.Or(f.output, filepath.Join(temp, "starter"))
	dir, err := starter.Dir(ctx, starter.Pretrained)
	if err != nil {
		return err
	}
	d, err := newDemo(ctx, dir)
	if err != nil {
		return err
	}
	o := d.modelOptions(f)
	m, err := bert.Load(ctx, dir, o)
	if err != nil {
		return err
	}
	defer m.Close()
	a.log.Info("a small BERT that has read books, articles and reviews learns from 400 short reviews to tell praise from complaint")
	a.describeModel(m, "weights of the starter model")
	a.describeData("training data", d.train)
	result, err := a.trainDemo(ctx, d, m, f.recipe(starterLearningRate), output)
	if err != nil {
		return err
	}
	other, err := bert.New(m.Config(), o)
	if err != nil {
		return err
	}
	defer other.Close()
	a.log.Info("the same network learns the same, but from random weights")
	randomly, err := a.trainDemo(ctx, d, other, f.recipe(randomLearningRate), filepath.Join(temp, "random"))
	if err != nil {
		return err
	}

	screen := screenOf(a.stdout)
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\n", screen.style(bold, "On 80 reviews that it has not seen"))
	if err := result.WriteText(&b); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\n%s\n\n", screen.style(bold, "On four sentences"))
	p, err := task.NewRunner(m, d.tokenizer, &d.description, task.Predict(), task.Options{})
	if err != nil {
		return err
	}
	defer p.Close()
	answers, err := p.Do(ctx, data.Texts(sentences...))
	if err != nil {
		return err
	}
	b.WriteString(verdicts(screen, answers))
	fmt.Fprintf(&b, "\n%s\n\n", screen.style(bold, "What pre-training is for"))
	for _, line := range []struct {
		from   string
		result *task.Result
	}{
		{"from the starter model", result},
		{"from random weights", randomly},
	} {
		accuracy, _ := line.result.Main() // a classifier has it
		fmt.Fprintf(&b, "  %-22s  accuracy %.4f\n", line.from, accuracy.Value)
	}
	fmt.Fprintf(&b, "\nThis took %s. The starter model is a very small one, and so are 80 reviews; bert finetune takes any model and data.\n", shortTime(time.Since(begun)))
	if f.output != "" {
		a.writeReport(output)
		fmt.Fprintf(&b, "\nThe model is in %s, and pictures of its training in %s. Ask it yourself:\n  bert predict --model %s \"What a lovely evening.\"\n",
			output, filepath.Join(output, report.PageFile), quoteArgument(output))
	} else {
		fmt.Fprint(&b, "\nWith --output DIR it keeps the model, and a page with pictures of its training.\n")
	}
	return writeOut(a.stdout, []byte(b.String()))
}

// trainDemo trains a model of the demonstration.
func (a *app) trainDemo(ctx context.Context, d *demoData, m *bert.Model, r train.Recipe, output string) (*task.Result, error) {
	// A training that was killed goes on; a folder with a model is left alone.
	_, err := os.Stat(filepath.Join(output, "model.safetensors"))
	resume := errors.Is(err, fs.ErrNotExist)
	j, err := finetune.NewJob(
		finetune.Parts{Model: m, Tokenizer: d.tokenizer, Spec: d.description, Train: d.train, Eval: d.eval}, r, finetune.Options{Output: output, Resume: resume, SaveOutcomes: true})
	if err != nil {
		return nil, prepareError(err)
	}
	result, err := a.runJob(ctx, j)
	var interrupted *train.InterruptedError
	if errors.As(err, &interrupted) {
		return nil, fmt.Errorf("interrupted after step %d of %d", interrupted.Step, interrupted.Steps)
	}
	if err != nil {
		return nil, err
	}
	return result.Evaluation, nil
}

// verdicts draws, for each sentence, the side that the model takes and how sure it is.
func verdicts(s screen, answers []task.Prediction) string {
	width := 0
	for _, text := range sentences {
		width = max(width, cells(text))
	}
	var b strings.Builder
	for i, answer := range answers {
		style := red
		if answer.Label == "positive" {
			style = green
		}
		p := answer.Probabilities.Of(answer.Label)
		fmt.Fprintf(&b, "  %s  %s  %5.1f %%  %s\n", fit(sentences[i], width), s.style(style, fit(answer.Label, len("positive"))), 100*p, s.style(style, bar(p, 20)))
	}
	return b.String()
}

// demoData is what both trainings of the demonstration share.
type demoData struct {
	tokenizer   *tokenizer.Tokenizer
	kind        task.Kind
	labels      []string
	description task.Spec
	train, eval *task.Dataset
}

// newDemo makes the data, with the tokenizer in dir.
func newDemo(ctx context.Context, dir string) (*demoData, error) {
	training, held, err := demoReviews()
	if err != nil {
		return nil, err
	}
	t, err := task.Lookup("text")
	if err != nil {
		return nil, err
	}
	d := &demoData{kind: t.Kind}
	if d.tokenizer, err = tokenizer.Load(dir); err != nil {
		return nil, err
	}
	if d.labels, err = data.LabelsOf(training); err != nil {
		return nil, err
	}
	d.description = t.Spec(d.labels, demoMaxSeqLength)
	if d.train, err = task.NewDataset(ctx, d.tokenizer, d.description, training); err != nil {
		return nil, err
	}
	d.eval, err = task.NewDataset(ctx, d.tokenizer, d.description, held)
	return d, err
}

// modelOptions are those of a model that learns the task.
func (d *demoData) modelOptions(f *demoFlags) bert.Options {
	return bert.Options{Head: d.kind.Head(), NewHead: true, Labels: d.labels, ProblemType: d.kind.ProblemType(), Seed: f.seed, Threads: f.threads}
}

// demoReviews gives the reviews to train on and the others.
func demoReviews() (training, held []data.Example, err error) {
	header, lines, _ := strings.Cut(reviews, "\n")
	for _, part := range []struct {
		split string
		to    *[]data.Example
	}{{"train", &training}, {"eval", &held}} {
		table := header + "\n"
		for line := range strings.Lines(lines) {
			if strings.HasPrefix(line, part.split+"\t") {
				table += line
			}
		}
		r, err := data.NewTableReader(strings.NewReader(table), "reviews.tsv", data.TableOptions{Format: data.TSV})
		if err != nil {
			return nil, nil, err
		}
		for {
			e, err := r.Read()
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, nil, err
			}
			*part.to = append(*part.to, e)
		}
	}
	return training, held, nil
}
