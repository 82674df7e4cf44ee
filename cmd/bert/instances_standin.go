package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/tokenizer"
)

// STAND-IN until pretrain.Open is merged.
type memorySource []pretrain.Instance

func (m memorySource) Len() int         { return len(m) }
func (m memorySource) Length(i int) int { return len(m[i].IDs) }
func (m memorySource) Instance(i, _ int, to *pretrain.Instance) error {
	*to = m[i]
	return nil
}

func openInstances(dir string) (*instanceSet, error) {
	data, err := os.ReadFile(filepath.Join(dir, "instances.json"))
	if err != nil {
		return nil, pathError(err)
	}
	var m memorySource
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return nil, err
	}
	s := &instanceSet{dir: dir, source: m, nextSentence: m[0].Next >= 0, digest: digest(data), tokenizer: tok, close: func() error { return nil }}
	s.tokens, s.longest = pretrain.Lengths(m)
	return s, nil
}
