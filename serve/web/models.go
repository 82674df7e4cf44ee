package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// model is what the server says of a model: see package serve's own dialect.
type model struct {
	Name, State, Head string
	Labels            []string
	HiddenSize        int            `json:"hidden_size"`
	MaxTokens         map[string]int `json:"max_tokens"` // by what it can do
}

// models are those that are served now. refused is the answer to who may not see them.
func (p *pages) models(r *http.Request, key string) (list []model, refused *answer) {
	a := p.ask(r, key, http.MethodGet, modelsPath, nil)
	var all struct{ Models []model }
	if a.status == http.StatusOK && json.Unmarshal(a.body.Bytes(), &all) != nil {
		a = &answer{status: http.StatusInternalServerError}
	}
	if a.status != http.StatusOK {
		return nil, a
	}
	return all.Models, nil
}

// The heads of models that can do more than they were made for.
const (
	noHead     = "BertModel"
	preTrained = "BertForPreTraining" // which also says of pairs whether they follow one another
)

// pipelines are Hugging Face's names of what models can do, and which models were made for it. Vectors of a model that was made for
// something else say little.
var pipelines = []struct {
	use, task string
	made      func(m *model) bool
}{
	{"classify", "text-classification", func(m *model) bool { return m.Head != preTrained && len(m.Labels) > 1 }},
	{"tag", "token-classification", always},
	{"answer", "question-answering", always},
	{"fill_mask", "fill-mask", always},
	{"zero_shot", "zero-shot-classification", always},
	{"similarity", "sentence-similarity", func(m *model) bool { return m.Head == noHead }},
	{"rerank", "text-ranking", func(m *model) bool { return m.Head != preTrained && len(m.Labels) <= 1 }},
}

func always(*model) bool { return true }

// tasks are those of the pipelines that the model was made for.
func (m *model) tasks() []string {
	var list []string
	for _, p := range pipelines {
		if _, can := m.MaxTokens[p.use]; can && p.made(m) {
			list = append(list, p.task)
		}
	}
	return list
}

// mostLabels is the number of labels that are named.
const mostLabels = 10

// about is a sentence on the model.
func (m *model) about() string {
	if m.State != "ready" {
		return "It is " + m.State + "."
	}
	text := fmt.Sprintf("%s of width %d", m.Head, m.HiddenSize)
	switch n := len(m.Labels); {
	case n > mostLabels:
		text += fmt.Sprintf(", %d labels", n)
	case n > 1:
		text += ", labels " + strings.Join(m.Labels, ", ")
	}
	most := 0
	for _, n := range m.MaxTokens {
		most = max(most, n)
	}
	return fmt.Sprintf("%s, up to %d tokens.", text, most)
}
