package data

import (
	"context"
	"fmt"
	"path/filepath"
)

// This file holds the layouts of GLUE's tasks (Wang et al. 2018, arXiv:1804.07461) as the benchmark publishes them: fields
// between tabs, in which a quote is text. google-research/bert run_classifier.py reads the same columns, by number.

// pair is a table of pairs of sentences in columns by these names, with a label unless that is "".
func pair(file, first, second, label string) Table {
	return Table{File: file, TableOptions: TableOptions{
		Format: TSV, Columns: Columns{Text: first, TextPair: second, Label: label}, Unlabelled: label == "",
	}}
}

// single is a table of single sentences.
func single(file string, c Columns) Table {
	return Table{File: file, TableOptions: TableOptions{Format: TSV, Columns: c, Unlabelled: c.Label == ""}}
}

// pairs are the tables of a task of pairs, whose columns all parts share.
func pairs(first, second, label string) map[Split]Table {
	return map[Split]Table{
		Train: pair("train.tsv", first, second, label),
		Dev:   pair("dev.tsv", first, second, label),
		Test:  pair("test.tsv", first, second, ""),
	}
}

// cola has neither a header nor a name for its columns; the third is the linguist's own mark.
var cola = Columns{Text: "4", Label: "2", NoHeader: true}

// The layouts of GLUE's tasks.
var (
	CoLA = Layout{Folders: []string{"CoLA"}, Tables: map[Split]Table{
		Train: single("train.tsv", cola), Dev: single("dev.tsv", cola), Test: single("test.tsv", Columns{Text: "sentence"}),
	}}
	SST2 = Layout{Folders: []string{"SST-2"}, Tables: map[Split]Table{
		Train: single("train.tsv", Columns{Text: "sentence", Label: "label"}),
		Dev:   single("dev.tsv", Columns{Text: "sentence", Label: "label"}),
		Test:  single("test.tsv", Columns{Text: "sentence"}),
	}}
	MRPC = Layout{Folders: []string{"MRPC"}, Tables: map[Split]Table{
		Train: mrpc("train.tsv", "msr_paraphrase_train.txt", readMRPCTrain),
		Dev:   mrpc("dev.tsv", "msr_paraphrase_train.txt", readMRPCDev),
		Test:  mrpc("test.tsv", "msr_paraphrase_test.txt", ReadTable),
	}}
	STSB = Layout{Folders: []string{"STS-B"}, Tables: pairs("sentence1", "sentence2", "score")}
	QQP  = Layout{Folders: []string{"QQP"}, Tables: map[Split]Table{
		Train: qqp("train.tsv"), Dev: qqp("dev.tsv"), Test: pair("test.tsv", "question1", "question2", ""),
	}}
	MNLI = Layout{Folders: []string{"MNLI"}, Tables: map[Split]Table{
		Train:          pair("train.tsv", "sentence1", "sentence2", "gold_label"),
		DevMatched:     pair("dev_matched.tsv", "sentence1", "sentence2", "gold_label"),
		DevMismatched:  pair("dev_mismatched.tsv", "sentence1", "sentence2", "gold_label"),
		TestMatched:    pair("test_matched.tsv", "sentence1", "sentence2", ""),
		TestMismatched: pair("test_mismatched.tsv", "sentence1", "sentence2", ""),
	}}
	QNLI = Layout{Folders: []string{"QNLI"}, Tables: pairs("question", "sentence", "label")}
	RTE  = Layout{Folders: []string{"RTE"}, Tables: pairs("sentence1", "sentence2", "label")}
	WNLI = Layout{Folders: []string{"WNLI"}, Tables: pairs("sentence1", "sentence2", "label")}
	// AX are the diagnostic sentences, which have no training part. The labelled file says what each of them is about.
	AX = Layout{Folders: []string{"diagnostic", "AX"}, Tables: map[Split]Table{
		Dev:  diagnostic("diagnostic-full.tsv"),
		Test: pair("diagnostic.tsv", "sentence1", "sentence2", ""),
	}}
)

// DiagnosticFields are the columns of AX that say what a pair of sentences is about: phenomena of four sorts, of which a cell may name
// several between semicolons, and where the sentences are from.
func DiagnosticFields() []string {
	return []string{"Lexical Semantics", "Predicate-Argument Structure", "Logic", "Knowledge", "Domain"}
}

// diagnostic is the labelled part of AX.
func diagnostic(file string) Table {
	t := pair(file, "Premise", "Hypothesis", "Label")
	t.Fields = DiagnosticFields()
	return t
}

// qqp is a labelled part of QQP. The training part that GLUE publishes has lines that end too early, which Hugging Face's QqpProcessor
// leaves out too.
func qqp(file string) Table {
	t := pair(file, "question1", "question2", "is_duplicate")
	t.SkipShort = true
	return t
}

// mrpc is a part of MRPC as GLUE's script writes it, or from the corpus that Microsoft publishes, of whose training part
// GLUE uses some for development, by a list of ids.
func mrpc(file string, original string, read func(context.Context, string, TableOptions) (*Set, error)) Table {
	label := "Quality"
	t := pair(file, "#1 String", "#2 String", label)
	if file == "test.tsv" {
		t = pair(file, "#1 String", "#2 String", "")
	}
	o := pair(original, "#1 String", "#2 String", label)
	o.ReadFile = read
	t.Alternatives = []Table{o}
	return t
}

// mrpcIDs is GLUE's list of the pairs that make its development part: two ids a line.
const mrpcIDs = "dev_ids.tsv"

func readMRPCTrain(ctx context.Context, path string, o TableOptions) (*Set, error) {
	return readMRPC(ctx, path, o, false)
}

func readMRPCDev(ctx context.Context, path string, o TableOptions) (*Set, error) {
	return readMRPC(ctx, path, o, true)
}

// readMRPC reads the pairs of msr_paraphrase_train.txt that are on GLUE's list, or those that are not.
func readMRPC(ctx context.Context, path string, o TableOptions, listed bool) (*Set, error) {
	data, err := ReadTable(ctx, path, o)
	if err != nil {
		return nil, err
	}
	// The same records once more for their ids: whether a record is bad doesn't depend on the columns of the texts.
	withIDs := o
	withIDs.Columns.Text, withIDs.Columns.TextPair = "#1 ID", "#2 ID"
	ids, err := ReadTable(ctx, path, withIDs)
	if err != nil {
		return nil, err
	}
	list, err := ReadTable(ctx, filepath.Join(filepath.Dir(path), mrpcIDs), TableOptions{
		Format: TSV, Columns: Columns{Text: "1", TextPair: "2", NoHeader: true}, Unlabelled: true, Encoding: o.Encoding,
	})
	if err != nil {
		return nil, fmt.Errorf("%w (the list of the pairs for development)", err)
	}
	type pairID struct{ first, second string }
	dev := make(map[pairID]bool, len(list.Examples))
	for _, x := range list.Examples {
		dev[pairID{x.Text, x.TextPair}] = true
	}
	kept := data.Examples[:0]
	for i, x := range data.Examples {
		if id := ids.Examples[i]; dev[pairID{id.Text, id.TextPair}] == listed {
			kept = append(kept, x)
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("%s: no pair is left by the list %s", path, mrpcIDs)
	}
	data.Examples = kept
	return data, nil
}
