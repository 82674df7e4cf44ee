package serve

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/tinymodel"
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

// started is a server that has loaded its models.
func started(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start(t.Context())
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// post posts JSON to a path and returns the answer.
func post(t testing.TB, h http.Handler, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
	return w
}

func TestEmbed(t *testing.T) {
	s := started(t, Options{Models: []ModelSpec{{Name: "org/name", Path: tiny(t)}}})
	w := post(t, s, "/bert/v1/embed", `{"texts":["the film","bad"]}`)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var answer struct{ Vectors [][]float32 }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || len(answer.Vectors) != 2 || len(answer.Vectors[0]) != 12 {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if got := w.Header().Get("X-Compute-Tokens"); got != "7" {
		t.Errorf("X-Compute-Tokens %s, want 7", got)
	}
}
