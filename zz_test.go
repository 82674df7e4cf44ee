package bert

import (
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestZZ(t *testing.T) {
	threads, _ := strconv.Atoi(os.Getenv("THREADS"))
	precs := []Precision{BFloat16, Int8}
	if v := os.Getenv("PREC"); v == "bf16" {
		precs = precs[:1]
	} else if v == "int8" {
		precs = precs[1:]
	}
	batches := []int{1, 8, 32}
	if v := os.Getenv("BATCH"); v != "" {
		n, _ := strconv.Atoi(v)
		batches = []int{n}
	}
	for _, p := range precs {
		c := DefaultConfig()
		if os.Getenv("MINILM") != "" {
			c.NumHiddenLayers, c.HiddenSize, c.NumAttentionHeads, c.IntermediateSize = 6, 384, 12, 1536
		}
		m, err := New(c, Options{Head: SequenceClassification, Threads: max(threads, 1), Precision: p})
		if err != nil {
			t.Fatal(err)
		}
		s := m.NewSession()
		for _, n := range batches {
			batch := randomBatch(m.config, n, 128)
			for range 2 {
				s.Forward(batch, Outputs{})
			}
			if f := os.Getenv("PROF"); f != "" {
				w, _ := os.Create(f)
				pprof.StartCPUProfile(w)
			}
			var ts []float64
			for len(ts) < 3 || len(ts)*n < 200 {
				t0 := time.Now()
				s.Forward(batch, Outputs{})
				ts = append(ts, time.Since(t0).Seconds())
			}
			pprof.StopCPUProfile()
			slices.Sort(ts)
			fmt.Printf("%v b%d: best %.2f quarter %.2f median %.2f seq/s\n", p, n, float64(n)/ts[0], float64(n)/ts[len(ts)/4], float64(n)/ts[len(ts)/2])
		}
		m.Close()
	}
}
