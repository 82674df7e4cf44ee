package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/go-bert/bert/checkpoint"
)

// model writes a model directory with one number in each tensor.
func model(t *testing.T, tensors map[string]float32) string {
	t.Helper()
	dir := t.TempDir()
	var list []checkpoint.Tensor
	for name, v := range tensors {
		data, err := checkpoint.FromFloat32(checkpoint.BF16, []float32{v})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, checkpoint.Tensor{Name: name, DType: checkpoint.BF16, Shape: []int{1}, Data: data})
	}
	if err := checkpoint.WriteSafetensors(filepath.Join(dir, weights), list, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMix(t *testing.T) {
	begun := model(t, map[string]float32{"both": 1, "head": 3})
	learnt := model(t, map[string]float32{"both": 2, "classifier": 5})
	out := filepath.Join(t.TempDir(), "out")
	mixed, err := mix(begun, learnt, out, 0.25)
	if err != nil || mixed != 1 {
		t.Fatalf("%d tensors, %v", mixed, err)
	}
	if _, err := os.Stat(filepath.Join(out, "config.json")); err != nil {
		t.Error(err)
	}
	f, err := checkpoint.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := map[string]float32{}
	for _, tensor := range f.Tensors() {
		v := make([]float32, 1)
		if err := tensor.Float32(v); err != nil {
			t.Fatal(err)
		}
		got[tensor.Name] = v[0]
	}
	if len(got) != 2 || got["both"] != 1.25 || got["head"] != 3 {
		t.Errorf("got %v", got)
	}
	if _, err := mix(begun, model(t, map[string]float32{"other": 1}), filepath.Join(t.TempDir(), "none"), 0.5); err == nil {
		t.Error("models without a tensor in common were mixed")
	}
}

// TestMixShapes: a tensor of another shape is none of both.
func TestMixShapes(t *testing.T) {
	begun, learnt := model(t, map[string]float32{"a": 1, "b": 1}), model(t, map[string]float32{"a": 3})
	data, err := checkpoint.FromFloat32(checkpoint.F32, []float32{7, 7})
	if err != nil {
		t.Fatal(err)
	}
	a, err := checkpoint.FromFloat32(checkpoint.F32, []float32{3})
	if err != nil {
		t.Fatal(err)
	}
	list := []checkpoint.Tensor{{Name: "a", DType: checkpoint.F32, Shape: []int{1}, Data: a}, {Name: "b", DType: checkpoint.F32, Shape: []int{2}, Data: data}}
	if err := checkpoint.WriteSafetensors(filepath.Join(learnt, weights), list, nil); err != nil {
		t.Fatal(err)
	}
	if mixed, err := mix(begun, learnt, filepath.Join(t.TempDir(), "out"), 1); err != nil || mixed != 1 {
		t.Fatalf("%d tensors, %v; want one", mixed, err)
	}
}
