// Package tinymodel makes a small model for tests and examples.
package tinymodel

import (
	"errors"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// Vocabulary is that of the model: the special tokens, the letters, each also within a word, and some words.
func Vocabulary() []string {
	v := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for c := 'a'; c <= 'z'; c++ {
		v = append(v, string(c), "##"+string(c))
	}
	return append(v, strings.Fields("the film was good bad joy dull . , ! ?")...)
}

// Save writes a model directory: an encoder of two layers with random weights, for up to 32 tokens, and its tokenizer.
func Save(dir string) (err error) {
	c := bert.DefaultConfig()
	vocabulary := Vocabulary()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = len(vocabulary), 12, 2, 2, 20
	c.MaxPositionEmbeddings = 32
	tok, err := tokenizer.New(vocabulary, tokenizer.DefaultConfig())
	if err != nil {
		return err
	}
	m, err := bert.New(c, bert.Options{Head: bert.NoHead, Seed: 1, Threads: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.Save(dir, bert.SaveOptions{}); err != nil {
		return err
	}
	return tok.Save(dir, tokenizer.SaveOptions{})
}
