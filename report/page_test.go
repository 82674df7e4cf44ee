package report

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/task"
)

// hostile are texts that a page has to show as texts.
var hostile = []string{
	`</script><script>alert(1)</script>`, `</style><img src=x onerror=alert(2)>`, `"quotes' and <b>tags</b> &amp; --> ]]>`,
	"مرحبا بالعالم", "עברית (א) 123", "😀👩‍👩‍👧‍👦", "\u202etxet\u202c", "a\x00b\x1b[31m\x07", "javascript:alert(3)", "{{.Evil}} ${x} `y`",
	strings.Repeat("long ", 20_000), "\xff\xfe broken", "=HYPERLINK(\"http://x\")", "",
}

// fullPage has everything that a page can have.
func fullPage(t testing.TB) *Page {
	t.Helper()
	p := &Page{Title: "All figures", Lead: "What this page shows.", Generator: "bert test", Facts: []Fact{{"accuracy", "0.91", "95 %: 0.89 – 0.93"}}, Warnings: []string{"One."}}
	p.Sections = []Section{{Title: "Figures", Figures: examples(t)}}
	n := len(hostile)
	m := make(metric.ConfusionMatrix, n)
	labels := make([]string, n)
	var bars []Bar
	for i, text := range hostile {
		m[i] = make([]int, n)
		m[i][i], m[i][(i+1)%n] = 5, i
		labels[i] = fmt.Sprintf("%d %s", i, text)
		bars = append(bars, Bar{Name: text, Value: float64(i) / float64(n)})
		p.Warnings = append(p.Warnings, text)
	}
	hard := Section{Title: hostile[0], Text: hostile[1], Figures: []*Figure{
		ConfusionFigure(Confusion{Name: "hostile", Title: hostile[0], Labels: labels, Counts: m}), BarsFigure(Bars{Name: "hostile-bars", Bars: bars}),
	}}
	for _, text := range hostile {
		hard.Examples = append(hard.Examples, Example{Head: text, Lines: []MarkedLine{{"right:", []Mark{{Text: text}, {Text: text, Label: text}}}}})
	}
	in := data.Input{Text: hostile[0] + " Ada"}
	at := len(hostile[0]) + 1
	hard.Examples = append(hard.Examples, PredictionExample(&in, &task.Prediction{Entities: []task.Entity{{Type: "<PER>", Text: "Ada", Start: at, End: at + 3, Score: 0.9}}}))
	p.Sections = append(p.Sections, hard, Section{Title: "Table", Tables: []NamedTable{{hostile[2], Table{Columns: []Column{{Name: hostile[2], Text: true}}, Rows: [][]string{{hostile[0]}}}}}})
	p.Data = map[string]any{"texts": hostile[:10]}
	return p
}

func rendered(t testing.TB, p *Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPage(t *testing.T) {
	page := rendered(t, fullPage(t))
	if rendered(t, fullPage(t)) != page {
		t.Error("the same page has other bytes the second time")
	}
	if len(page) > 5_000_000 {
		t.Errorf("the page has %d bytes, want less than 5 MB", len(page))
	}
	for what, n := range map[string]int{"<script>": 1, "<style>": 1, `<script type="application/json"`: 2, "</script>": 3, "</style>": 1} {
		if got := strings.Count(page, what); got != n {
			t.Errorf("the page has %d %s, want %d", got, what, n)
		}
	}
	for _, bad := range []string{"\x00", "\x1b", "\xff", "ZgotmplZ", "<nil>", "NaN", "@import"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	checkTags(t, page)
	for _, link := range regexp.MustCompile(`(?:href|xmlns)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(link[1], "#") && link[1] != "http://www.w3.org/2000/svg" {
			t.Errorf("the page links to %s", link[1])
		}
	}
	if !strings.Contains(page, "(cut: 100,000 characters in all)") {
		t.Error("the long text is not cut with a note")
	}
	ids := regexp.MustCompile(`\sid="([^"]*)"`).FindAllStringSubmatch(page, -1)
	seen := make(map[string]bool)
	for _, id := range ids {
		if seen[id[1]] {
			t.Errorf("the id %s is there twice", id[1])
		}
		seen[id[1]] = true
	}
	for _, by := range regexp.MustCompile(`(?:aria-labelledby|url\(#)="?([^")]*)`).FindAllStringSubmatch(page, -1) {
		for _, id := range strings.Fields(by[1]) {
			if !seen[id] {
				t.Errorf("there is no id %s, to which something points", id)
			}
		}
	}
}

// The elements and attributes that a page may have: none of them runs or fetches anything.
var (
	pageTags = strings.Fields(`html head meta title style body header h1 h2 h3 bdi p main dl div dt dd small section ul li nav a figure figcaption
		details summary table thead tbody tr th td span article mark footer script svg desc g rect path circle text clippath`)
	pageAttributes = strings.Fields(`lang charset http-equiv title content name class dir id aria-label aria-labelledby tabindex role href scope type
		xmlns width height viewbox font-family x y d fill stroke stroke-width stroke-dasharray stroke-linejoin fill-opacity stroke-opacity cx cy r
		font-size text-anchor font-weight transform clip-path`)
)

// checkTags reads the tags of a page as a browser does.
func checkTags(t *testing.T, page string) {
	t.Helper()
	tag := regexp.MustCompile(`^<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s+[a-zA-Z:-]+(?:="[^"]*")?)*)\s*/?>`)
	attribute := regexp.MustCompile(`\s+([a-zA-Z:-]+)(?:="([^"]*)")?`)
	// Nothing in the style sheet or the scripts ends them, as TestPage counts.
	body := regexp.MustCompile(`(?s)(<style>).*?(</style>)|(<script[^>]*>).*?(</script>)`).ReplaceAllString(page, "$1$3$2$4")
	for i := 0; i < len(body); i++ {
		if body[i] != '<' || strings.HasPrefix(body[i:], "<!DOCTYPE html>") {
			continue
		}
		m := tag.FindStringSubmatch(body[i:])
		if m == nil {
			t.Errorf("no tag: %.60q", body[i:])
			continue
		}
		if !slices.Contains(pageTags, strings.ToLower(m[2])) {
			t.Errorf("the page has an element %s", m[2])
		}
		for _, a := range attribute.FindAllStringSubmatch(m[3], -1) {
			if !slices.Contains(pageAttributes, strings.ToLower(a[1])) {
				t.Errorf("%s has the attribute %s", m[2], a[1])
			}
		}
		i += len(m[0]) - 1
	}
}

// The policy of a page allows its style sheet and its script, as they stand in it, and nothing else.
func TestContentSecurityPolicy(t *testing.T) {
	p := fullPage(t)
	p.Script = "\n// more\n"
	page := rendered(t, p)
	policy := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)
	if policy == nil || !strings.HasPrefix(policy[1], "default-src &#39;none&#39;;") {
		t.Fatalf("the policy is %q", policy)
	}
	text := strings.NewReplacer("&#39;", "'", "&#43;", "+", "&amp;", "&").Replace(policy[1])
	for _, element := range []string{"style", "script"} {
		_, content, _ := strings.Cut(page, "<"+element+">")
		content, _, _ = strings.Cut(content, "</"+element+">")
		if !strings.Contains(text, element+"-src '"+hashSource(content)+"'") {
			t.Errorf("the policy %s has not the %s of the page", text, element)
		}
	}
	if strings.Contains(text, "unsafe") || strings.Contains(text, "*") {
		t.Errorf("the policy is %s", text)
	}
	if n := len(pageScript) + len(figuresScript); n > 30_000 {
		t.Errorf("the script has %d bytes, want at most 30,000", n)
	}
}

func TestSaveAll(t *testing.T) {
	dir := t.TempDir()
	p := fullPage(t)
	p.Sections[0].Figures = p.Sections[0].Figures[:2]
	if err := p.SaveAll(filepath.Join(dir, PageFile), FileOptions{}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range p.Figures() {
		for _, format := range Formats() {
			names = append(names, FiguresDir+"/"+f.Name+"."+format)
		}
	}
	for _, name := range append(names, PageFile, SummaryFile) {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	content, err := os.ReadFile(filepath.Join(dir, FiguresDir, "hostile-bars.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(content, []byte("'=HYPERLINK")) {
		t.Error("a spreadsheet would take a label for a formula")
	}
	if err := SaveFigures(dir, p.Figures(), FileOptions{Formats: []string{"gif"}}); err == nil || !strings.Contains(err.Error(), `"gif"`) {
		t.Errorf("as gif: %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.As(err, new(*NoRunError)) {
		t.Errorf("of an empty folder: %v", err)
	}
}

func TestSmooth(t *testing.T) {
	// Without a bias: equal numbers stay, and the first is itself.
	got := Smooth([]float64{2, 2, 2}, 0.9)
	for _, v := range got {
		if v < 2-1e-12 || v > 2+1e-12 {
			t.Errorf("equal numbers become %v", got)
		}
	}
	if got := Smooth([]float64{1, 3}, 0.5); got[0] != 1 || got[1] < 2.333 || got[1] > 2.334 {
		t.Errorf("1 and 3 become %v, want 1 and 7/3", got)
	}
}

func TestExpectedBest(t *testing.T) {
	values := []float64{0.9, 0.5, 0.7}
	if got := ExpectedBest(values, 2, false); got < 0.7888 || got > 0.7890 {
		t.Errorf("the best of two is expected to be %v, want 0.789", got)
	}
	if got := ExpectedBest(values, 1, false); got < 0.6999 || got > 0.7001 {
		t.Errorf("one is expected to be %v, want the mean", got)
	}
	if got := ExpectedBest(values, 2, true); got < 0.6110 || got > 0.6112 {
		t.Errorf("the least of two is expected to be %v, want 0.611", got)
	}
	if !slices.Equal(values, []float64{0.9, 0.5, 0.7}) {
		t.Error("the values were sorted in place")
	}
}

func TestEveryKindIsDrawn(t *testing.T) {
	for k := task.Kind(0); ; k++ {
		if strings.HasPrefix(k.String(), "Kind(") {
			break
		}
		if kindOf(k).figures == nil {
			t.Errorf("nothing is drawn of %v: add a row to kindDrawings", k)
		}
	}
}

// What scripts read of a training of any length leaves the page under 5 MB: curves that have no room are pictures alone.
func TestLiveSize(t *testing.T) {
	const n = 80_000
	var curves []Curve
	for k := range 4 {
		c := Curve{Name: fmt.Sprint(k), X: make([]float64, n), Y: make([]float64, n), Best: -1}
		for i := range n {
			c.X[i], c.Y[i] = float64(10*i), wave(i+k)+0.5
		}
		curves = append(curves, c)
	}
	p := &Page{Title: "Long", Sections: []Section{{Title: "Training"}}}
	s := &p.Sections[0]
	for k, c := range curves {
		s.Figures = append(s.Figures, CurvesFigure(Curves{Name: fmt.Sprint(k), XTitle: "step", YTitle: "loss", Smoothing: 0.9, Curves: []Curve{c}}))
	}
	page := rendered(t, p)
	if len(page) > 5_000_000 {
		t.Errorf("the page has %d bytes, want less than 5 MB", len(page))
	}
	// An array takes 427 kB, and all curves share that of their steps.
	if got := strings.Count(page, `"xTitle":"step"`); got != 3 {
		t.Errorf("scripts have %d of the curves, want those that there is room for: 3", got)
	}
	var out livePage
	for i := range 3 {
		out.add(fmt.Sprint("f", i), s.Figures[0].live)
	}
	if len(out.Arrays) != 2 || len(out.Figures) != 3 {
		t.Errorf("three figures of the same numbers have %d arrays, want 2", len(out.Arrays))
	}
}
