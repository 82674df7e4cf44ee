package task

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert/sentence"
)

// Pooling makes one vector of a sequence.
type Pooling uint8

const (
	// ModelPooling is what the model's own folder says: the pipeline of sentence-transformers, with all its modules. Of a folder
	// without one it is NoPooling to Encode and MeanPooling to Compare.
	ModelPooling Pooling = iota
	// NoPooling gives no vector, only layers.
	NoPooling
	// PoolerPooling takes what the model's pooler makes of [CLS] for next-sentence prediction and classifiers (tanh of a
	// dense layer).
	PoolerPooling
	firstMode // the modes of package sentence follow in their order
)

// The modes of package sentence, which take the hidden states of all tokens, [CLS] and [SEP] included.
const (
	// CLSPooling takes the hidden state of the first token, [CLS].
	CLSPooling = firstMode + Pooling(sentence.CLS)
	// MaxPooling takes, in each place, the largest value of the hidden states.
	MaxPooling = firstMode + Pooling(sentence.Max)
	// MeanPooling takes the mean of the hidden states.
	MeanPooling = firstMode + Pooling(sentence.Mean)
)

// poolingNames are those of the poolings that are no modes.
var poolingNames = [...]string{ModelPooling: "model", NoPooling: "none", PoolerPooling: "pooler"}

// mode is the pooling as a mode.
func (p Pooling) mode() (m sentence.Mode, ok bool) {
	return sentence.Mode(p - firstMode), p >= firstMode && int(p) < int(firstMode)+len(sentence.Modes())
}

func (p Pooling) String() string {
	if m, ok := p.mode(); ok {
		return m.String()
	}
	if int(p) >= len(poolingNames) {
		return fmt.Sprintf("Pooling(%d)", p)
	}
	return poolingNames[p]
}

// Poolings lists what ParsePooling reads.
func Poolings() []string {
	names := slices.Clone(poolingNames[:])
	for _, m := range sentence.Modes() {
		names = append(names, m.String())
	}
	return names
}

// ParsePooling reads model, none, pooler, or a mode of package sentence, such as cls, mean or max.
func ParsePooling(name string) (Pooling, error) {
	if i := slices.Index(Poolings(), name); i >= 0 {
		return Pooling(i), nil
	}
	return 0, fmt.Errorf("pooling %q: want %s", name, strings.Join(Poolings(), ", "))
}

// MarshalText writes String.
func (p Pooling) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePooling.
func (p *Pooling) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePooling(string(text))
	return err
}
