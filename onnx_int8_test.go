package bert

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/go-bert/bert/checkpoint"
)

// TestONNXInt8 asserts that a graph of a model whose weights are int8 holds these integers and scales, so that reading it gives them
// back to the bit, with any head.
func TestONNXInt8(t *testing.T) {
	for _, head := range []Head{NoHead, MaskedLM, SequenceClassification, QuestionAnswering} {
		plain := savedModel(t, head, SaveOptions{})
		for name, q := range plans() {
			if name == "scaled" || name == "nothing" {
				continue // see below; float32
			}
			m := loadModel(t, plain, Options{Precision: Int8, Quantize: q})
			dir := t.TempDir()
			if err := m.Save(dir, SaveOptions{Format: checkpoint.ONNX}); err != nil {
				t.Fatal(err)
			}
			back := loadModel(t, dir, Options{Precision: Int8, Head: head})
			for i := range m.params {
				p, got := &m.params[i], &back.params[i]
				if (p.ints == nil) != (got.ints == nil) {
					t.Errorf("%v, %s: %s is int8 in one of the two alone", head, name, p.Name)
					continue
				}
				if p.ints != nil && (!slices.Equal(p.ints.Values, got.ints.Values) || !slices.Equal(p.ints.Scales, got.ints.Scales)) {
					t.Errorf("%v, %s: %s has other integers", head, name, p.Name)
				}
				if p.ints == nil && !slices.Equal(m.host(p.value), back.host(got.value)) {
					t.Errorf("%v, %s: %s has other values", head, name, p.Name)
				}
			}
			float := t.TempDir()
			if err := m.Save(float, SaveOptions{Format: checkpoint.ONNX, DType: checkpoint.F32}); err != nil {
				t.Fatal(err)
			}
			if small, large := contents(t, filepath.Join(dir, "model.onnx")), contents(t, filepath.Join(float, "model.onnx")); bytes.Contains(large, []byte("_quantized")) || !bytes.Contains(small, []byte("_quantized")) {
				t.Errorf("%v, %s: F32 has integers, or int8 none", head, name)
			}
		}
	}
}

// TestONNXInt8InputScales asserts that a graph of a model whose inputs are scaled is read as the numbers that its weights mean.
func TestONNXInt8InputScales(t *testing.T) {
	m := loadModel(t, savedModel(t, SequenceClassification, SaveOptions{}), Options{Precision: Int8, Quantize: plans()["scaled"]})
	dir := t.TempDir()
	if err := m.Save(dir, SaveOptions{Format: checkpoint.ONNX}); err != nil {
		t.Fatal(err)
	}
	back := loadModel(t, dir, Options{})
	for i := range m.params {
		want, err := m.Values(m.params[i].Name)
		if err != nil {
			t.Fatal(err)
		}
		if got := back.host(back.params[i].value); !slices.Equal(got, want) {
			t.Errorf("%s has other values", m.params[i].Name)
		}
	}
}
