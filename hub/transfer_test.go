package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// inPieces makes a Hub that fetches files of more than 32 KiB in pieces of 16.
func (s *server) inPieces(t *testing.T) *Hub {
	h := s.hub(t)
	h.piece = 16 << 10
	return h
}

// unfinished is where the weights of modelFiles are while they come.
func unfinished(h *Hub) string {
	return filepath.Join(h.Cache, "models--org--model", "blobs", fmt.Sprintf("%x", sha256.Sum256([]byte(modelFiles["model.safetensors"])))+incomplete)
}

// isStorage reports whether a request is for weights at the other host.
func isStorage(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/storage/") && r.Method == http.MethodGet
}

// TestPieces: a large file comes in several ranges at once, which ask the hub only once where it is.
func TestPieces(t *testing.T) {
	s := newServer(t, modelFiles)
	h := s.inPieces(t)
	var (
		now      atomic.Int32
		first    atomic.Bool
		together = make(chan struct{})
	)
	s.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		// The first request shows whether there are ranges, before others come.
		if !isStorage(r) || first.CompareAndSwap(false, true) {
			return false
		}
		if now.Add(1) == connections {
			close(together)
		}
		select {
		case <-together:
		case <-time.After(10 * time.Second):
			t.Errorf("only %d requests come together", now.Load())
		}
		return false
	}
	var reported int64
	snapshot, err := h.Pull(t.Context(), Ref{"org/model", "main"}, PullOptions{Progress: func(file string, done, size int64) {
		if file == "model.safetensors" {
			if done < reported || size != 1<<18 {
				t.Errorf("%d of %d bytes after %d", done, size, reported)
			}
			reported = done
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
	if reported != 1<<18 {
		t.Errorf("%d bytes reported", reported)
	}
	if got := s.asked("/storage/model.safetensors bytes="); len(got) != 16 {
		t.Errorf("the requests are %v", got)
	}
	if got := s.asked("GET /org/model/resolve/" + testCommit + "/model.safetensors"); len(got) != 1 {
		t.Errorf("the hub is asked %d times", len(got))
	}
}

// TestPiecesWithoutRanges: what a server that gives no ranges, or others than were asked for, sends is the whole file.
func TestPiecesWithoutRanges(t *testing.T) {
	content := modelFiles["model.safetensors"]
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"the whole file": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, content) },
		"another range": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				io.WriteString(w, content)
				return
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-0/%d", len(content)))
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, content[:1])
		},
		"none": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			io.WriteString(w, content)
		},
	} {
		for _, have := range []int{0, 100_000} {
			t.Run(fmt.Sprintf("%s, %d", name, have), func(t *testing.T) {
				s := newServer(t, modelFiles)
				h := s.inPieces(t)
				s.answer = func(w http.ResponseWriter, r *http.Request) bool {
					if isStorage(r) {
						answer(w, r)
					}
					return isStorage(r)
				}
				if err := os.MkdirAll(filepath.Dir(unfinished(h)), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(unfinished(h), []byte(content[:have]), 0o666); err != nil {
					t.Fatal(err)
				}
				snapshot, err := pull(t, h, "org/model")
				if err != nil {
					t.Fatal(err)
				}
				checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
			})
		}
	}
}

// TestPiecesInterrupted interrupts pulls at any place: what is kept is a beginning of the file, and the next pull asks for the
// rest.
func TestPiecesInterrupted(t *testing.T) {
	content := modelFiles["model.safetensors"]
	for _, at := range []int64{1, 16 << 10, 50_000, 200_000} {
		s := newServer(t, modelFiles)
		h := s.inPieces(t)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := h.Pull(ctx, Ref{"org/model", "main"}, PullOptions{Progress: func(file string, done, size int64) {
			if file == "model.safetensors" && done >= at {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("at %d: error %v, want %v", at, err, context.Canceled)
		}
		kept, err := os.ReadFile(unfinished(h))
		if err != nil || !strings.HasPrefix(content, string(kept)) {
			t.Fatalf("at %d: %d bytes, which are no beginning of the file: %v", at, len(kept), err)
		}
		before := len(s.asked("/storage/"))
		snapshot, err := pull(t, h, "org/model")
		if err != nil {
			t.Fatal(err)
		}
		checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
		for _, request := range s.asked("/storage/")[before:] {
			from := -1
			if fmt.Sscanf(request, "GET /storage/model.safetensors bytes=%d-", &from); from < len(kept) && len(kept) > 0 {
				t.Errorf("at %d: %d bytes were there, and then %q", at, len(kept), request)
			}
		}
	}
}

// TestPiecesOfBrokenServer: connections that end anywhere, errors and stalls cost requests, never bytes.
func TestPiecesOfBrokenServer(t *testing.T) {
	content := modelFiles["model.safetensors"]
	for seed := range uint64(3) {
		s := newServer(t, modelFiles)
		h := s.inPieces(t)
		h.stall, h.least = 60*time.Millisecond, 1
		random := rand.New(rand.NewPCG(seed, 0)) // under s.mu
		s.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if !isStorage(r) {
				return false
			}
			from, to := 0, len(content)-1
			if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); n == 0 {
				t.Errorf("asked for %q", r.Header.Get("Range"))
			}
			s.mu.Lock()
			what, cut := random.IntN(8), random.IntN(to-from+1)
			s.mu.Unlock()
			if what == 0 {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			w.Header().Set("Content-Length", fmt.Sprint(to+1-from))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(content)))
			w.WriteHeader(http.StatusPartialContent)
			if what > 3 {
				cut = to + 1 - from
			}
			io.WriteString(w, content[from:from+cut])
			if what == 1 {
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
			return true
		}
		snapshot, err := pull(t, h, "org/model")
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
	}
}

// TestPiecesErrors: what never gets better ends with one line that says so, after a few tries.
func TestPiecesErrors(t *testing.T) {
	content := modelFiles["model.safetensors"]
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, from, to int)
		want   string
	}{
		"refused": {func(w http.ResponseWriter, _, _ int) { w.WriteHeader(http.StatusForbidden) }, `answers "403 Forbidden" for file model.safetensors of org/model (tried 5 times)`},
		"other bytes": {func(w http.ResponseWriter, from, to int) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(content)))
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, strings.Repeat("x", to+1-from))
		}, "model.safetensors has the checksum"},
		"one bad part": {func(w http.ResponseWriter, from, to int) {
			if from == 5*16<<10 {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(content)))
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, content[from:to+1])
		}, `answers "500 Internal Server Error" for file model.safetensors of org/model (tried 5 times)`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, modelFiles)
			h := s.inPieces(t)
			s.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if !isStorage(r) {
					return false
				}
				from, to := 0, len(content)-1
				fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to)
				c.answer(w, from, to)
				return true
			}
			_, err := pull(t, h, "org/model")
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want one line with %q", err, c.want)
			}
			if n := len(s.asked("/storage/")); n > 60 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestNoLinkedSize: a hub that says the checksum of a file elsewhere, and not its length. The length is that of the other host's
// answer or, where that doesn't say it either, of what comes.
func TestNoLinkedSize(t *testing.T) {
	content := modelFiles["model.safetensors"]
	for name, storage := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"length of a HEAD": func(http.ResponseWriter, *http.Request) bool { return false },
		"no HEAD": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusForbidden)
			}
			return r.Method == http.MethodHead
		},
		"no connection for a HEAD": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				panic(http.ErrAbortHandler)
			}
			return false
		},
		"no length": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				w.(http.Flusher).Flush()
				io.WriteString(w, content)
			}
			return true
		},
	} {
		for _, have := range []int{0, 100_000, len(content)} {
			t.Run(fmt.Sprintf("%s, %d", name, have), func(t *testing.T) {
				s := newServer(t, modelFiles)
				h := s.inPieces(t)
				if err := os.MkdirAll(filepath.Dir(unfinished(h)), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(unfinished(h), []byte(content[:have]), 0o666); err != nil {
					t.Fatal(err)
				}
				s.answer = func(w http.ResponseWriter, r *http.Request) bool {
					switch {
					case strings.HasPrefix(r.URL.Path, "/storage/"):
						return storage(w, r)
					case strings.HasSuffix(r.URL.Path, "/model.safetensors"):
						w.Header().Set("X-Linked-Etag", fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(content))))
						http.Redirect(w, r, s.storage.URL+"/storage/model.safetensors?Signature=secret", http.StatusFound)
						return true
					}
					return false
				}
				snapshot, err := pull(t, h, "org/model")
				if err != nil {
					t.Fatal(err)
				}
				checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
			})
		}
	}
}

// TestOtherEndpoint: an endpoint that sends on to another hub, which sends on to a storage. What the other hub says of a file
// counts, and it gets no token.
func TestOtherEndpoint(t *testing.T) {
	s := newServer(t, modelFiles)
	s.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("the token is sent to another host with %s %s", r.Method, r.URL.Path)
		}
		return false
	}
	var with atomic.Int32
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer t0ken" {
			with.Add(1)
		}
		if strings.HasPrefix(r.URL.Path, "/mirror/api/") {
			r.URL.Path, r.URL.RawPath = strings.TrimPrefix(r.URL.Path, "/mirror"), ""
			s.api(w, r)
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/mirror/again/") { // first to itself
			http.Redirect(w, r, strings.Replace(r.URL.Path, "/mirror/", "/mirror/again/", 1), http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Etag", `"the mirror's own"`)
		http.Redirect(w, r, s.URL+strings.TrimPrefix(r.URL.Path, "/mirror/again"), http.StatusTemporaryRedirect)
	}))
	defer mirror.Close()
	h := s.inPieces(t)
	h.Endpoint, h.Token = mustParse(t, mirror.URL+"/mirror"), "t0ken"
	snapshot, err := pull(t, h, "org/model")
	if err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
	if n := with.Load(); n < 9 {
		t.Errorf("the endpoint gets the token %d times", n)
	}
	// A model that only the token opens.
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("X-Error-Code", "GatedRepo")
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	h.Cache = t.TempDir()
	_, err = pull(t, h, "org/model")
	if want := "sends on to " + strings.TrimPrefix(s.URL, "http://") + ", which is not given the token"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
