package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/tinymodel"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// tiny is the directory of a small encoder.
func tiny(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := tinymodel.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tinyHead is the directory of a small model with a head, of random weights.
func tinyHead(t testing.TB, o bert.Options) string {
	t.Helper()
	from, dir := tiny(t), t.TempDir()
	o.NewHead, o.Seed, o.Threads = true, 7, 1
	m, err := bert.Load(t.Context(), from, o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Save(dir, bert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.Save(dir, tokenizer.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The heads of test models.
var (
	classifier = bert.Options{Head: bert.SequenceClassification, Labels: []string{"negative", "positive"}}
	entailment = bert.Options{Head: bert.SequenceClassification, Labels: []string{"contradiction", "neutral", "entailment"}}
	scorer     = bert.Options{Head: bert.SequenceClassification, Labels: []string{"score"}, ProblemType: bert.RegressionProblem}
	tagger     = bert.Options{Head: bert.TokenClassification, Labels: []string{"O", "B-PER", "I-PER"}}
	reader     = bert.Options{Head: bert.QuestionAnswering}
	chooser    = bert.Options{Head: bert.MultipleChoice}
	filler     = bert.Options{Head: bert.MaskedLM}
)

// started is a server that has loaded its models.
func started(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Start(context.Background())
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// listening is such a server behind a port of this machine.
func listening(t testing.TB, s *Server) *httptest.Server {
	t.Helper()
	h := httptest.NewUnstartedServer(nil)
	h.Config = s.HTTPServer()
	h.Start()
	t.Cleanup(h.Close)
	return h
}

// post posts JSON to a path and returns the answer.
func post(t testing.TB, h http.Handler, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
	return w
}

// get is the answer to GET.
func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

// kindOf is the kind of an error in our dialect.
func kindOf(t testing.TB, w *httptest.ResponseRecorder) (kind, message string, input int) {
	t.Helper()
	var e struct {
		Error struct {
			Kind, Message string
			Input         *int
			ID            string `json:"request_id"`
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatalf("%v: %q", err, w.Body)
	}
	if id := w.Header().Get("X-Request-Id"); id == "" || e.Error.ID != id {
		t.Errorf("request id %q, in the body %q", id, e.Error.ID)
	}
	input = -1
	if e.Error.Input != nil {
		input = *e.Error.Input
	}
	return e.Error.Kind, e.Error.Message, input
}

// open opens a model as a program would that has no server.
func open[T any](t testing.TB, dir string, use task.Use[T]) *task.Runner[T] {
	t.Helper()
	r, err := task.Open(t.Context(), dir, use, task.Options{Model: bert.Options{Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// alone is the answer to an input in JSON, computed by itself.
func alone[T any](t testing.TB, r *task.Runner[T], in data.Input) T {
	t.Helper()
	answers, err := r.Do(t.Context(), []data.Input{in})
	if err != nil {
		t.Fatal(err)
	}
	return answers[0]
}

// asJSON is what is read of v when it is written.
func asJSON(t testing.TB, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// answersOf are those of our dialect.
func answersOf(t testing.TB, w *httptest.ResponseRecorder) []map[string]any {
	t.Helper()
	var a struct{ Answers []map[string]any }
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
		t.Fatalf("%d %v: %s", w.Code, err, w.Body)
	}
	return a.Answers
}

func TestUses(t *testing.T) {
	specs := []ModelSpec{
		{Name: "org/encoder", Path: tiny(t)}, {Name: "classifier", Path: tinyHead(t, classifier)}, {Name: "nli", Path: tinyHead(t, entailment)},
		{Name: "scorer", Path: tinyHead(t, scorer)}, {Name: "tagger", Path: tinyHead(t, tagger)}, {Name: "reader", Path: tinyHead(t, reader)},
		{Name: "chooser", Path: tinyHead(t, chooser)}, {Name: "filler", Path: tinyHead(t, filler)},
	}
	dir := make(map[string]string)
	for _, spec := range specs {
		dir[spec.Name] = spec.Path
	}
	s := started(t, Options{Models: specs})
	in := func(text string) data.Input {
		i, err := data.ParseInput([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	long := strings.Repeat("the film was good ", 20)
	for _, c := range []struct {
		use, body string
		field     string // of the answers
		want      []any
	}{
		{"embed", `{"inputs":["the film","bad"]}`, "vector", []any{
			alone(t, open(t, dir["org/encoder"], task.Encode(task.EncodeOptions{Pooling: task.MeanPooling})), in("the film")).Pooled,
			alone(t, open(t, dir["org/encoder"], task.Encode(task.EncodeOptions{Pooling: task.MeanPooling})), in("bad")).Pooled,
		}},
		{"embed", `{"inputs":{"ids":[2,7,3]},"dimensions":5,"normalize":true}`, "vector", []any{
			func() []float32 {
				v := alone(t, open(t, dir["org/encoder"], task.Encode(task.EncodeOptions{Pooling: task.MeanPooling})), data.Input{IDs: []int32{2, 7, 3}}).Pooled[:5]
				return unit(v)
			}(),
		}},
		{"embed_tokens", `{"inputs":"the film"}`, "vectors", []any{alone(t, open(t, dir["org/encoder"], task.Encode(task.EncodeOptions{})), in("the film")).Layers[0].Values}},
		{"classify", `{"model":"classifier","inputs":["` + long + `"]}`, "answer", []any{alone(t, open(t, dir["classifier"], task.Predict()), in(long))}},
		{"classify", `{"inputs":[{"text":"a","text_pair":"b"}],"model":"scorer"}`, "answer", []any{alone(t, open(t, dir["scorer"], task.Predict()), in(`{"text":"a","text_pair":"b"}`))}},
		{"tag", `{"inputs":["joy was good",{"words":["joy","dull"]}]}`, "answer", []any{
			alone(t, open(t, dir["tagger"], task.Predict()), in("joy was good")), alone(t, open(t, dir["tagger"], task.Predict()), in(`{"words":["joy","dull"]}`))}},
		{"answer", `{"inputs":{"question":"was it good","context":"the film was a joy"}}`, "answer", []any{
			alone(t, open(t, dir["reader"], task.Predict()), in(`{"question":"was it good","context":"the film was a joy"}`))}},
		{"choose", `{"inputs":{"text":"the film","choices":["good","bad"]}}`, "answer", []any{
			alone(t, open(t, dir["chooser"], task.Predict()), in(`{"text":"the film","choices":["good","bad"]}`))}},
		{"fill_mask", `{"inputs":"the [MASK] was","top_k":3}`, "masks", []any{alone(t, open(t, dir["filler"], task.FillMask(3)), in("the [MASK] was"))}},
		{"zero_shot", `{"inputs":"good film","labels":["joy","film"],"template":"it is {}"}`, "answer", []any{
			alone(t, open(t, dir["nli"], task.ZeroShot(task.ZeroShotOptions{Labels: []string{"joy", "film"}, Template: "it is {}"})), in("good film"))}},
		{"similarity", `{"query":"the film","texts":["bad","the film"]}`, "similarity", []any{
			alone(t, open(t, dir["org/encoder"], task.Compare(task.EncodeOptions{})), in(`{"text":"the film","text_pair":"bad"}`)).Cosine,
			alone(t, open(t, dir["org/encoder"], task.Compare(task.EncodeOptions{})), in(`{"text":"the film","text_pair":"the film"}`)).Cosine}},
		{"rerank", `{"query":"the film","texts":["bad","the film"]}`, "score", []any{
			*alone(t, open(t, dir["scorer"], task.Predict()), in(`{"text":"the film","text_pair":"bad"}`)).Value,
			*alone(t, open(t, dir["scorer"], task.Predict()), in(`{"text":"the film","text_pair":"the film"}`)).Value}},
	} {
		t.Run(c.use, func(t *testing.T) {
			w := post(t, s, "/bert/v1/"+c.use, c.body)
			got := answersOf(t, w)
			if len(got) != len(c.want) {
				t.Fatalf("%d answers, want %d", len(got), len(c.want))
			}
			for i := range got {
				if want := asJSON(t, c.want[i]); !reflect.DeepEqual(got[i][c.field], want) {
					t.Errorf("answer %d of %s: %v, want %v", i, w.Header().Get("X-Bert-Model"), got[i][c.field], want)
				}
			}
		})
	}
	w := post(t, s, "/bert/v1/classify", `{"model":"classifier","inputs":["`+long+`","good"]}`)
	if h := w.Header(); h.Get("X-Bert-Truncated") != "1" || h.Get("X-Compute-Tokens") != "35" || h.Get("X-Bert-Cached") != "1" {
		t.Errorf("headers %v", h)
	}
	if a := answersOf(t, w); a[0]["truncated"] != true || a[0]["dropped_tokens"] != 50.0 || a[0]["cached"] != true || a[1]["truncated"] != nil {
		t.Errorf("%v", a)
	}
	if w := get(s, "/bert/v1/models"); w.Code != 200 || !strings.Contains(w.Body.String(), `"name":"org/encoder"`) || !json.Valid(w.Body.Bytes()) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = post(t, s, "/bert/v1/tokenize", `{"inputs":["the 🎬 film"],"offset_unit":"utf16"}`)
	if !strings.Contains(w.Body.String(), `"text":"film","start":7,"end":11`) || !json.Valid(w.Body.Bytes()) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = post(t, s, "/bert/v1/embed", `{"inputs":["good"],"format":"f32"}`)
	if w.Header().Get("X-Bert-Shape") != "1,12" || w.Body.Len() != 48 {
		t.Errorf("%v, %d bytes", w.Header(), w.Body.Len())
	}
}

// unit is a vector divided by its length.
func unit(v []float32) []float32 {
	own := append([]float32(nil), v...)
	sentence.Normalize(own)
	return own
}

func TestErrors(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Name: "e", Path: tiny(t)}, {Name: "c", Path: tinyHead(t, classifier)}}, MaxInputs: 3, MaxBody: 10_000})
	long := strings.Repeat("good ", 50)
	for _, c := range []struct {
		path, body string
		status     int
		kind       string
		message    string
		input      int
	}{
		{"/bert/v1/embed", ``, 400, "bad_request", "the body is empty", -1},
		{"/bert/v1/embed", `{"inputs":["a"`, 400, "bad_request", "not JSON", -1},
		{"/bert/v1/embed", `{"inputs":["a",7]}`, 400, "bad_request", "want a text", 1},
		{"/bert/v1/embed", `{"inputs":[]}`, 400, "empty", "no input", -1},
		{"/bert/v1/embed", `{}`, 400, "empty", "no input", -1},
		{"/bert/v1/embed", `{"model":"x","inputs":"a"}`, 404, "unknown_model", "want e, c", -1},
		{"/bert/v1/fill_mask", `{"inputs":"a"}`, 400, "wrong_task", "it can embed, embed_tokens, similarity, tokenize", -1},
		{"/bert/v1/tag", `{"model":"c","inputs":"a"}`, 400, "wrong_task", "single_label", -1},
		{"/bert/v1/embed", `{"inputs":["a","b","c","d"]}`, 422, "too_many_inputs", "4 inputs, want at most 3", -1},
		{"/bert/v1/embed", `{"inputs":["a","` + long + `"],"truncate":"error"}`, 422, "too_long", "52 tokens, want at most 32", 1},
		{"/bert/v1/classify", `{"model":"c","inputs":["` + long + `"],"truncate":"error","max_tokens":10}`, 422, "too_long", "want at most 10", 0},
		{"/bert/v1/embed", `{"inputs":[{"ids":[1,30000]}]}`, 422, "bad_input", "id 30000", 0},
		{"/bert/v1/embed", `{"inputs":["a"],"dimensions":13}`, 400, "bad_request", "have 12", -1},
		{"/bert/v1/embed", `{"inputs":["a"],"format":"x"}`, 400, "bad_request", "f16", -1},
		{"/bert/v1/embed", `{"inputs":["` + strings.Repeat("a", 10_000) + `"]}`, 413, "body_too_large", "10,000", -1},
		{"/bert/v1/nothing", `{}`, 404, "unknown_route", "", -1},
		{"/health", `{}`, 405, "wrong_method", "GET", -1},
	} {
		w := post(t, s, c.path, c.body)
		kind, message, input := kindOf(t, w)
		if w.Code != c.status || kind != c.kind || !strings.Contains(message, c.message) || input != c.input {
			t.Errorf("%s %.60s: %d %s, input %d: %s; want %d %s, input %d: …%s…", c.path, c.body, w.Code, kind, input, message, c.status, c.kind, c.input, c.message)
		}
	}
	a := answersOf(t, post(t, s, "/bert/v1/embed", `{"inputs":["a",{"ids":[30000]},"b"],"partial":true}`))
	if a[0]["vector"] == nil || a[1]["error"] == nil || a[2]["vector"] == nil {
		t.Errorf("of three inputs one is bad: %v", a)
	}
	if got := s.bodies.Load(); got != 0 {
		t.Errorf("%d bytes of bodies are held", got)
	}
}

// A handler's panic is the client's error and nobody else's.
func TestPanic(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Path: tiny(t)}}})
	s.mux.HandleFunc("GET /panic", func(w http.ResponseWriter, r *http.Request) {
		s.serve(&native, &route{pattern: "/panic", handle: func(*call) error { panic("secret") }}, w, r)
	})
	w := get(s, "/panic")
	if kind, message, _ := kindOf(t, w); w.Code != 500 || kind != "failed" || strings.Contains(message, "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := post(t, s, "/bert/v1/embed", `{"inputs":"a"}`); w.Code != 200 {
		t.Errorf("afterwards %d %s", w.Code, w.Body)
	}
}

// A model's name with a slash is one segment of a path where the slash is escaped.
func TestModelInPath(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Name: "org/name", Path: tiny(t)}}, URLPrefix: "/x"})
	s.mux.HandleFunc("GET /v2/models/{m}/ready", func(w http.ResponseWriter, r *http.Request) {
		s.serve(&native, &route{pattern: "p", handle: func(c *call) error {
			_, err := c.model(c.pathModel(), Embed)
			if err != nil {
				return err
			}
			return c.reply(200, "", nil)
		}}, w, r)
	})
	for path, want := range map[string]int{"/v2/models/org%2Fname/ready": 200, "/v2/models/org%2fname/ready": 200, "/v2/models/org/name/ready": 404, "/v2/models/other/ready": 404, "/x/health": 200, "/health": 404} {
		if w := get(s, path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

func TestKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# keys\nada k1\n\nk2\n")
	s := started(t, Options{Models: []ModelSpec{{Path: tiny(t)}}, KeyFile: file, Keys: []string{"k3"}, WatchInterval: -1})
	status := func(header, value string) int {
		r := httptest.NewRequest("POST", "/bert/v1/embed", strings.NewReader(`{"inputs":"a"}`))
		if header != "" {
			r.Header.Set(header, value)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Error("401 without WWW-Authenticate")
		}
		return w.Code
	}
	for _, c := range []struct {
		header, value string
		want          int
	}{
		{"Authorization", "Bearer k1", 200}, {"Authorization", "bearer k2", 200}, {"X-Api-Key", "k3", 200}, {"", "", 401},
		{"Authorization", "Bearer k", 401}, {"Authorization", "Bearer ada", 401}, {"Authorization", "k1", 401}, {"Authorization", "Bearer ", 401},
	} {
		if got := status(c.header, c.value); got != c.want {
			t.Errorf("%s: %s: %d, want %d", c.header, c.value, got, c.want)
		}
	}
	for _, path := range []string{"/health", "/health/live", "/health/ready"} {
		if w := get(s, path); w.Code != 200 {
			t.Errorf("%s without a key: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/bert/v1/models"} {
		if w := get(s, path); w.Code != 401 {
			t.Errorf("%s without a key: %d", path, w.Code)
		}
	}
	write("new\n")
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, b := status("Authorization", "Bearer k1"), status("Authorization", "Bearer new"); a != 401 || b != 200 {
		t.Errorf("after a reload the old key gives %d, the new one %d", a, b)
	}
	write("\n") // the key of Options is left
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, b, c := status("", ""), status("Authorization", "Bearer new"), status("X-Api-Key", "k3"); a != 401 || b != 401 || c != 200 {
		t.Errorf("with an empty file no key gives %d, an old one %d, that of Options %d", a, b, c)
	}
}

func TestCORS(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Path: tiny(t)}}, AllowOrigins: []string{"https://a.example"}, Keys: []string{"k"}})
	ask := func(method, origin string) http.Header {
		r := httptest.NewRequest(method, "/bert/v1/embed", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Header()
	}
	if h := ask("OPTIONS", "https://a.example"); h.Get("Access-Control-Allow-Origin") != "https://a.example" || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("%v", h)
	}
	if h := ask("OPTIONS", "https://b.example"); h.Get("Access-Control-Allow-Origin") != "" || h.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("%v", h)
	}
}

func TestRequestHeaders(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Path: tiny(t)}}})
	ask := func(headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/bert/v1/embed", strings.NewReader(`{"inputs":"a"}`))
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	trace := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	if w := ask("X-Request-Id", "mine", "Traceparent", trace); w.Header().Get("X-Request-Id") != "mine" || w.Header().Get("Traceparent") != trace {
		t.Errorf("%v", w.Header())
	}
	if w := ask("X-Request-Id", "a b", "Traceparent", "00-0-0-0"); w.Header().Get("X-Request-Id") == "a b" || w.Header().Get("Traceparent") != "" {
		t.Errorf("%v", w.Header())
	}
	if w := ask("X-Request-Timeout", "soon"); w.Code != 400 {
		t.Errorf("%d", w.Code)
	}
	if w := ask("X-Request-Timeout", "1ns"); w.Code != 504 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask("X-Request-Timeout", "10"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestMetrics(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Name: "m", Path: tiny(t)}}, TEIMetrics: true, Version: "v1"})
	post(t, s, "/bert/v1/embed", `{"inputs":["the film","`+strings.Repeat("a ", 50)+`"]}`)
	post(t, s, "/bert/v1/embed", `{"inputs":["the film"]}`)
	post(t, s, "/no/such/path", `{}`)
	text := get(s, "/metrics").Body.String()
	for _, want := range []string{
		`bert_requests_total{code="200",model="m",route="/bert/v1/embed",task="embed"} 2`,
		`bert_requests_total{code="404",model="",route="none",task="none"} 1`,
		`bert_rejected_total{reason="unknown_route"} 1`,
		`bert_tokens_total{model="m"} 40`,
		`bert_inputs_truncated_total{model="m"} 1`,
		`bert_shared_inputs_total{source="cache"} 1`,
		`bert_model_state{model="m",state="ready"} 1`,
		`bert_stage_duration_seconds_count{stage="compute"} 2`,
		`bert_queue_tokens 0`, `bert_inflight_tokens 0`, `bert_build_info{version="v1"} 1`,
		`te_request_count{method="batch"} 1`, `te_request_success{method="single"} 1`, `te_embed_count 2`, "te_queue_size 0",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	if strings.Contains(text, "no/such") {
		t.Error("a path of a client became a label")
	}
}

// A client that sends slowly keeps nobody from being answered, and in the end its connection is closed.
func TestSlowClient(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Path: tiny(t)}}, BodyTimeout: 300 * time.Millisecond, MaxRequests: 1})
	h := listening(t, s)
	var slow []chan string
	for range 5 {
		done := make(chan string, 1)
		slow = append(slow, done)
		r, w := io.Pipe()
		go func() {
			resp, err := http.Post(h.URL+"/bert/v1/embed", "application/json", r)
			if err != nil {
				done <- err.Error()
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			done <- fmt.Sprint(resp.StatusCode, string(body))
		}()
		go io.WriteString(w, `{"inputs`)
		t.Cleanup(func() { w.Close() })
	}
	resp, err := http.Post(h.URL+"/bert/v1/embed", "application/json", strings.NewReader(`{"inputs":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("%s beside slow clients", resp.Status)
	}
	for _, done := range slow {
		if got := <-done; !strings.HasPrefix(got, "408") {
			t.Errorf("a slow client got %s", got)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
