package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// learnVocabulary makes the demonstration's tokenizer from its training texts: the special tokens; the characters of
// ASCII, each also as the continuation of a word, so that no ASCII text has unknown tokens; and the words that occur at
// least minCount times, the most frequent first and equally frequent ones by their bytes. Real vocabularies have pieces
// of words too.
func learnVocabulary(texts []task.Example, minCount int) (*tokenizer.Tokenizer, error) {
	vocabulary := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for c := '!'; c <= '~'; c++ {
		if c < 'A' || c > 'Z' { // texts are lower-cased
			vocabulary = append(vocabulary, string(c))
		}
	}
	for c := '0'; c <= 'z'; c++ {
		if c <= '9' || c >= 'a' {
			vocabulary = append(vocabulary, "##"+string(c))
		}
	}
	// A tokenizer of characters finds the words, as it normalizes and splits texts like any other.
	characters, err := tokenizer.New(vocabulary, tokenizer.DefaultConfig())
	if err != nil {
		return nil, err
	}
	var (
		counts   = make(map[string]int)
		encoding tokenizer.Encoding
	)
	for _, text := range texts {
		if err := characters.Encode(&encoding, text.Text, tokenizer.Options{OmitSpecialTokens: true}); err != nil {
			return nil, err
		}
		word := ""
		for i, token := range characters.Tokens(encoding.IDs) {
			word += strings.TrimPrefix(token, "##")
			if i+1 == encoding.Len() || encoding.WordIDs[i+1] != encoding.WordIDs[i] {
				counts[word]++
				word = ""
			}
		}
	}
	words := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	for _, word := range words {
		if counts[word] >= minCount && len(word) > 1 && word != characters.Config().UnknownToken {
			vocabulary = append(vocabulary, word)
		}
	}
	return tokenizer.New(vocabulary, tokenizer.DefaultConfig())
}
