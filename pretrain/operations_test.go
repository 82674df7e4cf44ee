package pretrain

import (
	"testing"

	"github.com/go-bert/bert"
)

func TestOperations(t *testing.T) {
	c := bert.DefaultConfig()
	// BERT-base at 128 tokens: a layer is 1.86 billion operations.
	if got, want := encoderOperations(&c, 128), 12*1862270976.0; got != want {
		t.Errorf("BERT-base: %.0f operations, want %.0f", got, want)
	}
	if got, want := maskedLMOperations(768, 30522, 20), 20*2*768*(768+30522.0); got != want {
		t.Errorf("masked LM: %.0f operations, want %.0f", got, want)
	}
	var one, two bert.Batch
	one.Add(make([]int32, 128), nil)
	one.MaskedPositions = make([]int32, 20)
	two.Add(make([]int32, 128), nil)
	two.Add(make([]int32, 1), nil)
	want := 3 * (2*encoderOperations(&c, 128) + encoderOperations(&c, 1) + maskedLMOperations(768, c.VocabSize, 20))
	if got := Operations(&c, []*bert.Batch{&one, &two}); got != want {
		t.Errorf("a step of two batches: %.0f operations, want %.0f", got, want)
	}
}
