package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
)

// slowed makes each batch of a model wait for a token of gate before it is computed, so that a test decides when.
func slowed(t testing.TB, s *Server, name string) (gate chan struct{}) {
	t.Helper()
	gate = make(chan struct{})
	m, err := s.registry.find(name, Embed)
	if err != nil {
		t.Fatal(err)
	}
	defer m.release()
	l, err := m.lanes.get(m, m.vectors())
	if err != nil {
		t.Fatal(err)
	}
	answer := l.answer
	l.answer = func(ctx context.Context, inputs []any) ([]any, error) {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		return answer(ctx, inputs)
	}
	return gate
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatal("not within 20 seconds: " + what)
		}
	}
}

// postTo posts to a listening server and gives the status, or 0 where there is no answer.
func postTo(ctx context.Context, url, body string) (int, string) {
	r, err := http.NewRequestWithContext(ctx, "POST", url, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// An answer is the same, to the bit, whatever is asked beside it: alone, by the library, and in whatever batches come about.
func TestNeighboursChangeNothing(t *testing.T) {
	encoder, tags := tiny(t), tinyHead(t, tagger)
	words := strings.Fields("the film was good bad joy dull . , ! ? a b c zebra quick")
	random := rand.New(rand.NewPCG(1, 2))
	var texts []string
	for range 60 {
		var text []string
		for range 1 + random.IntN(40) {
			text = append(text, words[random.IntN(len(words))])
		}
		texts = append(texts, strings.Join(text, " "))
	}
	vectors, entities := make([]any, len(texts)), make([]any, len(texts))
	e, p := open(t, encoder, task.Encode(task.EncodeOptions{Pooling: task.MeanPooling, MaxLength: 32})), open(t, tags, task.Predict())
	for i, text := range texts {
		vectors[i] = asJSON(t, alone(t, e, data.Input{Text: text}).Pooled)
		entities[i] = asJSON(t, alone(t, p, data.Input{Text: text}))
	}
	for name, o := range map[string]Options{
		"as it is":        {},
		"nothing is kept": {CacheBytes: -1},
		"all is computed": {CacheBytes: -1, NoSharing: true, BatchTokens: 100},
	} {
		t.Run(name, func(t *testing.T) {
			o.Models = []ModelSpec{{Name: "e", Path: encoder}, {Name: "t", Path: tags}}
			s := started(t, o)
			var clients sync.WaitGroup
			for c := range 8 {
				clients.Go(func() {
					random := rand.New(rand.NewPCG(3, uint64(c)))
					for range 15 {
						var at []int
						for range 1 + random.IntN(6) {
							at = append(at, random.IntN(len(texts)))
						}
						var q struct {
							Inputs []string `json:"inputs"`
						}
						for _, i := range at {
							q.Inputs = append(q.Inputs, texts[i])
						}
						body, _ := json.Marshal(q)
						path, field, want := "/bert/v1/embed", "vector", vectors
						if random.IntN(2) == 0 {
							path, field, want = "/bert/v1/tag", "answer", entities
						}
						w := post(t, s, path, string(body))
						var a struct{ Answers []map[string]any }
						if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || len(a.Answers) != len(at) {
							t.Errorf("%d %s", w.Code, w.Body)
							return
						}
						for k, i := range at {
							if !reflect.DeepEqual(a.Answers[k][field], want[i]) {
								t.Errorf("%s of %q: %v, alone %v", field, texts[i], a.Answers[k][field], want[i])
								return
							}
						}
					}
				})
			}
			clients.Wait()
		})
	}
}

func TestDrain(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Name: "m", Path: tiny(t)}}, DrainDelay: 100 * time.Millisecond})
	h := listening(t, s)
	gate := slowed(t, s, "m")
	answered := make(chan int)
	go func() {
		code, _ := postTo(context.Background(), h.URL+"/bert/v1/embed", `{"inputs":"a"}`)
		answered <- code
	}()
	eventually(t, "it is computed", func() bool { _, reserved := s.scheduler.loads(); return reserved > 0 })
	drained := make(chan error)
	go func() { drained <- s.Drain(context.Background()) }()
	eventually(t, "it isn't ready", func() bool { return get(s, "/health/ready").Code == 503 })
	if !strings.Contains(get(s, "/health").Body.String(), "draining") || get(s, "/health/live").Code != 200 {
		t.Error("the probes don't say that it drains")
	}
	eventually(t, "it refuses what comes", func() bool { return post(t, s, "/bert/v1/embed", `{"inputs":"b","model":"x"}`).Code == 503 })
	select {
	case err := <-drained:
		t.Fatalf("drained while a request is computed: %v", err)
	default:
	}
	gate <- struct{}{}
	if code := <-answered; code != 200 {
		t.Errorf("the request under way got %d", code)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestDrainGivesUp(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Name: "m", Path: tiny(t)}}})
	h := listening(t, s)
	slowed(t, s, "m")
	answered := make(chan string)
	go func() {
		code, body := postTo(context.Background(), h.URL+"/bert/v1/embed", `{"inputs":"a"}`)
		answered <- fmt.Sprint(code, body)
	}()
	eventually(t, "it is computed", func() bool { _, reserved := s.scheduler.loads(); return reserved > 0 })
	// Nor does it wait for who is slow.
	slow, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "POST /bert/v1/embed HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	eventually(t, "the slow request is there", func() bool { s.calls.mu.Lock(); defer s.calls.mu.Unlock(); return len(s.calls.active) == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if got := <-answered; !strings.HasPrefix(got, "503") || !strings.Contains(got, `"draining"`) {
		t.Errorf("the request under way got %s", got)
	}
	http.DefaultClient.CloseIdleConnections()
}

// A client that has gone is counted, and what it asked for isn't computed.
func TestClientGone(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Name: "m", Path: tiny(t)}}, Batches: 1})
	h := listening(t, s)
	gate := slowed(t, s, "m")
	first := make(chan int)
	go func() {
		code, _ := postTo(context.Background(), h.URL+"/bert/v1/embed", `{"inputs":"a"}`)
		first <- code
	}()
	eventually(t, "the first is computed", func() bool { w, reserved := s.scheduler.loads(); return reserved > 0 && w.jobs == 0 })
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan int)
	go func() {
		code, _ := postTo(ctx, h.URL+"/bert/v1/embed", `{"inputs":["b","c"]}`)
		gone <- code
	}()
	eventually(t, "the second waits", func() bool { w, _ := s.scheduler.loads(); return w.jobs == 2 })
	cancel()
	<-gone
	eventually(t, "it is dropped", func() bool { w, _ := s.scheduler.loads(); return w.jobs == 0 })
	gate <- struct{}{}
	if code := <-first; code != 200 {
		t.Errorf("the first got %d", code)
	}
	text := get(s, "/metrics").Body.String()
	for _, want := range []string{"bert_client_gone_total 1\n", "bert_abandoned_inputs_total 2\n", "bert_inflight_tokens 0\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %s", want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestOverload(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Name: "m", Path: tiny(t)}}, MaxQueueTokens: 10})
	h := listening(t, s)
	gate := slowed(t, s, "m")
	first := make(chan int)
	go func() {
		code, _ := postTo(context.Background(), h.URL+"/bert/v1/embed", `{"inputs":["good","bad"]}`)
		first <- code
	}()
	eventually(t, "the first is computed", func() bool { w, reserved := s.scheduler.loads(); return reserved == 6 && w.jobs == 0 })
	w := post(t, s, "/bert/v1/embed", `{"inputs":["joy","dull"]}`)
	if kind, message, _ := kindOf(t, w); w.Code != 429 || kind != "overloaded" || !strings.Contains(message, "6 tokens") || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s, Retry-After %s", w.Code, w.Body, w.Header().Get("Retry-After"))
	}
	if w := post(t, s, "/bert/v1/embed", `{"inputs":["joy","dull","a","b"]}`); w.Code != 422 {
		t.Errorf("more than there is ever room for: %d %s", w.Code, w.Body)
	}
	gate <- struct{}{}
	if code := <-first; code != 200 {
		t.Errorf("the first got %d", code)
	}
	http.DefaultClient.CloseIdleConnections()
}

// copyModel makes one model directory's files those of another.
func copyModel(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to+".new", os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
	}
}

// While models are swapped each request is answered, by the one or the other.
func TestReload(t *testing.T) {
	one := classifier
	other := bert.Options{Head: bert.SequenceClassification, Labels: []string{"no", "yes"}}
	a, b := tinyHead(t, one), tinyHead(t, other)
	dir := filepath.Join(t.TempDir(), "model")
	copyModel(t, a, dir)
	s := started(t, Options{Models: []ModelSpec{{Name: "m", Path: dir}}})
	var stop atomic.Bool
	var clients sync.WaitGroup
	var answered atomic.Int64
	for c := range 3 {
		clients.Go(func() {
			for i := 0; !stop.Load(); i++ {
				w := post(t, s, "/bert/v1/classify", fmt.Sprintf(`{"inputs":["film %d %d"]}`, c, i))
				var a struct {
					Answers []struct {
						Answer struct{ Probabilities map[string]float64 }
					}
				}
				if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
					t.Errorf("%d %s", w.Code, w.Body)
					return
				}
				p := a.Answers[0].Answer.Probabilities
				_, first := p["positive"]
				_, second := p["yes"]
				if first == second || len(p) != 2 {
					t.Errorf("half a model: %v", p)
					return
				}
				answered.Add(1)
			}
		})
	}
	for i := range 4 {
		before := answered.Load()
		eventually(t, "requests are answered", func() bool { return answered.Load() > before || t.Failed() })
		copyModel(t, []string{b, a}[i%2], dir)
		if err := s.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	clients.Wait()
	if got := s.metrics.registry; got == nil || !strings.Contains(get(s, "/metrics").Body.String(), `bert_reloads_total{result="swapped"} 4`) {
		t.Error("not all reloads are counted as swaps")
	}
	if err := s.Reload(t.Context()); err != nil || !strings.Contains(get(s, "/metrics").Body.String(), `bert_reloads_total{result="unchanged"} 1`) {
		t.Errorf("a reload of what has not changed: %v", err)
	}
	// What can't be loaded takes no place.
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(t.Context()); err == nil {
		t.Error("a broken model was loaded")
	}
	if w := post(t, s, "/bert/v1/classify", `{"inputs":["film"]}`); w.Code != 200 {
		t.Errorf("after a reload that failed: %d %s", w.Code, w.Body)
	}
	if !s.Status().Ready {
		t.Errorf("%+v", s.Status())
	}
}

func TestManifest(t *testing.T) {
	a, b := tiny(t), tinyHead(t, classifier)
	path := filepath.Join(t.TempDir(), "models.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(fmt.Sprintf(`{"models":[{"name":"a","path":%q}]}`, a))
	s := started(t, Options{Manifest: path, WatchInterval: 5 * time.Millisecond})
	write(fmt.Sprintf(`{"models":[{"name":"a","path":%q},{"name":"again","path":%q,"max_tokens":8},{"name":"b","path":%q}]}`, a, a, b))
	eventually(t, "the new models are there", func() bool { return len(s.Models()) == 3 })
	if w := post(t, s, "/bert/v1/classify", `{"inputs":["film"]}`); w.Code != 200 || w.Header().Get("X-Bert-Model") != "b" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := post(t, s, "/bert/v1/embed", `{"model":"again","inputs":["a a a a a a a a a a"]}`); w.Header().Get("X-Compute-Tokens") != "8" {
		t.Errorf("%v", w.Header())
	}
	s.registry.mu.RLock()
	if s.registry.entries[0].model.shared != s.registry.entries[1].model.shared {
		t.Error("the same files were loaded twice")
	}
	s.registry.mu.RUnlock()
	write(`{"models":[{"nam":"a"}]}`)
	eventually(t, "it was tried", func() bool {
		return strings.Contains(get(s, "/metrics").Body.String(), `bert_reloads_total{result="failed"}`)
	})
	if len(s.Models()) != 3 {
		t.Error("a bad manifest took models away")
	}
	write(fmt.Sprintf(`{"models":[{"name":"again","path":%q,"max_tokens":8}]}`, a))
	eventually(t, "the others are gone", func() bool { return len(s.Models()) == 1 })
	if w := post(t, s, "/bert/v1/embed", `{"inputs":["a"]}`); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := post(t, s, "/bert/v1/classify", `{"model":"b","inputs":["a"]}`); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestProbes(t *testing.T) {
	dir := tiny(t)
	v := alone(t, open(t, dir, task.Encode(task.EncodeOptions{Pooling: task.MeanPooling})), data.Input{Text: "film"}).Pooled
	write := func(v []float32) {
		t.Helper()
		b, err := json.Marshal(map[string]any{"probes": []any{map[string]any{"use": "embed", "input": map[string]string{"text": "film"}, "vector": v}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ProbesFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(v)
	s := started(t, Options{Models: []ModelSpec{{Name: "m", Path: dir}}})
	off := append([]float32(nil), v...)
	off[3] += 1
	write(off)
	if err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "probe 1: the vector is off") {
		t.Errorf("a model that answers otherwise than its probes say: %v", err)
	}
	if w := post(t, s, "/bert/v1/embed", `{"inputs":"a"}`); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}

func TestFailedModel(t *testing.T) {
	good := tiny(t)
	s, err := New(Options{Models: []ModelSpec{{Name: "bad", Path: t.TempDir()}, {Name: "good", Path: good}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if w := post(t, s, "/bert/v1/embed", `{"inputs":"a"}`); w.Code != 503 {
		t.Errorf("before Start: %d", w.Code)
	}
	s.Start(t.Context())
	if err := s.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "model bad") {
		t.Errorf("%v", err)
	}
	if st := s.Status(); st.Ready || !strings.HasPrefix(st.Reason, "failed") {
		t.Errorf("%+v", st)
	}
	if w := post(t, s, "/bert/v1/embed", `{"inputs":"a"}`); w.Code != 200 {
		t.Errorf("the model that is there: %d %s", w.Code, w.Body)
	}
}

// A server whose batches fail says that it is not ready, and is ready again when they don't.
func TestFailingModel(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Name: "m", Path: tiny(t)}}, CacheBytes: -1})
	m, err := s.registry.find("m", Embed)
	if err != nil {
		t.Fatal(err)
	}
	defer m.release()
	l, err := m.lanes.get(m, m.vectors())
	if err != nil {
		t.Fatal(err)
	}
	var broken atomic.Bool
	answer := l.answer
	l.answer = func(ctx context.Context, inputs []any) ([]any, error) {
		if broken.Load() {
			return nil, &bert.NotFiniteError{Sequence: -1, Tensor: "w", Count: 3}
		}
		return answer(ctx, inputs)
	}
	broken.Store(true)
	w := post(t, s, "/bert/v1/embed", `{"inputs":"a"}`)
	if kind, _, _ := kindOf(t, w); w.Code != 500 || kind != "not_finite" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if s.Status().Ready || !strings.Contains(get(s, "/metrics").Body.String(), `bert_nonfinite_total{model="m"} 1`) {
		t.Error("it is ready, or the failure isn't counted")
	}
	broken.Store(false)
	eventually(t, "it is ready", func() bool { return s.Status().Ready })
}

func TestStuck(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Name: "m", Path: tiny(t)}}, StuckAfter: time.Millisecond})
	gate := slowed(t, s, "m")
	done := make(chan struct{})
	go func() { defer close(done); post(t, s, "/bert/v1/embed", `{"inputs":"a"}`) }()
	eventually(t, "it is stuck", func() bool { return strings.HasPrefix(s.Status().Reason, "stuck") })
	gate <- struct{}{}
	<-done
	eventually(t, "it is ready", func() bool { return s.Status().Ready })
}

func TestStream(t *testing.T) {
	dir := tiny(t)
	s := started(t, Options{Models: []ModelSpec{{Name: "m", Path: dir}}})
	h := listening(t, s)
	var in bytes.Buffer
	want := make(map[int]string)
	r := open(t, dir, task.Encode(task.EncodeOptions{Pooling: task.MeanPooling, MaxLength: 32}))
	for i := 1; i <= 700; i++ {
		if i%100 == 0 {
			fmt.Fprintln(&in, `{"text": 7}`)
			continue
		}
		text := strings.Repeat("good ", i%9) + "film"
		fmt.Fprintln(&in, text)
		b, _ := json.Marshal(alone(t, r, data.Input{Text: text}).Pooled)
		want[i] = string(b)
	}
	resp, err := http.Post(h.URL+"/bert/v1/stream/embed", contentNDJSON, &in)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	n := 0
	for lines.Scan() {
		n++
		var a struct {
			Line   int
			Vector json.RawMessage
			Error  *struct{ Kind string }
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil || a.Line != n || string(a.Vector) != want[n] || (a.Error != nil) != (n%100 == 0) {
			t.Fatalf("line %d: %v %s, want %s", n, err, lines.Text(), want[n])
		}
	}
	if n != 700 {
		t.Errorf("%d lines, want 700", n)
	}
	// The connection is good for another request.
	if code, body := postTo(t.Context(), h.URL+"/bert/v1/embed", `{"inputs":"a"}`); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	http.DefaultClient.CloseIdleConnections()
}

// A stream answers lines as they come, and ends with its client.
func TestStreamInteractive(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Name: "m", Path: tiny(t)}}})
	h := listening(t, s)
	conn, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "POST /bert/v1/stream/embed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	lines := bufio.NewReader(resp.Body)
	for i := range 3 {
		fmt.Fprint(conn, "5\r\nfilm\n\r\n")
		if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, fmt.Sprintf(`{"line":%d,`, i+1)) {
			t.Fatalf("%q %v", line, err)
		}
	}
	conn.Close()
	eventually(t, "the call ends", func() bool { s.calls.mu.Lock(); defer s.calls.mu.Unlock(); return len(s.calls.active) == 0 })
}
