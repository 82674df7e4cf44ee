package browser

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	// axeVariable names the file axe.min.js of the package axe-core of npm in the environment.
	axeVariable = "BERT_AXE"
	// screenshotVariable names a folder for what pages look like.
	screenshotVariable = "BERT_SCREENSHOTS"
	// maxPage is the most bytes of a page.
	maxPage = 5_000_000
)

// looks are how each page is looked at: on a phone and on a screen, light, dark and as it is printed, and where scripts don't run.
func looks() []Look {
	var list []Look
	for _, width := range []int{400, 1400} {
		list = append(list, Look{width, "screen", "light", false}, Look{width, "screen", "dark", false}, Look{width, "print", "dark", false})
	}
	return append(list, Look{400, "screen", "light", true}, Look{1400, "screen", "dark", true})
}

// found is what measure.js says of a page.
type found struct {
	Width, Buttons int
	Paper          string
	Strange        []string // elements that no page has
	Text           string   // of its headings, captions and cells
	Outside        []string // what reaches over the edge of the page
	Cut            []string // texts that reach out of their picture
	Covered        []string // texts of a picture that lie over one another
	Empty          []string // pictures in which nothing is drawn
}

// Check looks at the page of a file in every way, and fails the test for whatever isn't as it should be.
func (b *Browser) Check(t testing.TB, name, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxPage {
		t.Errorf("the page has %d bytes, want at most %d", info.Size(), maxPage)
	}
	if path, err = filepath.Abs(path); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kB", info.Size()/1000)
	b.CheckURL(t, name, "file://"+filepath.ToSlash(path))
}

// CheckURL is Check of the page at an address.
func (b *Browser) CheckURL(t testing.TB, name, url string) {
	t.Helper()
	began := time.Now()
	b.For(t)
	said := ""
	var loading, measuring, asking, printing time.Duration
	for _, l := range looks() {
		timed(&loading, func() { b.Load(url, l) })
		var f found
		timed(&measuring, func() { f = b.measure() })
		for _, c := range b.Complaints(url) {
			t.Errorf("%v: %s", l, c)
		}
		if f.Width > l.Width {
			t.Errorf("%v: the page is %d pixels wide: %q", l, f.Width, f.Outside)
		}
		paper := map[string]string{"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}[l.Scheme]
		if l.Media == "print" { // paper is white
			paper = "rgb(255, 255, 255)"
		}
		if f.Paper != paper {
			t.Errorf("%v: the background is %s, want %s", l, f.Paper, paper)
		}
		if (f.Buttons == 0) != l.NoScripts {
			t.Errorf("%v: the page has %d buttons", l, f.Buttons)
		}
		if said == "" {
			said = f.Text
		}
		if f.Text != said {
			t.Errorf("%v: the page says something else than otherwise: %s", l, difference(f.Text, said))
		}
		for what, list := range map[string][]string{
			"elements of a user's text": f.Strange, "texts that are cut": f.Cut, "texts over one another": f.Covered, "empty pictures": f.Empty,
		} {
			if len(list) > 0 {
				t.Errorf("%v: %s: %q", l, what, list[:min(len(list), 5)])
			}
		}
		b.keep(name+"-"+l.String(), "png", b.Screenshot)
		if rules, ok := axeRules[l]; ok && os.Getenv(axeVariable) != "" {
			timed(&asking, func() {
				for _, v := range b.Inaccessible(rules...) {
					t.Errorf("%v: %s", l, v)
				}
			})
		}
	}
	var pdf []byte
	timed(&printing, func() { pdf = b.Print() })
	if !strings.HasPrefix(string(pdf[:min(len(pdf), 5)]), "%PDF-") {
		t.Errorf("printing gives no PDF: %.20q", pdf)
	}
	b.keep(name, "pdf", func() []byte { return pdf })
	short := func(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
	t.Logf("looked at in %v: loading %v, measuring %v, axe-core %v, printing %v",
		short(time.Since(began)), short(loading), short(measuring), short(asking), short(printing))
}

// timed adds the time that something takes.
func timed(d *time.Duration, do func()) {
	began := time.Now()
	do()
	*d += time.Since(began)
}

// difference is where two texts differ.
func difference(a, b string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return fmt.Sprintf("%.80q in place of %.80q", a[max(0, i-20):], b[max(0, i-20):])
}

// keep writes what a page looks like where somebody can look at it.
func (b *Browser) keep(name, format string, content func() []byte) {
	b.t.Helper()
	dir := os.Getenv(screenshotVariable)
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+"."+format), content(), 0o666); err != nil {
		b.t.Fatal(err)
	}
}

// Keep writes what the page looks like now to the folder of screenshots, if one is named.
func (b *Browser) Keep(name string) { b.keep(name, "png", b.Screenshot) }

func (b *Browser) measure() found {
	b.t.Helper()
	var f found
	b.Evaluate(measure, &f)
	return f
}

// axe is the script of axe-core.
func (b *Browser) axe() string {
	b.t.Helper()
	if b.script == "" {
		script, err := os.ReadFile(os.Getenv(axeVariable))
		if err != nil {
			b.t.Fatal(err)
		}
		b.script = string(script)
	}
	return b.script
}

// axeRules are the looks in which axe-core is asked, by all of its rules or by those that depend on what the look changes: colours, and
// what has room.
var axeRules = map[Look][]string{
	{1400, "screen", "light", false}: nil,
	{1400, "screen", "dark", false}:  {"color-contrast"},
	{400, "screen", "light", false}:  {"target-size", "scrollable-region-focusable", "meta-viewport"},
}

// Inaccessible is what axe-core finds in the page by some of its rules, or by all, with all tables open. It leaves the page without
// pictures: see axeRun.
func (b *Browser) Inaccessible(rules ...string) []string {
	b.t.Helper()
	b.Evaluate(b.axe()+";0", nil)
	var violations []struct{ ID, Impact, Help, Nodes string }
	only, err := json.Marshal(rules)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Evaluate(fmt.Sprintf(axeRun, only), &violations)
	var list []string
	for _, v := range violations {
		if slices.Contains([]string{"moderate", "serious", "critical"}, v.Impact) {
			list = append(list, fmt.Sprintf("%s (%s): %s: %s", v.ID, v.Impact, v.Help, v.Nodes))
		}
	}
	return list
}

//go:embed measure.js
var measure string

// axeRun, a format of the rules, runs axe-core with all tables open. What is in pictures is taken out of them but for their names and descriptions, since
// whoever doesn't see them, and role="img", has these alone. Leaving it out by axe-core's option exclude takes minutes: every element
// is compared with every one that is left out. Of each table it has the first rows, and of a section the first examples, which are like the others: whether a text can be
// read on what is behind it takes some milliseconds for each.
const axeRun = `document.querySelectorAll("details").forEach(d => d.open = true);
	document.querySelectorAll("svg > :not(title, desc)").forEach(e => e.remove());
	document.querySelectorAll("tbody tr:nth-child(n + 6), article:nth-of-type(n + 6)").forEach(e => e.remove());
	axe.run(document, Object.assign({resultTypes: ["violations"]}, %[1]s ? {runOnly: %[1]s} : {})).then(r => r.violations.map(v => ({
		ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 200)).join(" | ")})))`
