package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goldenCase is a request with the answer that transformers gives on the same weights: see testdata/make.py.
type goldenCase struct {
	Name     string          `json:"name"`
	Models   []string        `json:"models"` // that are served
	Method   string          `json:"method"`
	Path     string          `json:"path"`
	Request  json.RawMessage `json:"request"`
	Response json.RawMessage `json:"response"`
}

// goldenCases reads the cases of a file in testdata/golden, or of all of them.
func goldenCases(t testing.TB, pattern string) []goldenCase {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "golden", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens %s: %v", pattern, err)
	}
	var all []goldenCase
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []goldenCase
		if err := json.Unmarshal(raw, &cases); err != nil {
			t.Fatal(err)
		}
		all = append(all, cases...)
	}
	return all
}

// servers makes a server for each set of models once.
type servers map[string]*Server

func (s servers) of(t testing.TB, names []string) *Server {
	key := strings.Join(names, " ")
	if s[key] == nil {
		s[key] = smallServer(t, Options{CacheBytes: -1}, names...)
	}
	return s[key]
}

// TestAnswers holds the answers of the dialects to those of transformers.
func TestAnswers(t *testing.T) {
	all := servers{}
	for _, x := range goldenCases(t, "*.json") {
		s := all.of(t, x.Models)
		t.Run(x.Name+x.Path, func(t *testing.T) {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(x.Method, x.Path, bytes.NewReader(x.Request)))
			if w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type is %s", got)
			}
			sameJSON(t, w.Body.Bytes(), x.Response)
		})
	}
}

// sameJSON reports where an answer differs from the one that is wanted. An answer may have more keys. Numbers may differ by 1e-5.
func sameJSON(t *testing.T, got, want []byte) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if err := json.Unmarshal(want, &b); err != nil {
		t.Fatal(err)
	}
	if where := differ(a, b, ""); where != "" {
		t.Errorf("%s\ngot  %s\nwant %s", where, got, want)
	}
}

func differ(got, want any, at string) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is no object", at)
		}
		keys := make([]string, 0, len(w))
		for k := range w {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			if _, ok := g[k]; !ok {
				return fmt.Sprintf("%s.%s is missing", at, k)
			}
			if where := differ(g[k], w[k], at+"."+k); where != "" {
				return where
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%s has not %d elements", at, len(w))
		}
		for i := range w {
			if where := differ(g[i], w[i], fmt.Sprintf("%s[%d]", at, i)); where != "" {
				return where
			}
		}
	case float64:
		g, ok := got.(float64)
		if !ok || math.Abs(g-w) > 1e-5*max(1, math.Abs(w)) {
			return fmt.Sprintf("%s is %v, want %v", at, got, w)
		}
	default:
		if got != want {
			return fmt.Sprintf("%s is %v, want %v", at, got, want)
		}
	}
	return ""
}
