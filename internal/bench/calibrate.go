package bench

import (
	"slices"
	"time"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/cpu"
)

// Threshold is one of cpu.Thresholds, with candidate values and the work by which to compare them. The other thresholds keep
// their compiled-in values.
type Threshold struct {
	Name       string
	Unit       string
	Compiled   int
	Candidates []int

	set  func(at *cpu.Thresholds, value int)
	work func(d *cpu.Device, s *Sizes) (run func())
}

// Trial holds the durations of the work with a value, the shortest first.
type Trial struct {
	Value int
	Times Samples
}

// never is more rows than there are.
const never = 1 << 30

// Thresholds returns the thresholds that can be calibrated.
func Thresholds() []Threshold {
	at := cpu.DefaultThresholds()
	return []Threshold{
		{
			"depth", "words", at.Depth, []int{256, 384, 512, 768, 1024, 1536},
			func(at *cpu.Thresholds, v int) { at.Depth = v }, products,
		},
		{
			"tile_depth", "words", at.TileDepth, []int{96, 128, 192, 256, 384, 768},
			func(at *cpu.Thresholds, v int) { at.TileDepth = v }, products,
		},
		{
			"block_rows", "rows", at.BlockRows, []int{48, 96, 144, 192, 288, 384},
			func(at *cpu.Thresholds, v int) { at.BlockRows = v }, products,
		},
		{
			"tile_rows", "rows", at.TileRows, []int{128, 192, 256, 384, 512, 768},
			func(at *cpu.Thresholds, v int) { at.TileRows = v }, products,
		},
		{
			"finish_cols", "columns", at.FinishCols, []int{64, 128, 256, 512, 1024},
			func(at *cpu.Thresholds, v int) { at.FinishCols = v }, products,
		},
		{
			"feed_rows", "rows", at.FeedRows, []int{32, 64, 96, 128, 192, never},
			func(at *cpu.Thresholds, v int) { at.FeedRows = v }, products,
		},
		{
			"slice_words", "words", at.SliceWords, []int{1 << 18, 1 << 20, 2 << 20, 4 << 20, 8 << 20},
			func(at *cpu.Thresholds, v int) { at.SliceWords = v }, packedProducts,
		},
		{
			"grain", "ns", at.Grain, []int{1000, 2000, 4000, 8000, 16000, 32000, 64000},
			func(at *cpu.Thresholds, v int) { at.Grain = v }, smallRounds,
		},
		{
			"spin", "ns", int(at.Spin), []int{0, 10000, 20000, 50000, 100000, 200000},
			func(at *cpu.Thresholds, v int) { at.Spin = time.Duration(v) }, smallRounds,
		},
	}
}

// Try measures the work with all candidates in turn, repeatedly for about the time limit and at least three times. So other load on
// the machine affects all of them alike.
func (t *Threshold) Try(m *Machine, p compute.Precision, s Sizes, limit time.Duration) []Trial {
	trials := make([]Trial, len(t.Candidates))
	runs := make([]func(), len(t.Candidates))
	for i, v := range t.Candidates {
		at := cpu.DefaultThresholds()
		t.set(&at, v)
		d := cpu.NewWith(m.kernels, m.threads, p, at)
		defer d.Close()
		trials[i].Value, runs[i] = v, t.work(d, &s)
		runs[i]() // warm up
	}
	for begun := time.Now(); len(trials[0].Times) < minRuns || time.Since(begun) < limit; {
		for i, run := range runs {
			from := time.Now()
			run()
			trials[i].Times = append(trials[i].Times, time.Since(from).Seconds())
		}
	}
	for i := range trials {
		slices.Sort(trials[i].Times)
	}
	return trials
}

// products returns a feed-forward network, with weights that are packed once, as in inference.
func products(d *cpu.Device, s *Sizes) (run func()) {
	return s.feedForward(s.Sequences*s.Length).prepare(nil, d)
}

// packedProducts returns two products of the backward pass, which pack their operands each time.
func packedProducts(d *cpu.Device, s *Sizes) (run func()) {
	rows := s.Sequences * s.Length
	input := s.linearInputGrad(rows, s.Intermediate, s.Hidden).prepare(nil, d)
	weight := s.linearWeightGrad(rows, s.Hidden, s.Intermediate).prepare(nil, d)
	return func() { input(); weight() }
}

// smallRounds returns additions of vectors that take from half a microsecond to sixty, several of each length, like the operations
// of a batch of few tokens.
func smallRounds(d *cpu.Device, _ *Sizes) (run func()) {
	const shortest, lengths, each = 1 << 11, 8, 64
	x, y := alloc(d, shortest<<(lengths-1)), alloc(d, shortest<<(lengths-1))
	return func() {
		for i := range lengths {
			n := shortest << i
			for range each {
				d.Add(x.Slice(0, n), y.Slice(0, n))
			}
		}
	}
}
