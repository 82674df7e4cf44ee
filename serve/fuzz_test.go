package serve

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// fuzzDialect sends a dialect's POST routes whatever bodies and names of models the fuzzer thinks of: nothing may panic or fail
// inside, and every answer is the dialect's JSON with a request id.
func fuzzDialect(f *testing.F, d *dialect) {
	doc := loadOpenAPI(f)
	names := make([]string, len(smallModels))
	for i := range smallModels {
		names[i] = smallModels[i].name
	}
	s := smallServer(f, Options{MaxInputs: 16, MaxBody: 1 << 16, Threads: 1}, names...)
	var routes []*route
	for i := range d.routes {
		if d.routes[i].method == "POST" {
			routes = append(routes, &d.routes[i])
		}
	}
	// seed adds a request of a case whose path is one of the routes'.
	for _, x := range append(goldenCases(f, "*.json"), badCases()...) {
		for i, r := range routes {
			prefix, rest, tail := strings.Cut(r.pattern, "{m...}")
			if x.Method == "POST" && (x.Path == strings.TrimSuffix(r.pattern, "{$}") || rest == "" && tail && strings.HasPrefix(x.Path, prefix)) {
				f.Add(uint8(i), strings.TrimPrefix(x.Path, prefix), -1, []byte(x.Request))
			}
		}
	}
	f.Add(uint8(0), "", 3, []byte(`{}`))
	f.Fuzz(func(t *testing.T, at uint8, name string, header int, body []byte) {
		r := routes[int(at)%len(routes)]
		path := strings.NewReplacer("{$}", "", "{m...}", name, "{task}", "fill-mask").Replace(r.pattern)
		q := httptest.NewRequest(r.method, "/", bytes.NewReader(body))
		q.URL = &url.URL{Path: path}
		if header >= 0 {
			q.Header.Set("Inference-Header-Content-Length", string(appendInt(nil, header)))
		}
		if _, pattern := s.mux.Handler(q); pattern != r.method+" "+r.pattern {
			return // the name makes it another path
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, q)
		if w.Header().Get("Location") != "" {
			return // the mux cleans a path with dots
		}
		if w.Code == http.StatusInternalServerError || w.Code < 200 {
			t.Fatalf("%s %q: %d %s", path, body, w.Code, w.Body)
		}
		if w.Header().Get("X-Request-Id") == "" {
			t.Fatalf("%s %q: no request id", path, body)
		}
		if w.Header().Get("Content-Type") == contentJSON && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %q: %s", path, body, w.Body)
		}
		if w.Code >= 400 && openAPIOperation(doc, r.method, path) != nil { // else it is no path of the route
			checkOpenAPI(t, doc, r.method, path, body, w)
		}
	})
}

func FuzzTEI(f *testing.F)         { fuzzDialect(f, &tei) }
func FuzzOpenAI(f *testing.F)      { fuzzDialect(f, &openAI) }
func FuzzRerank(f *testing.F)      { fuzzDialect(f, &rerank) }
func FuzzHF(f *testing.F)          { fuzzDialect(f, &hf) }
func FuzzKServe(f *testing.F)      { fuzzDialect(f, &kserve) }
func FuzzOllama(f *testing.F)      { fuzzDialect(f, &ollama) }
func FuzzBertService(f *testing.F) { fuzzDialect(f, &bertService) }
func FuzzWeaviate(f *testing.F)    { fuzzDialect(f, &weaviate) }

// FuzzBodies reads whatever bodies as all requests. An error has one line, and a field or a byte.
func FuzzBodies(f *testing.F) {
	for _, x := range append(goldenCases(f, "*.json"), badCases()...) {
		f.Add([]byte(x.Request), -1)
	}
	f.Add([]byte("{}\x01\x00\x00\x00a"), 2)
	f.Fuzz(func(t *testing.T, body []byte, header int) {
		check := func(err error) {
			if err == nil {
				return
			}
			e, ok := bodyError(err).(*Error)
			if !ok || e.Message == "" || strings.Contains(e.Message, "\n") || e.Kind != BadRequest && e.Kind != Empty {
				t.Fatalf("%q: %v", body, err)
			}
		}
		_, err := readEmbed(body)
		check(err)
		_, err = readPredict(body)
		check(err)
		_, err = readRerank(body)
		check(err)
		_, err = readSimilarity(body)
		check(err)
		_, err = readTokenize(body)
		check(err)
		_, err = readDecode(body)
		check(err)
		_, err = readVertex(body)
		check(err)
		_, err = readOpenAI(body)
		check(err)
		_, err = readClassify(body)
		check(err)
		_, err = readOllama(body)
		check(err)
		_, err = readChoice(body)
		check(err)
		_, err = readEncode(body)
		check(err)
		_, err = readKServe(body, header)
		check(err)
		if q, err := readHF(body); err != nil {
			check(err)
		} else {
			_, _, err = q.texts()
			check(err)
			_, err = q.pairs()
			check(err)
			_, _, err = q.questions()
			check(err)
		}
	})
}
