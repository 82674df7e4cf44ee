package web

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// fakeAPI answers as the routes that the pages ask do, to those who have the key.
func fakeAPI(t *testing.T, key string) http.Handler {
	t.Helper()
	answers := map[string]string{
		"/models/m/pipeline/text-classification":      `[{"label":"good","score":0.75},{"label":"bad","score":0.25}]`,
		"/models/m/pipeline/token-classification":     `[{"entity_group":"PER","score":0.9,"word":"Ána","start":2,"end":5}]`,
		"/models/m/pipeline/question-answering":       `[{"answer":"Ána","score":0.6,"start":2,"end":5},{"answer":"","score":0.4,"start":0,"end":0}]`,
		"/models/m/pipeline/fill-mask":                `[{"token_str":"<b>great</b>","score":0.5,"token":1,"sequence":"x"}]`,
		"/models/m/pipeline/zero-shot-classification": `[{"label":"sports","score":0.8},{"label":"food","score":0.2}]`,
		"/models/v/pipeline/sentence-similarity":      `[1,0.25]`,
		"/rerank":                                     `[{"index":1,"score":0.9},{"index":0,"score":0.1}]`,
		modelsPath:                                    testModels,
		openAPIPath:                                   testDocument,
		"/v1/anything":                                `{"api":true}`,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key != "" && r.Header.Get("Authorization") != "Bearer "+key {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error":"the key is wrong"}`)
			return
		}
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"error":{"message":"there is nothing"}}`)
			return
		}
		if r.Header.Get("Cookie") != "" {
			t.Error("a cookie was passed on")
		}
		if strings.HasSuffix(r.URL.Path, "text-classification") { // a list for each input
			var body struct{ Inputs []string }
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			answer = "[" + strings.Join(slices.Repeat([]string{answer}, len(body.Inputs)), ",") + "]"
		}
		io.WriteString(w, answer)
	})
}

// testModels have each task.
const testModels = `{"models":[
{"name":"m","state":"ready","head":"<i>Head</i>","labels":["good","bad"],"max_tokens":{"embed":64,"classify":64,"tag":64,"answer":64,"fill_mask":64,"zero_shot":64,"similarity":64,"rerank":64}},
{"name":"v","state":"ready","head":"BertModel","max_tokens":{"embed":64,"similarity":64}},
{"name":"r","state":"ready","head":"BertForSequenceClassification","labels":["LABEL_0"],"max_tokens":{"classify":64,"rerank":64,"similarity":64}},
{"name":"p","state":"ready","head":"BertForPreTraining","labels":["a","b"],"max_tokens":{"classify":64,"rerank":64,"fill_mask":64}},
{"name":"late","state":"loading"}]}`

// modelOf is the one that has a task.
func modelOf(task string) string {
	return map[string]string{"sentence-similarity": "v", "text-ranking": "r"}[task] + map[bool]string{true: "m"}[task != "sentence-similarity" && task != "text-ranking"]
}

// TestTasks: a model is offered for what it was made for.
func TestTasks(t *testing.T) {
	var all struct{ Models []model }
	if err := json.Unmarshal([]byte(testModels), &all); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"text-classification token-classification question-answering fill-mask zero-shot-classification", "sentence-similarity", "text-ranking", "fill-mask", "",
	} {
		if got := strings.Join(all.Models[i].tasks(), " "); got != want {
			t.Errorf("%s: %s, want %s", all.Models[i].Name, got, want)
		}
	}
	for _, p := range pipelines {
		if useNamed(p.task) == nil {
			t.Errorf("there is no form for %s", p.task)
		}
	}
	if len(pipelines) != len(uses) {
		t.Errorf("%d pipelines, %d forms", len(pipelines), len(uses))
	}
}

// get asks for a page.
func get(t *testing.T, h http.Handler, r *http.Request) (status int, page string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func browserGet(path string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
	return r
}

func formPost(path string, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Cookie", "a=b")
	return r
}

// TestRoutes: a browser gets pages, everyone else the API.
func TestRoutes(t *testing.T) {
	for _, prefix := range []string{"", "/bert"} {
		api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "api") })
		h := New(api, Options{Prefix: prefix})
		plain := func(method, path string) *http.Request { return httptest.NewRequest(method, prefix+path, nil) }
		for _, c := range []struct {
			r    *http.Request
			page bool
		}{
			{browserGet(prefix + "/"), true}, {browserGet(prefix + "/docs"), true}, {plain("GET", "/docs"), true}, {plain("GET", "/"), false},
			{plain("POST", "/"), false}, {browserGet(prefix + "/info"), false}, {plain("POST", "/docs"), false},
		} {
			if _, page := get(t, h, c.r); (page == "api") == c.page {
				t.Errorf("%s %s, Accept %q: a page %v, want %v", c.r.Method, c.r.URL.Path, c.r.Header.Get("Accept"), !c.page, c.page)
			}
		}
		if prefix != "" {
			if _, page := get(t, h, browserGet("/")); page != "api" {
				t.Error("a path without the prefix is not the API's")
			}
		}
	}
}

// TestPageAsks: the page asks behind the prefix.
func TestPageAsks(t *testing.T) {
	h := New(http.StripPrefix("/x", fakeAPI(t, "")), Options{Prefix: "/x"})
	status, page := get(t, h, formPost("/x/try", url.Values{"model": {"m"}, "task": {"fill-mask"}, "text": {"a [MASK]"}}))
	if status != http.StatusOK || !strings.Contains(page, "great") {
		t.Errorf("status %d, %.300s", status, page)
	}
}

// TestUses: each form has an answer, with all texts as texts.
func TestUses(t *testing.T) {
	h := New(fakeAPI(t, ""), Options{Version: "bert test"})
	form := url.Values{
		"model": {"m"}, "text": {"a Ána <script>alert(1)</script>"}, "question": {"who <i>is</i> it?"}, "context": {"a Ána <b>b</b>"}, "labels": {"sports, food"}, "query": {"q"},
		"texts": {"one\ntwo"},
	}
	want := map[string][]string{
		"text-classification": {"good (0.7500)", "What each word adds"}, "token-classification": {">Ána<small>PER</small>"}, "question-answering": {">Ána<small>answer</small>", "(no answer)"},
		"fill-mask": {"&lt;b&gt;great"}, "zero-shot-classification": {"sports (0.8000)"}, "sentence-similarity": {"with a cosine of 0.250"}, "text-ranking": {"How well they answer"},
	}
	for _, u := range uses {
		form.Set("task", u.Task)
		form.Set("model", modelOf(u.Task))
		if u.Task == "sentence-similarity" {
			form.Set("text", "one <b>\ntwo")
		}
		status, page := get(t, h, formPost("/try", form))
		if status != http.StatusOK {
			t.Errorf("%s: status %d", u.Task, status)
		}
		for _, text := range want[u.Task] {
			if !strings.Contains(page, text) {
				t.Errorf("%s: no %q in the page", u.Task, text)
			}
		}
		for _, text := range []string{"<b>", "<i>", "<script>alert"} {
			if strings.Contains(page, text) {
				t.Errorf("%s: %s got into the page", u.Task, text)
			}
		}
		if !strings.Contains(page, "form-action &#39;self&#39;") {
			t.Errorf("%s: the policy doesn't let its forms be sent", u.Task)
		}
		form.Set("text", "a Ána <script>alert(1)</script>")
	}
	if len(want) != len(uses) {
		t.Errorf("the test knows %d uses of %d", len(want), len(uses))
	}
}

// TestStrangeAnswers: whatever the API answers, the page says that there is no answer.
func TestStrangeAnswers(t *testing.T) {
	for _, answer := range []string{
		"", "{", "[]", "{}", "null", `[{}]`, `[[]]`, `"x"`, `[{"index":99,"score":1}]`, `[{"index":-1}]`, `[{"start":5,"end":1}]`, `[{"start":-1,"end":99}]`, `[1]`, `[null]`,
	} {
		api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == modelsPath {
				io.WriteString(w, testModels)
				return
			}
			io.WriteString(w, answer)
		})
		h := New(api, Options{})
		for _, u := range uses {
			form := url.Values{"model": {modelOf(u.Task)}, "task": {u.Task}, "text": {"one\ntwo"}, "texts": {"one"}, "context": {"c"}, "labels": {"a"}}
			if status, page := get(t, h, formPost("/try", form)); status >= 500 || !strings.Contains(page, "<html") {
				t.Errorf("%s answered with %q: status %d", u.Task, answer, status)
			}
		}
	}
}

// TestRefused: forms that are not good, and what the API refuses.
func TestRefused(t *testing.T) {
	h := New(fakeAPI(t, ""), Options{})
	large := url.Values{"text": {strings.Repeat("x", maxForm)}}
	foreign := formPost("/try", url.Values{})
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	for name, c := range map[string]struct {
		r      *http.Request
		status int
		says   string
	}{
		"another site":  {foreign, http.StatusForbidden, "another site"},
		"too large":     {formPost("/try", large), http.StatusRequestEntityTooLarge, "more than"},
		"unknown model": {formPost("/try", url.Values{"model": {"x"}, "task": {"fill-mask"}}), http.StatusNotFound, "no such model"},
		"unknown task":  {formPost("/try", url.Values{"model": {"m"}, "task": {"x"}}), http.StatusNotFound, "no such model"},
		"one line":      {formPost("/try", url.Values{"model": {"v"}, "task": {"sentence-similarity"}, "text": {"one"}}), http.StatusBadRequest, "want 2 to"},
	} {
		if status, page := get(t, h, c.r); status != c.status || !strings.Contains(page, c.says) {
			t.Errorf("%s: status %d, want %d and %q", name, status, c.status, c.says)
		}
	}
	if status, page := get(t, h, formPost("/try", url.Values{"model": {"p"}, "task": {"fill-mask"}})); status != http.StatusNotFound || !strings.Contains(page, "there is nothing") {
		t.Errorf("what the API refuses: status %d", status)
	}
	for name, api := range map[string]http.Handler{"no list": http.NotFoundHandler(), "a strange list": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "[") })} {
		if status, page := get(t, New(api, Options{}), browserGet("/")); status == http.StatusOK || !strings.Contains(page, "be listed") {
			t.Errorf("%s: status %d", name, status)
		}
	}
	for _, header := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Cache-Control", "Referrer-Policy"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, browserGet("/"))
		if w.Header().Get(header) == "" {
			t.Errorf("no header %s", header)
		}
	}
}

// TestKeys: a server with keys shows nothing of its models to those without one.
func TestKeys(t *testing.T) {
	h := New(fakeAPI(t, "secret"), Options{Keyed: true})
	for name, c := range map[string]struct {
		r      *http.Request
		status int
		shown  bool
	}{
		"first":           {browserGet("/"), http.StatusOK, false},
		"wrong":           {formPost("/try", url.Values{"key": {"guess"}}), http.StatusUnauthorized, false},
		"wrong, with use": {formPost("/try", url.Values{"key": {"guess"}, "model": {"m"}, "task": {"fill-mask"}}), http.StatusUnauthorized, false},
		"none, with use":  {formPost("/try", url.Values{"model": {"m"}, "task": {"fill-mask"}}), http.StatusUnauthorized, false},
		"right":           {formPost("/try", url.Values{"key": {"secret"}}), http.StatusOK, true},
		"right, with use": {formPost("/try", url.Values{"key": {"secret"}, "model": {"m"}, "task": {"fill-mask"}, "text": {"[MASK]"}}), http.StatusOK, true},
	} {
		status, page := get(t, h, c.r)
		if status != c.status || strings.Contains(page, "Guess a hidden word") != c.shown {
			t.Errorf("%s: status %d, want %d, and the models are shown %v, want %v", name, status, c.status, !c.shown, c.shown)
		}
	}
}

const testDocument = `{"openapi":"3.1.0","info":{"title":"t","version":"1","description":"About <b>it</b>"},"tags":[{"name":"b","description":"second"}],
"paths":{"/embed":{"post":{"tags":["b"],"summary":"Make vectors","parameters":[{"name":"n","in":"query","schema":{"type":"integer"}}],
"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/E"},"example":{"inputs":"it's"}}}},
"responses":{"200":{"description":"Vectors","content":{"application/json":{"schema":{"type":"array","items":{"type":["number","null"]}}}}},"400":{"$ref":"#/components/responses/Bad"}}}},
"/info":{"get":{"summary":"Say what it is","responses":{}}}},
"components":{"responses":{"Bad":{"description":"A mistake"}},
"schemas":{"E":{"type":"object","required":["inputs"],"properties":{"inputs":{"oneOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}]},"mode":{"type":"string","enum":["x","y"],"default":"x"},"self":{"$ref":"#/components/schemas/E"},"loop":{"$ref":"#/components/schemas/Loop"}}},"Loop":{"$ref":"#/components/schemas/Loop"}}}}`

// TestDocs: the page of a description has its routes, with types followed and bounded.
func TestDocs(t *testing.T) {
	h := New(fakeAPI(t, ""), Options{})
	status, page := get(t, h, browserGet("/docs"))
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	for _, want := range []string{
		"POST /embed", "Make vectors", "GET /info", "About &lt;b&gt;it", "string or list of string", "&#34;x&#34; or &#34;y&#34;", "(default x)", "list of number or null", "A mistake",
		"n (optional)", "inputs</th>", "mode (optional)", "curl http://example.com/embed", `it&#39;\&#39;&#39;s`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	for _, text := range []string{"{", `{"paths":{"/x":{"post":[]}}}`, `{"paths":{"/x":{"post":{"responses":{"200":{}}}}}}`, "[]", ""} {
		api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) })
		if _, page := get(t, New(api, Options{}), browserGet("/docs")); !strings.Contains(page, "<html") {
			t.Errorf("%q gives no page", text)
		}
	}
}

// FuzzDocument: no description makes the page panic or grow without bound.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(testDocument))
	f.Add([]byte(`{"paths":{"/x":{"post":{"parameters":[{}],"requestBody":{},"responses":{"200":{"content":{"application/json":{}}}}}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var d document
		if len(text) > 1<<14 || json.Unmarshal(text, &d) != nil {
			return
		}
		d.sections("h")
	})
}
