package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/glue"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// someEvaluations are confusion matrices of three labels that get better, the best of them before the last.
func someEvaluations(n int) []Evaluated {
	var list []Evaluated
	for i := range n {
		wrong := 30 - 2*i
		if i == n-1 {
			wrong += 6
		}
		list = append(list, Evaluated{Step: 100 * (i + 1), Best: i < n-1, Counts: metric.ConfusionMatrix{{60 - wrong, wrong, 0}, {wrong, 50 - wrong, 3}, {1, 0, 9}}})
	}
	return list
}

func someBreakdown() *pretrain.Breakdown {
	b := &pretrain.Breakdown{Width: 8, Lengths: []int{0, 2, 5, 40}, Vocabulary: []int{1, 2, 3, 5, 8, 9, 12, 15, 20, 25}}
	b.Places = pretrain.Counts{Masked: []int{90, 100, 80, 0}, Right: []int{45, 61, 40, 0}}
	for i := range 10 {
		b.Frequencies.Masked = append(b.Frequencies.Masked, 27)
		b.Frequencies.Right = append(b.Frequencies.Right, 26-2*i)
	}
	b.Pieces = &pretrain.Counts{Masked: []int{200, 70}, Right: []int{120, 26}}
	return b
}

// someFills are what a model fills in at ten evaluations. A token is hostile.
func someFills() []Filled {
	var list []Filled
	for i := range 10 {
		first := pretrain.Candidate{Token: "the", Probability: 0.3}
		if i >= 4 {
			first = pretrain.Candidate{Token: "france", Probability: 0.2 + 0.07*float64(i)}
		}
		list = append(list, Filled{Step: 500 * (i + 1), Candidates: []pretrain.Candidate{first, {Token: "##</script>", Probability: 0.1}, {Token: "europe", Probability: 0.05}}})
	}
	return list
}

func someCategories() []glue.Category {
	return []glue.Category{
		{Field: "Logic", Confusion: metric.ConfusionMatrix{{20, 3, 5}, {4, 15, 6}, {2, 8, 17}}},
		{Field: "Logic", Name: "Double negation", Confusion: metric.ConfusionMatrix{{2, 3, 4}, {4, 3, 2}, {2, 3, 2}}},
		{Field: "Logic", Name: "Negation", Confusion: metric.ConfusionMatrix{{18, 0, 1}, {0, 12, 4}, {0, 5, 15}}},
	}
}

// benchmarkRun is a run of GLUE with three parts and two trainings.
func benchmarkRun() *Run {
	losses := func(from, to float64) *Run {
		e := &train.Events{}
		for i := range 40 {
			e.Logged = append(e.Logged, train.LoggedStep{Step: 10 * (i + 1), Loss: from + (to-from)*float64(i)/39 + 0.1*(wave(i)-0.5)})
		}
		return &Run{Events: e}
	}
	nli := []string{"contradiction", "entailment", "neutral"}
	return &Run{
		Name: "run", GLUE: &glue.Summary{Rows: []glue.Row{{Name: "CoLA", Task: "cola", Split: data.Dev}, {Name: "MNLI-m", Task: "mnli", Split: data.DevMatched}, {Name: "MNLI-mm", Task: "mnli", Split: data.DevMismatched}}},
		Tasks: []GLUETask{
			{Name: "cola", Run: losses(0.7, 0.3), Page: true, Parts: []glue.Part{{Split: data.Dev, Labels: []string{"0", "1"}, Confusion: metric.ConfusionMatrix{{200, 122}, {60, 661}}, Examples: 1043}}},
			{Name: "mnli", Run: losses(1.1, 0.6), Parts: []glue.Part{
				{Split: data.DevMatched, Labels: nli, Confusion: metric.ConfusionMatrix{{2600, 200, 413}, {180, 2900, 399}, {400, 390, 2333}}},
				{Split: data.DevMismatched, Labels: nli, Confusion: metric.ConfusionMatrix{{2500, 200, 540}, {180, 2900, 383}, {400, 390, 2339}}},
			}},
		},
	}
}

func labelMultiples(t testing.TB) *Figure {
	t.Helper()
	for _, f := range multiLabelFigures(someLabels(), &Options{}) {
		if f.Name == "pr-by-label" {
			return f
		}
	}
	t.Fatal("there is no figure of precision and recall by label")
	return nil
}

func TestEvaluationsFigure(t *testing.T) {
	labels := []string{"negative", "neutral", "<b>"}
	f := EvaluationsFigure(labels, someEvaluations(15))
	// 59 and 103 of 123.
	if want := "48 % are right at step 100, 83.7 % at step 1,500; of “negative” 22 fewer are taken for “neutral”."; f.Finding != want {
		t.Errorf("the finding is %q, want %q", f.Finding, want)
	}
	if n := len(f.Table.Rows); n != 45 {
		t.Errorf("the table has %d rows, want 3 of each of 15 evaluations", n)
	}
	svg := f.SVG(0)
	for _, want := range []string{"step 100:", "step 1,500:", ", best"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
	if n := strings.Count(svg, ">step "); n != 2*shownMatrices {
		t.Errorf("the picture has %d matrices, want %d", n/2, shownMatrices)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		all, n, must int
		want         []int
	}{
		{0, 12, -1, []int{}}, {1, 12, 0, []int{0}}, {3, 3, 1, []int{0, 1, 2}}, {10, 4, -1, []int{0, 3, 6, 9}}, {10, 4, 7, []int{0, 3, 7, 9}},
		{10, 3, 1, []int{0, 1, 9}}, {10, 3, 8, []int{0, 8, 9}}, {100, 3, 98, []int{0, 98, 99}}, {5, 4, 9, []int{0, 1, 2, 4}},
	} {
		if got := spread(c.all, c.n, c.must); !slices.Equal(got, c.want) {
			t.Errorf("%d of %d with %d are %v, want %v", c.n, c.all, c.must, got, c.want)
		}
	}
}

// progressEvents are the events of a training whose evaluations have details.
func progressEvents(details ...string) string {
	text := `{"event":"start","time":"2026-03-01T12:00:00Z","steps":30,"examples":8,"options":{"best_metric":"eval_accuracy"}}` + "\n"
	for i, d := range details {
		text += fmt.Sprintf(`{"event":"step","time":"2026-03-01T12:0%d:10Z","step":%d,"loss":0.7,"learning_rate":1e-5,"grad_norm":1,"examples":80,"tokens":800,"tokens_per_second":90}`, i, 10*(i+1)) + "\n"
		text += fmt.Sprintf(`{"event":"evaluation","time":"2026-03-01T12:0%d:11Z","step":%d,"loss":0.6,"metrics":{"eval_accuracy":0.5,"masked_lm_accuracy":0.2},"best":%v,"seconds":1,"details":%s}`, i, 10*(i+1), i == 0, d) + "\n"
	}
	return text
}

// What evaluations on the way found is drawn, and what can't be is left out.
func TestEvaluationsOnTheWay(t *testing.T) {
	good := `{"labels":["no","<b>"],"confusion_matrix":[[%d,1],[2,5]]}`
	files := map[string]string{train.EventsFile: progressEvents(fmt.Sprintf(good, 3), `{"labels":["no"],"confusion_matrix":[[1,2]]}`, fmt.Sprintf(good, 6), `7`)}
	p := pageOf(t, Options{}, folder(t, files))
	if got := names(p); !strings.Contains(got, "confusions label-f1") {
		t.Fatalf("the figures are %s", got)
	}
	for _, f := range p.Figures() {
		switch f.Name {
		case "confusions":
			if f.Finding != "72.7 % are right at step 10, 78.6 % at step 30." || len(f.Table.Rows) != 4 {
				t.Errorf("%q, %v", f.Finding, f.Table.Rows)
			}
		case "label-f1":
			// Of “<b>” 5 are right, 7 have it, and 6 are said to have it.
			if got := f.Table.Rows[2]; got[0] != "<b>" || got[1] != "10" || got[2] != exactly(10.0/13) {
				t.Errorf("F1 is %v", f.Table.Rows)
			}
		}
	}
	page := rendered(t, p)
	if strings.Contains(page, "<b>") {
		t.Error("the page has elements of a user's text")
	}
	// Labels of which an example may have several have their scores alone.
	files[train.EventsFile] = progressEvents(`{"labels":["a","b"],"f1":[0.5,0.25]}`, `{"labels":["a","b"],"f1":[0.75,0.5]}`)
	figures := pageOf(t, Options{}, folder(t, files)).Figures()
	i := slices.IndexFunc(figures, func(f *Figure) bool { return f.Name == "label-f1" })
	if i < 0 || figures[i].Finding != "At the end F1 is lowest for “b”: 0.5." || slices.ContainsFunc(figures, func(f *Figure) bool { return f.Name == "confusions" }) {
		t.Errorf("of several labels: %v", figures)
	}
}

const someDetails = `{"breakdown":{"width":8,"places":{"masked":[4,6],"right":[%d,3]},"lengths":[2,5],"frequencies":{"masked":[1,1,1,1,1,1,1,1,1,1],"right":[1,1,1,0,0,0,0,0,0,0]},
"vocabulary":[1,1,1,1,1,1,1,1,1,1],"pieces":{"masked":[8,2],"right":[4,0]}},"probes":[{"text":"the <i> [MASK] [MASK]","masks":[[{"token":"<b>","probability":0.5}],[{"token":"x","probability":0.25}]]}]}`

func TestPretrainingPage(t *testing.T) {
	details := strings.ReplaceAll(someDetails, "\n", "")
	files := map[string]string{
		train.EventsFile:    progressEvents(fmt.Sprintf(details, 0), fmt.Sprintf(details, 1), `{"breakdown":{"width":0}}`),
		"instances.json":    `[{"path":"a","instances":9,"tokens":90,"longest":16,"width":1,"lengths":[4,5]},{"path":"b","instances":0,"tokens":0,"longest":16,"width":8,"lengths":[0,0]}]`,
		"eval_results.json": `{"masked_lm_accuracy":0.5,"masked_lm_loss":2.5,"loss":2.8,"global_step":5,"instances":7,"masked_tokens":10}`,
		"resumptions.jsonl": `{"time":"2026-03-01T12:01:00Z","step":10,"lost_steps":4}` + "\n",
	}
	p := pageOf(t, Options{}, folder(t, files))
	if got, want := names(p), "loss metric metric-2 learning-rate gradient-norm speed time masked-by-place masked-by-frequency masked-by-piece masked-along probe-1 probe-2 lengths lengths-2 lengths-evaluated"; got != want {
		t.Fatalf("the figures are\n%s, want\n%s", got, want)
	}
	findings := make(map[string]string)
	for _, f := range p.Figures() {
		findings[f.Name] = f.Finding
	}
	for name, want := range map[string]string{
		"masked-by-place":     "Most are right at places 8 to 15: 50 %; fewest at places 0 to 7: 25 %.",
		"masked-by-piece":     "Of pieces that begin a word 50 % are right, of those that continue one 0 %.",
		"masked-by-frequency": "Of the most frequent tenth 100 % are right, of the rarest 0 %",
		"probe-1":             "At step 10 the model says “<b>” (50 %), at step 20 “<b>” (50 %); it comes first throughout.",
		"lengths":             "Of 9 instances 55.6 % have 2 tokens. On average an instance has 10 tokens.",
		"loss":                "The run was resumed after step 10; 4 logged steps were made again.",
	} {
		if !strings.Contains(findings[name], want) {
			t.Errorf("%s: the finding is %q, want %q", name, findings[name], want)
		}
	}
	page := rendered(t, p)
	for _, bad := range []string{"<i>", "<b>"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s of a user's text", bad)
		}
	}
	// An evaluation alone has its breakdown too.
	text := `{"masked_lm_accuracy":0.5,"masked_lm_loss":2.5,"loss":2.8,"global_step":5,"instances":7,"masked_tokens":10,` + strings.TrimPrefix(details[:strings.Index(details, `,"probes"`)], "{") + "}"
	if got := names(pageOf(t, Options{}, folder(t, map[string]string{"eval_results.json": fmt.Sprintf(text, 2)}))); got != "masked-by-place masked-by-frequency masked-by-piece lengths-evaluated" {
		t.Errorf("of an evaluation the figures are %s", got)
	}
}

func TestBenchmark(t *testing.T) {
	files := map[string]string{
		"glue_results.json": `{"rows":[{"name":"CoLA","task":"cola","split":"dev","metrics":{"matthews":55.5},"score":55.5},
			{"name":"STS-B","task":"stsb","split":"dev","metrics":{"pearson":80,"spearman":75},"score":77.5},
			{"name":"AX","task":"ax","split":"dev","metrics":{"matthews":30},"score":30}],"tasks":2,"score":66.5}`,
		"cola/glue.json":           `[{"split":"dev","official_metrics":["matthews"],"metrics":{"matthews":0.555},"examples":20,"labels":["0","1"],"confusion_matrix":[[8,2],[3,7]]}]`,
		"cola/" + train.EventsFile: progressEvents("{}"),
		"cola/report.html":         "a page",
		"stsb/glue.json":           `[{"split":"dev","official_metrics":["pearson","spearman"],"metrics":{"pearson":0.8,"spearman":0.75},"examples":6}]`,
		"stsb/" + train.EventsFile: progressEvents("{}"),
		"stsb/task.json":           `{"task":"stsb","kind":"regression","labels":["score"],"max_seq_length":16}`,
		"stsb/eval_results.json":   `{"pearson":0.8,"spearman":0.75,"loss":0.5,"global_step":0,"official_metrics":["pearson","spearman"],"examples":6,"truncated":0,"compute_precision":"float32"}`,
		"stsb/eval_logits.jsonl":   `{"kind":"regression","labels":["score"],"global_step":0,"loss":0.5,"examples":6}` + "\n" + strings.Repeat(`{"target":1,"value":1.5,"loss":0}`+"\n"+`{"target":2,"value":1.7,"loss":0}`+"\n"+`{"target":3,"value":1.6,"loss":0}`+"\n", 2),
		"ax/glue.json": `[{"split":"dev","official_metrics":["matthews"],"metrics":{"matthews":0.3},"examples":4,"labels":["contradiction","entailment","neutral"],"confusion_matrix":[[1,0,0],[0,2,0],[1,0,0]],
			"categories":[{"field":"Logic","confusion_matrix":[[1,0,0],[0,1,0],[0,0,0]]},{"field":"Logic","name":"<b>","confusion_matrix":[[1,0,0],[0,1,0],[0,0,0]]},{"field":"Domain","confusion_matrix":[[0,0,0],[0,1,0],[1,0,0]]}]}]`,
	}
	dir := folder(t, files)
	p := pageOf(t, Options{Beside: true}, dir)
	if got, want := names(p), "glue glue-confusions glue-losses diagnostic-Logic diagnostic-Domain"; got != want {
		t.Errorf("the figures are\n%s, want\n%s", got, want)
	}
	rows := p.Figures()[0].Table.Rows // name, value, low, high, the paper's
	for i, name := range []string{"CoLA", "STS-B", "AX"} {
		if r := rows[i]; r[0] != name || r[2] == "" || r[3] == "" {
			t.Errorf("row %d is %v, want %s with an interval", i, r, name)
		}
	}
	if f := p.Figures()[3]; !strings.Contains(f.Finding, "Of 2 examples with Logic it is 100.") || len(f.Table.Rows) != 2 {
		t.Errorf("%q, %v", f.Finding, f.Table.Rows)
	}
	page := rendered(t, p)
	if !strings.Contains(page, `<a href="cola/report.html">cola</a>`) || strings.Contains(page, "stsb/report.html") || strings.Contains(page, "<b>") {
		t.Error("the page lacks the links to the tasks, or has others")
	}
	if page := rendered(t, pageOf(t, Options{}, dir)); strings.Contains(page, "cola/report.html") {
		t.Error("a page that is elsewhere has links to the tasks")
	}
	// Files of earlier releases have less.
	files["ax/glue.json"] = `[{"split":"dev","official_metrics":["matthews"],"metrics":{"matthews":0.3}}]`
	if got := names(pageOf(t, Options{}, folder(t, files))); got != "glue glue-confusions glue-losses" {
		t.Errorf("of an earlier release the figures are %s", got)
	}
	files["ax/glue.json"] = `[{"split":"dev","official_metrics":["matthews"],"metrics":{},"labels":["a","b"],"confusion_matrix":[[1]]}]`
	if _, err := Open(folder(t, files)); err == nil || !strings.Contains(err.Error(), "ax/glue.json") {
		t.Errorf("of a matrix that is none: %v", err)
	}
}

// The words of the worst errors are marked by what they add to the answer, whatever they are.
func TestScoredWords(t *testing.T) {
	outcomes := strings.Replace(someRun[task.OutcomesFile], `"log_probabilities":[-1.2,-0.36]`, `"log_probabilities":[-1.2,-0.36],"scored_words":[{"text":"<b>good","score":2},{"text":"a","score":0.1},{"text":"dull","score":-1}]`, 1)
	page := rendered(t, pageOf(t, Options{}, folder(t, with(someRun, task.OutcomesFile, outcomes))))
	for _, want := range []string{`<mark class="p4" title="2">&lt;b&gt;good</mark> a <mark class="n2" title="-1">dull</mark>`, "Words in orange speak for the predicted label"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(rendered(t, pageOf(t, Options{}, folder(t, someRun))), "Words in orange") {
		t.Error("a page without explanations speaks of them")
	}
	if got := scoredBody([]task.ScoredWord{{Text: "a", Score: 0}}); !strings.Contains(string(got), "a ") || strings.Contains(string(got), "<mark") {
		t.Errorf("of a score of 0: %s", got)
	}
}

// The interval of Spearman's coefficient is that of the coefficient of the drawn examples.
func TestSpearmanInterval(t *testing.T) {
	o := &task.Outcomes{Kind: task.Regression}
	for i := range 40 {
		x, y := float64(i%13), float64(i%13)+6*wave(i)
		o.Examples = append(o.Examples, task.Outcome{Target: &x, Value: &y})
	}
	got := spearmanInterval(o)
	want := metric.Bootstrap(len(o.Examples), bootstrapSeed, func(times []int) float64 {
		var x, y []float64
		for i, n := range times {
			for range n {
				x, y = append(x, *o.Examples[i].Target), append(y, *o.Examples[i].Value)
			}
		}
		s, err := metric.Spearman(x, y)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
	if math.Abs(got.Low-want.Low) > 1e-12 || math.Abs(got.High-want.High) > 1e-12 || !(got.Low < got.High) {
		t.Errorf("the interval is %v, want %v", got, want)
	}
}

// The interval of F1 is where Wilson's of the share that it is made of puts it: of 7 right of 10 that have or are said to have the
// label, F1 is 14/17.
func TestF1Interval(t *testing.T) {
	f := ClassesFigure(Classes{Labels: []string{"a"}, Scores: []metric.Score{{Precision: 7.0 / 8, Recall: 7.0 / 9, F1: 14.0 / 17, Support: 9, Predicted: 8}}})
	w := metric.Wilson(7, 10)
	row := f.Table.Rows[0]
	if got, want := row[7:10], []string{exactly(14.0 / 17), exactly(2 * w.Low / (1 + w.Low)), exactly(2 * w.High / (1 + w.High))}; !slices.Equal(got, want) {
		t.Errorf("F1 is %v, want %v of %v", got, want, row)
	}
}

// Labels, texts and tokens of any sort are shown as texts.
func TestHostileProgress(t *testing.T) {
	n := len(hostile)
	m := make(metric.ConfusionMatrix, n)
	for i := range m {
		m[i] = make([]int, n)
		m[i][(i*3+1)%n] = i
	}
	var fills []Filled
	var categories []glue.Category
	for i, text := range hostile {
		fills = append(fills, Filled{Step: i, Candidates: []pretrain.Candidate{{Token: text, Probability: 0.5}}})
		categories = append(categories, glue.Category{Field: hostile[0], Name: text, Confusion: metric.ConfusionMatrix{{i, 1}, {0, 2}}})
	}
	p := &Page{Title: "Hostile", Sections: []Section{{Title: "Figures", Figures: []*Figure{
		EvaluationsFigure(hostile, []Evaluated{{10, true, m}, {20, false, m}}), ProbeFigure("probe", hostile[0], fills), diagnosticFigure(categories),
	}}}}
	page := rendered(t, p)
	checkTags(t, page)
	for _, bad := range []string{"<script>alert", "\x00", "\x1b", "NaN"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if page != rendered(t, p) {
		t.Error("the same page has other bytes the second time")
	}
}
