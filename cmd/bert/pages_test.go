package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/browser"
	"github.com/go-bert/bert/internal/tinymodel"
	"github.com/go-bert/bert/starter"
)

// TestPages makes a run of every kind, by the commands that users type, and looks at its page in a browser: see browser.Check.
// BERT_PAGES names those to look at, between commas; BERT_SCREENSHOTS is a folder for what they look like, and BERT_PAGES_DIR one that
// keeps the runs.
func TestPages(t *testing.T) {
	b := browser.Open(t)
	t.Log(b.Version)
	w := newPages(t)
	wanted := strings.FieldsFunc(os.Getenv("BERT_PAGES"), func(r rune) bool { return r == ',' })
	for _, p := range pagesOfRuns {
		t.Run(p.name, func(t *testing.T) {
			for _, name := range p.shared {
				if _, err := os.Stat(filepath.Join(w.shared, name)); err != nil {
					t.Skipf("%v: it is one of a shared folder of data, which BERT_SHARED names", err)
				}
			}
			look := len(wanted) == 0 || slices.Contains(wanted, p.name)
			if !look && p.shared != nil {
				return // no other needs it
			}
			if path := p.make(t, w); look {
				b.Check(t, p.name, filepath.Join(w.dir, path))
			}
		})
	}
}

// pages is a folder in which runs are made, and data for them.
type pages struct {
	dir, shared string
	random      *rand.Rand
	env         []string
}

// pageOfRun is a page and how it is made. make returns its path in the folder.
type pageOfRun struct {
	name   string
	shared []string // files of BERT_SHARED that it needs
	make   func(t *testing.T, w *pages) string
}

// hostile are texts that a page has to show as texts.
var hostile = []string{
	`</script><script>alert(1)</script>`, `<img src=x onerror=alert(2)>`, `"quotes' and <b>tags</b> &amp;`, "مرحبا بالعالم", "עברית (א) 123",
	"😀👩‍👩‍👧‍👦", "\u202etxet\u202c", "a {{.Evil}} ${x} `y`", strings.Repeat("long ", 20_000), strings.Repeat("x", 100_000), "=HYPERLINK(\"http://x\")",
}

// tinyFlags are those of a fine-tuning of the small model.
const tinyFlags = " --model tiny --learning-rate 3e-3 --train-batch-size 8 --quiet --save-logits --output "

// pagesOfRuns are the pages that bert makes. Later ones use the runs of earlier ones.
var pagesOfRuns = []pageOfRun{
	{"two-labels", nil, func(t *testing.T, w *pages) string {
		w.table(t, "two.tsv", 160, []string{"label", "text"}, func(i int) []string { return w.review(i, "dull", "fun") })
		w.table(t, "two-dev.tsv", 80, []string{"label", "text"}, func(i int) []string { return w.review(i, "dull", "fun") })
		w.bert(t, "finetune --task text --data two.tsv --eval-data two-dev.tsv --num-train-epochs 6 --eval-steps 20 --log-steps 1 --max-seq-length 16"+tinyFlags+"two")
		return "two/report.html"
	}},
	{"hostile-labels", nil, func(t *testing.T, w *pages) string {
		row := func(i int) []string {
			return []string{hostile[i%7], hostile[(i*3+1)%len(hostile)] + " " + w.words(i%9)}
		}
		w.table(t, "hostile.csv", 70, []string{"label", "text"}, row)
		w.bert(t, "finetune --task text --data hostile.csv --eval-data hostile.csv --num-train-epochs 4 --max-seq-length 32"+tinyFlags+"hostile")
		return "hostile/report.html"
	}},
	{"many-labels", nil, func(t *testing.T, w *pages) string {
		row := func(i int) []string {
			return []string{fmt.Sprintf("a rather long intent %d", i%26), string(rune('a'+i%26)) + " " + w.words(4)}
		}
		w.table(t, "many.tsv", 260, []string{"label", "text"}, row)
		w.bert(t, "finetune --task text --data many.tsv --eval-data many.tsv --num-train-epochs 4 --max-seq-length 16"+tinyFlags+"many")
		return "many/report.html"
	}},
	{"multi-label", nil, func(t *testing.T, w *pages) string {
		row := func(i int) []string {
			var labels []string
			text := w.words(3)
			for _, k := range []int{i % 3, i % 4} {
				labels = append(labels, []string{"plot", "acting", "music", "a long name of a label"}[k])
				text += " " + []string{"joy", "bad", "dull", "good"}[k]
			}
			if labels[0] == labels[1] {
				labels = labels[:1]
			}
			return []string{strings.Join(labels, ","), text}
		}
		w.table(t, "multi.csv", 120, []string{"label", "text"}, row)
		w.bert(t, "finetune --task text --problem-type multi_label_classification --data multi.csv --eval-data multi.csv --num-train-epochs 6 --max-seq-length 16"+tinyFlags+"multi")
		return "multi/report.html"
	}},
	{"regression", nil, func(t *testing.T, w *pages) string {
		row := func(i int) []string {
			r := w.review(i, "0", "1")
			return []string{fmt.Sprintf("%.2f", 3+2*w.random.NormFloat64()*0.2+2*float64(i%2)), r[1]}
		}
		w.table(t, "number.csv", 120, []string{"label", "text"}, row)
		w.bert(t, "finetune --task text --problem-type regression --data number.csv --eval-data number.csv --num-train-epochs 6 --max-seq-length 16"+tinyFlags+"number")
		return "number/report.html"
	}},
	{"entities", nil, func(t *testing.T, w *pages) string {
		w.write(t, "ner/train.txt", w.tagged(80))
		w.write(t, "ner/valid.txt", w.tagged(40))
		w.bert(t, "finetune --task ner --data ner --num-train-epochs 6 --max-seq-length 24"+tinyFlags+"ner-model")
		return "ner-model/report.html"
	}},
	{"squad1", nil, func(t *testing.T, w *pages) string {
		w.write(t, "squad1.json", w.questions(t, 48, false))
		w.bert(t, "finetune --task squad --data squad1.json --eval-data squad1.json --num-train-epochs 3 --max-seq-length 30 --doc-stride 8"+tinyFlags+"squad1")
		return "squad1/report.html"
	}},
	{"squad2", nil, func(t *testing.T, w *pages) string {
		w.write(t, "squad2.json", w.questions(t, 48, true))
		w.bert(t, "finetune --task squad2 --data squad2.json --eval-data squad2.json --num-train-epochs 3 --max-seq-length 30 --doc-stride 8"+tinyFlags+"squad2")
		return "squad2/report.html"
	}},
	{"choices", nil, func(t *testing.T, w *pages) string {
		row := func(i int) []string {
			endings := []string{w.words(2) + " bad", w.words(2) + " dull", w.words(3), w.words(2) + " film"}
			endings[i%4] = "good joy " + hostile[i%7]
			return append([]string{"the film.", "it was", fmt.Sprint(i % 4)}, endings...)
		}
		w.table(t, "swag.csv", 60, strings.Fields("sent1 sent2 label ending0 ending1 ending2 ending3"), row)
		w.bert(t, "finetune --task swag --data swag.csv --eval-data swag.csv --num-train-epochs 4 --max-seq-length 24"+tinyFlags+"swag")
		return "swag/report.html"
	}},
	{"glue", nil, func(t *testing.T, w *pages) string {
		w.glue(t)
		w.bert(t, "glue --data glue --num-train-epochs 2 --max-seq-length 20"+tinyFlags+"glue-out")
		return "glue-out/report.html"
	}},
	{"glue-task", nil, func(*testing.T, *pages) string { return "glue-out/mnli/report.html" }},
	{"glue-compared", nil, func(t *testing.T, w *pages) string {
		w.bert(t, "glue --data glue --num-train-epochs 1 --seed 7 --max-seq-length 20"+tinyFlags+"glue-again")
		w.bert(t, "report glue-out glue-again --figures none --output glues/both.html")
		return "glues/both.html"
	}},
	{"sweep", nil, func(t *testing.T, w *pages) string {
		w.bert(t, "sweep --task text --data two.tsv --eval-data two-dev.tsv --model tiny --learning-rate 1e-4,1e-3,1e-2 --num-train-epochs 1,2 --train-batch-size 8,16 --seeds 2 --max-seq-length 16 --quiet --output sweep")
		return "sweep/report.html"
	}},
	{"pre-training", nil, func(t *testing.T, w *pages) string {
		w.write(t, "corpus.txt", w.corpus(60))
		w.write(t, "held-out.txt", w.corpus(20))
		w.bert(t, "instances --quiet --input corpus.txt --vocab tiny --output short --max-seq-length 12 --dupe-factor 3")
		w.bert(t, "instances --quiet --input corpus.txt --vocab tiny --output long --max-seq-length 24 --dynamic")
		w.bert(t, "instances --quiet --input held-out.txt --vocab tiny --output held-out --max-seq-length 12")
		w.bert(t, "pretrain --instances short --instances long --phase-steps 120,60 --eval-instances held-out --config tiny/config.json --output pretrained --train-batch-size 8,4 --learning-rate 1e-2 --eval-steps 20 --log-steps 2 --quiet")
		return "pretrained/report.html"
	}},
	{"killed", nil, func(t *testing.T, w *pages) string {
		events := w.read(t, "pretrained/events.jsonl")
		w.write(t, "killed/events.jsonl", events[:2*len(events)/3])
		w.bert(t, "report killed --figures none")
		return "killed/report.html"
	}},
	{"running", nil, func(t *testing.T, w *pages) string {
		lines := strings.SplitAfter(w.read(t, "two/events.jsonl"), "\n")
		w.write(t, "running/events.jsonl", strings.Join(lines[:3], ""))
		w.bert(t, "report running --figures none")
		return "running/report.html"
	}},
	{"compared", nil, func(t *testing.T, w *pages) string {
		w.bert(t, "finetune --task text --data two.tsv --eval-data two-dev.tsv --num-train-epochs 4 --eval-steps 20 --log-steps 1 --max-seq-length 16 --seed 7"+tinyFlags+"another-model-with-a-long-name")
		w.bert(t, "report two another-model-with-a-long-name killed --figures none --output both/both.html --x tokens")
		return "both/both.html"
	}},
	{"evaluation", nil, func(t *testing.T, w *pages) string {
		w.bert(t, "evaluate --task text --data two-dev.tsv --model two --output evaluation --save-logits --quiet")
		return "evaluation/report.html"
	}},
	{"predictions", nil, func(t *testing.T, w *pages) string {
		w.lines(t, "texts.txt")
		w.bert(t, "predict --model two --input texts.txt --html predictions.html --quiet")
		return "predictions.html"
	}},
	{"predicted-entities", nil, func(t *testing.T, w *pages) string {
		w.bert(t, "predict --model ner-model --input texts.txt --html entities.html --quiet")
		return "entities.html"
	}},
	{"predicted-answers", nil, func(t *testing.T, w *pages) string {
		var b strings.Builder
		for _, h := range hostile {
			line, err := json.Marshal(map[string]string{"question": "was it good? " + h[:min(len(h), 20)], "context": "the film was " + h + " and a joy."})
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(line, '\n'))
		}
		w.write(t, "questions.jsonl", b.String())
		w.bert(t, "predict --model squad2 --input questions.jsonl --html answers.html --quiet")
		return "answers.html"
	}},
	{"explanations", nil, func(t *testing.T, w *pages) string {
		w.bert(t, "explain --model two --input texts.txt --html explanations.html --quiet")
		return "explanations.html"
	}},
	{"occlusion", nil, func(t *testing.T, w *pages) string {
		w.write(t, "short.txt", "the film was good .\na joy , a joy !\nthe film was dull and bad\n")
		w.bert(t, "explain --model two --method occlusion --input short.txt --html occlusion.html --quiet")
		return "occlusion.html"
	}},
	{"attention", nil, func(t *testing.T, w *pages) string {
		w.bert(t, "attention --model two --max-seq-length 32 --input texts.txt --html attention.html --quiet")
		return "attention.html"
	}},
	{"rollout", nil, func(t *testing.T, w *pages) string {
		w.bert(t, "attention --model two --weights rollout --input short.txt --html rollout.html --quiet")
		return "rollout.html"
	}},
	{"map", nil, func(t *testing.T, w *pages) string {
		w.bert(t, "project --model tiny --pooling mean --input hostile.csv --html map.html --quiet")
		return "map.html"
	}},
	{"map-tsne", nil, func(t *testing.T, w *pages) string {
		w.bert(t, "project --model two --pooling mean --method tsne --input two.tsv --html tsne.html --quiet")
		return "tsne.html"
	}},
	// The same with data of real texts, and a model that can read them.
	{"imdb", []string{"data/imdb/aclImdb_v1.tar.gz"}, func(t *testing.T, w *pages) string {
		w.bert(t, "finetune --task imdb --data SHARED/data/imdb/aclImdb_v1.tar.gz --model starter --learning-rate 3e-4 --max-train-examples 600 --max-eval-examples 300 --max-seq-length 48 --num-train-epochs 2 --train-batch-size 16 --eval-steps 25 --log-steps 1 --quiet --save-logits --output imdb")
		return "imdb/report.html"
	}},
	{"conll", []string{"data/ner/valid.txt"}, func(t *testing.T, w *pages) string {
		w.bert(t, "finetune --task ner --data SHARED/data/ner --model starter --learning-rate 5e-4 --max-train-examples 600 --max-eval-examples 200 --max-seq-length 48 --num-train-epochs 1 --quiet --save-logits --output conll")
		return "conll/report.html"
	}},
	{"squad2-dev", []string{"data/squad/dev-v2.0-first5articles.json"}, func(t *testing.T, w *pages) string {
		w.bert(t, "finetune --task squad2 --data SHARED/data/squad/dev-v2.0-first5articles.json --validation-share 0.3 --model starter --learning-rate 5e-4 --max-train-examples 100 --max-eval-examples 100 --max-seq-length 96 --num-train-epochs 1 --quiet --save-logits --output squad2-dev")
		return "squad2-dev/report.html"
	}},
	{"explained-reviews", []string{"data/imdb/aclImdb_v1.tar.gz"}, func(t *testing.T, w *pages) string {
		w.write(t, "reviews.txt", "That movie was absolutely awful, and I want my two hours back.\nThe film was creative and surprising from start to finish.\nIt begins well. After half an hour it becomes dull, but the end makes good for it.\n")
		w.bert(t, "explain --model starter --input reviews.txt --html reviews.html --quiet")
		return "reviews.html"
	}},
	{"attention-reviews", []string{"data/imdb/aclImdb_v1.tar.gz"}, func(t *testing.T, w *pages) string {
		w.write(t, "reviews.txt", "That movie was absolutely awful, and I want my two hours back.\nThe film was creative and surprising from start to finish.\n")
		w.bert(t, "attention --model starter --input reviews.txt --html attended.html --quiet")
		return "attended.html"
	}},
}

// newPages makes the folder and the small model.
func newPages(t *testing.T) *pages {
	t.Helper()
	w := &pages{dir: t.TempDir(), shared: os.Getenv("BERT_SHARED"), random: rand.New(rand.NewPCG(1, 2))}
	if keep := os.Getenv("BERT_PAGES_DIR"); keep != "" {
		w.dir = keep
	}
	if w.shared == "" {
		w.shared = filepath.Join("..", "..", "..", "shared")
	}
	if path, err := filepath.Abs(w.shared); err == nil {
		w.shared = path
	}
	w.env = append(os.Environ(), starter.CacheVariable+"="+filepath.Join(w.dir, ".cache"))
	if err := tinymodel.Save(filepath.Join(w.dir, "tiny")); err != nil {
		t.Fatal(err)
	}
	return w
}

// bert runs a command, of words between blanks. SHARED is the folder of BERT_SHARED.
func (w *pages) bert(t *testing.T, command string) {
	t.Helper()
	args := strings.Fields(command)
	for i := range args {
		args[i] = strings.Replace(args[i], "SHARED", w.shared, 1)
		if args[i] == "--output" && args[0] == "report" {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(w.dir, args[i+1])), 0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.Command("bert", args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("bert %s: %v\n%.2000s", command, err, out)
	}
}

func (w *pages) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func (w *pages) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// table writes n rows.
func (w *pages) table(t *testing.T, name string, n int, head []string, row func(int) []string) {
	t.Helper()
	var b strings.Builder
	c := csv.NewWriter(&b)
	if filepath.Ext(name) == ".tsv" {
		c.Comma = '\t'
	}
	rows := [][]string{head}
	for i := range n {
		rows = append(rows, row(i))
	}
	if err := c.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	w.write(t, name, b.String())
}

// words are n of the small model's.
func (w *pages) words(n int) string {
	vocabulary := strings.Fields("the film was good bad joy dull a b c of it")
	list := make([]string, n)
	for i := range list {
		list[i] = vocabulary[w.random.IntN(len(vocabulary))]
	}
	return strings.Join(list, " ")
}

// review is a text with its label, of which some are wrong.
func (w *pages) review(i int, bad, good string) []string {
	label, word := bad, []string{"bad", "dull"}[i/2%2]
	if i%2 == 1 {
		label, word = good, []string{"good", "joy"}[i/2%2]
	}
	if i%11 == 10 {
		label = map[string]string{bad: good, good: bad}[label]
	}
	return []string{label, w.words(i%6) + " " + word + " " + w.words(i%4)}
}

// tagged is sentences in the columns of CoNLL.
func (w *pages) tagged(n int) string {
	var b strings.Builder
	for i := range n {
		names := [][2]string{{"joy", "PER"}, {"film", "ORG"}, {"dull", "LOC"}, {"מרחב", "MISC"}}
		b.WriteString("the DT O O\n")
		for k := range 1 + i%3 {
			x := names[(i+k)%4]
			fmt.Fprintf(&b, "%s NN O B-%s\n", x[0], x[1])
			if (i+k)%2 == 0 {
				fmt.Fprintf(&b, "%s NN O I-%s\n", []string{"<b>", "good", "a", "😀"}[k%4], x[1])
			}
			b.WriteString("was VB O O\nbad JJ O O\n")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// questions is data in the form of SQuAD.
func (w *pages) questions(t *testing.T, n int, unanswerable bool) string {
	t.Helper()
	type answer struct {
		Text  string `json:"text"`
		Start int    `json:"answer_start"`
	}
	type qa struct {
		ID         string   `json:"id"`
		Question   string   `json:"question"`
		Answers    []answer `json:"answers"`
		Impossible bool     `json:"is_impossible"`
	}
	type paragraph struct {
		Context string `json:"context"`
		QAs     []qa   `json:"qas"`
	}
	var list []paragraph
	for i := range n {
		before, a := w.words(4+i%20), []string{"good joy", "dull", "a bad film of joy", "<b>joy</b>", "the film was good and it was a joy"}[i%5]
		p := paragraph{Context: before + " " + a + " . " + w.words(6)}
		q := qa{ID: fmt.Sprint("q", i), Question: []string{"what was it ?", "who was good ?", "when was the film ?", "is it dull ?", "which <i>film</i> ?"}[i%5], Answers: []answer{{a, len(before) + 1}}}
		if unanswerable && i%3 == 0 {
			q.Answers, q.Impossible = []answer{}, true
		}
		p.QAs = []qa{q}
		list = append(list, p)
	}
	text, err := json.Marshal(map[string]any{"version": "2.0", "data": []any{map[string]any{"title": "<t>", "paragraphs": list}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// corpus is documents of sentences, a line each.
func (w *pages) corpus(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(w.words(3+i%7) + ".\n")
		if i%5 == 4 {
			b.WriteString("\n")
		}
	}
	return b.String()
}

// lines writes the hostile texts, a line each, and some harmless ones.
func (w *pages) lines(t *testing.T, name string) {
	t.Helper()
	w.write(t, name, "the film was good .\n"+strings.Join(hostile, "\n")+"\na joy , a joy !\n")
}

// glue writes data of some tasks of the benchmark.
func (w *pages) glue(t *testing.T) {
	t.Helper()
	for _, part := range []struct {
		name string
		n    int
		mnli []string
	}{{"train", 40, []string{"train"}}, {"dev", 30, []string{"dev_matched", "dev_mismatched"}}} {
		var cola strings.Builder
		for i := range part.n {
			r := w.review(i, "0", "1")
			fmt.Fprintf(&cola, "a\t%s\t\t%s\n", r[0], r[1])
		}
		w.write(t, "glue/CoLA/"+part.name+".tsv", cola.String())
		w.table(t, "glue/STS-B/"+part.name+".tsv", part.n, strings.Fields("index genre filename year old_index source1 source2 sentence1 sentence2 score"), func(i int) []string {
			return append(strings.Fields("0 g f y 1 s s"), w.words(4), w.words(4), fmt.Sprint(float64(i%6)))
		})
		w.table(t, "glue/RTE/"+part.name+".tsv", part.n, strings.Fields("index sentence1 sentence2 label"), func(i int) []string {
			r := w.review(i, "not_entailment", "entailment")
			return []string{fmt.Sprint(i), r[1], w.words(2), r[0]}
		})
		for _, name := range part.mnli {
			w.table(t, "glue/MNLI/"+name+".tsv", part.n, strings.Fields("index sentence1 sentence2 gold_label"), func(i int) []string {
				return []string{fmt.Sprint(i), w.words(3), []string{"good", "bad", "film"}[i%3], []string{"entailment", "contradiction", "neutral"}[i%3]}
			})
		}
	}
	w.table(t, "glue/diagnostic/diagnostic-full.tsv", 30, strings.Fields("Premise Hypothesis Label"), func(i int) []string {
		return []string{w.words(3), []string{"good", "bad", "film"}[i%3], []string{"entailment", "contradiction", "neutral"}[i%3]}
	})
}

// TestServePages looks at the pages of bert serve, at its address, and at what it answers to each form.
func TestServePages(t *testing.T) {
	b := browser.Open(t)
	w := newPages(t)
	w.table(t, "two.tsv", 40, []string{"label", "text"}, func(i int) []string { return w.review(i, "dull", "fun") })
	w.bert(t, "finetune --task text --data two.tsv --num-train-epochs 1 --max-seq-length 16"+tinyFlags+"two")
	w.write(t, "ner/train.txt", w.tagged(20))
	w.write(t, "ner/valid.txt", w.tagged(8))
	w.bert(t, "finetune --task ner --data ner --num-train-epochs 1 --max-seq-length 24"+tinyFlags+"ner-model")
	w.write(t, "squad1.json", w.questions(t, 12, false))
	w.bert(t, "finetune --task squad --data squad1.json --eval-data squad1.json --num-train-epochs 1 --max-seq-length 30 --doc-stride 8"+tinyFlags+"squad1")
	cmd := exec.Command("bert", "serve", "--port", "0", "--model", "two", "--model", "ner-model", "--model", "squad1", "--model", "encoder=tiny")
	cmd.Dir, cmd.Env = w.dir, w.env
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // the error says that it has ended already
		_ = cmd.Wait()         // a process that was killed is no news
	}()
	lines, address := bufio.NewScanner(said), ""
	for lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), "listening on "); ok {
			address = at
		}
		if strings.Contains(lines.Text(), ": ready: ") {
			break
		}
	}
	if address == "" {
		t.Fatal("the server doesn't say where it listens")
	}
	go func() {
		_, _ = io.Copy(io.Discard, said) // so that it can go on to say things
	}()
	b.CheckURL(t, "serve", address+"/")
	b.CheckURL(t, "serve-docs", address+"/docs")
	for i, form := range []url.Values{
		{"model": {"two"}, "task": {"text-classification"}, "text": {"the film was good joy"}},
		{"model": {"two"}, "task": {"text-classification"}, "text": {strings.Join(hostile[:8], " ")}},
		{"model": {"ner-model"}, "task": {"token-classification"}, "text": {"the joy " + hostile[0] + " film " + hostile[5]}},
		{"model": {"squad1"}, "task": {"question-answering"}, "question": {"was it good ?"}, "context": {"the film was " + hostile[5] + " and a joy ."}},
		{"model": {"encoder"}, "task": {"sentence-similarity"}, "text": {"a joy\nthe film\n" + hostile[1]}},
		{"model": {"two"}, "task": {"question-answering"}, "question": {hostile[0]}, "context": {""}},
	} {
		answer, err := http.PostForm(address+"/try", form)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if want := form.Get("model") == "two" && form.Get("task") == "question-answering"; err != nil || (answer.StatusCode == http.StatusOK) == want {
			t.Errorf("%v: %s, %v", form, answer.Status, err)
		}
		name := fmt.Sprintf("serve-answer-%d", i)
		w.write(t, name+".html", string(page))
		b.Check(t, name, filepath.Join(w.dir, name+".html"))
	}
}
