// Measure makes the table of figures of the starter models:
//
//	go run ./starter/measure -data DIR -work DIR [-threads N] [-precision bf16] PRETRAINED SENTIMENT [ROW ...]
//
// PRETRAINED and SENTIMENT are the two models: directories, such as starter/make.sh leaves and starter/pack -unpack writes. DIR of -data has
// aclImdb_v1.tar.gz in imdb, the folders SST-2 and STS-B in glue, and CoNLL-2003's train.txt and valid.txt in ner. Each figure goes to a file in the folder
// of -work, with the models that it is of; a figure that is there is not measured again, and a training that was interrupted continues. ROW selects
// rows by name; without any, all are measured. The table is printed at the end, in Markdown.
//
// The sentences are in sentences.tsv: four of the reference's demonstration and thirty plain ones, written for this and never trained on, by which
// recipes were chosen; and forty more, written when the last recipes were tried, by which nothing was chosen.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

//go:embed sentences.tsv
var sentences string

// row is a figure.
type row struct {
	name, about string
	goal        float64 // in percent; 0: none
	measure     func(*measuring) (figure, error)
}

// figure is what was measured.
type figure struct {
	Value float64 `json:"value"` // a share
	Note  string  `json:"note,omitempty"`
	// Model is a digest of the models that it is of, Seconds the time that it took.
	Model   string  `json:"model"`
	Seconds float64 `json:"seconds"`
}

var rows = []row{
	{"sentences", "the reference's four sentences and thirty plain ones", 100, func(m *measuring) (figure, error) { return plainSentences(m, "reference", "ours") }},
	{"later", "forty more plain sentences, by which nothing was chosen", 0, func(m *measuring) (figure, error) { return plainSentences(m, "later") }},
	{"sst2", "SST-2 dev, accuracy", 88, func(m *measuring) (figure, error) {
		return m.finetuned("sst2", of("glue/SST-2", "sst2"), finetune.Training{LearningRate: 1e-4, Epochs: 2, BatchSize: 64, GroupByLength: true})
	}},
	{"stsb", "STS-B dev, fine-tuned, Spearman", 84, func(m *measuring) (figure, error) {
		return m.finetuned("stsb", of("glue/STS-B", "stsb"), finetune.Training{LearningRate: 5e-5, Epochs: 4, BatchSize: 16})
	}},
	{"vectors", "STS-B dev, sentence vectors as they come, Spearman", 78, vectors},
	{"conll", "CoNLL-2003 valid, F1", 88, func(m *measuring) (figure, error) {
		return m.finetuned("conll", of("ner", "ner"), finetune.Training{LearningRate: 1e-4, Epochs: 3, BatchSize: 16})
	}},
	{"imdb5000", "IMDB, 5,000 / 5,000, 128 tokens, mean of three draws, accuracy", 88, imdb5000},
	{"imdb25000", "IMDB, 25,000, accuracy", 91.5, imdb25000},
}

// of is the data of a task.
func of(path, name string) finetune.Data { return finetune.Data{Task: name, Path: path} }

// measuring is what the rows share.
type measuring struct {
	ctx                         context.Context
	pretrained, sentiment, data string
	work, model                 string
	threads                     int
	precision                   bert.Precision // of products, in training and evaluation
}

// options says how models are loaded.
func (m *measuring) options() bert.Options {
	return bert.Options{Threads: m.threads, Precision: m.precision}
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("measure: ")
	m := measuring{}
	flag.StringVar(&m.data, "data", "", "the `DIR` of imdb, glue and ner")
	flag.StringVar(&m.work, "work", "", "keep figures and models in `DIR`")
	flag.IntVar(&m.threads, "threads", 0, "use `N` threads; 0: all")
	flag.TextVar(&m.precision, "precision", bert.Float32, "the number format of products: float32 or bf16")
	flag.Parse()
	if flag.NArg() < 2 || m.data == "" || m.work == "" {
		log.Print("want -data DIR -work DIR PRETRAINED SENTIMENT [ROW ...]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	m.ctx, m.pretrained, m.sentiment = ctx, flag.Arg(0), flag.Arg(1)
	if err := m.run(os.Stdout, flag.Args()[2:]); err != nil {
		log.Fatal(err)
	}
}

// run measures the rows of the given names, or all, and prints the table.
func (m *measuring) run(w io.Writer, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
			return fmt.Errorf("there is no row %q", name)
		}
	}
	var err error
	if m.model, err = digest(m.pretrained, m.sentiment); err != nil {
		return err
	}
	m.work = filepath.Join(m.work, m.model)
	if err := os.MkdirAll(m.work, 0o777); err != nil {
		return err
	}
	table := "| figure | measured | to reach | |\n|---|---|---|---|\n"
	for _, r := range rows {
		if len(names) > 0 && !slices.Contains(names, r.name) {
			continue
		}
		f, err := m.figure(&r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		goal := "–"
		if r.goal > 0 {
			goal = fmt.Sprintf("≥ %v", r.goal)
		}
		table += fmt.Sprintf("| %s | %.2f | %s | %s |\n", r.about, 100*f.Value, goal, f.Note)
	}
	_, err = io.WriteString(w, table)
	return err
}

// digest is a short name of models, by their weights.
func digest(dirs ...string) (string, error) {
	sum := sha256.New()
	for _, dir := range dirs {
		f, err := os.Open(filepath.Join(dir, "model.safetensors"))
		if err != nil {
			return "", err
		}
		_, err = io.Copy(sum, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:6]), nil
}

// figure is that of a row, measured unless it is there.
func (m *measuring) figure(r *row) (figure, error) {
	var f figure
	path := filepath.Join(m.work, r.name+".json")
	text, err := os.ReadFile(path)
	if err == nil {
		return f, json.Unmarshal(text, &f)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	log.Printf("%s: %s", r.name, r.about)
	begun := time.Now()
	if f, err = r.measure(m); err != nil {
		return f, err
	}
	f.Model, f.Seconds = m.model, time.Since(begun).Seconds()
	log.Printf("%s: %.4f in %.0f s %s", r.name, f.Value, f.Seconds, f.Note)
	return f, files.WriteFile(path, 0o666, func(w io.Writer) error { return json.NewEncoder(w).Encode(f) })
}

// train fine-tunes a model, or continues to, and returns its folder and the main metric.
func (m *measuring) train(name, model string, d finetune.Data, t finetune.Training) (dir string, value float64, err error) {
	dir = filepath.Join(m.work, name)
	if !filepath.IsAbs(d.Path) {
		d.Path = filepath.Join(m.data, filepath.FromSlash(d.Path))
	}
	old, err := filepath.Glob(filepath.Join(dir, "checkpoints", "*"))
	if err != nil {
		return dir, 0, err
	}
	t.SaveSteps = new(500)
	r := finetune.Recipe{Data: d, Model: finetune.Model{Dir: model, Precision: m.precision}, Training: t}
	job, err := r.Prepare(m.ctx, finetune.Options{Output: dir, Threads: m.threads, Resume: len(old) > 0})
	if err != nil {
		return dir, 0, err
	}
	defer job.Close()
	result, err := job.Run(m.ctx, train.Lines(os.Stderr))
	if err != nil {
		return dir, 0, err
	}
	// Of a regression, Spearman's correlation; of others, the task's main metric.
	if v, ok := result.Evaluation.Metrics().Get("spearman"); ok {
		return dir, v, nil
	}
	main, _ := result.Evaluation.Main()
	return dir, main.Value, nil
}

// finetuned is the main metric after fine-tuning the pre-trained model.
func (m *measuring) finetuned(name string, d finetune.Data, t finetune.Training) (figure, error) {
	_, value, err := m.train(name, m.pretrained, d, t)
	return figure{Value: value}, err
}

const imdb = "imdb/aclImdb_v1.tar.gz"

// imdb5000 reads the beginning and the end of 5,000 reviews, 128 tokens of each, and answers 5,000 test reviews by as many.
func imdb5000(m *measuring) (figure, error) {
	f := figure{}
	for seed := uint64(42); seed < 45; seed++ {
		d := finetune.Data{Task: "imdb", Path: imdb, MaxTrainExamples: 5000, MaxEvalExamples: 5000, Long: task.HeadTail}
		_, value, err := m.train(fmt.Sprintf("imdb5000-%d", seed), m.pretrained, d, finetune.Training{LearningRate: 5e-5, Epochs: 3, Seed: &seed})
		if err != nil {
			return f, err
		}
		f.Value += value / 3
		f.Note += fmt.Sprintf("%.4f ", value)
	}
	f.Note = strings.TrimSpace(f.Note)
	return f, nil
}

// imdb25000 evaluates the model of reviews, which was trained on the 25,000 for training.
func imdb25000(m *measuring) (figure, error) {
	t, err := task.Lookup("imdb")
	if err != nil {
		return figure{}, err
	}
	d, err := task.Describe(m.ctx, m.sentiment)
	if err != nil {
		return figure{}, err
	}
	spec, err := d.For(t, nil)
	if err != nil {
		return figure{}, err
	}
	set, err := t.Read(m.ctx, filepath.Join(m.data, imdb), data.ReadOptions{Split: data.Test})
	if err != nil {
		return figure{}, err
	}
	dataset, err := task.NewDataset(m.ctx, d.Tokenizer, spec, set.Examples)
	if err != nil {
		return figure{}, err
	}
	model, err := bert.Load(m.ctx, m.sentiment, m.options())
	if err != nil {
		return figure{}, err
	}
	defer model.Close()
	r, err := task.Evaluate(m.ctx, model, dataset, task.EvaluateOptions{})
	if err != nil {
		return figure{}, err
	}
	main, _ := r.Main()
	return figure{Value: main.Value}, nil
}

// vectors compares the similarities of pairs of sentences with people's.
func vectors(m *measuring) (figure, error) {
	t, err := task.Lookup("stsb")
	if err != nil {
		return figure{}, err
	}
	set, err := t.Read(m.ctx, filepath.Join(m.data, "glue", "STS-B"), data.ReadOptions{Split: data.Dev})
	if err != nil {
		return figure{}, err
	}
	var (
		inputs       []data.Input
		labels, ours []float64
	)
	for i := range set.Examples {
		v, err := strconv.ParseFloat(set.Examples[i].Label, 64)
		if err != nil {
			return figure{}, err
		}
		inputs, labels = append(inputs, set.Examples[i].Input), append(labels, v)
	}
	r, err := task.Open(m.ctx, m.pretrained, task.Compare(task.EncodeOptions{}), task.Options{Model: m.options()})
	if err != nil {
		return figure{}, err
	}
	defer r.Close()
	answers, err := r.Do(m.ctx, inputs)
	if err != nil {
		return figure{}, err
	}
	for i := range answers {
		ours = append(ours, answers[i].Of())
	}
	value, err := metric.Spearman(labels, ours)
	return figure{Value: value}, err
}

// sentence is a line of sentences.tsv.
type sentence struct {
	source, label, text string
	sure                bool // a person would be
}

func readSentences(table string) ([]sentence, error) {
	var out []sentence
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 4 {
			return nil, fmt.Errorf("sentences.tsv: line %d has %d columns, want 4", i+1, len(f))
		}
		if i > 0 {
			out = append(out, sentence{source: f[0], sure: f[1] == "yes", label: f[2], text: f[3]})
		}
	}
	return out, nil
}

// sureAt is the probability that a right answer should have where a person would be sure.
const sureAt = 0.9

// plainSentences are those of some sources that the model of reviews answers rightly, and names the others and those of which it should be surer.
func plainSentences(m *measuring, sources ...string) (figure, error) {
	all, err := readSentences(sentences)
	if err != nil {
		return figure{}, err
	}
	all = slices.DeleteFunc(all, func(s sentence) bool { return !slices.Contains(sources, s.source) })
	r, err := task.Open(m.ctx, m.sentiment, task.Predict(), task.Options{Model: m.options()})
	if err != nil {
		return figure{}, err
	}
	defer r.Close()
	var inputs []data.Input
	for _, s := range all {
		inputs = append(inputs, data.Texts(s.text)...)
	}
	answers, err := r.Do(m.ctx, inputs)
	if err != nil {
		return figure{}, err
	}
	var (
		right, unsure, sure int
		wrong               []string
	)
	for i, s := range all {
		if answer := answers[i].Label; answer == s.label {
			right++
		} else {
			wrong = append(wrong, fmt.Sprintf("%q %s %.0f %%", s.text, answer, 100*answers[i].Probabilities.Of(answer)))
		}
		if s.sure {
			sure++
			if answers[i].Probabilities.Of(s.label) < sureAt {
				unsure++
			}
		}
	}
	f := figure{Value: float64(right) / float64(len(all))}
	f.Note = fmt.Sprintf("%d of %d; of %d where a person would be sure, %d below %.0f %%; wrong: %s",
		right, len(all), sure, unsure, 100*sureAt, cmp.Or(strings.Join(wrong, ", "), "none"))
	return f, nil
}
