// Package browser drives headless Chromium, for tests of pages: one browser for all of them, which it tells what to do by the DevTools
// Protocol (https://chromedevtools.github.io/devtools-protocol/) over a pipe.
package browser

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Variable names the browser's program in the environment: Chromium or Chrome.
const Variable = "BERT_CHROMIUM"

// Timeout is how long a command may take.
const timeout = 2 * time.Minute

// Browser is a browser with one page. It fails the test whose Browser it is where it can't do what it is told.
type Browser struct {
	t       testing.TB
	to      io.Writer
	replies chan message
	events  []message // since the last Load
	next    int
	session string
	script  string // that axe-core is, once it was read
	// Version is the browser's name and version.
	Version string
}

// message is one of the protocol, which ends with a zero byte.
type message struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
	// Session is that of the page.
	Session string `json:"sessionId,omitempty"`
}

// Open starts the browser that Variable names, and closes it when the test ends. It skips the test where none is named.
func Open(t testing.TB) *Browser {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the browser is driven by pipes that Windows doesn't pass on")
	}
	program := os.Getenv(Variable)
	if program == "" {
		t.Skip("drives Chromium: name it by " + Variable + ", as make pages does")
	}
	cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
		"--disable-dev-shm-usage", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir())
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
	b := &Browser{t: t, to: ours, replies: make(chan message, 1000)}
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
			var m message
			if json.Unmarshal(text[:len(text)-1], &m) == nil {
				b.replies <- m
			}
		}
	}()
	var version struct{ Product string }
	b.Call("Browser.getVersion", nil, &version)
	b.Version = version.Product
	var target struct{ TargetID, SessionID string }
	b.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.Call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.Call(domain+".enable", nil, nil)
	}
	return b
}

// For is the browser in the hands of another test, such as a part of that which opened it.
func (b *Browser) For(t testing.TB) *Browser {
	b.t = t
	return b
}

func (b *Browser) send(method string, params any) int {
	b.next++
	m := map[string]any{"id": b.next, "method": method}
	if params != nil {
		m["params"] = params
	}
	if b.session != "" {
		m["sessionId"] = b.session
	}
	text, err := json.Marshal(m)
	if err == nil {
		_, err = b.to.Write(append(text, 0))
	}
	if err != nil && !errors.Is(err, os.ErrClosed) {
		b.t.Log(err)
	}
	return b.next
}

// receive waits for a message.
func (b *Browser) receive(by <-chan time.Time, what string) message {
	b.t.Helper()
	select {
	case m, ok := <-b.replies:
		if !ok {
			b.t.Fatal("the browser has ended")
		}
		return m
	case <-by:
		b.t.Fatalf("the browser doesn't answer %s within %v", what, timeout)
	}
	return message{}
}

// event takes note of a message that answers nothing.
func (b *Browser) event(m message) {
	b.events = append(b.events, m)
	if m.Method == "Page.javascriptDialogOpening" {
		b.send("Page.handleJavaScriptDialog", map[string]any{"accept": false})
	}
}

// Call sends a command and waits for its result.
func (b *Browser) Call(method string, params, result any) {
	b.t.Helper()
	id := b.send(method, params)
	for by := time.After(timeout); ; {
		m := b.receive(by, method)
		if m.ID != id {
			b.event(m)
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

// Look is how a page is shown.
type Look struct {
	Width     int
	Media     string // screen or print
	Scheme    string // light or dark
	NoScripts bool   // those of the page don't run
}

// String names the look.
func (l Look) String() string {
	name := fmt.Sprintf("%d-%s-%s", l.Width, l.Media, l.Scheme)
	if l.NoScripts {
		name += "-noscript"
	}
	return name
}

// Load loads a page and waits for it.
func (b *Browser) Load(url string, l Look) {
	b.t.Helper()
	b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": l.Width, "height": 1000, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.Call("Emulation.setEmulatedMedia", map[string]any{
		"media": l.Media, "features": []map[string]string{{"name": "prefers-color-scheme", "value": l.Scheme}},
	}, nil)
	b.Call("Emulation.setScriptExecutionDisabled", map[string]any{"value": l.NoScripts}, nil)
	b.events = nil
	b.Call("Page.navigate", map[string]any{"url": url}, nil)
	for by, at := time.After(timeout), 0; ; at++ {
		for at >= len(b.events) {
			b.event(b.receive(by, "that the page is loaded"))
		}
		if b.events[at].Method == "Page.loadEventFired" {
			return
		}
	}
}

// Evaluate is the value of an expression in the page, for which its policy doesn't count.
func (b *Browser) Evaluate(expression string, value any) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.Call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%.200s: %s", expression, r.ExceptionDetails)
	}
	if value != nil {
		if err := json.Unmarshal(r.Result.Value, value); err != nil {
			b.t.Fatalf("%v: %s", err, r.Result.Value)
		}
	}
}

// Screenshot is what the page looks like, as PNG.
func (b *Browser) Screenshot() []byte {
	b.t.Helper()
	return b.content("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true})
}

// Print is the page on paper of A4, as PDF.
func (b *Browser) Print() []byte {
	b.t.Helper()
	b.Call("Emulation.setEmulatedMedia", map[string]any{"media": ""}, nil)
	return b.content("Page.printToPDF", map[string]any{"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": false})
}

func (b *Browser) content(method string, params any) []byte {
	b.t.Helper()
	var r struct{ Data string }
	b.Call(method, params, &r)
	content, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return content
}

// Complaints are what a good page doesn't cause: errors, messages on the console, dialogs, and requests but for the page itself.
func (b *Browser) Complaints(url string) []string {
	var list []string
	for _, e := range b.events {
		switch e.Method {
		case "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Page.javascriptDialogOpening":
			list = append(list, fmt.Sprintf("%s: %.300s", e.Method, e.Params))
		case "Network.requestWillBeSent":
			var r struct{ Request struct{ URL string } }
			if err := json.Unmarshal(e.Params, &r); err != nil || strings.TrimSuffix(r.Request.URL, "#") != url {
				list = append(list, fmt.Sprintf("a request for %.200s", r.Request.URL))
			}
		}
	}
	return list
}
