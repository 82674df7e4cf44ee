package serve

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestContentEncoding(t *testing.T) {
	s := smallServer(t, Options{MaxBody: 1 << 16}, "encoder")
	compress := func(how, text string) []byte {
		var b bytes.Buffer
		var w io.WriteCloser = zlib.NewWriter(&b)
		if how == "gzip" {
			w = gzip.NewWriter(&b)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	const body = `{"inputs":"the film"}`
	plain := post(t, s, "/embed", body).Body.String()
	for _, x := range []struct {
		name, encoding string
		body           []byte
		status         int
		want           string
	}{
		{"gzip", "gzip", compress("gzip", body), 200, plain},
		{"deflate", "deflate", compress("deflate", body), 200, plain},
		{"a bomb", "gzip", compress("gzip", `{"inputs":"`+strings.Repeat("a", 1<<20)+`"}`), 413, "more than 65,536 bytes"},
		{"cut", "gzip", compress("gzip", body)[:30], 400, "is not what Content-Encoding says"},
		{"plain", "gzip", []byte(body), 400, "is not what Content-Encoding says"},
		{"unknown", "br", []byte(body), 400, `Content-Encoding is \"br\"`},
	} {
		q := httptest.NewRequest("POST", "/embed", bytes.NewReader(x.body))
		q.Header.Set("Content-Encoding", x.encoding)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, q)
		if w.Code != x.status || !strings.Contains(w.Body.String(), x.want) {
			t.Errorf("%s: %d %s, want %d with %s", x.name, w.Code, w.Body, x.status, x.want)
		}
	}
}
