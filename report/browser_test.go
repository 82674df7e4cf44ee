package report

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/browser"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/train"
)

// screen is how scripts are tried.
var screen = browser.Look{Width: 1400, Media: "screen", Scheme: "light"}

// TestBrowser looks at pages with everything that they can have in Chromium, and uses what their scripts add. BERT_PAGE names
// other pages to look at, between commas, and BERT_SCREENSHOTS a folder for what pages look like.
func TestBrowser(t *testing.T) {
	b := browser.Open(t)
	t.Log(b.Version)
	if paths := os.Getenv("BERT_PAGE"); paths != "" {
		for _, path := range strings.Split(paths, ",") {
			name := strings.NewReplacer("/", "-", ".html", "").Replace(filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path)))
			t.Run(name, func(t *testing.T) { b.Check(t, name, path) })
		}
		return
	}
	pages := modelPages(t)
	pages["page"] = fullPage(t)
	for _, name := range sortedKeys(pages) {
		t.Run(name, func(t *testing.T) {
			b.Check(t, name, saved(t, pages[name]))
		})
	}
	for name, try := range map[string]func(*testing.T, *browser.Browser){
		"map script": tryMap, "attention script": tryAttention, "curves script": tryCurves, "matrix script": tryMatrix, "tables script": tryTables,
		"neuron script": tryNeuron,
	} {
		t.Run(name, func(t *testing.T) { try(t, b.For(t)) })
	}
}

// saved is the path of a page in a new folder.
func saved(t *testing.T, p *Page) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), PageFile)
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// opened shows a page, and fails the test for what the page complains of once its scripts were used.
func opened(t *testing.T, b *browser.Browser, p *Page) {
	t.Helper()
	url := "file://" + saved(t, p)
	b.Load(url, screen)
	t.Cleanup(func() {
		for _, c := range b.Complaints(url) {
			t.Error(c)
		}
	})
}

// tryMap uses the map of points: it searches, and asks for neighbours.
func tryMap(t *testing.T, b *browser.Browser) {
	opened(t, b, projectionPage(t, mapped(t, 150, 8)))
	var got struct {
		Found, Detail string
		Neighbours    int
		Lines         int
	}
	b.Evaluate(`(() => {
		const search = document.querySelector(".tools input");
		search.value = "GROUP 3";
		search.dispatchEvent(new Event("input"));
		document.querySelector(".tools .choices button").click();
		return {Found: document.querySelector(".tools .note").textContent, Detail: document.querySelector(".detail h3").textContent,
			Neighbours: document.querySelectorAll(".detail .choices button").length, Lines: document.querySelectorAll("svg line").length};
	})()`, &got)
	if got.Found != "19 points" || !strings.HasPrefix(got.Detail, "3 ") || got.Neighbours != 5 || got.Lines != 5 {
		t.Errorf("a search shows %+v", got)
	}
}

// tryAttention uses the views of attention: it chooses a layer, hides heads, and asks for a token's weights.
func tryAttention(t *testing.T, b *browser.Browser) {
	var p Attentions
	a := attended(6, 2, 2)
	a.Tokens = strings.Fields("[CLS] a b c d [SEP]")
	in := data.Input{Text: "a b c d"}
	p.Add(&in, &a)
	opened(t, b, p.Page("Attention", "bert test"))
	var said []string
	b.Evaluate(`(() => {
		const root = document.getElementById("attention0"), menu = root.querySelector("select"), box = root.querySelector("input");
		const said = [];
		const press = key => root.querySelector(".scroll").dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
		menu.value = "0";
		menu.dispatchEvent(new Event("change"));
		root.querySelectorAll(".heads button")[1].click();
		press("ArrowDown"); press("ArrowDown");
		said.push(root.querySelector(".said").textContent);
		box.click();
		said.push(root.querySelector(".said").textContent);
		press("ArrowRight");
		said.push(root.querySelector(".said").textContent);
		return said;
	})()`, &said)
	rows := a.Layers[0].Heads[0].Rows.All
	first := topLinks(rows[1], 1)[0]
	bare, sum := topLinks(rows[1][1:5], 1)[0], float32(0)
	for _, w := range rows[1][1:5] {
		sum += w
	}
	for i, want := range []struct {
		begins string
		weight float32
	}{
		{fmt.Sprintf("From “a”, mean of the heads shown: %s ", a.Tokens[first.To]), first.Weight},
		{fmt.Sprintf("From “a”, mean of the heads shown: %s ", a.Tokens[1+bare.To]), bare.Weight / sum},
		{"To “a”, mean of the heads shown: ", -1},
	} {
		rest, ok := strings.CutPrefix(said[i], want.begins)
		var got float32
		if ok && want.weight >= 0 {
			_, err := fmt.Sscanf(rest, "%f", &got)
			ok = err == nil && got > want.weight-0.01 && got < want.weight+0.01
		}
		if !ok {
			t.Errorf("the page says %q, want %q with %.3f", said[i], want.begins, want.weight)
		}
	}
}

// noisyRun is a run of 40 logged steps and 4 evaluations, with a matrix of two labels.
func noisyRun() map[string]string {
	var b strings.Builder
	b.WriteString(`{"event":"start","time":"2026-03-01T12:00:00Z","steps":400,"examples":8,"options":{"clip_norm":"1"}}` + "\n")
	for i := range 40 {
		step := 10 * (i + 1)
		fmt.Fprintf(&b, `{"event":"step","time":"2026-03-01T12:%02d:00Z","step":%d,"epoch":%g,"loss":%g,"learning_rate":2e-5,"grad_norm":%g,"examples":%d,"tokens":%d,"tokens_per_second":90}`+"\n",
			i+1, step, float64(step)/100, math.Exp(-float64(i)/10)+0.3*wave(i), 1+wave(i+50), 8*step, 100*step)
		if step%100 == 0 {
			fmt.Fprintf(&b, `{"event":"evaluation","time":"2026-03-01T12:%02d:30Z","step":%d,"epoch":%g,"loss":%g,"metrics":{"eval_accuracy":%g},"best":false,"seconds":1}`+"\n",
				i+1, step, float64(step)/100, 0.5-0.1*float64(step)/100, 0.5+0.1*float64(step)/100)
		}
	}
	files := with(someRun, train.EventsFile, b.String())
	delete(files, task.SpecFile)
	return files
}

// press are the commands by which a figure is used, in the page.
const press = `
	const figure = [...document.querySelectorAll("figure")].find(f => f.querySelector("h3").textContent === title);
	const picture = figure.querySelector(".picture"), svg = picture.querySelector("svg"), said = () => figure.querySelector(".said").textContent;
	const key = k => picture.dispatchEvent(new KeyboardEvent("keydown", {key: k, bubbles: true, cancelable: true}));
	const set = (e, v) => { e.value = v; e.dispatchEvent(new Event("input")); e.dispatchEvent(new Event("change")); };
	const point = (type, x, y) => { // in the picture's own lengths
		const r = svg.getBoundingClientRect(), box = svg.viewBox.baseVal;
		svg.dispatchEvent(new PointerEvent(type, {bubbles: true, clientX: r.left + x / box.width * r.width, clientY: r.top + y / box.height * r.height}));
	};
	const lines = () => [...svg.querySelectorAll("g path[stroke-linejoin]")].map(p => p.getAttribute("d"));
`

// tryCurves reads curves by keyboard and pointer, smooths them, and draws them along another axis: what it reads is what Smooth gives.
func tryCurves(t *testing.T, b *browser.Browser) {
	r, err := Open(folder(t, noisyRun()))
	if err != nil {
		t.Fatal(err)
	}
	opened(t, b, New([]*Run{r}, Options{}))
	var got struct {
		First, Second, Evaluation, Smoothed, Tokens, Pointed, Left string
		Static, Drawn                                              []string
		Log, Linear                                                []string
		Axis                                                       []string
	}
	b.Evaluate(`(() => {
		const title = "Loss";`+press+`
		const out = {Static: [], Log: []};
		const slider = document.querySelector(".tools input[type=range]"), menu = document.querySelector(".tools select");
		out.Static = lines();
		key("ArrowRight");
		out.First = said();
		for (let i = 1; i < 6; i++) key("ArrowRight");
		out.Second = said();
		key("End");
		out.Evaluation = said();
		set(slider, 0.5);
		key("Home");
		for (let i = 1; i < 6; i++) key("ArrowRight");
		out.Smoothed = said();
		set(menu, "tokens");
		out.Tokens = said();
		set(menu, "step");
		set(slider, 0.9);
		out.Drawn = lines();
		point("pointermove", 62, 100);
		out.Pointed = said();
		point("pointerleave", 0, 0);
		out.Left = said();
		figure.querySelector("input[type=checkbox]").click();
		out.Linear = [...svg.querySelectorAll("text")].map(e => e.textContent);
		figure.querySelector("input[type=checkbox]").click();
		out.Log = [...svg.querySelectorAll("text")].map(e => e.textContent);
		out.Axis = [...menu.options].map(o => o.value);
		return out;
	})()`, &got)
	b.Keep("curves-used")
	loss := make([]float64, len(r.Events.Logged))
	for i, s := range r.Events.Logged {
		loss[i] = s.Loss
	}
	reading := func(x string, i int, weight float64) string {
		return fmt.Sprintf("%s: training %s (smoothed %s)", x, asWritten(loss[i]), asWritten(Smooth(loss, weight)[i]))
	}
	for what, c := range map[string][2]string{
		"the first step":      {got.First, reading("step 10", 0, 0.9)},
		"the sixth":           {got.Second, reading("step 60", 5, 0.9)},
		"the last":            {got.Evaluation, reading("step 400", 39, 0.9) + "; evaluation 0.1"},
		"with less smoothing": {got.Smoothed, reading("step 60", 5, 0.5)},
		"along the tokens":    {got.Tokens, reading("tokens 6,000", 5, 0.5)},
		"at the pointer":      {got.Pointed, reading("step 10", 0, 0.9)},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: the page says %q, want %q", what, c[0], c[1])
		}
	}
	if !strings.HasPrefix(got.Left, "Point at") {
		t.Errorf("without the pointer the page says %q", got.Left)
	}
	if !slices.Equal(got.Axis, []string{"step", "epoch", "tokens", "hours"}) {
		t.Errorf("the axes are %q", got.Axis)
	}
	if len(got.Static) != 3 || !sameLines(got.Static, got.Drawn) {
		t.Errorf("drawn again as it was, the picture is\n%.300q, want\n%.300q", got.Drawn, got.Static)
	}
	if !slices.Contains(got.Log, "1") || slices.Contains(got.Log, "0.5") || !slices.Contains(got.Linear, "1.0") || !slices.Contains(got.Linear, "0.5") {
		t.Errorf("a logarithmic axis has %q, a linear one %q", got.Log, got.Linear)
	}
}

// asWritten is a number as the page writes it, of one that has been a float32.
func asWritten(v float64) string { return draw.Number(float64(float32(v))) }

// sameLines says that lines go through the same points, to a twentieth of a pixel.
func sameLines(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	split := func(r rune) bool { return strings.ContainsRune("ML, ", r) }
	for i := range a {
		x, y := strings.FieldsFunc(a[i], split), strings.FieldsFunc(b[i], split)
		if len(x) != len(y) {
			return false
		}
		for j := range x {
			var p, q float64
			fmt.Sscan(x[j], &p)
			fmt.Sscan(y[j], &q)
			if math.Abs(p-q) > 0.05 {
				return false
			}
		}
	}
	return true
}

// tryMatrix gives a confusion matrix other shares, and asks for the examples of a cell.
func tryMatrix(t *testing.T, b *browser.Browser) {
	p := pageOf(t, Options{}, folder(t, someRun))
	many := make(metric.ConfusionMatrix, 30)
	names := make([]string, 30)
	for i := range many {
		many[i], names[i] = make([]int, 30), fmt.Sprintf("intent %d", i)
		many[i][i], many[i][(i+1)%30] = 3, 1
	}
	p.Sections = append(p.Sections, Section{Title: "Many", Figures: []*Figure{ConfusionFigure(Confusion{Title: "Many labels", Labels: names, Counts: many})}})
	opened(t, b, p)
	var got struct {
		Cell, Moved, Shares, Many, None string
		Texts                           map[string][]string
		Examples                        []string
		Fills                           int
	}
	b.Evaluate(`(() => {
		const out = {Texts: {}};
		{
			const title = "Confusion matrix";`+press+`
			const menu = figure.querySelector("select");
			const texts = () => [...svg.querySelectorAll("g text")].map(e => e.textContent);
			out.Texts.start = texts();
			for (const o of ["none", "all", "pred", "true"]) {
				set(menu, o);
				out.Texts[o] = texts();
			}
			key("ArrowRight");
			out.Cell = said();
			key("ArrowRight");
			out.Moved = said();
			key("Enter");
			out.Examples = [...figure.querySelectorAll(".detail li")].map(e => e.textContent);
			const r = svg.querySelectorAll("g")[2].getBoundingClientRect();
			svg.dispatchEvent(new PointerEvent("pointermove", {bubbles: true, clientX: r.left + 5, clientY: r.top + 5}));
			svg.dispatchEvent(new PointerEvent("click", {bubbles: true, clientX: r.left + 5, clientY: r.top + 5}));
			out.None = figure.querySelector(".detail").textContent;
		}
		{
			const title = "Many labels";`+press+`
			set(figure.querySelector("select"), "all");
			key("ArrowDown"); // to the first cell
			key("ArrowDown");
			key("ArrowRight");
			out.Many = said();
			out.Fills = svg.querySelectorAll("g:first-of-type rect").length;
		}
		return out;
	})()`, &got)
	b.Keep("matrix-used")
	// The counts are [[1 1] [0 2]].
	for name, want := range map[string][]string{
		"start": {"1", "50 %", "1", "50 %", "0", "0 %", "2", "100 %"}, "true": {"1", "50 %", "1", "50 %", "0", "0 %", "2", "100 %"},
		"none": {"1", "1", "0", "2"}, "all": {"1", "25 %", "1", "25 %", "0", "0 %", "2", "50 %"}, "pred": {"1", "100 %", "1", "33 %", "0", "0 %", "2", "67 %"},
	} {
		if !slices.Equal(got.Texts[name], want) {
			t.Errorf("with shares %s the cells have %q, want %q", name, got.Texts[name], want)
		}
	}
	if want := "true label no, predicted label no: 1 (50 %)"; got.Cell != want {
		t.Errorf("the first cell says %q, want %q", got.Cell, want)
	}
	if want := "true label no, predicted label <b>: 1 (50 %)"; got.Moved != want {
		t.Errorf("the second cell says %q, want %q", got.Moved, want)
	}
	if want := []string{"dev.tsv:3, probability 0.6977 "}; !slices.Equal(got.Examples, want) {
		t.Errorf("its examples are %q, want %q", got.Examples, want)
	}
	if want := "true label <b>, predicted label no: 0 (0 %)There are no examples."; got.None != want {
		t.Errorf("an empty cell says %q, want %q", got.None, want)
	}
	if want := "true label intent 1, predicted label intent 1: 3 (2.5 %)"; got.Many != want {
		t.Errorf("of many labels, a cell says %q, want %q", got.Many, want)
	}
	if got.Fills != 1+2*30 {
		t.Errorf("the matrix of 30 labels has %d cells, want 61 with its background", got.Fills)
	}
}

// tryTables sorts a table by a column of numbers and by one of texts.
func tryTables(t *testing.T, b *browser.Browser) {
	opened(t, b, &Page{Title: "Table", Sections: []Section{{Title: "A", Tables: []NamedTable{{"Numbers", Table{
		Columns: append(words("name"), numbers("value")...), Rows: [][]string{{"b", "0.5"}, {"c", ""}, {"a", "12000"}, {"d", "2e-05"}, {"<e>", "-3"}},
	}}}}}})
	var got []string
	b.Evaluate(`(() => {
		const heads = document.querySelectorAll("thead th"), out = [];
		const press = i => {
			heads[i].querySelector("button").click();
			out.push([heads[i].getAttribute("aria-sort"), ...[...document.querySelectorAll("tbody tr")].map(r => r.cells[0].textContent)].join(" "));
		};
		[1, 1, 1, 0, 0].forEach(press);
		return out;
	})()`, &got)
	if want := []string{"descending a b d <e> c", "ascending <e> d b a c", " b c a d <e>", "ascending <e> a b c d", "descending d c b a <e>"}; !slices.Equal(got, want) {
		t.Errorf("sorted, the table is %q, want %q", got, want)
	}
}
