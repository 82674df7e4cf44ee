package pretrain

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/go-bert/bert/internal/random"
	"github.com/go-bert/bert/tokenizer"
)

// Lines are instances in memory, one for each line of a corpus: [CLS] line [SEP]. They are masked afresh in each epoch, or not at all.
// It is a Source, and serves one goroutine.
type Lines struct {
	ids       []int32
	starts    []int // where each line begins in ids, and the end
	options   InstanceOptions
	masker    masker // none without masks
	truncated int    // lines
}

// ReadLines reads the lines of a corpus, those without a token left out. Of o, MaxSeqLength, to which longer lines are cut, MaskedLMProb
// and Seed are used; with a MaskedLMProb of 0 nothing is masked.
func ReadLines(ctx context.Context, c *Corpus, t *tokenizer.Tokenizer, o InstanceOptions) (*Lines, error) {
	plain, err := textTokenizer(t)
	if err != nil {
		return nil, err
	}
	o.MaxPredictions = o.MaxSeqLength
	l := &Lines{starts: []int{0}, options: o}
	if o.MaskedLMProb > 0 {
		l.masker = newMasker(&l.options, plain)
	}
	most := o.MaxSeqLength - 2 // [CLS] line [SEP]
	for line, err := range c.Lines(ctx) {
		if err != nil {
			return nil, err
		}
		at := len(l.ids)
		l.ids = append(l.ids, t.ClassifierID())
		if l.ids, err = plain.AppendIDs(l.ids, string(line)); err != nil {
			return nil, err
		}
		switch n := len(l.ids) - at - 1; {
		case n == 0:
			l.ids = l.ids[:at]
			continue
		case n > most:
			l.ids = l.ids[:at+1+most]
			l.truncated++
		}
		l.ids = append(l.ids, t.SeparatorID())
		l.starts = append(l.starts, len(l.ids))
	}
	if l.Len() == 0 {
		return nil, fmt.Errorf("%s: there is no text", c.names())
	}
	return l, nil
}

// Len is the number of lines.
func (l *Lines) Len() int { return len(l.starts) - 1 }

// Length is the number of tokens of line i.
func (l *Lines) Length(i int) int { return l.starts[i+1] - l.starts[i] }

// Tokens is the number of tokens of all lines, and Truncated that of the lines that were cut.
func (l *Lines) Tokens() int    { return len(l.ids) }
func (l *Lines) Truncated() int { return l.truncated }

// Instance fills to with line i. The masks are a function of (Seed, epoch, i).
func (l *Lines) Instance(i, epoch int, to *Instance) error {
	if i < 0 || i >= l.Len() || epoch < 0 {
		return fmt.Errorf("line %d of %d, epoch %d: out of range", i, l.Len(), epoch)
	}
	to.IDs = append(to.IDs[:0], l.ids[l.starts[i]:l.starts[i+1]]...)
	to.TypeIDs = append(to.TypeIDs[:0], make([]int32, len(to.IDs))...)
	to.Positions, to.MaskedIDs, to.Next = to.Positions[:0], to.MaskedIDs[:0], NotPaired
	if l.options.MaskedLMProb > 0 {
		rng := random.New(l.options.Seed, forMasks, uint64(epoch), uint64(i))
		positions, masked := l.masker.mask(to.IDs, len(to.IDs), &rng)
		to.Positions, to.MaskedIDs = append(to.Positions, positions...), append(to.MaskedIDs, masked...)
	}
	return nil
}

// SHA256 identifies the lines' tokens.
func (l *Lines) SHA256() string {
	h := sha256.New()
	var b []byte
	for i := range l.Len() {
		b = b[:0]
		for _, id := range l.ids[l.starts[i]:l.starts[i+1]] {
			b = binary.LittleEndian.AppendUint32(b, uint32(id))
		}
		h.Write(binary.LittleEndian.AppendUint32(b, ^uint32(0)))
	}
	return hex.EncodeToString(h.Sum(nil))
}
