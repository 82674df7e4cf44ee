package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// someRun are the files of a run of two labels.
var someRun = map[string]string{
	"recipe.json": `{"task": "text", "data": "train.tsv", "learning_rate": 2e-5, "labels": ["no", "<b>"], "seed": 42}`,
	train.EventsFile: `{"event":"start","time":"2026-03-01T12:00:00Z","steps":40,"examples":8,"options":{"seed":"42","clip_norm":"1","train_data":"0a1b","best_metric":"f1_score"}}
{"event":"step","time":"2026-03-01T12:00:10Z","step":10,"epoch":1,"loss":0.7,"learning_rate":2e-5,"grad_norm":1.5,"examples":80,"tokens":800,"tokens_per_second":90}
{"event":"evaluation","time":"2026-03-01T12:00:11Z","step":10,"epoch":1,"loss":0.6,"metrics":{"eval_accuracy":0.5,"f1_score":null},"best":false,"seconds":1}
{"event":"step","time":"2026-03-01T12:00:20Z","step":20,"epoch":2,"loss":0.5,"learning_rate":1e-5,"grad_norm":0.5,"examples":160,"tokens":1600,"tokens_per_second":95}
{"event":"evaluation","time":"2026-03-01T12:00:21Z","step":20,"epoch":2,"loss":0.5,"metrics":{"eval_accuracy":0.75,"f1_score":0.8},"best":true,"seconds":1}
{"event":"end","time":"2026-03-01T12:00:22Z","step":20,"epoch":2,"examples":160,"tokens":1600,"loss":0.6,"stopped_early":true,"model_step":20,"seconds":22}
`,
	task.ResultsFile: `{"eval_accuracy":0.75,"f1_score":0.8,"auc":0.75,"loss":0.5,"global_step":20,"official_metrics":["f1_score"],"examples":4,"truncated":1,
"compute_precision":"float32","positive_label":"<b>","labels":["no","<b>"],"confusion_matrix":[[1,1],[0,2]]}`,
	task.SpecFile: `{"task":"text","kind":"single_label_classification","labels":["no","<b>"],"positive_label":"<b>","max_seq_length":16}`,
	task.OutcomesFile: `{"kind":"single_label_classification","labels":["no","<b>"],"positive_label":"<b>","global_step":20,"loss":0.5,"examples":4}
{"source":"dev.tsv:2","text":"<i>one</i>","tokens":5,"loss":0.1,"label":0,"log_probabilities":[-0.1,-2.3]}
{"source":"dev.tsv:3","tokens":6,"loss":1.2,"label":0,"log_probabilities":[-1.2,-0.36]}
{"source":"dev.tsv:4","tokens":9,"loss":0.2,"label":1,"log_probabilities":[-1.7,-0.2]}
{"source":"dev.tsv:5","tokens":12,"loss":0.3,"label":1,"log_probabilities":[-1.35,-0.3]}
`,
}

// folder writes files into a new folder.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(content), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// without are the files but for some.
func without(files map[string]string, names ...string) map[string]string {
	out := make(map[string]string)
	for name, content := range files {
		out[name] = content
	}
	for _, name := range names {
		delete(out, name)
	}
	return out
}

// with are the files and another.
func with(files map[string]string, name, content string) map[string]string {
	out := without(files)
	out[name] = content
	return out
}

func pageOf(t testing.TB, o Options, dirs ...string) *Page {
	t.Helper()
	var runs []*Run
	for _, dir := range dirs {
		r, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, r)
	}
	return New(runs, o)
}

// names are those of a page's figures.
func names(p *Page) string {
	var list []string
	for _, f := range p.Figures() {
		list = append(list, f.Name)
	}
	return strings.Join(list, " ")
}

func TestRun(t *testing.T) {
	p := pageOf(t, Options{Title: "A run"}, folder(t, someRun))
	if got, want := names(p), "loss metric learning-rate gradient-norm speed time confusion classes roc pr threshold scores calibration length"; got != want {
		t.Errorf("the figures are\n%s, want\n%s", got, want)
	}
	facts := make(map[string]Fact)
	for _, f := range p.Facts {
		facts[f.Name] = f
	}
	// 3 of 4 by Wilson; the figures that are drawn have an interval too.
	if f := facts["accuracy"]; f.Value != "0.75" || f.Interval != "95 %: 0.3006 – 0.9544" {
		t.Errorf("the accuracy is %+v", f)
	}
	if facts["F1"].Interval == "" || facts["AUC"].Interval == "" || facts["accuracy of the most frequent label"].Value != "0.5" {
		t.Errorf("the facts are %+v", p.Facts)
	}
	if got := strings.Join(p.Warnings, " "); !strings.Contains(got, "1 of 4 texts were cut") {
		t.Errorf("the warnings are %q", got)
	}
	page := rendered(t, p)
	for _, want := range []string{"the model is from step 20. The training stopped early.", "train_data", "0a1b", "2e-5", "dev.tsv:3 (loss 1.2)", "&lt;i&gt;one&lt;/i&gt;", "best is 0.8 at step 20", "stopped early at step 20"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(page, "<i>") || strings.Contains(page, "<b>") {
		t.Error("the page has elements of a user's text")
	}
	// Where the accuracy judges, what guessing gives is beside it.
	page = rendered(t, pageOf(t, Options{}, folder(t, with(someRun, train.EventsFile, strings.Replace(someRun[train.EventsFile], `"best_metric":"f1_score"`, `"best_metric":"eval_accuracy"`, 1)))))
	if !strings.Contains(page, "the most frequent label each time") {
		t.Error("the page doesn't compare the accuracy with that of the most frequent label")
	}
	// Against tokens, the last step is at 1,600.
	loss := pageOf(t, Options{Against: Tokens}, folder(t, someRun)).Figures()[0]
	if row := loss.Table.Rows[1]; row[1] != "1600" || loss.Table.Columns[1].Name != "tokens" {
		t.Errorf("against tokens the second row is %v", row)
	}
	if row := pageOf(t, Options{Against: Hours}, folder(t, someRun)).Figures()[0].Table.Rows[0]; row[1] != "0.002777778" {
		t.Errorf("against hours the first row is %v", row)
	}
}

// The results of another evaluation are not drawn as those of this one.
func TestOutcomesOfAnotherEvaluation(t *testing.T) {
	files := with(someRun, task.OutcomesFile, strings.Replace(someRun[task.OutcomesFile], `"global_step":20`, `"global_step":10`, 1))
	p := pageOf(t, Options{}, folder(t, files))
	if got := names(p); strings.Contains(got, "roc") {
		t.Errorf("the figures are %s", got)
	}
	if got := strings.Join(p.Warnings, " "); !strings.Contains(got, "eval_logits.jsonl is of another evaluation") {
		t.Errorf("the warnings are %q", got)
	}
}

// A run that was killed at any byte of its events has a page.
func TestKilledRun(t *testing.T) {
	events := someRun[train.EventsFile]
	files := without(someRun, task.ResultsFile, task.OutcomesFile, task.SpecFile)
	for _, n := range []int{0, 1, 30, 200, 400, 600, len(events) - 1} {
		files[train.EventsFile] = events[:n]
		p := pageOf(t, Options{}, folder(t, files))
		if got := strings.Join(p.Warnings, " "); !strings.Contains(got, "The run has not ended") {
			t.Errorf("killed at byte %d, the warnings are %q", n, got)
		}
		rendered(t, p)
	}
}

func TestSeveralRuns(t *testing.T) {
	a := folder(t, someRun)
	b := folder(t, without(someRun, task.OutcomesFile))
	p := pageOf(t, Options{}, a, b, a)
	loss := p.Figures()[0]
	curves := make(map[string]bool)
	for _, row := range loss.Table.Rows {
		curves[row[0]] = true
	}
	if len(curves) != 6 {
		t.Errorf("the figure of the loss has the curves %v, want two of each run", curves)
	}
	seen := make(map[string]bool)
	for _, f := range p.Figures() {
		if seen[f.Name] {
			t.Errorf("two figures are named %s", f.Name)
		}
		seen[f.Name] = true
	}
	rendered(t, p)
}

func TestSweepAndGLUE(t *testing.T) {
	files := make(map[string]string)
	for i, rate := range []string{"1e-05", "0.0001"} {
		for j, batch := range []string{"16", "32"} {
			files[fmt.Sprintf("run%d%d/run.json", i, j)] = fmt.Sprintf(`{"settings":{"learning-rate":%q,"train-batch-size":%q,"epochs":"3"},"seed":1,"metric":"eval_accuracy","finished":true,"value":0.%d%d}`, rate, batch, 7+i, j)
		}
	}
	files["run-failed/run.json"] = `{"settings":{"learning-rate":"1e-05","train-batch-size":"16","epochs":"3"},"seed":2,"metric":"eval_accuracy","failed":"the loss is NaN","value":null}`
	p := pageOf(t, Options{}, folder(t, files))
	if got, want := names(p), "by-learning-rate by-train-batch-size by-learning-rate-and-train-batch-size parallel main-effects expected-best"; got != want {
		t.Errorf("the figures of a sweep are\n%s, want\n%s", got, want)
	}
	if p.Lead != "A sweep of 5 runs, each judged by its last evaluation." {
		t.Errorf("the page begins with %q", p.Lead)
	}
	files["recipe.json"] = `{"metric_for_best_model": "main"}`
	if p := pageOf(t, Options{}, folder(t, files)); p.Lead != "A sweep of 5 runs, each judged by its best evaluation." {
		t.Errorf("the page begins with %q", p.Lead)
	}
	if f := p.Figures()[0]; f.Finding != "Of 2 settings the mean is best at 0.0001: 0.805." {
		t.Errorf("the finding is %q", f.Finding)
	}
	rendered(t, p)
	p = pageOf(t, Options{}, folder(t, map[string]string{"glue_results.json": `{"rows":[{"name":"CoLA","task":"cola","split":"dev","metrics":{"matthews":55.5},"score":55.5},
		{"name":"RTE","task":"rte","split":"dev","metrics":{"eval_accuracy":null},"score":null}],"tasks":1,"score":null}`}))
	if f := p.Figures()[0]; f.Name != "glue" || !strings.Contains(f.Finding, "in 1 of 2 parts") {
		t.Errorf("of GLUE: %s: %s", f.Name, f.Finding)
	}
	rendered(t, p)
	p = pageOf(t, Options{}, folder(t, map[string]string{"eval_results.json": `{"masked_lm_accuracy":0.5,"masked_lm_loss":2.5,"next_sentence_accuracy":0.9,"next_sentence_loss":0.3,"loss":2.8,"global_step":5,"instances":100,"masked_tokens":400,"compute_precision":"float32"}`}))
	events := `{"event":"evaluation","time":"2026-03-01T12:00:11Z","step":10,"loss":0.6,"metrics":{"masked_lm_accuracy":0.2,"masked_lm_loss":4,"next_sentence_accuracy":0.7}}` + "\n"
	if got := names(pageOf(t, Options{}, folder(t, map[string]string{"events.jsonl": events}))); got != "loss metric metric-2 metric-3" {
		t.Errorf("of a pre-training the figures are %s", got)
	}
	if len(p.Facts) != 4 || p.Facts[0].Interval == "" || p.Facts[2].Value != "0.9" {
		t.Errorf("of a pre-training: %+v", p.Facts)
	}
}

func TestOpenErrors(t *testing.T) {
	for name, content := range map[string]string{
		"recipe.json": "[]", train.EventsFile: "nonsense\n", task.SpecFile: "{}", task.ResultsFile: "{}", task.OutcomesFile: "{}\n", "glue_results.json": "[]", "a/run.json": "3",
	} {
		dir := folder(t, map[string]string{name: content})
		if _, err := Open(dir); err == nil || !strings.HasPrefix(err.Error(), filepath.Join(dir, filepath.FromSlash(name))) || strings.Contains(err.Error(), "unmarshal") {
			t.Errorf("%s of %q: %v", name, content, err)
		}
	}
	var none *NoRunError
	if _, err := Open(filepath.Join(t.TempDir(), "missing")); !errors.As(err, &none) && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a folder that isn't there: %v", err)
	}
}

// Whatever the files of a run say, its page is made or the error is a line.
func FuzzRun(f *testing.F) {
	f.Add(someRun[train.EventsFile], someRun[task.ResultsFile], someRun[task.OutcomesFile])
	f.Add("", "", `{"kind":"token_classification","labels":["O","B-X","I-X","strange"],"examples":1}`+"\n"+`{"words":["a","b"],"tags":[1,2],"predicted":[1,3],"loss":1}`+"\n")
	f.Add("", "", `{"kind":"question_answering","examples":2}`+"\n"+`{"answer":"x","best":"x","answers":["x y"],"null_odds":-2}`+"\n"+`{"answer":"","null_odds":3}`+"\n")
	f.Add("", "", `{"kind":"regression","labels":["value"],"examples":2}`+"\n"+`{"target":1,"value":1e300}`+"\n"+`{"target":-2,"value":0}`+"\n")
	f.Add("", "", `{"kind":"multi_label_classification","labels":["a","b"],"examples":1}`+"\n"+`{"labels":[0],"probabilities":[0.9,0.1]}`+"\n")
	f.Add("", "", `{"kind":"multiple_choice","examples":1}`+"\n"+`{"label":1,"log_probabilities":[-1,-0.5,-9]}`+"\n")
	f.Add("", `{"f1":1,"official_metrics":["f1"],"examples":3,"labels":[],"confusion_matrix":[]}`, "")
	f.Fuzz(func(t *testing.T, events, results, outcomes string) {
		files := make(map[string]string)
		for name, content := range map[string]string{train.EventsFile: events, task.ResultsFile: results, task.OutcomesFile: outcomes} {
			if content != "" {
				files[name] = content
			}
		}
		if results != "" {
			files[task.SpecFile] = someRun[task.SpecFile]
		}
		r, err := Open(folder(t, files))
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "unmarshal") {
				t.Errorf("the error is %q", err)
			}
			return
		}
		p := New([]*Run{r}, Options{})
		checkTags(t, rendered(t, p))
		p.Terminal(80)
	})
}
