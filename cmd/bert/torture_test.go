package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/torture"
	"github.com/go-bert/bert/report"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// tortured is a command that is disturbed at each system call that changes a file.
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
var trained = strings.Fields("--train-batch-size 4 --max-seq-length 16 --learning-rate 1e-2 --num-train-epochs 3 --save-steps 2 --seed 3 --threads 1 --output out")

// fine is a command line of finetune.
func fine(line string) []string {
	return slices.Concat([]string{"finetune"}, trained, strings.Fields(line))
}

// tortures lists the commands. All of them work in a folder of their own, with the files of torturedFiles and the model tiny.
var tortures = []tortured{
	{
		name: "finetune", every: 25, resume: []string{"--resume"},
		args: fine("--task text --data train.tsv --eval-data dev.tsv --model tiny"),
	},
	{
		name: "finetune best", every: 33, resume: []string{"--resume"},
		args: fine("--task text --data train.tsv --eval-data dev.tsv --model tiny --metric-for-best-model loss --eval-steps 2"),
	},
	{
		name: "finetune stop", every: 17, resume: []string{"--resume"},
		args: fine("--task text --data train.tsv --validation-share 0.3 --model tiny --metric-for-best-model main --eval-steps 1 --early-stopping-patience 3 --save-steps 3 --keep-checkpoints 1"),
	},
	{
		name: "finetune squad2", every: 23, resume: []string{"--resume"},
		args: fine("--task squad2 --data squad.json --eval-data squad.json --model tiny --metric-for-best-model main --train-batch-size 2 --keep-checkpoints 1"),
	},
	{
		name: "finetune ner", every: 37, resume: []string{"--resume"},
		args: fine("--task ner --data ner --model tiny"),
	},
	{
		name: "finetune regression", every: 31, resume: []string{"--resume"},
		args: fine("--task text --problem-type regression --data numbers.tsv --eval-data numbers.tsv --model tiny --save-steps 0"),
	},
	{
		name: "distill", every: 57, resume: []string{"--resume"},
		before: [][]string{append(fine("--quiet --task text --data train.tsv --model tiny")[:len(trained)], strings.Fields("large --quiet --task text --data train.tsv --model tiny")...)},
		args:   slices.Concat([]string{"distill"}, trained, strings.Fields("--task text --data train.tsv --eval-data dev.tsv --teacher large --student 1x8 --hidden-weight 1 --logit-weight 1 --cache out/said --metric-for-best-model loss --eval-steps 2")),
	},
	{
		name: "sweep", every: 93,
		args: strings.Fields("sweep --task text --data train.tsv --eval-data dev.tsv --model tiny --output out --learning-rate 1e-3,1e-2 --num-train-epochs 2 --seeds 2 --train-batch-size 4 --max-seq-length 16 --save-steps 2 --threads 1"),
	},
	{
		name: "sweep median", every: 121,
		args: strings.Fields("sweep --task text --data train.tsv --eval-data dev.tsv --model tiny --output out --learning-rate 1e-3,1 --num-train-epochs 4 --seeds 3 --train-batch-size 4 --max-seq-length 16 --save-steps 2 --median-stopping --metric-for-best-model loss --threads 1"),
	},
	{
		name: "glue", every: 37,
		args: strings.Fields("glue --data glue --tasks cola,rte --model tiny --output out --num-train-epochs 2 --train-batch-size 4 --max-seq-length 16 --save-steps 2 --threads 1"),
	},
	{
		name: "pretrain", every: 27, resume: []string{"--resume"},
		before: [][]string{
			strings.Fields("instances --quiet --input corpus.txt --vocab tiny --output instances --max-seq-length 12 --dupe-factor 2"),
			strings.Fields("instances --quiet --input corpus.txt --vocab tiny --output longer --max-seq-length 20 --dupe-factor 1"),
		},
		args: strings.Fields("pretrain --instances instances --instances longer --phase-steps 4,3 --eval-instances instances --config tiny/config.json --output out --train-batch-size 4 --save-steps 2 --eval-steps 3 --metric-for-best-model loss --threads 1"),
	},
	{name: "evaluate", every: 3, args: strings.Fields("evaluate --task text --data dev.tsv --model tiny --output out --labels fun,dull")},
	{name: "evaluate in place", every: 3, args: strings.Fields("evaluate --task text --data dev.tsv --model tiny --labels fun,dull")},
	{name: "predict", every: 3, args: strings.Fields("predict --task cola --data glue/CoLA --split test --model cola --output out")},
	{
		name: "predict squad2", every: 3,
		before: [][]string{append(strings.Fields("finetune --quiet --task squad2 --data squad.json --eval-data squad.json --model tiny"),
			append(slices.Clone(trained[:len(trained)-1]), "answerer")...)},
		args: strings.Fields("predict --task squad2 --data squad.json --model answerer --output out"),
	},
	{
		name: "report", every: 45,
		before: [][]string{append(fine("--quiet --save-logits --task text --data train.tsv --eval-data dev.tsv --model tiny")[:len(trained)], strings.Fields("run --quiet --save-logits --task text --data train.tsv --eval-data dev.tsv --model tiny")...)},
		args:   strings.Fields("report run --output out/page.html --figures svg,csv"), // of PNG most of the time would be drawing
	},
	{name: "pictures", every: 4, args: strings.Fields("predict --model tiny --plot out --html out/page.html joy film")},
	{name: "explain", every: 3, args: strings.Fields("explain --model tiny --html out/page.html joy film")},
	{name: "attention", every: 3, args: strings.Fields("attention --model tiny --html out/page.html joy film")},
	{name: "project", every: 3, args: strings.Fields("project --model tiny --input texts.txt --html out/page.html")},
}

// torturedFiles are the files that the commands read.
func torturedFiles() map[string]string {
	var corpus strings.Builder
	for i := range 24 {
		fmt.Fprintf(&corpus, "the film was good %s.\na bad, dull film.\nwas the film a joy?\n\n", strings.Repeat("good ", i%5))
	}
	cola := "gj04\t1\t\tthe film was good\ngj04\t0\t*\tgood was film the\ngj04\t1\t\ta joy\ngj04\t0\t*\tjoy a film\n"
	rte := "index\tsentence1\tsentence2\tlabel\n0\tthe film was good\ta joy\tentailment\n1\ta joy\tbad\tnot_entailment\n2\tfilm\tdull\tnot_entailment\n3\tgood\tjoy\tentailment\n"
	return map[string]string{
		"texts.txt":           strings.Repeat("a joy\nthe film was good\ndull\nbad, dull film\n", 3),
		"train.tsv":           "label\ttext\n" + strings.Repeat("fun\ta joy\nfun\tgood film\ndull\tdull film\ndull\tbad, bad film\nfun\twas good!\ndull\tthe film was dull\n", 2),
		"dev.tsv":             "label\ttext\nfun\ta good joy\ndull\tdull, bad\nfun\tthe good film\ndull\twas dull\n",
		"corpus.txt":          corpus.String(),
		"numbers.tsv":         "label\ttext\n" + strings.Repeat("1.5\ta joy\n-2\tdull film\n0.25\tthe film was good\n", 4),
		"ner/train.txt":       strings.Repeat("joy B-PER\nwas O\ngood O\n\nthe O\nfilm B-ORG\nbad I-ORG\n\n", 6),
		"ner/valid.txt":       "joy B-PER\nfilm O\n\nbad O\nfilm B-ORG\n",
		"glue/RTE/train.tsv":  rte,
		"glue/RTE/dev.tsv":    rte,
		"glue/RTE/test.tsv":   "index\tsentence1\tsentence2\n0\tthe film was good\ta joy\n1\ta joy\tfilm good\n",
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

// disturbance is what is done to a command at a call.
type disturbance struct {
	name string
	// act is what becomes of call n when the command is disturbed at call at.
	act func(n, at int) torture.Action
	// reason is what the error of a command says that fails.
	reason string
	// chain disturbs the command that goes on too, and that after it, each at an earlier call.
	chain bool
}

// at disturbs one call.
func at(action torture.Action) func(n, at int) torture.Action {
	return func(n, at int) torture.Action {
		if n == at {
			return action
		}
		return torture.Continue
	}
}

var disturbances = []disturbance{
	{name: "killed", act: at(torture.Kill)},
	{name: "interrupted", act: at(torture.Interrupt), reason: "interrupted"},
	{name: "no space from", reason: "no space left on device", act: func(n, at int) torture.Action {
		if n >= at {
			return torture.NoSpace
		}
		return torture.Continue
	}},
	{name: "failed", act: at(torture.IOError), reason: "input/output error"},
	{name: "again and again", act: at(torture.Kill), chain: true},
}

// TestTorture disturbs commands at system calls that change files: it kills them, interrupts them, lets the call fail, or all
// calls from it on. Then it runs them again, and wants the files of an undisturbed run, byte for byte, and nothing else beside
// them. It takes a sample of the calls, and of each a disturbance in turn; BERT_TORTURE=all takes every one, BERT_TORTURE=N all
// disturbances at every Nth call.
func TestTorture(t *testing.T) {
	if !torture.Supported() {
		t.Skip("needs Linux with seccomp notifications")
	}
	if testing.Short() {
		t.Skip("starts hundreds of processes")
	}
	all, stride := false, 0
	switch value := os.Getenv("BERT_TORTURE"); value {
	case "":
	case "all":
		all, stride = true, 1
	default:
		var err error
		if stride, err = strconv.Atoi(value); err != nil || stride < 1 {
			t.Fatalf("BERT_TORTURE=%s: want all, or a number N for every Nth call", value)
		}
		all = true
	}
	summary := [][]string{{"command", "calls", "killed", "interrupted", "full disk", "failed call", "killed thrice", "wrong"}}
	for _, c := range tortures {
		t.Run(c.name, func(t *testing.T) {
			base := tortureBase(t, &c)
			want, points := tortureReference(t, base, &c)
			var (
				counts = make([]int, len(disturbances))
				bad    = 0
				turn   = len(c.name)
				step   = c.every
			)
			if all {
				step = stride
			}
			var chosen []point
			for at := 1 + len(c.name)%step; at <= points; at += step {
				turn++
				for i := range disturbances {
					if all || i == turn%len(disturbances) {
						counts[i]++
						chosen = append(chosen, point{&disturbances[i], at})
					}
				}
			}
			temporary := t.TempDir()
			for err := range concurrently(chosen, func(p point) error { return p.torture(base, temporary, &c, want) }) {
				if bad++; bad <= 5 {
					t.Error(err)
				}
			}
			row := []string{c.name, fmt.Sprint(points)}
			for _, n := range counts {
				row = append(row, fmt.Sprint(n))
			}
			summary = append(summary, append(row, fmt.Sprint(bad)))
		})
	}
	for i, row := range summary {
		t.Logf("| %s |", strings.Join(row, " | "))
		if i == 0 {
			t.Logf("|%s", strings.Repeat("---|", len(row)))
		}
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
	work := t.TempDir()
	if err := os.CopyFS(work, os.DirFS(base)); err != nil {
		t.Fatal(err)
	}
	cmd := bertIn(work, c.args)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := torture.Run(cmd, func(call torture.Call) torture.Action { points = call.N; return torture.Continue }); err != nil {
		t.Fatalf("bert %s: %v\n%s", strings.Join(c.args, " "), err, &out)
	}
	want, err := treeOf(work)
	if err != nil {
		t.Fatal(err)
	}
	return want, points
}

// tortureFolder is found in the path of any file that a command writes.
var tortureFolder = regexp.MustCompile(`\b(out|tiny|tmp)[/:]`)

// point is a disturbance at a call.
type point struct {
	*disturbance
	at int
}

// concurrently calls f for each point, several at once: they wait for the disk most of the time. It yields the errors.
func concurrently(points []point, f func(point) error) iter.Seq[error] {
	return func(yield func(error) bool) {
		var (
			wait   sync.WaitGroup
			queue  = make(chan point)
			failed = make(chan error)
		)
		for range 6 {
			wait.Go(func() {
				for p := range queue {
					if err := f(p); err != nil {
						failed <- err
					}
				}
			})
		}
		go func() {
			for _, p := range points {
				queue <- p
			}
			close(queue)
			wait.Wait()
			close(failed)
		}()
		going := true
		for err := range failed {
			going = going && yield(err)
		}
	}
}

// torture disturbs the command, lets it go on, and compares.
func (p point) torture(base, temporary string, c *tortured, want map[string]string) error {
	work, err := os.MkdirTemp(temporary, "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.CopyFS(work, os.DirFS(base)); err != nil {
		return err
	}
	var (
		where  torture.Call
		stderr bytes.Buffer
		exit   *exec.ExitError
	)
	cmd := bertIn(work, c.args)
	cmd.Stderr = &stderr
	err = torture.Run(cmd, func(call torture.Call) torture.Action {
		if call.N == p.at {
			where = call
		}
		return p.act(call.N, p.at)
	})
	place := fmt.Sprintf("%s call %d (%s %s)", p.name, p.at, where.Name, strings.TrimPrefix(where.Path, work+"/"))
	switch {
	case err != nil && !errors.As(err, &exit):
		return fmt.Errorf("%s: %w", place, err)
	case err != nil && !exit.Sys().(syscall.WaitStatus).Signaled():
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "bert "+c.args[0]+": ") || !strings.Contains(last, p.reason) {
			return fmt.Errorf("%s: the last line is %q, want the reason, %q\n%s", place, last, p.reason, &stderr)
		} else if p.reason != disturbances[1].reason && !tortureFolder.MatchString(last) {
			return fmt.Errorf("%s: the last line names no file: %q", place, last)
		}
	}
	args := slices.Concat(c.args, c.resume)
	for at := p.at * 2 / 3; p.chain && at > p.at/4; at /= 2 {
		again := bertIn(work, args)
		if err := torture.Run(again, func(call torture.Call) torture.Action { return p.act(call.N, at) }); err != nil && !errors.As(err, &exit) {
			return fmt.Errorf("%s: %w", place, err)
		}
	}
	if out, err := bertIn(work, args).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: bert %s: %w\n%s", place, strings.Join(args, " "), err, out)
	}
	got, err := treeOf(work)
	if err != nil {
		return err
	}
	if difference := differentTree(want, got); difference != "" {
		return fmt.Errorf("%s: %s", place, difference)
	}
	return nil
}

// treeOf is the content of the files of a folder by name. Of the events, times and rates are left out; TensorBoard's files,
// one for each start, are too, and so is the record of resumptions, which has to be whole.
func treeOf(dir string) (map[string]string, error) {
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
		if d.Name() == train.ResumptionsFile {
			_, err := train.ReadResumptions(filepath.Dir(path))
			return err
		}
		data, err := os.ReadFile(path)
		switch d.Name() {
		case "events.jsonl":
			data, err = timeless(data)
		case report.PageFile: // it has the speeds
			data = nil
		case "state.json": // it holds the size of the events, and a hash of all
			data = eventsBytes.ReplaceAll(data, nil)
		}
		tree[name] = string(data)
		return err
	})
	return tree, err
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
