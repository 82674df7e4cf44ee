package bert_test

import (
	"testing"

	"github.com/go-bert/bert"
)

// Models on a shared device give what they give alone, and the device lives as long as one of them.
func TestShareDevice(t *testing.T) {
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize, c.MaxPositionEmbeddings = 40, 12, 2, 2, 20, 16
	var b bert.Batch
	b.Add([]int32{2, 7, 3}, nil)
	b.Add([]int32{2, 9, 11, 12, 3}, nil)
	forward := func(m *bert.Model) []float32 {
		t.Helper()
		out, err := m.NewSession().Forward(&b, bert.Outputs{LastHidden: true})
		if err != nil {
			t.Fatal(err)
		}
		return out.LastHidden
	}
	open := func(seed uint64, d *bert.Device) *bert.Model {
		t.Helper()
		m, err := bert.New(c, bert.Options{Head: bert.NoHead, Seed: seed, Device: d, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	alone := open(1, nil)
	defer alone.Close()
	want := forward(alone)
	shared := bert.ShareDevice(2)
	one, two := open(1, shared), open(2, shared)
	if one.Device() != two.Device() {
		t.Errorf("%s and %s", one.Device(), two.Device())
	}
	done := make(chan []float32)
	go func() { done <- forward(one) }()
	forward(two)
	for i, x := range <-done {
		if x != want[i] {
			t.Fatalf("value %d is %v, alone %v", i, x, want[i])
		}
	}
	for range 2 { // the second time does nothing
		if err := two.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i, x := range forward(one) {
		if x != want[i] {
			t.Fatalf("after the other was closed value %d is %v, alone %v", i, x, want[i])
		}
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(1, shared)
	defer again.Close()
	forward(again)
}
