package bert

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/compute/computetest"
	"github.com/go-bert/bert/internal/compute/cpu"
)

// shardConfig has a word embedding of several runs.
func shardConfig() Config {
	c := smallConfig()
	c.VocabSize = 2*RunLen/c.HiddenSize + 99
	return c
}

// cutRuns gives each of n trainers every n-th run.
func cutRuns(m *Model, n int) [][]Range {
	owned := make([][]Range, n)
	for i, r := range m.Runs() {
		owned[i%n] = append(owned[i%n], r)
	}
	return owned
}

// Trainers that own a part of the parameters each, and tell one another what they know of it, make the steps of one that owns all, to the
// bit: by Adam and by LAMB, on a device that does everything as late as it may too.
func TestOwned(t *testing.T) {
	const n = 3
	c := shardConfig()
	deferred := NewDevice(func(threads int, p Precision) (compute.Device, error) {
		d, err := cpu.New(threads, p)
		if err != nil {
			return nil, err
		}
		return computetest.Defer(d), nil
	})
	for name, device := range map[string]*Device{"processor": nil, "deferred": deferred} {
		t.Run(name, func(t *testing.T) {
			models := make([]*Model, n+1) // the last is the whole
			trainers := make([]*Trainer, n+1)
			for i := range models {
				m, err := New(c, Options{Head: PreTraining, Threads: 1, Seed: 4, Device: device})
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				var o TrainerOptions
				if i < n {
					o.Owned = cutRuns(m, n)[i]
				}
				models[i] = m
				if trainers[i], err = m.NewTrainerWith(o); err != nil {
					t.Fatal(err)
				}
			}
			whole, runs := trainers[n], models[n].Runs()
			for step := range uint64(4) {
				u := Update{GradScale: 0.5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, StepSize: 1e-3, RootScale: 1, Decay: 1e-5, LAMB: step >= 2, LayerRate: 1e-2}
				var squares, norms []float64
				for i, tr := range trainers {
					backward(t, tr, Pass{Key: step}, testBatch(c, 9, 1, 24))
					if i == n {
						break
					}
					own := make([]float64, (len(runs)-i+n-1)/n)
					both := make([]float64, 2*len(own))
					if err := tr.RunSquares(own); err != nil {
						t.Fatal(err)
					}
					squares = append(squares, own...)
					if u.LAMB {
						if err := tr.Update(u); err == nil || !strings.Contains(err.Error(), "use Directions and Apply") {
							t.Errorf("Update by LAMB of a part: %v", err)
						}
						if err := tr.Directions(both, u); err != nil {
							t.Fatal(err)
						}
						all := make([]float64, 2*len(runs))
						for k := range own {
							copy(all[2*(i+n*k):], both[2*k:2*k+2])
						}
						if norms == nil {
							norms = all
						} else {
							for k, v := range all {
								norms[k] += v
							}
						}
						continue
					}
					update(t, tr, u)
				}
				sum := 0.0
				for _, s := range squares {
					sum += s
				}
				if norm := gradNorm(t, whole); math.Abs(math.Sqrt(sum)-norm) > 1e-12*norm {
					t.Errorf("step %d: the norm by runs is %v, want %v", step, math.Sqrt(sum), norm)
				}
				update(t, whole, u)
				for _, tr := range trainers[:n] {
					if u.LAMB {
						if err := tr.Apply(u, norms); err != nil {
							t.Fatal(err)
						}
					}
				}
				// Everybody gets what the others own.
				for i, r := range runs {
					v := make([]float32, r.Len())
					if err := trainers[i%n].ParameterRange(r).Read(v); err != nil {
						t.Fatal(err)
					}
					for _, tr := range trainers[:n] {
						if err := tr.ParameterRange(r).Write(v); err != nil {
							t.Fatal(err)
						}
					}
				}
				if got, want := readAll(t, trainers[0]), readAll(t, whole); !slices.Equal(got, want) {
					t.Fatalf("step %d, LAMB %v: other bits than those of one trainer", step, u.LAMB)
				}
			}

			// The state is the same file, whoever has the moments, and goes back to them.
			dir := t.TempDir()
			want, got := filepath.Join(dir, "want"), filepath.Join(dir, "got")
			if err := whole.WriteState(want, map[string]string{"step": "4"}); err != nil {
				t.Fatal(err)
			}
			if err := trainers[0].WriteState(got, nil); err == nil || !strings.Contains(err.Error(), "use WriteStateFrom") {
				t.Errorf("WriteState of a part: %v", err)
			}
			type piece struct {
				moment int
				Range
			}
			var expected, asked []piece
			for moment, r := range models[0].MomentPieces() {
				expected = append(expected, piece{moment, r})
			}
			if err := trainers[0].WriteStateFrom(got, map[string]string{"step": "4"}, func(moment int, r Range, values []float32) error {
				asked = append(asked, piece{moment, r})
				for _, tr := range trainers[:n] {
					for part, v := range tr.OwnedMoments(r, moment == 1) {
						if err := v.Read(values[part.From-r.From : part.To-r.From]); err != nil {
							return err
						}
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(asked, expected) {
				t.Errorf("moments are asked for as %v, want %v", asked, expected)
			}
			if !bytes.Equal(mustReadFile(t, got), mustReadFile(t, want)) {
				t.Error("the state in parts is another file than that of the whole")
			}
			if _, err := trainers[1].ReadState(want); err == nil || !strings.Contains(err.Error(), "use ReadStateTo") {
				t.Errorf("ReadState of a part: %v", err)
			}
			before := readAll(t, whole)
			backward(t, whole, Pass{}, testBatch(c, 9))
			update(t, whole, Update{GradScale: 1, StepSize: 1, RootScale: 1, Eps: 1})
			var given []piece
			if _, err := trainers[1].ReadStateTo(want, func(moment int, r Range, values []float32) error {
				given = append(given, piece{moment, r})
				return nil
			}); err != nil || !slices.Equal(given, expected) {
				t.Errorf("moments are given as %v, %v, want %v", given, err, expected)
			}
			if !slices.Equal(readAll(t, trainers[1]), before) {
				t.Error("the state that was read has other parameters")
			}
		})
	}
}

func mustReadFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// readAll is all parameters.
func readAll(t *testing.T, tr *Trainer) []float32 {
	t.Helper()
	values := make([]float32, tr.grads.Len)
	if err := tr.ParameterRange(Range{0, len(values)}).Read(values); err != nil {
		t.Fatal(err)
	}
	return values
}

func TestOwnedRefuses(t *testing.T) {
	m := newTestModel(t, shardConfig(), PreTraining, 1)
	runs := m.Runs()
	for want, owned := range map[string][]Range{
		"want ascending ranges":                         {runs[1], runs[0]},
		"elements 0 to 1 of bert.embeddings.word":       {{0, 1}},
		"elements 1 to 16384 of bert.embeddings.word":   {{1, RunLen}},
		"elements 5 to 5 of":                            {{5, 5}},
		"to own elements 16384 to 9223372036854775807 ": {{RunLen, math.MaxInt}},
	} {
		if _, err := m.NewTrainerWith(TrainerOptions{Owned: owned}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", owned, err, want)
		}
	}
	tr, err := m.NewTrainerWith(TrainerOptions{Owned: []Range{}})
	if err != nil {
		t.Fatal(err)
	}
	backward(t, tr, Pass{}, testBatch(m.config, 9))
	before := readAll(t, tr)
	update(t, tr, Update{GradScale: 1, StepSize: 1, RootScale: 1, Eps: 1})
	if !slices.Equal(readAll(t, tr), before) {
		t.Error("a trainer that owns nothing has changed parameters")
	}
}

// What Pass.Settled calls final is final: for each head, over several batches, in the reverse order of the table.
func TestSettled(t *testing.T) {
	for _, h := range headCases {
		t.Run(h.name, func(t *testing.T) {
			c := h.config()
			m := newTestModel(t, c, h.head, 1)
			tr := newTrainer(t, m)
			all := tr.grads.Len
			var (
				froms []int
				seen  = make([]float32, all)
				end   = all
			)
			batches := []*Batch{h.batch(9, 3), h.batch(5, 4)}
			if _, err := tr.Backward(batches, Pass{Key: 3, Settled: func(from int) {
				froms = append(froms, from)
				if from > end {
					t.Fatalf("settled from %d after %d", from, end)
				}
				if err := tr.GradientRange(Range{from, end}).Read(seen[from:end]); err != nil {
					t.Fatal(err)
				}
				end = from
			}}); err != nil {
				t.Fatal(err)
			}
			if len(froms) != c.NumHiddenLayers+2 || end != 0 {
				t.Errorf("settled from %v", froms)
			}
			if !slices.Equal(seen, m.host(tr.grads)) {
				t.Error("gradients that were settled have changed")
			}
		})
	}
}

// Gradients that are set aside come back as they were, in ranges.
func TestHold(t *testing.T) {
	c := smallConfig()
	m := newTestModel(t, c, PreTraining, 1)
	tr := newTrainer(t, m)
	gradient := func(key uint64) []float32 {
		backward(t, tr, Pass{Key: key}, testBatch(c, 9, 5))
		return slices.Clone(m.host(tr.grads))
	}
	hold := func() {
		if err := tr.Hold(); err != nil {
			t.Fatal(err)
		}
	}
	a := gradient(1)
	hold()
	b := gradient(2)
	hold()
	g := gradient(3)
	held := make([]float32, 7)
	if err := tr.HeldRange(1, Range{3, 10}).Read(held); err != nil || !slices.Equal(held, b[3:10]) || tr.Held() != 2 {
		t.Errorf("%d are held, of the second %v, %v, want %v", tr.Held(), held, err, b[3:10])
	}
	half := len(g) / 2
	for _, r := range []Range{{half, len(g)}, {0, half}} {
		if err := tr.AddHeld(1, r); err != nil {
			t.Fatal(err)
		}
	}
	tr.DropHeld(1)
	if err := tr.AddHeld(0, Range{0, len(g)}); err != nil {
		t.Fatal(err)
	}
	tr.DropHeld(1)
	for i := range g {
		g[i] = g[i] + b[i] + a[i]
	}
	if !slices.Equal(m.host(tr.grads), g) || tr.Held() != 0 {
		t.Error("the sum has other bits")
	}
}
