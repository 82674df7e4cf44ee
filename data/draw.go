package data

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
)

// Draw draws n of the examples at random, or all if there are no more, and keeps their order. The draw depends on the
// seed and on the content of the examples, not on their order or on the file they came from: the same data in a folder, in an
// archive or shuffled gives the same draw. It is the first n examples in the order of a hash of seed and content; an
// example that occurs in the data twice may be drawn twice.
func Draw(examples []Example, n int, seed uint64) []Example {
	n = max(n, 0)
	if n >= len(examples) {
		return examples
	}
	var (
		keys  = make([]digest, len(examples))
		times = make(map[digest]uint64, len(examples))
	)
	for i, e := range examples {
		content := hash("example", e.parts()...)
		keys[i] = content.keyed("draw", seed, times[content])
		times[content]++
	}
	drawn := order(keys)[:n]
	slices.Sort(drawn)
	out := make([]Example, n)
	for i, d := range drawn {
		out[i] = examples[d]
	}
	return out
}

// SplitValidation takes n of the examples out at random as a validation part, by seed and content as Draw does, and
// keeps the order of both parts. Examples of the same Group, or without a Group of the same text, go to the same part, so that no
// text of the validation part is trained on; the validation part can therefore exceed n.
func SplitValidation(examples []Example, n int, seed uint64) (train, validation []Example) {
	keys := make([]digest, len(examples))
	for i, e := range examples {
		content := hash("text", e.texts()...)
		if e.Group != "" {
			content = hash("group", e.Group)
		}
		keys[i] = content.keyed("validation", seed, 0)
	}
	taken := make([]bool, len(examples))
	var last digest
	for i, d := range order(keys) {
		if i >= n && (i == 0 || keys[d] != last) {
			break
		}
		taken[d], last = true, keys[d]
	}
	for i, e := range examples {
		if taken[i] {
			validation = append(validation, e)
		} else {
			train = append(train, e)
		}
	}
	return train, validation
}

// texts are the content of an example without its label.
func (x *Example) texts() []string {
	return slices.Concat([]string{x.Text, x.TextPair}, x.Words, x.Choices)
}

// parts are the content of an example with its label.
func (x *Example) parts() []string {
	parts := slices.Concat([]string{x.Text, x.TextPair, x.Label}, x.Words, x.Choices, x.Labels)
	for _, a := range x.Answers {
		parts = append(parts, a.Text)
	}
	return parts
}

// Hash is a hash of examples, in their order, with their labels, in hexadecimal digits. Where they came from makes no difference.
func Hash(examples []Example) string {
	h := sha256.New()
	for i := range examples {
		x := &examples[i]
		kind := fmt.Sprintf("%t %d %d %d %v %v %v", x.Pair, len(x.Words), len(x.Choices), len(x.Labels), x.IDs, x.TypeIDs, x.Answers == nil)
		for _, a := range x.Answers {
			kind += fmt.Sprintf(" %d", a.Start)
		}
		d := hash(kind, append(x.parts(), x.ID)...)
		h.Write(d[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// digest is a SHA-256: the same on each machine and in each release of Go, unlike hash/maphash.
type digest [sha256.Size]byte

func hash(kind string, parts ...string) digest {
	h := sha256.New()
	h.Write([]byte(kind))
	for _, p := range parts {
		// The length goes before the part, so that "ab","c" and "a","bc" differ.
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return digest(h.Sum(nil))
}

func (d digest) keyed(purpose string, seed, time uint64) digest {
	b := append(d[:], purpose...)
	b = binary.LittleEndian.AppendUint64(b, seed)
	return sha256.Sum256(binary.LittleEndian.AppendUint64(b, time))
}

// order lists the indices of keys, the smallest key first.
func order(keys []digest) []int {
	out := make([]int, len(keys))
	for i := range out {
		out[i] = i
	}
	slices.SortFunc(out, func(a, b int) int {
		return cmp.Or(bytes.Compare(keys[a][:], keys[b][:]), cmp.Compare(a, b))
	})
	return out
}
