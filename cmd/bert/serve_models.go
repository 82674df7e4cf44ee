package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/serve"
	"github.com/go-bert/bert/serve/web"
	"github.com/go-bert/bert/task"
)

// A describer says what models can do, for the page on which they are tried.
type describer struct {
	specs []serve.ModelSpec

	mu    sync.Mutex
	known map[string]web.Model // by name; of the files as they were when it was first asked
}

// pages are the models of a server that answer.
func (d *describer) pages(s *serve.Server) []web.Model {
	var list []web.Model
	for _, m := range s.Models() {
		if m.State == serve.ModelReady {
			list = append(list, d.page(m.Name))
			continue
		}
		about := "It is " + m.State.String() + "."
		if m.State == serve.ModelFailed {
			about = "It could not be loaded; the log says why."
		}
		list = append(list, web.Model{Name: m.Name, About: about})
	}
	return list
}

func (d *describer) page(name string) web.Model {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p, ok := d.known[name]; ok {
		return p
	}
	p := web.Model{Name: name}
	for _, spec := range d.specs {
		if spec.Name != name {
			continue
		}
		if t, err := task.Describe(context.Background(), spec.Path); err == nil {
			p.About, p.Tasks = aboutModel(t), pipelinesOf(t)
		}
	}
	if d.known == nil {
		d.known = make(map[string]web.Model)
	}
	d.known[name] = p
	return p
}

// aboutModel is a sentence on what a model is.
func aboutModel(d *task.Description) string {
	c := &d.Config
	text := fmt.Sprintf("%d layers of width %d", c.NumHiddenLayers, c.HiddenSize)
	switch {
	case d.Pipeline != nil && !d.Pipeline.CrossEncoder:
		text = "Makes vectors of texts: " + text
	case d.Head == bert.PreTraining:
		text = "Pre-trained: " + text
	case d.Spec != nil && kindPipelines[d.Spec.Kind] != "" && d.Spec.Kind != task.QuestionAnswering:
		text = fmt.Sprintf("%s, %d labels: %s", strings.ReplaceAll(d.Spec.Kind.String(), "_", " "), len(c.Labels), text)
	case d.Spec != nil:
		text = fmt.Sprintf("%s: %s", strings.ReplaceAll(d.Spec.Kind.String(), "_", " "), text)
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// kindPipelines are Hugging Face's names of the pipelines of kinds of tasks.
var kindPipelines = map[task.Kind]string{
	task.SingleLabel: "text-classification", task.MultiLabel: "text-classification", task.TokenClassification: "token-classification",
	task.QuestionAnswering: "question-answering",
}

// pipelinesOf are those that a model was made for. Vectors of a model that was made for something else say little.
func pipelinesOf(d *task.Description) []string {
	var list []string
	if s := d.Spec; s != nil && d.Head != bert.PreTraining { // which says of pairs whether they follow one another
		switch name := kindPipelines[s.Kind]; {
		case name != "":
			list = append(list, name)
		case s.Kind == task.Regression && len(s.Labels) <= 1:
			list = append(list, "text-ranking")
		}
	}
	if d.Check(task.FillingMasks) == nil {
		list = append(list, "fill-mask")
	}
	if d.Check(task.ZeroShotting) == nil {
		list = append(list, "zero-shot-classification")
	}
	if d.Pipeline != nil && !d.Pipeline.CrossEncoder || d.Head == bert.NoHead {
		list = append(list, "sentence-similarity")
	}
	return list
}
