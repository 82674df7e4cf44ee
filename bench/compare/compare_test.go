package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/tinymodel"
)

// TestMain lets the test be a worker, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "worker" {
		if err := serve(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestParseFlags(t *testing.T) {
	texts := []textFile{{Path: "dir/a.txt"}, {Path: "b.txt"}}
	for args, want := range map[string]string{
		"--work infer --sizes base --precisions bf16":                     "infer base bf16, batch 1; infer base bf16, batch 8; infer base bf16, batch 32",
		"--set all --work infer --sizes tiny,mini --batch-sizes 8":        "infer mini float32, batch 8; infer mini bf16, batch 8; infer mini int8, batch 8; infer tiny float32, batch 8; infer tiny bf16, batch 8; infer tiny int8, batch 8",
		"--work texts,start --precisions float32 --model x/all-MiniLM-L6": "texts all-MiniLM-L6 float32, a.txt; texts all-MiniLM-L6 float32, b.txt; start all-MiniLM-L6 float32",
		"--set all --work vocab,train --sizes base --precisions float32":  "train base float32, batch 32; vocab, a.txt; vocab, b.txt",
		"--work vocab": "",
	} {
		o, err := parse(strings.Fields(args), io.Discard)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		var got []string
		for _, c := range o.cases(texts) {
			got = append(got, c.String())
		}
		if s := strings.Join(got, "; "); s != want {
			t.Errorf("%s: the cases are %s, want %s", args, s, want)
		}
	}
	for _, args := range []string{
		"--set some", "--work serve", "--sizes small", "--batch-sizes 1,x", "--batch-sizes 0", "--precisions fp16", "--programs TensorFlow", "--without compiled", "--rounds 0",
		"--seconds 0", "--seconds NaN", "--format wide", "--render", "--threads -1", "extra", "--no-such",
	} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
}

// TestWants: --programs and --without leave out other programs, of one work alone.
func TestWants(t *testing.T) {
	o, err := parse(strings.Fields("--programs PyTorch --without train/compiled"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range programs {
		for _, work := range []string{inferring, training} {
			if p := &programs[i]; p.does(group{work: work, precision: bfloat16}, false) && o.wants(p, work) {
				got = append(got, work+" "+p.String())
			}
		}
	}
	if want := []string{"infer PyTorch, eager", "train PyTorch, eager", "infer PyTorch, compiled"}; !slices.Equal(got, want) {
		t.Errorf("it wants %q, want %q", got, want)
	}
}

// TestPrograms: whatever a set asks for, bert does, and some other program in float32.
func TestPrograms(t *testing.T) {
	for set := range sets {
		o := &options{set: set}
		for _, c := range o.cases([]textFile{{Path: "a.txt"}}) {
			encoder := c.Model == encoderName
			ours, others := 0, 0
			for i := range programs {
				if programs[i].does(c.group(), encoder) {
					if programs[i].ours() {
						ours++
					} else {
						others++
					}
				}
			}
			if ours == 0 || others == 0 && c.Work != running {
				t.Errorf("%s: %d variants of bert and %d other programs", &c, ours, others)
			}
		}
	}
}

// A fake answers with the seconds of its rounds; 0 is an error.
type fake struct {
	seconds []float64
	numbers [][]float64
	asked   int
	closed  *int
}

func (f *fake) ask(ctx context.Context, q *question) (*answer, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if q.Ask == checking {
		return &answer{Numbers: f.numbers}, nil
	}
	f.asked++
	if f.seconds[f.asked-1] == 0 {
		return nil, errors.New("out of memory")
	}
	return &answer{Seconds: f.seconds[f.asked-1], Runs: 3, PeakBytes: 2e9}, nil
}

func (f *fake) used() time.Duration { return 0 }
func (f *fake) close()              { *f.closed++ }

// fakeDriver measures fakes, by the names of programs; one without an entry can't be started.
func fakeDriver(t *testing.T, args string, fakes map[string]*fake) (d *driver, closed *int) {
	o, err := parse(strings.Fields(args+" --patience 0"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	closed = new(int)
	d = &driver{options: o, stderr: io.Discard, built: map[string]builtModel{"base": {folder: "b"}}}
	d.machine = machine{"A processor", "linux/amd64", 2, 2, []string{"bert 1", "PyTorch 2"}}
	d.words = func(string) ([]int32, error) { return []int32{2, 7, 3}, nil }
	d.open = func(_ context.Context, p *program, g group, m builtModel) (asker, error) {
		f := fakes[p.String()]
		if f == nil {
			return nil, errors.New("not installed")
		}
		f.closed = closed
		return f, nil
	}
	return d, closed
}

// fakes are of a work in which bert is ahead of one, behind another, and beside one that gives other numbers and one that fails.
func fakes() map[string]*fake {
	right := [][]float64{{1, 0.5}, {-1, 2}}
	return map[string]*fake{
		"bert":                    {seconds: []float64{0.8, 0.4, 0.5}, numbers: right},
		"bert, all hidden states": {seconds: []float64{1, 1, 1}, numbers: right},
		"PyTorch, eager":          {seconds: []float64{1, 2, 4}, numbers: right},
		"PyTorch, compiled":       {seconds: []float64{0.25, 0.25, 0.2}, numbers: [][]float64{{1, 0.5001}, {-1, 2}}},
		"OpenVINO":                {seconds: []float64{0.1, 0.1, 0.1}, numbers: [][]float64{{1, 0.5}, {2, -1}}},
		"CTranslate2":             {seconds: []float64{1, 0}, numbers: right},
	}
}

func TestMeasure(t *testing.T) {
	all := fakes()
	d, closed := fakeDriver(t, "--work infer --sizes base --precisions float32 --batch-sizes 8", all)
	if err := d.measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if *closed != 7 { // six, and bert's once more for the numbers to compare with
		t.Errorf("%d processes ended, want 7", *closed)
	}
	if asked := all["OpenVINO"].asked; asked != 0 {
		t.Errorf("a program that gives other numbers was measured %d times", asked)
	}
	var order []string
	for _, s := range d.record.samples {
		if s.LeftOut == "" && s.Round <= 2 && s.Program != "CTranslate2" {
			order = append(order, s.Variant)
		}
	}
	if want := []string{"", allStates, "eager", "compiled", "compiled", "eager", allStates, ""}; !slices.Equal(order, want) {
		t.Errorf("the order of two rounds is %q, want %q", order, want)
	}
	for i := range d.record.samples {
		d.record.samples[i].Time = time.Date(2026, 11, 29, 12, i, 0, 0, time.UTC)
		d.record.samples[i].Others, d.record.samples[i].Load = 0.02, 1.25
	}
	const head = "2026-11-29 12:00–12:15 UTC, A processor, linux/amd64, 2 processors, 2 threads for each program: bert 1, PyTorch 2. Medians of 3 rounds, with the least and the most; other processes took at most 2 % of the machine during a sample, the load average was at most 1.2.\n"
	const left = `
Left out:

- ONNX Runtime, infer base float32: not installed
- OpenVINO, infer base float32: its numbers differ from bert's in float32: agreement -0.8000, want 0.9999
- CTranslate2, infer base float32, batch 8: out of memory
`
	const full = head + `
**infer**, sequences/s

|  | precision | bert | bert, all hidden states | PyTorch, eager | PyTorch, compiled | CTranslate2 | bert, to the best other | others |
|---|---|---|---|---|---|---|---|---|
| BERT-base, 8 × 128 tokens | float32 | 16.0 (10.0–20.0) | 8.00 (8.00–8.00) | 4.00 (2.00–8.00) | **32.0 (32.0–40.0)** | 8.00 | 0.50 × PyTorch, compiled | 2 % |

Peak resident memory in GB

|  | precision | bert | bert, all hidden states | PyTorch, eager | PyTorch, compiled | CTranslate2 |
|---|---|---|---|---|---|---|
| infer BERT-base, 8 × 128 tokens | float32 | 2.00 (2.00–2.00) | 2.00 (2.00–2.00) | 2.00 (2.00–2.00) | 2.00 (2.00–2.00) | 2.00 |

Agreement with ` + "`bert`" + ` in float32: the least cosine of the vectors or centred logits of a check's inputs; of losses and sizes 1 less the relative difference; of ids 1 if they are equal

|  | precision | bert | bert, all hidden states | PyTorch, eager | PyTorch, compiled | CTranslate2 |
|---|---|---|---|---|---|---|
| infer BERT-base, 8 × 128 tokens | float32 | 1.00000 | 1.00000 | 1.00000 | 1.00000 | 1.00000 |
` + left
	const short = head + `
| work | precision | bert | PyTorch | CTranslate2 | bert, to the best other |
|---|---|---|---|---|---|
| BERT-base, 8 × 128 tokens | float32 | 16.0/s (10.0–20.0) | **32.0/s (32.0–40.0)** | 8.00/s | 0.50 × PyTorch, compiled |
| BERT-base, 8 × 128 tokens, all hidden states | float32 | 8.00/s (8.00–8.00) | **32.0/s (32.0–40.0)** | 8.00/s | 0.25 × PyTorch, compiled |
`
	for form, want := range map[string]string{"full": full, "short": short} {
		var b bytes.Buffer
		if err := tables[form](&b, &d.record); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("the %s tables are\n%s\nwant\n%s", form, &b, want)
		}
	}
}

// TestMeasureBertFails: without bert there is nothing to compare in a group, and a run that is interrupted ends.
func TestMeasureBertFails(t *testing.T) {
	all := fakes()
	all["bert, all hidden states"] = nil
	d, _ := fakeDriver(t, "--work infer --sizes base --precisions float32", all)
	if err := d.measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, s := range d.record.samples {
		left = append(left, s.LeftOut)
	}
	if !slices.Contains(left, "bert, infer base float32: not installed") || slices.Contains(left, "") {
		t.Errorf("without bert, it has left out %q, and measured if one is empty", left)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d, _ = fakeDriver(t, "--work infer --sizes base --precisions float32", fakes())
	if err := d.measure(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted, the error is %v", err)
	}
	d, _ = fakeDriver(t, "--work vocab", fakes())
	if err := d.measure(t.Context()); err == nil {
		t.Error("no case and no error")
	}
}

// TestLowerIsBetter: of a training step and a start the least time is the best.
func TestLowerIsBetter(t *testing.T) {
	r := &record{}
	for i, program := range []program{programs[0], programs[3], programs[4]} {
		r.samples = append(r.samples, sample{
			benchCase: benchCase{Work: training, Model: "base", Precision: bfloat16, Batch: 32, Length: 128},
			Program:   program.name, Variant: program.variant, Value: []float64{2, 5, 4}[i], PeakBytes: 3e9, Round: 1,
		})
	}
	for _, library := range []bool{false, true} {
		s := sample{benchCase: benchCase{Work: running, Model: encoderName, Precision: bfloat16, Text: textFile{"a.txt", 10, 1000}}, Program: bertName, Value: 90}
		if library {
			s.Variant, s.Value = "the library", 100
		}
		r.samples = append(r.samples, s)
	}
	var b bytes.Buffer
	if err := writeShort(&b, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| training step of BERT-base, 32 × 128 tokens | bf16 | **2.00 s, 3.00 GB** | 4.00 s, 3.00 GB | 2.00 × PyTorch, compiled |",
		"`bert encode` of MiniLM (6 × 384), a.txt (10 texts, 0.00 MB) in bf16, from the start of the process to the last line of JSON: 90.0 texts/s, 90 % of the rate of the library in a loop, 100.\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table is\n%s\nwant a line\n%s", &b, want)
		}
	}
}

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "samples.jsonl")
	r, err := readRecord(path)
	if err != nil {
		t.Fatal(err)
	}
	want := sample{
		benchCase: benchCase{Work: encoding, Model: encoderName, Precision: int8s, Text: textFile{"a.txt", 3, 30}},
		Program:   "OpenVINO", Variant: "streams", Value: 12.5, Runs: 3, PeakBytes: 1 << 30, Agreement: 0.99, Others: 0.01, Load: 2, Round: 3,
		Time: time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC), Machine: machine{"P", "linux/amd64", 2, 1, []string{"bert 1"}},
	}
	for range 2 {
		if err := r.add(&want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readRecord(path)
	if err != nil || len(got.samples) != 2 || fmt.Sprint(got.samples[1]) != fmt.Sprint(want) {
		t.Errorf("read %v, %v, want %v twice", got.samples, err, want)
	}
	if err := os.WriteFile(path, []byte("{}\n{\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := readRecord(path); err == nil || !strings.Contains(err.Error(), path+":2: ") {
		t.Errorf("the error of a broken line is %v", err)
	}
}

func TestWriteBetweenMarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	const before, after = "# A\n\n<!-- bench/compare: short -->\n", "<!-- bench/compare: end -->\n\nB\n"
	for _, old := range []string{"", "\nold\n\n"} {
		if err := os.WriteFile(path, []byte(before+old+after), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := writeBetweenMarks(path, &record{}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != before+"\n\n"+after {
			t.Errorf("%q became %q, %v", old, got, err)
		}
	}
	for _, content := range []string{"no marks", before} {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := writeBetweenMarks(path, &record{}); err == nil {
			t.Errorf("%q: no error", content)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("after an error the file is %q, %v", got, err)
		}
	}
}

func TestAgreement(t *testing.T) {
	a := [][]float64{{1, 2, 3}, {3, -1, 0}}
	for _, c := range []struct {
		work string
		b    [][]float64
		want float64
	}{
		{encoding, a, 1},
		{encoding, [][]float64{{2, 4, 6}, {3, -1, 0}}, 1},
		{encoding, [][]float64{{1, 2, 3}, {-3, 1, 0}}, -1},
		{encoding, [][]float64{{1, 2, 3}, {1, 3, 0}}, 0},
		{encoding, [][]float64{{1, 2, 3}}, 0},
		{encoding, [][]float64{{1, 2, 3}, {3, -1}}, 0},
		{encoding, nil, 0},
		{tokenizing, a, 1},
		{tokenizing, [][]float64{{1, 2, 3}, {3, -1, 1}}, 0},
	} {
		if got := agreement(c.work, a, c.b); got < c.want-1e-12 || got > c.want+1e-12 {
			t.Errorf("%s: %v agree with %v to %v, want %v", c.work, c.b, a, got, c.want)
		}
	}
	if got := agreement(training, [][]float64{{0.9}}, [][]float64{{1}}); got < 0.9-1e-12 || got > 0.9+1e-12 {
		t.Errorf("losses of 0.9 and 1 agree to %v, want 0.9", got)
	}
}

// TestWorker asks real workers of the library, of a small model: what it answers is checked and then timed.
func TestWorker(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "model")
	if err := tinymodel.Save(folder); err != nil {
		t.Fatal(err)
	}
	classifier := filepath.Join(dir, "classifier")
	m, err := bert.Load(t.Context(), folder, bert.Options{Head: bert.SequenceClassification, NewHead: true, Labels: []string{"a", "b", "c"}, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Save(classifier, bert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vocab.txt", "tokenizer_config.json", "tokenizer.json"} {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(classifier, name), content, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "texts.txt")
	if err := os.WriteFile(file, []byte("The film was good!\nDull.\na joy, a joy\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		work, folder, variant string
		check                 question
		rows, width           int
	}{
		{inferring, folder, "", question{IDs: [][]int32{{2, 7, 8, 3}, {2, 9, 3}}}, 2, 12},
		{inferring, classifier, allStates, question{IDs: [][]int32{{2, 7, 8, 3}}}, 1, 3},
		{encoding, folder, "", question{Texts: []string{"The film.", "Good"}}, 2, 12},
		{encoding, classifier, "", question{Texts: []string{"The film.", "Good"}}, 2, 3},
		{training, classifier, "", question{IDs: [][]int32{{2, 7, 8, 3}}, Labels: []int32{2}}, 1, 1},
		{tokenizing, folder, "", question{Texts: []string{"The film."}}, 1, 5},
	} {
		d := &driver{self: self}
		cmd, err := d.workerCommand(&programs[0], &spec{Work: c.work, Variant: c.variant, Folder: c.folder, Precision: float32s, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		w, err := startWorker(t.Context(), cmd)
		if err != nil {
			t.Errorf("%s: %v", c.work, err)
			continue
		}
		c.check.Ask = checking
		a, err := w.ask(t.Context(), &c.check)
		if err != nil || len(a.Numbers) != c.rows || len(a.Numbers[0]) != c.width {
			t.Errorf("%s: a check gives %v, %v, want %d × %d numbers", c.work, a, err, c.rows, c.width)
		}
		for range 2 { // the second time without all of the warm-up
			a, err = w.ask(t.Context(), &question{Ask: c.work, Seconds: 0.01, Batch: 2, Length: 8, File: file})
			if err != nil || !(a.Seconds > 0) || a.Runs < 1 {
				t.Errorf("%s: %v, %v, want a time", c.work, a, err)
			}
		}
		if c.work == encoding {
			if _, err := w.ask(t.Context(), &question{Ask: c.work, Seconds: 0.01, File: file + "x"}); err == nil {
				t.Errorf("%s: no error of a missing file", c.work)
			}
		}
		w.close()
		if _, err := w.ask(t.Context(), &c.check); err == nil {
			t.Errorf("%s: a process that has ended answered", c.work)
		}
	}
	for _, argument := range []string{"{", `{"work":"start"}`} {
		if _, err := startWorker(t.Context(), exec.Command(self, "worker", argument)); err == nil {
			t.Errorf("%s: no error", argument)
		}
	}
	cmd := exec.Command(self, "worker", `{"work":"texts","folder":"no-such","precision":"float32"}`)
	if _, err := startWorker(t.Context(), cmd); err == nil || !strings.Contains(err.Error(), "no-such") {
		t.Errorf("the error of a missing model is %v", err)
	}
}

// TestOnce starts a process for each question.
func TestOnce(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ended := 0
	o := &once{numbers: bertNumbers, whole: true}
	o.command = func(q *question) (*exec.Cmd, func(), error) {
		cmd := exec.Command(self, "-test.run=TestOnceOutput$")
		cmd.Env = append(os.Environ(), "BERT_COMPARE_OUTPUT="+q.File)
		return cmd, func() { ended++ }, nil
	}
	a, err := o.ask(t.Context(), &question{Ask: checking, File: `{"pooled":[1,2]}` + "\n" + `{"logits":[1,2,6]}` + "\n"})
	if err != nil || fmt.Sprint(a.Numbers) != "[[1 2] [-2 -1 3]]" || !(a.Seconds > 0) {
		t.Errorf("the answer is %+v, %v", a, err)
	}
	if a, err := o.ask(t.Context(), &question{Ask: running, File: "anything"}); err != nil || a.Numbers != nil {
		t.Errorf("the answer is %+v, %v", a, err)
	}
	if _, err := o.ask(t.Context(), &question{Ask: checking, File: "no JSON"}); err == nil {
		t.Error("no error of an answer that is none")
	}
	if _, err := o.ask(t.Context(), &question{Ask: running, File: "fail"}); err == nil || !strings.Contains(err.Error(), "it failed") {
		t.Errorf("the error of a failure is %v", err)
	}
	if ended != 4 {
		t.Errorf("%d of 4 were cleared away", ended)
	}
}

// TestOnceOutput is the process of TestOnce.
func TestOnceOutput(t *testing.T) {
	out := os.Getenv("BERT_COMPARE_OUTPUT")
	if out == "" {
		t.Skip("it is TestOnce's process")
	}
	if out == "fail" {
		fmt.Fprintln(os.Stderr, "it failed")
		os.Exit(1)
	}
	fmt.Print(out)
	os.Exit(0)
}

func TestReadText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(path, []byte("one\ntwo words\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	got, err := readText(path)
	if want := (textFile{path, 2, 12}); err != nil || got != want {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if err := os.WriteFile(path, []byte("\n\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := readText(path); err == nil {
		t.Error("no error of an empty file")
	}
}

func TestDigits(t *testing.T) {
	for v, want := range map[float64]string{0.031: "0.03", 9.994: "9.99", 9.996: "10.0", 99.94: "99.9", 99.96: "100", 2785.4: "2785"} {
		if got := digits(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}
