package report

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-bert/bert/data"
)

// browser is headless Chromium, driven by its DevTools Protocol over a pipe: messages of JSON that end with a zero byte.
type browser struct {
	t       *testing.T
	to      io.Writer
	replies chan devtools
	events  []devtools
	next    int
	session string
}

type devtools struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
	// Session is that of a page.
	Session string `json:"sessionId,omitempty"`
}

// chromium is the browser's program, that of BERT_CHROMIUM.
func chromium(t *testing.T) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the browser is driven by pipes that Windows doesn't pass on")
	}
	if path := os.Getenv("BERT_CHROMIUM"); path != "" {
		return path
	}
	t.Skip("drives Chromium, which takes minutes: name it by BERT_CHROMIUM, as make pages does")
	return ""
}

// openBrowser starts the browser with a page.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	cmd := exec.Command(chromium(t), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
		"--remote-debugging-pipe", "--user-data-dir="+t.TempDir())
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{theirs, to} // 3, which it reads, and 4, which it writes
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	to.Close()
	b := &browser{t: t, to: ours, replies: make(chan devtools, 1000)}
	t.Cleanup(func() {
		b.session = ""
		b.send("Browser.close", nil)
		ours.Close()
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-done
		}
		from.Close()
	})
	go func() {
		defer close(b.replies)
		for r := bufio.NewReader(from); ; {
			text, err := r.ReadBytes(0)
			if err != nil {
				return
			}
			var m devtools
			if json.Unmarshal(text[:len(text)-1], &m) == nil {
				b.replies <- m
			}
		}
	}()
	var target struct{ TargetID, SessionID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

func (b *browser) send(method string, params any) int {
	b.next++
	text, err := json.Marshal(map[string]any{"id": b.next, "method": method, "params": params})
	if params == nil {
		text, err = json.Marshal(map[string]any{"id": b.next, "method": method})
	}
	if err == nil && b.session != "" {
		text = append(text[:len(text)-1], fmt.Sprintf(`,"sessionId":%q}`, b.session)...)
	}
	if err == nil {
		_, err = b.to.Write(append(text, 0))
	}
	if err != nil && !errors.Is(err, os.ErrClosed) {
		b.t.Log(err)
	}
	return b.next
}

// receive waits for a message.
func (b *browser) receive() devtools {
	b.t.Helper()
	select {
	case m, ok := <-b.replies:
		if !ok {
			b.t.Fatal("the browser has ended")
		}
		return m
	case <-time.After(3 * time.Minute):
		b.t.Fatal("the browser doesn't answer")
	}
	return devtools{}
}

// call sends a command and waits for its result.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	id := b.send(method, params)
	for {
		m := b.receive()
		if m.ID != id {
			b.events = append(b.events, m)
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
		return
	}
}

// open loads a page and waits for it.
func (b *browser) open(url string) {
	b.t.Helper()
	b.events = nil
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	for at := 0; ; at++ {
		for at >= len(b.events) {
			b.events = append(b.events, b.receive())
		}
		if b.events[at].Method == "Page.loadEventFired" {
			return
		}
	}
}

// evaluate is the value of an expression in the page, for which its policy doesn't count.
func (b *browser) evaluate(expression string, value any) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%.200s: %s", expression, r.ExceptionDetails)
	}
	if value != nil {
		if err := json.Unmarshal(r.Result.Value, value); err != nil {
			b.t.Fatalf("%v: %s", err, r.Result.Value)
		}
	}
}

// screenshot writes what the page looks like to BERT_SCREENSHOTS, where somebody can look at it.
func (b *browser) screenshot(name string) {
	dir := os.Getenv("BERT_SCREENSHOTS")
	if dir == "" {
		return
	}
	var r struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &r)
	content, err := base64.StdEncoding.DecodeString(r.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), content, 0o666)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// complaints are the events that a good page doesn't cause: errors, messages on the console, and requests but for the page itself.
func (b *browser) complaints(url string) []string {
	var list []string
	for _, e := range b.events {
		switch e.Method {
		case "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded":
			list = append(list, string(e.Params))
		case "Network.requestWillBeSent":
			var r struct{ Request struct{ URL string } }
			if err := json.Unmarshal(e.Params, &r); err != nil || r.Request.URL != url {
				list = append(list, "a request for "+r.Request.URL)
			}
		}
	}
	return list
}

// browserPages are the files of the pages to test: that of BERT_PAGE, or those of what looks into a model and one with everything; of
// the last so many figures, and so many explanations.
func browserPages(t *testing.T, figures int) map[string]string {
	t.Helper()
	if path := os.Getenv("BERT_PAGE"); path != "" {
		return map[string]string{"page": path}
	}
	pages := modelPages(t)
	full := fullPage(t)
	full.Sections[0].Figures = full.Sections[0].Figures[:min(figures, len(full.Sections[0].Figures))]
	pages["page"] = full
	e := pages["explanation"]
	e.Sections = e.Sections[:min(figures, len(e.Sections))]
	dir, files := t.TempDir(), make(map[string]string)
	for name, p := range pages {
		files[name] = filepath.Join(dir, name+".html")
		if err := p.Save(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestBrowser opens pages in Chromium: at the widths of a phone and of a screen, light, dark and as they are printed. BERT_PAGE is
// another page to test, and BERT_SCREENSHOTS a folder for what they look like.
func TestBrowser(t *testing.T) {
	b := openBrowser(t)
	for page, path := range browserPages(t, math.MaxInt) {
		for _, width := range []int{400, 1400} {
			for _, look := range []struct{ media, scheme string }{{"screen", "light"}, {"screen", "dark"}, {"print", "light"}} {
				b.look(fmt.Sprintf("%s-%d-%s-%s", page, width, look.media, look.scheme), "file://"+path, width, look.media, look.scheme)
			}
		}
	}
}

// look opens a page and says what is wrong with it.
func (b *browser) look(name, url string, width int, media, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{
		"media": media, "features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}},
	}, nil)
	b.open(url)
	var page struct {
		Width, Buttons int
		Paper          string
		Alerted        bool
	}
	b.evaluate(`({Width: document.documentElement.scrollWidth, Buttons: document.querySelectorAll("button").length,
		Paper: getComputedStyle(document.body).backgroundColor, Alerted: document.querySelector("img, iframe") !== null})`, &page)
	for _, c := range b.complaints(url) {
		b.t.Errorf("%s: %.300s", name, c)
	}
	if page.Width > width {
		b.t.Errorf("%s: the page is %d pixels wide", name, page.Width)
	}
	if want := map[string]string{"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}[scheme]; page.Paper != want {
		b.t.Errorf("%s: the background is %s, want %s", name, page.Paper, want)
	}
	if page.Buttons == 0 || page.Alerted {
		b.t.Errorf("%s: %+v: its script didn't run, or another's did", name, page)
	}
	b.screenshot(name)
}

// TestMapScript uses the map of points: it searches, and asks for neighbours.
func TestMapScript(t *testing.T) {
	b := openBrowser(t)
	path := filepath.Join(t.TempDir(), "map.html")
	if err := projectionPage(t, mapped(t, 150, 8)).Save(path); err != nil {
		t.Fatal(err)
	}
	url := "file://" + path
	b.open(url)
	var got struct {
		Found, Detail string
		Neighbours    int
		Lines         int
	}
	b.evaluate(`(() => {
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
	for _, c := range b.complaints(url) {
		t.Errorf("%.300s", c)
	}
}

// TestAttentionScript uses the views of attention: it chooses a layer, hides heads, and asks for a token's weights.
func TestAttentionScript(t *testing.T) {
	b := openBrowser(t)
	path := filepath.Join(t.TempDir(), "attention.html")
	var p Attentions
	a := attended(6, 2, 2)
	a.Tokens = strings.Fields("[CLS] a b c d [SEP]")
	in := data.Input{Text: "a b c d"}
	p.Add(&in, &a)
	if err := p.Page("Attention", "bert test").Save(path); err != nil {
		t.Fatal(err)
	}
	url := "file://" + path
	b.open(url)
	var said []string
	b.evaluate(`(() => {
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
	for _, c := range b.complaints(url) {
		t.Errorf("%.300s", c)
	}
}

// TestAccessible asks axe-core about a page of some figures, or that of BERT_PAGE, in both themes. BERT_AXE is the file
// axe.min.js of the package axe-core of npm.
func TestAccessible(t *testing.T) {
	path := os.Getenv("BERT_AXE")
	if path == "" {
		t.Skip("needs axe-core: npm pack axe-core, and name its axe.min.js by BERT_AXE")
	}
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t)
	for name, page := range browserPages(t, 4) {
		for _, scheme := range []string{"light", "dark"} {
			b.call("Emulation.setEmulatedMedia", map[string]any{"media": "screen", "features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
			b.open("file://" + page)
			b.evaluate(string(axe)+";0", nil)
			b.accessible(name + ", " + scheme)
		}
	}
}

// accessible reports what axe-core finds.
func (b *browser) accessible(name string) {
	b.t.Helper()
	// With the tables open, and without what is in the pictures, of which TestContrast knows the colours.
	var found []struct{ ID, Impact, Help, Nodes string }
	b.evaluate(`document.querySelectorAll("details").forEach(d => d.open = true);
		axe.run({exclude: ["svg *"]}, {resultTypes: ["violations"]}).then(r => r.violations.map(v => ({
			ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 200)).join(" | ")})))`, &found)
	for _, v := range found {
		if slices.Contains([]string{"moderate", "serious", "critical"}, v.Impact) {
			b.t.Errorf("%s: %s (%s): %s: %s", name, v.ID, v.Impact, v.Help, v.Nodes)
		}
	}
}
