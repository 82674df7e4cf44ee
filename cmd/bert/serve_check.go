package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/bench"
	"github.com/go-bert/bert/serve"
	"github.com/go-bert/bert/task"
)

// A checked is a line of bert serve --check.
type checked struct {
	what, found string
	failed      bool
}

// errCheck is the end of a check that found something wrong.
var errCheck = errors.New("not all is well: see above")

// checkServer checks models and machine, and suggests flags.
func (a *app) checkServer(ctx context.Context, f *serveFlags) error {
	var (
		lines     []checked
		suggested []string
	)
	add := func(what, found string, failed bool) { lines = append(lines, checked{what, found, failed}) }
	machine, err := bench.Open(f.options.Threads)
	if err != nil {
		return err
	}
	l := readLimits()
	add("processor", fmt.Sprintf("%s, instructions %s, %s", bench.Processor(), machine.Level(), count(runtime.NumCPU(), "processor")), false)
	add("limits", fmt.Sprintf("%s, %s of memory; %s", l.processors(), l.memory(), count(f.options.Threads, "thread")), false)
	if n := runtime.GOMAXPROCS(0); f.options.Threads > n {
		add("threads", fmt.Sprintf("%d, though only %d can run at once", f.options.Threads, n), true)
		suggested = append(suggested, fmt.Sprintf("--threads %d", n))
	}
	if open := f.listen.host != "127.0.0.1" && f.listen.host != "localhost" && f.listen.host != "::1"; open && len(f.options.Keys) == 0 && f.options.KeyFile == "" && f.listen.socket == "" {
		add("access", "other machines may ask, without a key", false)
		suggested = append(suggested, "--api-key-file FILE")
	}
	if err := loads(ctx, f); err != nil {
		add("models", oneLine(err.Error()), true)
	} else if f.options.Manifest != "" {
		add("models", "all of "+f.options.Manifest+" can be loaded", false)
	}
	slowest := math.Inf(1)
	for _, spec := range f.options.Models {
		found, rate, err := checkModel(ctx, &spec, f.options.Threads)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			found = oneLine(err.Error())
		default:
			slowest = min(slowest, rate)
		}
		add("model "+spec.Name, found, err != nil)
		if machine.Native(bert.BFloat16) && machine.Level() == "amx" && spec.Precision == bert.Float32 && err == nil {
			suggested = append(suggested, "--precision bf16")
		}
	}
	if !math.IsInf(slowest, 1) {
		const seconds = 10
		n := max(4096, int(slowest*seconds)/1024*1024)
		suggested = append(suggested, fmt.Sprintf("--max-queue-tokens %d", n))
		add("queue", fmt.Sprintf("%s wait at most %d s", count(n, "token"), seconds), false)
	}
	var b strings.Builder
	for _, line := range lines {
		mark := "ok    "
		if line.failed {
			mark = "FAILED"
		}
		fmt.Fprintf(&b, "%s  %s: %s\n", mark, line.what, line.found)
	}
	slices.Sort(suggested)
	if suggested = slices.Compact(suggested); suggested != nil {
		fmt.Fprintf(&b, "suggested: bert serve %s\n", strings.Join(suggested, " "))
	}
	if err := writeOut(a.stdout, []byte(b.String())); err != nil {
		return err
	}
	if slices.ContainsFunc(lines, func(c checked) bool { return c.failed }) {
		return errCheck
	}
	return nil
}

// loads lets a server load the models, as it would before it answers.
func loads(ctx context.Context, f *serveFlags) error {
	s, err := serve.New(f.options)
	if err != nil {
		return err
	}
	s.Start(ctx)
	err = s.Wait(ctx)
	return errors.Join(err, s.Close())
}

// probes are the texts that a model is checked with: of different lengths, so that a batch has to keep them apart.
var probes = []string{"A joy from start to finish.", "No.", "The film begins well, but after half an hour nothing happens any more, and in the end one is glad to leave."}

// mostProbed is the most tokens of a probe: plain Go takes its time.
const mostProbed = 64

// mostDifferent is how far the hidden states may be from those of plain Go, of their largest: by the rounding of the number format.
var mostDifferent = map[bert.Precision]float64{bert.Float32: 1e-4, bert.BFloat16: 0.1, bert.Int8: 0.1}

// checkModel compares what a model computes with plain Go, and alone with in a batch, and measures the tokens a second.
func checkModel(ctx context.Context, spec *serve.ModelSpec, threads int) (found string, rate float64, err error) {
	d, err := task.Describe(ctx, spec.Path)
	if err != nil {
		return "", 0, err
	}
	last := task.Encode(task.EncodeOptions{Layers: []int{-1}, MaxLength: min(d.Config.MaxPositionEmbeddings, mostProbed)})
	open := func(device *bert.Device, p bert.Precision) (*task.Runner[task.Encoded], error) {
		return task.Open(ctx, spec.Path, last, task.Options{Model: bert.Options{Device: device, Threads: threads, Precision: p, Dequantize: p == bert.Float32}})
	}
	r, err := open(nil, spec.Precision)
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	together, err := r.Do(ctx, data.Texts(probes...))
	if err != nil {
		return "", 0, err
	}
	for i, text := range probes {
		alone, err := r.Do(ctx, data.Texts(text))
		if err != nil {
			return "", 0, err
		}
		if distance(alone[0].Layers[0].Values, together[i].Layers[0].Values) != 0 {
			return "", 0, fmt.Errorf("probe %d has other bits alone than among others: please report it", i+1)
		}
	}
	plain, ok := bert.OnKernels("purego", bert.Float32)
	if !ok {
		return "", 0, errors.New("this build has no kernels in plain Go to compare with")
	}
	reference, err := open(plain, bert.Float32)
	if err != nil {
		return "", 0, err
	}
	want, err := reference.Do(ctx, data.Texts(probes...))
	if err = errors.Join(err, reference.Close()); err != nil {
		return "", 0, err
	}
	worst := 0.0
	for i := range probes {
		d := distance(together[i].Layers[0].Values, want[i].Layers[0].Values)
		if math.IsNaN(d) {
			return "", 0, fmt.Errorf("probe %d gives no numbers", i+1)
		}
		worst = max(worst, d)
	}
	if most := mostDifferent[spec.Precision]; worst > most {
		return "", 0, fmt.Errorf("%s differ from plain Go by %.2g of the largest number, want at most %g: please report it", count(len(probes), "probe"), worst, most)
	}
	tokens := 0
	batch := data.Texts(slices.Repeat(probes, 10)...)
	for i := range together {
		tokens += 10 * len(together[i].Tokens)
	}
	const limit = time.Second
	times, err := bench.Time(limit, func() error {
		_, err := r.Do(ctx, batch)
		return err
	})
	if err != nil {
		return "", 0, err
	}
	rate = float64(tokens) / times.Median()
	return fmt.Sprintf("%s differ from plain Go by %.1g of the largest number, none from itself in a batch; %s a second",
		count(len(probes), "probe"), worst, count(int(rate), "token")), rate, nil
}

// distance is the largest difference of two matrices, of the largest number of the second; NaN where there is one.
func distance(a, b [][]float32) float64 {
	most, largest := 0.0, 0.0
	for i := range b {
		for k := range b[i] {
			d := math.Abs(float64(a[i][k]) - float64(b[i][k]))
			if math.IsNaN(d) {
				return d
			}
			most, largest = max(most, d), max(largest, math.Abs(float64(b[i][k])))
		}
	}
	if most == 0 {
		return 0
	}
	return most / largest
}

// limits are what the system lets this process have.
type limits struct {
	cpus  float64 // of the control group; 0: no limit
	bytes int64   // likewise
}

func (l limits) processors() string {
	if l.cpus == 0 {
		return "no limit of processors"
	}
	return fmt.Sprintf("at most %.4g processors", l.cpus)
}

func (l limits) memory() string {
	if l.bytes == 0 {
		return "no limit"
	}
	return fmt.Sprintf("at most %.4g GB", float64(l.bytes)/1e9)
}

// memoryShare is how much of a control group's memory Go's heap may have. The rest is for files that are mapped.
const memoryShare = 0.8

// limitMemory lets Go collect garbage in time where a control group limits memory, unless the environment says otherwise.
func limitMemory() {
	if l := readLimits(); l.bytes > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(memoryShare * float64(l.bytes)))
	}
}
