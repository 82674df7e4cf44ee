package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/torture"
	"github.com/go-bert/bert/tokenizer"
)

// tortured is a command that is killed at each system call that changes a file.
type tortured struct {
	name string
	// args are those of the command. It writes to the folder out.
	args []string
	// resume are added to go on.
	resume []string
	// before are commands that make what the command reads, once.
	before [][]string
	// every is the distance of the points of the sample that the tests take; with BERT_TORTURE=all each point is taken.
	every int
}

// trained are the flags of a short run with checkpoints and evaluations on the way.
var trained = strings.Fields("--train-batch-size 4 --max-seq-length 16 --learning-rate 1e-2 --num-train-epochs 3 --save-steps 2 --seed 3 --threads 1")

// tortures lists the commands. All of them work in a folder of their own, with the files of torturedFiles and the model tiny.
var tortures = []tortured{
	{
		name: "finetune", every: 29, resume: []string{"--resume"},
		args: slices.Concat([]string{"finetune", "--task", "text", "--data", "train.tsv", "--eval-data", "dev.tsv", "--model", "tiny", "--output", "out"}, trained),
	},
	{
		name: "finetune best", every: 31, resume: []string{"--resume"},
		args: slices.Concat([]string{"finetune", "--task", "text", "--data", "train.tsv", "--eval-data", "dev.tsv", "--model", "tiny", "--output", "out",
			"--metric-for-best-model", "loss", "--eval-steps", "2"}, trained),
	},
	{
		name: "finetune squad2", every: 37, resume: []string{"--resume"},
		args: slices.Concat([]string{"finetune", "--task", "squad2", "--data", "squad.json", "--eval-data", "squad.json", "--model", "tiny", "--output", "out"}, trained),
	},
	{
		name: "sweep", every: 97,
		args: strings.Fields("sweep --task text --data train.tsv --eval-data dev.tsv --model tiny --output out --learning-rate 1e-3,1e-2 --num-train-epochs 2 --seeds 2 --train-batch-size 4 --max-seq-length 16 --save-steps 2 --threads 1"),
	},
	{
		name: "sweep median", every: 97,
		args: strings.Fields("sweep --task text --data train.tsv --eval-data dev.tsv --model tiny --output out --learning-rate 1e-3,1 --num-train-epochs 4 --seeds 3 --train-batch-size 4 --max-seq-length 16 --save-steps 2 --median-stopping --metric-for-best-model loss --threads 1"),
	},
	{
		name: "glue", every: 61,
		args: strings.Fields("glue --data glue --tasks cola --model tiny --output out --num-train-epochs 2 --train-batch-size 4 --max-seq-length 16 --save-steps 2 --threads 1"),
	},
	{
		name: "vocab", every: 3,
		args: strings.Fields("vocab --input corpus.txt --output out --size 90 --accents keep"),
	},
	{
		name: "instances", every: 5, resume: []string{"--resume"},
		args: strings.Fields("instances --input corpus.txt --vocab tiny --output out --max-seq-length 12 --dupe-factor 2 --group-size 1"),
	},
	{
		name: "pretrain", every: 41, resume: []string{"--resume"},
		before: [][]string{strings.Fields("instances --quiet --input corpus.txt --vocab tiny --output instances --max-seq-length 12 --dupe-factor 2")},
		args:   strings.Fields("pretrain --instances instances --eval-instances instances --config tiny/config.json --output out --num-train-steps 6 --train-batch-size 4 --save-steps 2 --eval-steps 3 --threads 1"),
	},
	{name: "convert", every: 7, args: strings.Fields("convert tiny out --to torch")},
	{name: "convert tf", every: 7, args: strings.Fields("convert tiny out --to tf")},
	{name: "evaluate", every: 3, args: strings.Fields("evaluate --task text --data dev.tsv --model tiny --output out --labels fun,dull")},
	{name: "predict", every: 3, args: strings.Fields("predict --task cola --data glue/CoLA --split test --model cola --output out")},
}

// torturedFiles are the files that the commands read.
func torturedFiles() map[string]string {
	var corpus strings.Builder
	for i := range 24 {
		fmt.Fprintf(&corpus, "the film was good %s.\na bad, dull film.\nwas the film a joy?\n\n", strings.Repeat("good ", i%5))
	}
	cola := "gj04\t1\t\tthe film was good\ngj04\t0\t*\tgood was film the\ngj04\t1\t\ta joy\ngj04\t0\t*\tjoy a film\n"
	return map[string]string{
		"train.tsv":           "label\ttext\n" + strings.Repeat("fun\ta joy\nfun\tgood film\ndull\tdull film\ndull\tbad, bad film\nfun\twas good!\ndull\tthe film was dull\n", 2),
		"dev.tsv":             "label\ttext\nfun\ta good joy\ndull\tdull, bad\nfun\tthe good film\ndull\twas dull\n",
		"corpus.txt":          corpus.String(),
		"glue/CoLA/train.tsv": cola,
		"glue/CoLA/dev.tsv":   cola,
		"glue/CoLA/test.tsv":  "index\tsentence\n0\tthe film was good\n1\tfilm good\n",
		"squad.json": `{"version": "v2.0", "data": [{"title": "films", "paragraphs": [{"context": "the film was good", "qas": [
			{"id": "1", "question": "was the film good?", "is_impossible": false, "answers": [{"text": "good", "answer_start": 13}]},
			{"id": "2", "question": "was the film bad?", "is_impossible": true, "answers": []},
			{"id": "3", "question": "a film?", "is_impossible": false, "answers": [{"text": "film", "answer_start": 4}]},
			{"id": "4", "question": "a joy?", "is_impossible": true, "answers": []}]}]}]}`,
	}
}

// TestTorture kills commands at system calls that change files, runs them again, and wants the files of an undisturbed
// run, byte for byte, and nothing else beside them. It takes a sample of the calls; BERT_TORTURE=all takes every one.
func TestTorture(t *testing.T) {
	if !torture.Supported() {
		t.Skip("needs Linux with seccomp notifications")
	}
	all := os.Getenv("BERT_TORTURE") == "all"
	for _, c := range tortures {
		t.Run(c.name, func(t *testing.T) {
			base := tortureBase(t, &c)
			want, points := tortureReference(t, base, &c)
			every := c.every
			if all {
				every = 1
			}
			bad := 0
			for at := 1 + len(c.name)%every; at <= points && bad < 5; at += every {
				if !torturePoint(t, base, &c, want, at) {
					bad++
				}
			}
			t.Logf("%s: %d calls that change files", c.name, points)
		})
	}
}

// tortureBase makes the folder with what the command reads.
func tortureBase(t *testing.T, c *tortured) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range torturedFiles() {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	makeTinyModel(t, filepath.Join(dir, "tiny"), "fun", "dull")
	makeTinyModel(t, filepath.Join(dir, "cola"), "0", "1")
	for _, args := range c.before {
		if out, err := bertIn(dir, args).CombinedOutput(); err != nil {
			t.Fatalf("bert %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return dir
}

// makeTinyModel writes a classifier with random weights.
func makeTinyModel(t *testing.T, dir string, labels ...string) {
	t.Helper()
	vocabulary := tinyVocabulary()
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = len(vocabulary), 12, 2, 2, 20
	c.MaxPositionEmbeddings, c.Labels = 32, labels
	m, err := bert.New(c, bert.Options{Head: bert.SequenceClassification, Seed: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	tok, err := tokenizer.New(vocabulary, tokenizer.DefaultConfig())
	if err := errors.Join(err, m.Save(dir, bert.SaveOptions{}), tok.Save(dir, tokenizer.SaveOptions{})); err != nil {
		t.Fatal(err)
	}
}

// bertIn is a command line of bert in a folder, with a folder for temporary files and caches of its own.
func bertIn(dir string, args []string) *exec.Cmd {
	cmd := exec.Command("bert", args...)
	cmd.Dir = dir
	temporary := filepath.Join(dir, "tmp")
	os.MkdirAll(temporary, 0o777)
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary, "GOMAXPROCS=2", "GOTRACEBACK=single")
	return cmd
}

// tortureReference runs the command undisturbed, and returns what it left and how many calls changed a file.
func tortureReference(t *testing.T, base string, c *tortured) (want map[string]string, points int) {
	t.Helper()
	work := copyTree(t, base)
	cmd := bertIn(work, c.args)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := torture.Run(cmd, func(call torture.Call) torture.Action { points = call.N; return torture.Continue }); err != nil {
		t.Fatalf("bert %s: %v\n%s", strings.Join(c.args, " "), err, &out)
	}
	return treeOf(t, work), points
}

// torturePoint kills the command at a call, lets it go on, and compares.
func torturePoint(t *testing.T, base string, c *tortured, want map[string]string, at int) bool {
	t.Helper()
	work := copyTree(t, base)
	defer os.RemoveAll(work)
	var where torture.Call
	err := torture.Run(bertIn(work, c.args), func(call torture.Call) torture.Action {
		if call.N == at {
			where = call
			return torture.Kill
		}
		return torture.Continue
	})
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled()) {
		t.Fatal(err)
	}
	place := fmt.Sprintf("killed at call %d (%s %s)", at, where.Name, strings.TrimPrefix(where.Path, work+"/"))
	args := slices.Concat(c.args, c.resume)
	if out, err := bertIn(work, args).CombinedOutput(); err != nil {
		t.Errorf("%s: bert %s: %v\n%s", place, strings.Join(args, " "), err, out)
		return false
	}
	if difference := differentTree(want, treeOf(t, work)); difference != "" {
		t.Errorf("%s: %s", place, difference)
		return false
	}
	return true
}

// copyTree copies a folder into a new one.
func copyTree(t *testing.T, from string) string {
	t.Helper()
	to, err := os.MkdirTemp(t.TempDir(), "")
	if err == nil {
		err = os.CopyFS(to, os.DirFS(from))
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// treeOf is the content of the files of a folder by name. Of the events, times and rates are left out; TensorBoard's files,
// one for each start, are too.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	tree := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			tree[name+"/"] = ""
			return nil
		}
		if strings.HasPrefix(d.Name(), "events.out.tfevents.") {
			return nil
		}
		data, err := os.ReadFile(path)
		switch d.Name() {
		case "events.jsonl":
			data, err = timeless(data)
		case "state.json": // it holds the size of the events, and a hash of all
			data = eventsBytes.ReplaceAll(data, nil)
		}
		tree[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// eventsBytes are the lines of state.json that depend on the times in the events.
var eventsBytes = regexp.MustCompile(`(?m)^ *"(events_bytes|sha256)": .*$`)

// timeless leaves out what depends on the time from events.jsonl.
func timeless(events []byte) ([]byte, error) {
	var out bytes.Buffer
	for line := range bytes.Lines(events) {
		fields := make(map[string]json.RawMessage)
		if err := json.Unmarshal(line, &fields); err != nil {
			return nil, err
		}
		for _, key := range []string{"time", "seconds", "examples_per_second", "tokens_per_second", "share_of_peak"} {
			delete(fields, key)
		}
		text, err := json.Marshal(fields)
		if err != nil {
			return nil, err
		}
		out.Write(append(text, '\n'))
	}
	return out.Bytes(), nil
}

// differentTree says what differs between two folders, "" if nothing does.
func differentTree(want, got map[string]string) string {
	var out []string
	for name := range want {
		switch content, ok := got[name]; {
		case !ok:
			out = append(out, name+" is missing")
		case content != want[name]:
			out = append(out, fmt.Sprintf("%s differs: %.300q, want %.300q", name, content, want[name]))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			out = append(out, name+" is left over")
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}
