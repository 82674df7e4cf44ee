package pretrain

import (
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/random"
	"github.com/go-bert/bert/tokenizer"
)

// This file is a direct translation of google-research/bert create_pretraining_data.py, without regard to speed: it works on
// strings and copies lists. It draws from the same streams as maker.

// draws gives a stream the methods of Python's random.Random.
type draws struct{ *random.Stream }

func (d draws) random() float64               { return float64(d.Next()>>11) / (1 << 53) }
func (d draws) randint(a, b int) int          { return a + int(d.Below(uint64(b-a+1))) }
func newDraws(seed uint64, k ...uint64) draws { s := random.New(seed, k...); return draws{&s} }

// shuffled is random.shuffle: from the last element on, each is swapped with one at or before it.
func shuffled[T any](d draws, list []T) {
	for i := len(list) - 1; i >= 1; i-- {
		j := d.randint(0, i)
		list[i], list[j] = list[j], list[i]
	}
}

// trainingInstance is TrainingInstance.
type trainingInstance struct {
	tokens       []string
	segmentIDs   []int32
	positions    []int
	labels       []string
	isRandomNext bool
}

type reference struct {
	o          InstanceOptions
	vocabulary []string
}

// documents reads a text with one sentence per line and blank lines between documents.
func (r *reference) documents(t *tokenizer.Tokenizer, text string) (documents [][][]string) {
	documents = [][][]string{nil}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			documents = append(documents, nil)
		}
		var e tokenizer.Encoding
		if err := t.Encode(&e, line, tokenizer.Options{OmitSpecialTokens: true}); err != nil {
			panic(err)
		}
		if tokens := t.Tokens(e.IDs); len(tokens) > 0 {
			documents[len(documents)-1] = append(documents[len(documents)-1], tokens)
		}
	}
	return slices.DeleteFunc(documents, func(d [][]string) bool { return len(d) == 0 })
}

func (r *reference) instances(documents [][][]string, group uint64) []trainingInstance {
	shuffled(newDraws(r.o.Seed, forDocuments, group), documents)
	var all []trainingInstance
	for duplicate := range r.o.DupeFactor {
		rng := newDraws(r.o.Seed, forInstances, group, uint64(duplicate))
		for i := range documents {
			all = append(all, r.fromDocument(documents, i, rng)...)
		}
	}
	shuffled(newDraws(r.o.Seed, forOrder, group), all)
	return all
}

func (r *reference) fromDocument(documents [][][]string, index int, rng draws) (instances []trainingInstance) {
	document := documents[index]
	maxNumTokens := r.o.MaxSeqLength - 3
	target := maxNumTokens
	if rng.random() < r.o.ShortSeqProb {
		target = rng.randint(2, maxNumTokens)
	}
	var chunk [][]string
	length := 0
	for i := 0; i < len(document); i++ {
		chunk = append(chunk, document[i])
		length += len(document[i])
		if i != len(document)-1 && length < target {
			continue
		}
		aEnd := 1
		if len(chunk) >= 2 {
			aEnd = rng.randint(1, len(chunk)-1)
		}
		a := slices.Concat(chunk[:aEnd]...)
		var b []string
		isRandomNext := false
		if len(chunk) == 1 || rng.random() < 0.5 {
			isRandomNext = true
			targetB := target - len(a)
			other := 0
			for range 10 {
				other = rng.randint(0, len(documents)-1)
				if other != index {
					break
				}
			}
			start := rng.randint(0, len(documents[other])-1)
			for _, sentence := range documents[other][start:] {
				b = append(b, sentence...)
				if len(b) >= targetB {
					break
				}
			}
			i -= len(chunk) - aEnd
		} else {
			b = slices.Concat(chunk[aEnd:]...)
		}
		for len(a)+len(b) > maxNumTokens {
			longer := &b
			if len(a) > len(b) {
				longer = &a
			}
			if rng.random() < 0.5 {
				*longer = (*longer)[1:]
			} else {
				*longer = (*longer)[:len(*longer)-1]
			}
		}
		tokens := slices.Concat([]string{"[CLS]"}, a, []string{"[SEP]"}, b, []string{"[SEP]"})
		in := trainingInstance{isRandomNext: isRandomNext, segmentIDs: make([]int32, len(tokens))}
		for k := len(a) + 2; k < len(tokens); k++ {
			in.segmentIDs[k] = 1
		}
		in.tokens, in.positions, in.labels = r.mask(tokens, rng)
		instances = append(instances, in)
		chunk, length = nil, 0
	}
	return instances
}

func (r *reference) mask(tokens []string, rng draws) (output []string, positions []int, labels []string) {
	var candidates [][]int
	for i, token := range tokens {
		switch {
		case token == "[CLS]" || token == "[SEP]":
		case r.o.WholeWordMask && len(candidates) >= 1 && strings.HasPrefix(token, "##"):
			candidates[len(candidates)-1] = append(candidates[len(candidates)-1], i)
		default:
			candidates = append(candidates, []int{i})
		}
	}
	shuffled(rng, candidates)
	output = slices.Clone(tokens)
	toPredict := min(r.o.MaxPredictions, max(1, int(math.RoundToEven(float64(len(tokens))*r.o.MaskedLMProb))))
	for _, word := range candidates {
		if len(positions) >= toPredict {
			break
		}
		if len(positions)+len(word) > toPredict {
			continue
		}
		for _, i := range word {
			masked := ""
			if rng.random() < 0.8 {
				masked = "[MASK]"
			} else if rng.random() < 0.5 {
				masked = tokens[i]
			} else {
				masked = r.vocabulary[rng.randint(0, len(r.vocabulary)-1)]
			}
			output[i] = masked
			positions = append(positions, i)
		}
	}
	slices.Sort(positions)
	for _, i := range positions {
		labels = append(labels, tokens[i])
	}
	return output, positions, labels
}
