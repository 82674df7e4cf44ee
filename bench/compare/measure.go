package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/bench"
	"github.com/go-bert/bert/tokenizer"
)

// A machine is what samples were taken on, and of which programs.
type machine struct {
	Processor  string   `json:"processor"`
	System     string   `json:"system"`
	Processors int      `json:"processors"`
	Threads    int      `json:"threads"` // of each program
	Versions   []string `json:"versions"`
}

// A sample is what one program did in one round. Samples are lines of JSON in a file.
type sample struct {
	benchCase
	Program   string    `json:"program,omitempty"`
	Variant   string    `json:"variant,omitempty"`
	Value     float64   `json:"value,omitempty"` // in the unit of the work
	Runs      int       `json:"runs,omitempty"`  // whose median it is
	PeakBytes int64     `json:"peak_bytes,omitempty"`
	Agreement float64   `json:"agreement,omitempty"` // with bert in float32: see agreement
	Others    float64   `json:"others"`              // what other processes took of the machine's processor time meanwhile
	Load      float64   `json:"load"`                // the system's load average
	Round     int       `json:"round,omitempty"`
	Time      time.Time `json:"time"`
	Machine   machine   `json:"machine"`

	LeftOut string `json:"left_out,omitempty"` // in place of a value: what is left out, and why
}

// A record is the samples that tables are made of.
type record struct {
	samples []sample
	file    string // "": none
}

func readRecord(path string) (record, error) {
	r := record{file: path}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var s sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return r, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		r.samples = append(r.samples, s)
	}
	return r, lines.Err()
}

func (r *record) add(s *sample) error {
	r.samples = append(r.samples, *s)
	if r.file == "" {
		return nil
	}
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(r.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// A driver measures.
type driver struct {
	*options
	stderr io.Writer
	record record

	sources string // the folder of this module
	python  string // of the peers
	reviews string // the demonstration's, a text a line
	texts   []textFile
	machine machine
	built   map[string]builtModel

	references map[string][][]float64 // bert's numbers in float32, by model and check
	open       func(ctx context.Context, p *program, g group, m builtModel) (asker, error)
	words      func(folder string) ([]int32, error) // to check passes over ids with
	self       string                               // this program
	temp       string
}

// prepareAll makes what is measured.
func (d *driver) prepareAll(ctx context.Context, temp string) (err error) {
	d.temp, d.open, d.words = temp, d.openProcess, checkWords
	if d.self, err = os.Executable(); err != nil {
		return err
	}
	if d.sources, err = moduleFolder(ctx); err != nil {
		return err
	}
	if d.folder == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		d.folder = filepath.Join(cache, "bert-compare")
	}
	if d.folder, err = filepath.Abs(d.folder); err != nil {
		return err
	}
	if d.venv != "" {
		if d.venv, err = filepath.Abs(d.venv); err != nil {
			return err
		}
	}
	if d.bert == "" {
		d.bert = filepath.Join(temp, "bert")
		if err := buildBert(ctx, d.bert); err != nil {
			return err
		}
	}
	out, err := output(exec.CommandContext(ctx, d.bert, "version"))
	if err != nil {
		return err
	}
	d.machine = machine{bench.Processor(), runtime.GOOS + "/" + runtime.GOARCH, runtime.NumCPU(), d.threads, nil}
	d.machine.Versions = []string{strings.TrimSpace(string(out))}
	if err := d.demoTexts(); err != nil {
		return err
	}
	files := d.files
	if len(files) == 0 {
		files = []string{d.reviews}
	}
	for _, path := range files {
		text, err := readText(path)
		if err != nil {
			return err
		}
		d.texts = append(d.texts, text)
	}
	if err := d.environment(ctx); err != nil {
		return err
	}
	if d.allocator == "" || d.allocator == "none" {
		d.allocator = ""
		d.leaveOut("tcmalloc for PyTorch, which is not installed (Debian: libtcmalloc-minimal4)")
	}
	for _, c := range d.cases() {
		if c.Model == "" {
			continue
		}
		if _, err := d.model(ctx, c.Model); err != nil {
			return err
		}
	}
	return nil
}

// cases are those of the options, of the texts that were read.
func (d *driver) cases() []benchCase { return d.options.cases(d.texts) }

func (d *driver) leaveOut(format string, args ...any) {
	s := sample{LeftOut: fmt.Sprintf(format, args...), Time: time.Now().UTC(), Machine: d.machine}
	fmt.Fprintf(d.stderr, "left out: %s\n", s.LeftOut)
	if err := d.record.add(&s); err != nil {
		fmt.Fprintf(d.stderr, "%v\n", err)
	}
}

// measure takes the samples of all cases.
func (d *driver) measure(ctx context.Context) error {
	cases := d.cases()
	if len(cases) == 0 {
		return errors.New("no case is left of the set: see --set, --work, --sizes, --batch-sizes and --precisions")
	}
	for len(cases) > 0 {
		g := cases[0].group()
		n := slices.IndexFunc(cases, func(c benchCase) bool { return c.group() != g })
		if n < 0 {
			n = len(cases)
		}
		if err := d.measureGroup(ctx, g, cases[:n]); err != nil {
			return err
		}
		cases = cases[n:]
	}
	return nil
}

// A contender is a program that takes part in a group.
type contender struct {
	*program
	asker
	agreement float64
	failed    map[benchCase]bool
}

// measureGroup takes the samples of cases that the same processes measure.
func (d *driver) measureGroup(ctx context.Context, g group, cases []benchCase) error {
	contenders, err := d.contenders(ctx, g, cases)
	defer func() {
		for _, c := range contenders {
			c.close()
		}
	}()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil { // such as texts that are too few for a vocabulary
		d.leaveOut("%s, %s: %v", bertName, g, err)
		return nil
	}
	for round := range d.rounds {
		for i := range cases {
			for _, c := range contenders {
				if c.failed[cases[i]] {
					continue
				}
				s, err := d.sample(ctx, c, &cases[i])
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					c.failed[cases[i]] = true
					d.leaveOut("%s, %s: %v", c.program, &cases[i], err)
					continue
				}
				s.Round = round + 1
				fmt.Fprintf(d.stderr, "round %d of %d: %s: %s %.4g %s, others %.0f %%\n", s.Round, d.rounds, &cases[i], c.program, s.Value, workNamed(g.work).unit, 100*s.Others)
				if err := d.record.add(s); err != nil {
					return err
				}
			}
		}
		slices.Reverse(contenders)
	}
	return nil
}

// contenders starts the programs that do the work of a group, and leaves out those that give other numbers. The error is of bert, or ctx's.
func (d *driver) contenders(ctx context.Context, g group, cases []benchCase) (all []*contender, err error) {
	m := d.built[g.model]
	q, err := d.checkOf(&cases[0], m)
	if err != nil {
		return nil, err
	}
	want, err := d.reference(ctx, g, m, q)
	if err != nil {
		return nil, err
	}
	var found []*program
	for i := range programs {
		if p := &programs[i]; p.does(g, m.encoder) && (p.ours() || d.wants(p, g.work)) {
			found = append(found, p)
		}
	}
	// To load a library takes seconds, so they start together.
	var (
		askers  = make([]asker, len(found))
		errs    = make([]error, len(found))
		started sync.WaitGroup
	)
	for i, p := range found {
		started.Go(func() { askers[i], errs[i] = d.open(ctx, p, g, m) })
	}
	started.Wait()
	for i, p := range found {
		if errs[i] == nil {
			c := &contender{program: p, asker: askers[i], failed: make(map[benchCase]bool)}
			if c.agreement, errs[i] = check(ctx, c, g, q, want); errs[i] == nil {
				all = append(all, c)
				continue
			}
			c.close()
		}
		if ctx.Err() != nil || p.ours() {
			err = errors.Join(err, ctx.Err(), errs[i])
			continue
		}
		d.leaveOut("%s, %s: %v", p, g, errs[i])
	}
	return all, err
}

// wants reports whether another program is to be measured.
func (o *options) wants(p *program, work string) bool {
	return (len(o.programs) == 0 || slices.Contains(o.programs, p.name)) && !slices.Contains(o.without, work+"/"+p.variant)
}

func (g group) String() string {
	return (&benchCase{Work: g.work, Model: g.model, Precision: g.precision}).String()
}

// bounds are the least agreements of the precisions with bert in float32.
var bounds = map[string]float64{"": 0.999, float32s: 0.9999, bfloat16: 0.99, int8s: 0.9}

// check asks a program for the numbers of a check and compares them.
func check(ctx context.Context, a asker, g group, q *question, want [][]float64) (float64, error) {
	answer, err := a.ask(ctx, q)
	if err != nil {
		return 0, err
	}
	got := agreement(g.work, answer.Numbers, want)
	if bound := bounds[g.precision]; !(got >= bound) {
		return 0, fmt.Errorf("its numbers differ from bert's in float32: agreement %.4f, want %.4f", got, bound)
	}
	return got, nil
}

// checkTexts have many lengths, so that a batch of them is padded.
var checkTexts = []string{
	"A joy from start to finish.",
	"The first act drags, the second runs away with itself, and the third, when at last it comes, is over before anybody in the audience can have noticed.",
	"Dull.",
	"Not a word of it is true, and I believed all of them: that is what a good actor does, and there were four on this stage.",
	"We left after an hour. The seats were hard, the hall was cold, and nobody on the stage seemed to want to be there either.",
	"Well made, well played, forgettable!",
	"Is it long? Yes. Is it too long? Never; I would gladly have sat there for another three hours, and so would my children.",
	"The soup was cold and the waiter proud of it.",
}

// textLength is the most tokens of a text.
const textLength = 256

// checkOf is the question that shows whether a program does the work of a case.
func (d *driver) checkOf(c *benchCase, m builtModel) (*question, error) {
	q := &question{Ask: checking, Texts: checkTexts, MaxLength: textLength, Length: c.Length, File: c.Text.Path}
	switch c.Work {
	case starting:
		q.Texts = checkTexts[:1]
	case inferring, training:
		words, err := d.words(m.folder)
		if err != nil {
			return nil, err
		}
		// The shape of the first case, for which some programs compile the model.
		for i := range c.Batch {
			ids := make([]int32, c.Length)
			for k := range ids {
				ids[k] = words[(i*13+k)%len(words)]
			}
			q.IDs, q.Labels = append(q.IDs, ids), append(q.Labels, int32(i%2))
		}
	}
	return q, nil
}

// checkWords are the ids of checkTexts in a row, which are like those that int8 is calibrated with.
func checkWords(folder string) (ids []int32, err error) {
	t, err := tokenizer.Load(bert.TokenizerDir(folder, ""))
	if err != nil {
		return nil, err
	}
	for _, text := range checkTexts {
		var e tokenizer.Encoding
		if err := t.Encode(&e, text, tokenizer.Options{}); err != nil {
			return nil, err
		}
		ids = append(ids, e.IDs...)
	}
	return ids, nil
}

// reference is what bert in float32 answers to a check, a text at a time or all together alike.
func (d *driver) reference(ctx context.Context, g group, m builtModel, q *question) ([][]float64, error) {
	key := fmt.Sprint(g.work, g.model, len(q.IDs), q.Length)
	if numbers, ok := d.references[key]; ok {
		return numbers, nil
	}
	if g.precision != "" {
		g.precision = float32s
	}
	i := slices.IndexFunc(programs, func(p program) bool { return p.ours() && slices.Contains(p.works, g.work) })
	a, err := d.open(ctx, &programs[i], g, m)
	if err != nil {
		return nil, err
	}
	defer a.close()
	answer, err := a.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	if d.references == nil {
		d.references = make(map[string][][]float64)
	}
	d.references[key] = answer.Numbers
	return answer.Numbers, nil
}

// The machine is quiet while others take less than quietShare of it.
const quietShare = 0.05

// sample takes a sample, in a quiet moment if patience allows, and once more if others ran meanwhile.
func (d *driver) sample(ctx context.Context, c *contender, in *benchCase) (*sample, error) {
	q := &question{Ask: in.Work, Seconds: d.seconds, Batch: in.Batch, Length: in.Length, File: in.Text.Path, MaxLength: textLength, Texts: checkTexts[:1]}
	var best *sample
	for best == nil || best.Others > quietShare {
		if quiet := d.awaitQuiet(ctx); best != nil && !quiet {
			break
		}
		busy, _ := bench.MachineTime()
		own := c.used() + bench.ProcessTime(os.Getpid())
		began := time.Now()
		a, err := c.ask(ctx, q)
		if err != nil {
			return nil, err
		}
		took := time.Since(began)
		after, known := bench.MachineTime()
		s := &sample{
			benchCase: *in, Program: c.name, Variant: c.variant, Value: workNamed(in.Work).value(in, a), Runs: a.Runs, PeakBytes: a.PeakBytes,
			Agreement: c.agreement, Load: bench.LoadAverage(), Time: time.Now().UTC(), Machine: d.machine,
		}
		if known {
			others := after - busy - (c.used() + bench.ProcessTime(os.Getpid()) - own)
			s.Others = max(0, float64(others)/float64(took)/float64(max(1, d.machine.Processors)))
		}
		again := best != nil
		if !again || s.Others < best.Others {
			best = s
		}
		if again {
			break
		}
	}
	return best, nil
}

// awaitQuiet waits until others take little of the machine, as long as there is patience. It reports whether there was any.
func (d *driver) awaitQuiet(ctx context.Context) (quiet bool) {
	const moment, tick = 100 * time.Millisecond, 10 * time.Millisecond
	most := time.Duration(quietShare*float64(moment)*float64(max(1, d.machine.Processors))) + tick
	d.patience, quiet = bench.AwaitQuiet(ctx, d.patience, moment, most)
	return quiet
}

// openProcess starts a program.
func (d *driver) openProcess(ctx context.Context, p *program, g group, m builtModel) (asker, error) {
	s := &spec{Work: g.work, Backend: p.backend, Variant: p.variant, Precision: g.precision, Folder: m.folder, Threads: d.threads}
	switch {
	case !p.asks(g.work) && p.ours():
		return d.bertOnce(g, m)
	case !p.asks(g.work):
		o := &once{numbers: pythonNumbers, whole: g.work == learning}
		o.command = func(q *question) (*exec.Cmd, func(), error) {
			s := *s
			s.Texts, s.File, s.Size = q.Texts, q.File, vocabularySize
			cmd, err := d.workerCommand(p, &s)
			return cmd, func() {}, err
		}
		return o, nil
	}
	cmd, err := d.workerCommand(p, s)
	if err != nil {
		return nil, err
	}
	return startWorker(ctx, cmd)
}

func (d *driver) workerCommand(p *program, s *spec) (*exec.Cmd, error) {
	argument, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if p.ours() {
		return commandOf(nil, d.self, "worker", string(argument)), nil
	}
	env := []string{"PYTHONDONTWRITEBYTECODE=1", "TORCHINDUCTOR_CACHE_DIR=" + filepath.Join(d.folder, "inductor")}
	if p.tuned {
		env = append(env, d.tuning()...)
	}
	return commandOf(env, d.python, filepath.Join(d.sources, "bench", "compare", "peers", "worker.py"), string(argument)), nil
}

// vocabularySize is that of the vocabularies that are learnt, with five special tokens.
const vocabularySize = 30005

// bertOnce is the program itself, started for each sample.
func (d *driver) bertOnce(g group, m builtModel) (asker, error) {
	flags := []string{"--quiet", "--threads", fmt.Sprint(d.threads)}
	answer := []string{"predict", "--json", "--model", m.folder, "--precision", g.precision}
	if m.encoder {
		answer = []string{"encode", "--json", "--model", m.folder, "--precision", g.precision, "--pooling", "mean", "--normalize", "--max-seq-length", fmt.Sprint(textLength)}
	}
	o := &once{numbers: bertNumbers, whole: g.work != starting}
	o.command = func(q *question) (*exec.Cmd, func(), error) {
		done := func() {}
		var args []string
		switch {
		case g.work == starting:
			args = append(answer, q.Texts...)
		case g.work == learning:
			made, err := os.MkdirTemp(d.temp, "vocab-")
			if err != nil {
				return nil, nil, err
			}
			o.numbers = func([]byte) ([][]float64, error) {
				content, err := os.ReadFile(filepath.Join(made, "vocab.txt"))
				return [][]float64{{float64(bytes.Count(content, []byte("\n")))}}, err
			}
			done = func() { _ = os.RemoveAll(made) } // the folder of all of them is removed
			args = []string{"vocab", "--input", q.File, "--size", fmt.Sprint(vocabularySize), "--min-frequency", "1", "--limit-alphabet", "0", "--output", made}
		case q.Ask == checking:
			file := filepath.Join(d.temp, "check.txt")
			if err := os.WriteFile(file, []byte(strings.Join(q.Texts, "\n")+"\n"), 0o666); err != nil {
				return nil, nil, err
			}
			args = append(answer, "--input", file)
		default:
			args = append(answer, "--input", q.File)
		}
		return commandOf(nil, d.bert, append(args, flags...)...), done, nil
	}
	return o, nil
}
