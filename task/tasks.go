package task

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert/data"
)

var (
	nliLabels    = []string{"contradiction", "entailment", "neutral"}
	entailed     = []string{"entailment", "not_entailment"}
	yesNo        = []string{"0", "1"}
	f1AndMore    = []string{"f1_score", "eval_accuracy"}
	byMatthews   = []string{"matthews"}
	correlations = []string{"pearson", "spearman"}
)

// tasks is the table of tasks: a task is a row.
var tasks = []Task{
	{
		Name:   "imdb",
		About:  "film reviews, positive or negative (Maas et al. 2011): the folder aclImdb or its .tar.gz",
		Labels: []string{"neg", "pos"}, EvalSplit: data.Test,
		Layout: data.IMDB,
	},
	{
		Name:  "text",
		About: "texts or pairs of texts with a label, several labels or a number: a CSV, TSV or JSONL file",
		Kinds: []Kind{MultiLabel, Regression},
	},
	{
		Name: "squad", Kind: QuestionAnswering, EvalSplit: data.Dev,
		About:  "SQuAD 1.1, questions to a context (Rajpurkar et al. 2016): a JSON file, or the folder of train-v1.1.json and dev-v1.1.json",
		Layout: data.SQuAD(data.SQuAD1),
	},
	{
		Name: "squad2", Kind: QuestionAnswering, EvalSplit: data.Dev, Unanswerable: true,
		About:  "SQuAD 2.0, where some questions have no answer: a JSON file, or the folder of train-v2.0.json and dev-v2.0.json",
		Layout: data.SQuAD(data.SQuAD2),
	},
	{
		Name: "cola", About: "GLUE: is a sentence good English? (Warstadt, Singh and Bowman 2018)",
		Labels: yesNo, Metrics: byMatthews, EvalSplit: data.Dev,
		Layout: data.CoLA,
	},
	{
		Name: "sst2", About: "GLUE: is a sentence of a film review positive? (Socher et al. 2013)",
		Labels: yesNo, EvalSplit: data.Dev,
		Layout: data.SST2,
	},
	{
		Name: "mrpc", About: "GLUE: do two sentences say the same? (Dolan and Brockett 2005)",
		Labels: yesNo, Metrics: f1AndMore, EvalSplit: data.Dev,
		Layout: data.MRPC,
	},
	{
		Name: "stsb", About: "GLUE: how alike are two sentences, from 0 to 5? (Cer et al. 2017)",
		Kind: Regression, Metrics: correlations, EvalSplit: data.Dev,
		Layout: data.STSB,
	},
	{
		Name: "qqp", About: "GLUE: are two questions of Quora the same?",
		Labels: yesNo, Metrics: f1AndMore, EvalSplit: data.Dev,
		Layout: data.QQP,
	},
	{
		Name: "mnli", About: "GLUE: does a sentence follow from another, or contradict it? (Williams, Nangia and Bowman 2018)",
		Labels: nliLabels, EvalSplit: data.DevMatched,
		Layout: data.MNLI,
	},
	{
		Name: "qnli", About: "GLUE: does a sentence answer a question? (from SQuAD, Rajpurkar et al. 2016)",
		Labels: entailed, Positive: "entailment", EvalSplit: data.Dev,
		Layout: data.QNLI,
	},
	{
		Name: "rte", About: "GLUE: does a sentence follow from another? (Dagan et al. 2006 and later)",
		Labels: entailed, Positive: "entailment", EvalSplit: data.Dev,
		Layout: data.RTE,
	},
	{
		Name: "wnli", About: "GLUE: does a sentence with its pronoun resolved follow? (Levesque, Davis and Morgenstern 2011)",
		Labels: yesNo, EvalSplit: data.Dev,
		Layout: data.WNLI,
	},
	{
		Name: "ax", About: "GLUE's diagnostic sentences for a model of mnli; nothing to train on",
		Labels: nliLabels, Metrics: byMatthews, EvalSplit: data.Dev,
		Layout: data.AX,
	},
	{
		Name: "ner", Kind: TokenClassification, Metrics: []string{"f1", "precision", "recall"}, EvalSplit: data.Dev,
		About:  "words with tags, like names (CoNLL-2003, Tjong Kim Sang and De Meulder 2003) or parts of speech: a folder of CoNLL files or one",
		Layout: data.CoNLL,
	},
	{
		Name: "swag", Kind: MultipleChoice, EvalSplit: data.Dev,
		About:  "which of the endings is how a scene goes on (Zellers et al. 2018), or any multiple choice in the columns of its CSV",
		Layout: data.SWAG,
	},
}

// Lookup finds the task of a name.
func Lookup(name string) (*Task, error) {
	i := slices.IndexFunc(tasks, func(t Task) bool { return t.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("task %q is not known: want %s", name, strings.Join(Names(), ", "))
	}
	t := tasks[i] // a copy: the table is not the caller's to change
	t.Labels, t.Metrics = slices.Clone(t.Labels), slices.Clone(t.Metrics)
	return &t, nil
}

// Names lists the tasks that Lookup knows.
func Names() []string {
	names := make([]string, len(tasks))
	for i, t := range tasks {
		names[i] = t.Name
	}
	return names
}
