package task

import (
	"fmt"
	"path/filepath"
)

// This file holds the tasks of GLUE (Wang et al. 2018, arXiv:1804.07461) in the layouts of the files that the benchmark
// gives out: fields between tabs, of which a quote is text. google-research/bert run_classifier.py reads the same columns,
// by number.

// glueLayout says where a task of GLUE is found in a folder of all, and what its predictions are called.
type glueLayout struct {
	folders []string // the task's folder; the first that is there
	// files are the names of the predictions of the unlabelled parts as the benchmark's server wants them.
	files map[Split]string
	// least and most bound the numbers of a regression that the server takes.
	least, most float64
}

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

// mrpc is a part of MRPC as GLUE's script writes it, or from the corpus as Microsoft gives it out, of whose training part
// GLUE takes some for development, by a list of ids.
func mrpc(file string, original string, read func(string, TableOptions) (*Data, error)) Table {
	label := "Quality"
	t := pair(file, "#1 String", "#2 String", label)
	if file == "test.tsv" {
		t = pair(file, "#1 String", "#2 String", "")
	}
	o := pair(original, "#1 String", "#2 String", label)
	o.read = read
	t.Layouts = []Table{o}
	return t
}

var (
	nliLabels    = []string{"contradiction", "entailment", "neutral"}
	entailed     = []string{"entailment", "not_entailment"}
	yesNo        = []string{"0", "1"}
	f1AndMore    = []string{"f1_score", "eval_accuracy"}
	byMatthews   = []string{"matthews"}
	correlations = []string{"pearson", "spearman"}
)

// glueTasks are the rows of GLUE's tasks.
var glueTasks = []Task{
	{
		Name: "cola", About: "GLUE: is a sentence good English? (Warstadt, Singh and Bowman 2018)",
		Labels: yesNo, Metrics: byMatthews, EvalSplit: Dev,
		Tables: map[Split]Table{
			Train: single("train.tsv", cola), Dev: single("dev.tsv", cola), Test: single("test.tsv", Columns{Text: "sentence"}),
		},
		glue: &glueLayout{folders: []string{"CoLA"}, files: map[Split]string{Test: "CoLA.tsv"}},
	},
	{
		Name: "sst2", About: "GLUE: is a sentence of a film review positive? (Socher et al. 2013)",
		Labels: yesNo, EvalSplit: Dev,
		Tables: map[Split]Table{
			Train: single("train.tsv", Columns{Text: "sentence", Label: "label"}),
			Dev:   single("dev.tsv", Columns{Text: "sentence", Label: "label"}),
			Test:  single("test.tsv", Columns{Text: "sentence"}),
		},
		glue: &glueLayout{folders: []string{"SST-2"}, files: map[Split]string{Test: "SST-2.tsv"}},
	},
	{
		Name: "mrpc", About: "GLUE: do two sentences say the same? (Dolan and Brockett 2005)",
		Labels: yesNo, Metrics: f1AndMore, EvalSplit: Dev,
		Tables: map[Split]Table{
			Train: mrpc("train.tsv", "msr_paraphrase_train.txt", readMRPCTrain),
			Dev:   mrpc("dev.tsv", "msr_paraphrase_train.txt", readMRPCDev),
			Test:  mrpc("test.tsv", "msr_paraphrase_test.txt", ReadTable),
		},
		glue: &glueLayout{folders: []string{"MRPC"}, files: map[Split]string{Test: "MRPC.tsv"}},
	},
	{
		Name: "stsb", About: "GLUE: how alike are two sentences, from 0 to 5? (Cer et al. 2017)",
		Kind: Regression, Metrics: correlations, EvalSplit: Dev,
		Tables: pairs("sentence1", "sentence2", "score"),
		glue:   &glueLayout{folders: []string{"STS-B"}, files: map[Split]string{Test: "STS-B.tsv"}, most: 5},
	},
	{
		Name: "qqp", About: "GLUE: are two questions of Quora the same?",
		Labels: yesNo, Metrics: f1AndMore, EvalSplit: Dev,
		Tables: pairs("question1", "question2", "is_duplicate"),
		glue:   &glueLayout{folders: []string{"QQP"}, files: map[Split]string{Test: "QQP.tsv"}},
	},
	{
		Name: "mnli", About: "GLUE: does a sentence follow from another, or contradict it? (Williams, Nangia and Bowman 2018)",
		Labels: nliLabels, EvalSplit: DevMatched,
		Tables: map[Split]Table{
			Train:          pair("train.tsv", "sentence1", "sentence2", "gold_label"),
			DevMatched:     pair("dev_matched.tsv", "sentence1", "sentence2", "gold_label"),
			DevMismatched:  pair("dev_mismatched.tsv", "sentence1", "sentence2", "gold_label"),
			TestMatched:    pair("test_matched.tsv", "sentence1", "sentence2", ""),
			TestMismatched: pair("test_mismatched.tsv", "sentence1", "sentence2", ""),
		},
		glue: &glueLayout{
			folders: []string{"MNLI"}, files: map[Split]string{TestMatched: "MNLI-m.tsv", TestMismatched: "MNLI-mm.tsv"},
		},
	},
	{
		Name: "qnli", About: "GLUE: does a sentence answer a question? (from SQuAD, Rajpurkar et al. 2016)",
		Labels: entailed, Positive: "entailment", EvalSplit: Dev,
		Tables: pairs("question", "sentence", "label"),
		glue:   &glueLayout{folders: []string{"QNLI"}, files: map[Split]string{Test: "QNLI.tsv"}},
	},
	{
		Name: "rte", About: "GLUE: does a sentence follow from another? (Dagan et al. 2006 and later)",
		Labels: entailed, Positive: "entailment", EvalSplit: Dev,
		Tables: pairs("sentence1", "sentence2", "label"),
		glue:   &glueLayout{folders: []string{"RTE"}, files: map[Split]string{Test: "RTE.tsv"}},
	},
	{
		Name: "wnli", About: "GLUE: does a sentence with its pronoun resolved follow? (Levesque, Davis and Morgenstern 2011)",
		Labels: yesNo, EvalSplit: Dev,
		Tables: pairs("sentence1", "sentence2", "label"),
		glue:   &glueLayout{folders: []string{"WNLI"}, files: map[Split]string{Test: "WNLI.tsv"}},
	},
	{
		Name: "ax", About: "GLUE's diagnostic sentences for a model of mnli; nothing to train on",
		Labels: nliLabels, Metrics: byMatthews, EvalSplit: Dev,
		Tables: map[Split]Table{
			Dev:  pair("diagnostic-full.tsv", "Premise", "Hypothesis", "Label"),
			Test: pair("diagnostic.tsv", "sentence1", "sentence2", ""),
		},
		glue: &glueLayout{folders: []string{"diagnostic", "AX"}, files: map[Split]string{Test: "AX.tsv"}},
	},
}

// mrpcIDs is GLUE's list of the pairs that make its development part: two ids a line.
const mrpcIDs = "dev_ids.tsv"

func readMRPCTrain(path string, o TableOptions) (*Data, error) { return readMRPC(path, o, false) }
func readMRPCDev(path string, o TableOptions) (*Data, error)   { return readMRPC(path, o, true) }

// readMRPC reads the pairs of msr_paraphrase_train.txt that are on GLUE's list, or those that are not.
func readMRPC(path string, o TableOptions, listed bool) (*Data, error) {
	data, err := ReadTable(path, o)
	if err != nil {
		return nil, err
	}
	// The same records once more for their ids: what is a bad record doesn't depend on the columns of the texts.
	withIDs := o
	withIDs.Columns.Text, withIDs.Columns.TextPair = "#1 ID", "#2 ID"
	ids, err := ReadTable(path, withIDs)
	if err != nil {
		return nil, err
	}
	list, err := ReadTable(filepath.Join(filepath.Dir(path), mrpcIDs), TableOptions{
		Format: TSV, Columns: Columns{Text: "1", TextPair: "2", NoHeader: true}, Unlabelled: true,
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
