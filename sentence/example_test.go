package sentence_test

import (
	"fmt"

	"github.com/go-bert/bert/sentence"
)

// A plain BERT gets a pipeline: the mean of its hidden states, of length 1.
func ExampleNew() {
	p, err := sentence.New(sentence.Options{Modes: []sentence.Mode{sentence.Mean}, Normalize: true, Hidden: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	states := []float32{1, 2, 5, 6} // of two tokens
	v, err := p.Vector(states, 2, 0)
	fmt.Println(p, v, err)
	// Output: mean pooling, Normalize [0.6 0.8] <nil>
}
