package tokenizer

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

// A tokenizer that has encoded nothing yet is used by eight goroutines at once, in each of its ways.
func TestConcurrentUse(t *testing.T) {
	text := strings.Repeat("the unwanted, running é. 电影! [MASK] ", 300)
	for _, m := range modes(t) {
		fresh := smallVocab(t, m.tok.Config())
		var want Encoding
		if err := m.tok.Encode(&want, text, Options{OmitSpecialTokens: true}); err != nil {
			t.Fatal(err)
		}
		var (
			begin = make(chan struct{})
			wait  sync.WaitGroup
		)
		for i := range 8 {
			wait.Go(func() {
				<-begin
				var (
					e   Encoding
					ids []int32
					err error
				)
				switch i % 4 {
				case 0:
					err = fresh.Encode(&e, text, Options{OmitSpecialTokens: true})
					ids = e.IDs
				case 1:
					ids, err = fresh.AppendIDs(nil, text)
				case 2:
					for piece := range fresh.Chunks(text, 50) {
						if ids, err = fresh.AppendIDs(ids, piece); err != nil {
							break
						}
					}
				case 3:
					err = fresh.Windows(text, Options{MaxLength: 20, OmitSpecialTokens: true}, func(e *Encoding) error {
						ids = append(ids, e.IDs...)
						return nil
					})
				}
				if _ = fresh.Decode(ids, true); err != nil || !slices.Equal(ids, want.IDs) {
					t.Errorf("%s, goroutine %d: %v, or other ids", m.name, i, err)
				}
			})
		}
		close(begin)
		wait.Wait()
	}
}
