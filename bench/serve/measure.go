package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/bench"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

var errNoNumbers = errors.New("there are no numbers in the answer")

// A sample is what one program did in one round. Samples are lines of JSON in a file.
type sample struct {
	Workload    string    `json:"workload,omitempty"`
	Connections int       `json:"connections,omitempty"` // 0 of the library: all texts in one call; 1: a call for each
	Program     string    `json:"program,omitempty"`
	PerSecond   float64   `json:"per_second,omitempty"` // requests, of the library texts
	Median      float64   `json:"median_ms,omitempty"`
	P99         float64   `json:"p99_ms,omitempty"`
	Longest     float64   `json:"longest_ms,omitempty"`
	Requests    int       `json:"requests,omitempty"`
	Errors      int       `json:"errors,omitempty"` // answers other than 200, and failures of sockets
	Memory      int64     `json:"memory,omitempty"` // resident, in bytes, after the sample
	Peak        int64     `json:"peak,omitempty"`   // resident, of the process's life so far
	Difference  float64   `json:"difference"`       // from the library's numbers, the largest of any
	Others      float64   `json:"others"`           // what other processes took of the machine's processor time meanwhile
	Load        float64   `json:"load"`             // the system's load average
	Round       int       `json:"round,omitempty"`
	Time        time.Time `json:"time"`
	Machine     machine   `json:"machine"`

	LeftOut string `json:"left_out,omitempty"` // in place of numbers: what is left out, and why
}

// A machine is what samples were taken on, and of which versions.
type machine struct {
	Processor  string   `json:"processor"`
	System     string   `json:"system"`
	Processors int      `json:"processors"`
	Versions   []string `json:"versions"`
}

func readSamples(path string) ([]sample, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []sample
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var s sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		list = append(list, s)
	}
	return list, lines.Err()
}

// A driver measures.
type driver struct {
	*options
	stderr  interface{ Write([]byte) (int, error) }
	samples []sample

	sources string            // the folder of this module
	temp    string            // for what is made on the way
	models  map[string]string // folders by the names in requests
	pythons map[string]string // by the names of environments
	queries map[string][]query
	machine machine
}

// add keeps a sample.
func (d *driver) add(s sample) error {
	s.Time, s.Machine, s.Load = time.Now().UTC(), d.machine, bench.LoadAverage()
	d.samples = append(d.samples, s)
	if d.options.samples == "" {
		return nil
	}
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(d.options.samples, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

func (d *driver) leaveOut(format string, args ...any) error {
	s := sample{LeftOut: fmt.Sprintf(format, args...)}
	d.note("left out: %s", s.LeftOut)
	return d.add(s)
}

const module = "github.com/go-bert/bert"

// open makes what is measured: the program, the models, the Python environments, and the texts.
func (d *driver) open(ctx context.Context, temp string) error {
	d.temp, d.pythons, d.queries = temp, make(map[string]string), make(map[string][]query)
	out, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module))
	if err != nil {
		return err
	}
	d.sources = strings.TrimSpace(string(out))
	d.machine = machine{bench.Processor(), runtime.GOOS + "/" + runtime.GOARCH, runtime.NumCPU(), nil}
	if err := d.environments(ctx); err != nil || d.prepare {
		return err
	}
	if d.bert == "" {
		d.bert = filepath.Join(temp, "bert")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", d.bert, module+"/cmd/bert")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if _, err := output(build); err != nil {
			return err
		}
	}
	if out, err = output(exec.CommandContext(ctx, d.bert, "version")); err != nil {
		return err
	}
	d.machine.Versions = append([]string{strings.TrimSpace(string(out))}, d.machine.Versions...)
	if err := d.makeModels(ctx); err != nil {
		return err
	}
	for i := range workloads {
		w := &workloads[i]
		if !wants(d.workloads, w.name) {
			continue
		}
		list, err := w.read(ctx, d.data)
		if err != nil {
			return fmt.Errorf("the workload %s: %w (--data names the folder, --workloads chooses others)", w.name, err)
		}
		d.queries[w.name] = list[:min(len(list), d.texts)]
	}
	return nil
}

// packages are those whose versions are told, by environment.
var packages = []struct{ environment, name string }{
	{"infinity", "infinity-emb"}, {"infinity", "torch"}, {"plain", "fastapi"}, {"plain", "torch"}, {"plain", "transformers"},
}

// environments makes the Python environments of the programs, unless they are there, as interop/run.sh makes those of its tools. A program
// whose environment can't be had is left out.
func (d *driver) environments(ctx context.Context) error {
	for i := range programs {
		p := &programs[i]
		if p.environment == "" || !wants(d.programs, p.name) || d.soak > 0 || d.idle > 0 {
			continue
		}
		make := exec.CommandContext(ctx, "python3", filepath.Join(d.sources, "interop", "venvs.py"), p.environment)
		make.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
		if d.venv != "" {
			make.Env = append(make.Env, "BERT_INTEROP_VENV="+d.venv)
		}
		var out bytes.Buffer
		make.Stdout, make.Stderr = &out, d.stderr
		if err := make.Run(); err != nil {
			if err := d.leaveOut("%s: its Python environment can't be had: %v", p.name, err); err != nil {
				return err
			}
			continue
		}
		d.pythons[p.environment] = strings.TrimSpace(out.String())
	}
	const script = "import sys; from importlib.metadata import version; print(version(sys.argv[1]).split('+')[0])"
	for _, p := range packages {
		if python := d.pythons[p.environment]; python != "" {
			out, err := output(exec.CommandContext(ctx, python, "-c", script, p.name))
			if err != nil {
				return err
			}
			d.machine.Versions = append(d.machine.Versions, p.name+" "+strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// output runs a command and returns its stdout. An error ends with the last line of stderr.
func output(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t := tail{data: exit.Stderr}
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, t.last())
	}
	return out, err
}

// makeModels makes the scorer: the encoder with a head of one score, with random weights.
func (d *driver) makeModels(ctx context.Context) error {
	folder, err := filepath.Abs(d.model)
	if err != nil {
		return err
	}
	d.models = map[string]string{embedder: folder, scorer: filepath.Join(d.temp, scorer)}
	if !wants(d.workloads, "pairs") {
		return nil
	}
	m, err := bert.Load(ctx, folder, bert.Options{
		Head: bert.SequenceClassification, NewHead: true, Labels: []string{"LABEL_0"}, Seed: 1,
	})
	if err != nil {
		return err
	}
	defer m.Close()
	t, err := tokenizer.Load(folder)
	if err != nil {
		return err
	}
	if err := m.Save(d.models[scorer], bert.SaveOptions{}); err != nil {
		return err
	}
	return t.Save(d.models[scorer], tokenizer.SaveOptions{})
}

// measureAll takes the samples.
func (d *driver) measureAll(ctx context.Context) error {
	for _, model := range []string{embedder, scorer} {
		var ws []*workload
		for i := range workloads {
			if w := &workloads[i]; w.modelName() == model && wants(d.workloads, w.name) {
				ws = append(ws, w)
			}
		}
		if len(ws) == 0 {
			continue
		}
		if err := d.measureModel(ctx, model, ws); err != nil {
			return err
		}
	}
	return nil
}

// A runner is a program, or the library, that can be sampled.
type runner struct {
	name       string
	difference map[string]float64 // by workload
	sample     func(ctx context.Context, w *workload, connections int) (sample, error)
	used       func() time.Duration
	stop       func()
}

// measureModel takes those of a model: all programs are started, and asked in turns.
func (d *driver) measureModel(ctx context.Context, model string, ws []*workload) error {
	pass, err := openLibrary(ctx, d.models[model], model == scorer)
	if err != nil {
		return err
	}
	defer pass.close()
	var runners []*runner
	defer func() {
		for _, r := range runners {
			r.stop()
		}
	}()
	if wants(d.programs, library) {
		runners = append(runners, d.libraryRunner(pass))
	}
	for i := range programs {
		p := &programs[i]
		if !wants(d.programs, p.name) || p.environment != "" && d.pythons[p.environment] == "" {
			continue
		}
		d.note("starting %s with the %s", p.name, model)
		s, err := d.start(ctx, p, []string{model})
		if err == nil {
			r := d.serverRunner(s)
			if err = d.agree(ctx, s, pass, ws, r.difference); err == nil {
				runners = append(runners, r)
				continue
			}
			s.stop()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := d.leaveOut("%s: %v", p.name, err); err != nil {
			return err
		}
	}
	for round := 1; round <= d.rounds; round++ {
		for _, w := range ws {
			for _, connections := range append([]int{0}, d.connections...) {
				order := slices.Clone(runners)
				if round%2 == 0 {
					slices.Reverse(order)
				}
				for _, r := range order {
					if ours := r.name == library; connections == 0 && !ours || connections > 1 && ours {
						continue // the library has no connections: all texts at once, and one after the other
					}
					if err := d.take(ctx, r, w, connections, round); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// take takes a sample.
func (d *driver) take(ctx context.Context, r *runner, w *workload, connections, round int) error {
	bench.AwaitQuiet(ctx, settle, moment, time.Duration(quietShare*float64(moment)*float64(runtime.NumCPU())))
	busy, _ := bench.MachineTime()
	own, began := r.used()+processesOfOurs(), time.Now()
	s, err := r.sample(ctx, w, connections)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return d.leaveOut("%s, %s at %d connections: %v", r.name, w.name, connections, err)
	}
	after, known := bench.MachineTime()
	if known {
		others := after - busy - (r.used() + processesOfOurs() - own)
		s.Others = max(0, others.Seconds()/(time.Since(began).Seconds()*float64(runtime.NumCPU())))
	}
	s.Workload, s.Connections, s.Program, s.Round, s.Difference = w.name, connections, r.name, round, r.difference[w.name]
	d.note("round %d, %s, %d connections, %s: %.1f/s, %.2f ms, p99 %.2f ms, errors %d, others %.0f %%", round, w.name, connections, r.name, s.PerSecond, s.Median, s.P99, s.Errors, 100*s.Others)
	return d.add(s)
}

// A sample waits, for settle at most, until the machine has done next to nothing for a moment. A server that doesn't notice that its clients
// have gone computes for them long after its own sample has ended.
const (
	settle     = 30 * time.Second
	moment     = 500 * time.Millisecond
	quietShare = 0.1 // of the machine's processors
)

// processesOfOurs is the processor time of this process and of its children that have ended, as wrk.
func processesOfOurs() time.Duration { return bench.ProcessTime(os.Getpid()) }

// serverRunner samples a server by wrk.
func (d *driver) serverRunner(s *server) *runner {
	return &runner{
		name: s.program.name, difference: make(map[string]float64), used: s.used, stop: s.stop,
		sample: func(ctx context.Context, w *workload, connections int) (sample, error) {
			var bodies bytes.Buffer
			for _, q := range d.queries[w.name] {
				bodies.Write(append(w.body(s.program, q), '\n'))
			}
			url := "http://" + s.address + s.program.path(w)
			if _, err := d.load(ctx, url, bodies.Bytes(), connections, d.seconds/5); err != nil { // fills caches and pools
				return sample{}, err
			}
			l, err := d.load(ctx, url, bodies.Bytes(), connections, d.seconds)
			if err != nil {
				return sample{}, err
			}
			l.Memory, l.Peak = bench.ProcessMemory(s.cmd.Process.Pid)
			return l, nil
		},
	}
}

// libraryRunner samples calls of the library.
func (d *driver) libraryRunner(p *pass) *runner {
	return &runner{
		name: library, difference: make(map[string]float64), used: func() time.Duration { return 0 }, stop: func() {},
		sample: func(ctx context.Context, w *workload, connections int) (sample, error) {
			queries := d.queries[w.name]
			calls := [][]query{queries}
			if connections == 1 {
				calls = slices.Collect(slices.Chunk(queries, 1))
			}
			if _, err := p.do(ctx, calls[0]); err != nil { // allocates
				return sample{}, err
			}
			var (
				took  bench.Samples
				texts int
				began = time.Now()
			)
			for i := 0; i < len(calls) || time.Since(began).Seconds() < d.seconds; i++ {
				call, from := calls[i%len(calls)], time.Now()
				if _, err := p.do(ctx, call); err != nil {
					return sample{}, err
				}
				took = append(took, time.Since(from).Seconds())
				texts += len(call)
			}
			seconds := time.Since(began).Seconds()
			slices.Sort(took)
			s := sample{PerSecond: float64(texts) / seconds, Requests: len(took), Median: 1e3 * took.Median(), P99: 1e3 * took.Quantile(0.99), Longest: 1e3 * took.Quantile(1)}
			s.Memory, s.Peak = bench.ProcessMemory(os.Getpid())
			return s, nil
		},
	}
}

// agreement is the number of queries, evenly taken from the list, on which each program has to give the library's numbers, within most.
const (
	agreement = 24
	most      = 1e-3
)

// agree compares a server's numbers with the library's.
func (d *driver) agree(ctx context.Context, s *server, p *pass, ws []*workload, difference map[string]float64) error {
	for _, w := range ws {
		queries := d.queries[w.name]
		for i := 0; i < len(queries); i += max(1, len(queries)/agreement) {
			want, err := p.do(ctx, queries[i:i+1])
			if err != nil {
				return err
			}
			answer, err := s.post(ctx, s.program.path(w), w.body(s.program, queries[i]))
			if err != nil {
				return err
			}
			got, err := w.numbers(answer)
			if err != nil {
				return fmt.Errorf("%w: %.200s", err, answer)
			}
			if len(got) != len(want[0]) {
				return fmt.Errorf("%d numbers, the library has %d", len(got), len(want[0]))
			}
			for k, x := range got {
				difference[w.name] = max(difference[w.name], math.Abs(x-want[0][k]))
			}
		}
		if !(difference[w.name] <= most) {
			return fmt.Errorf("its numbers for %s differ from the library's by %g, want at most %g", w.name, difference[w.name], most)
		}
	}
	return nil
}

// A pass is a model in the hands of the library.
type pass struct {
	do    func(ctx context.Context, queries []query) ([][]float64, error)
	close func() error
}

func openLibrary(ctx context.Context, folder string, scores bool) (*pass, error) {
	inputs := func(queries []query) []data.Input {
		list := make([]data.Input, len(queries))
		for i, q := range queries {
			list[i] = data.Input{Text: q.Text, TextPair: q.Pair, Pair: scores}
		}
		return list
	}
	if !scores {
		r, err := task.Open(ctx, folder, task.Encode(task.EncodeOptions{}), task.Options{})
		if err != nil {
			return nil, err
		}
		return &pass{close: r.Close, do: func(ctx context.Context, queries []query) ([][]float64, error) {
			encoded, err := r.Do(ctx, inputs(queries))
			if err != nil {
				return nil, err
			}
			vectors := make([][]float64, len(encoded))
			for i := range encoded {
				vectors[i] = make([]float64, len(encoded[i].Pooled))
				for k, x := range encoded[i].Pooled {
					vectors[i][k] = float64(x)
				}
			}
			return vectors, nil
		}}, nil
	}
	r, err := task.Open(ctx, folder, task.Predict(), task.Options{})
	if err != nil {
		return nil, err
	}
	return &pass{close: r.Close, do: func(ctx context.Context, queries []query) ([][]float64, error) {
		predictions, err := r.Do(ctx, inputs(queries))
		if err != nil {
			return nil, err
		}
		scores := make([][]float64, len(predictions))
		for i, p := range predictions {
			if p.Value == nil {
				return nil, errors.New("the scorer gives no number")
			}
			scores[i] = []float64{1 / (1 + math.Exp(-*p.Value))}
		}
		return scores, nil
	}}, nil
}
