package checkpoint_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-bert/bert/checkpoint"
)

// Save values in half precision and read them again.
func Example() {
	dir, err := os.MkdirTemp("", "checkpoint")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	data, err := checkpoint.FromFloat32(checkpoint.F16, []float32{0.5, -1, 1.0 / 3, 65504})
	if err != nil {
		fmt.Println(err)
		return
	}
	weight := checkpoint.Tensor{Name: "classifier.weight", DType: checkpoint.F16, Shape: []int{2, 2}, Data: data}
	path := filepath.Join(dir, "model.safetensors")
	if err := checkpoint.WriteSafetensors(path, []checkpoint.Tensor{weight}, map[string]string{"format": "pt"}); err != nil {
		fmt.Println(err)
		return
	}

	f, err := checkpoint.Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	for _, t := range f.Tensors() {
		values := make([]float32, t.Len())
		if err := t.Float32(values); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(t.Name, t.DType, t.Shape, values)
	}
	// Output: classifier.weight F16 [2 2] [0.5 -1 0.33325195 65504]
}
