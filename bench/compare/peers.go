package main

import (
	"slices"
)

// A program is one way to do a work: a column of the full tables. Programs of one name share a column of the short ones, which has the
// best of them.
type program struct {
	name, variant string
	backend       string // in peers/backends.py; "" of bert itself
	works         []string
	precisions    []string // of models
	encoders      bool     // it takes encoders alone
	tuned         bool     // with Intel's OpenMP and tcmalloc, as PyTorch's guide to tuning on processors recommends
}

// The variants of bert.
const (
	allStates = "all hidden states" // not only the first token's of the last layer, which is all that a classifier needs
	library   = "the library"
)

const (
	bertName  = "bert"
	torchName = "PyTorch"
)

// programs are in the order of the columns.
var programs = []program{
	{name: bertName, works: []string{inferring, encoding, training, starting, tokenizing, learning, running}, precisions: allPrecisions},
	{name: bertName, variant: allStates, works: []string{inferring}, precisions: allPrecisions},
	{name: bertName, variant: library, works: []string{running}, precisions: allPrecisions},
	{name: torchName, variant: "eager", backend: "torch", works: []string{inferring, encoding, training}, precisions: allPrecisions, tuned: true},
	{name: torchName, variant: "compiled", backend: "torch", works: []string{inferring, encoding, training}, precisions: []string{float32s, bfloat16}, tuned: true},
	{name: torchName, variant: "sentence-transformers", backend: "sentence-transformers", works: []string{encoding, starting}, precisions: []string{float32s, bfloat16}, encoders: true, tuned: true},
	{name: "ONNX Runtime", backend: "onnxruntime", works: []string{inferring, encoding, starting}, precisions: []string{float32s, int8s}},
	{name: "OpenVINO", backend: "openvino", works: []string{inferring, encoding, starting}, precisions: allPrecisions},
	{name: "OpenVINO", variant: "streams", backend: "openvino", works: []string{encoding}, precisions: allPrecisions},
	{name: "CTranslate2", backend: "ctranslate2", works: []string{inferring, encoding, starting}, precisions: []string{float32s, int8s}},
	{name: "tokenizers", backend: "tokenizers", works: []string{tokenizing, learning}},
}

func (p *program) String() string {
	if p.variant == "" {
		return p.name
	}
	return p.name + ", " + p.variant
}

func (p *program) ours() bool { return p.backend == "" }

// does reports whether the program does the work of a group, whose model is an encoder or not.
func (p *program) does(g group, encoder bool) bool {
	switch {
	case !slices.Contains(p.works, g.work), g.precision != "" && !slices.Contains(p.precisions, g.precision):
		return false
	case p.variant == allStates:
		return !encoder // of which bert computes all anyway
	}
	return encoder || !p.encoders
}

// asks reports whether the program is a process that stays and is asked, and not started anew for each sample.
func (p *program) asks(work string) bool {
	switch work {
	case starting, learning:
		return false
	case running:
		return p.variant == library
	}
	return true
}
