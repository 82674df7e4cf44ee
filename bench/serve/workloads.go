package main

import (
	"context"
	"encoding/json"
	"path/filepath"

	"github.com/go-bert/bert/data"
)

// A query is a text or, with Pair, a question and a passage.
type query struct{ Text, Pair string }

// A workload is a list of queries of one sort.
type workload struct {
	name  string
	about string // in the table
	pairs bool   // they are scored rather than made vectors
	read  func(ctx context.Context, dir string) ([]query, error)
}

// workloads are what is measured, in the order of the table.
var workloads = []workload{
	{name: "sentences", about: "SST-2 dev, a sentence", read: readSentences},
	{name: "reviews", about: "film reviews, of all lengths", read: readReviews},
	{name: "pairs", about: "STS-B dev, a pair", pairs: true, read: readPairs},
}

func workloadNames() []string {
	var names []string
	for _, w := range workloads {
		names = append(names, w.name)
	}
	return names
}

func readSentences(ctx context.Context, dir string) ([]query, error) {
	return readTable(ctx, filepath.Join(dir, "glue", "SST-2", "dev.tsv"), data.Columns{Text: "sentence"})
}

func readPairs(ctx context.Context, dir string) ([]query, error) {
	return readTable(ctx, filepath.Join(dir, "glue", "STS-B", "dev.tsv"), data.Columns{Text: "sentence1", TextPair: "sentence2"})
}

func readTable(ctx context.Context, path string, columns data.Columns) ([]query, error) {
	// Some lines of STS-B lack a column.
	set, err := data.ReadTable(ctx, path, data.TableOptions{Columns: columns, Unlabelled: true, SkipBad: true})
	if err != nil {
		return nil, err
	}
	return queriesOf(set.Examples), nil
}

// reviewSeed decides which reviews are taken, as those of the archive stand by label.
const reviewSeed = 1

func readReviews(ctx context.Context, dir string) ([]query, error) {
	set, err := data.ReadIMDB(ctx, filepath.Join(dir, "imdb", "aclImdb_v1.tar.gz"), data.Test, data.TableOptions{})
	if err != nil {
		return nil, err
	}
	return queriesOf(data.Draw(set.Examples, 2000, reviewSeed)), nil
}

func queriesOf(examples []data.Example) []query {
	list := make([]query, len(examples))
	for i := range examples {
		list[i] = query{examples[i].Text, examples[i].TextPair}
	}
	return list
}

// The names of the models in requests.
const (
	embedder = "embedder"
	scorer   = "scorer"
)

// modelName is that of the model that answers the workload.
func (w *workload) modelName() string {
	if w.pairs {
		return scorer
	}
	return embedder
}

// body is the request of a program for a query.
func (w *workload) body(p *program, q query) []byte {
	content := map[string]any{"model": embedder, "input": q.Text}
	if w.pairs {
		content = map[string]any{"model": scorer, "query": q.Text, p.documents: []string{q.Pair}}
	}
	text, err := json.Marshal(content)
	if err != nil {
		panic(err) // of strings, which can't fail
	}
	return text
}

// numbers reads the answer of a program to a query: a vector, or a score.
func (w *workload) numbers(answer []byte) ([]float64, error) {
	if !w.pairs {
		var a struct {
			Data []struct{ Embedding []float64 }
		}
		if err := json.Unmarshal(answer, &a); err != nil {
			return nil, err
		}
		if len(a.Data) != 1 {
			return nil, errNoNumbers
		}
		return a.Data[0].Embedding, nil
	}
	type score struct {
		Score     *float64
		Relevance *float64 `json:"relevance_score"`
	}
	list := []score{}
	if json.Unmarshal(answer, &list) != nil { // text-embeddings-inference has a list, the others an object
		var a struct{ Results []score }
		if err := json.Unmarshal(answer, &a); err != nil {
			return nil, err
		}
		list = a.Results
	}
	switch {
	case len(list) == 1 && list[0].Score != nil:
		return []float64{*list[0].Score}, nil
	case len(list) == 1 && list[0].Relevance != nil:
		return []float64{*list[0].Relevance}, nil
	}
	return nil, errNoNumbers
}
