package hub

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const testCommit = "0123456789abcdef0123456789abcdef01234567"

// A server implements the part of the hub's API that a pull needs. Files named *.safetensors, *.bin and *.data-* are in "Git
// LFS": they are on another host.
type server struct {
	*httptest.Server
	storage *httptest.Server // the other host

	mu       sync.Mutex
	name     string
	files    map[string]string
	requests []string
	// answer, if set, may answer a request instead.
	answer func(w http.ResponseWriter, r *http.Request) bool
}

func isLarge(name string) bool {
	return strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".bin") || strings.Contains(name, ".data-")
}

func newServer(t *testing.T, files map[string]string) *server {
	s := &server{name: "org/model", files: files}
	handle := func(f func(http.ResponseWriter, *http.Request)) *httptest.Server {
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			s.requests = append(s.requests, strings.TrimSpace(r.Method+" "+r.URL.EscapedPath()+" "+r.Header.Get("Range")))
			answer := s.answer
			s.mu.Unlock()
			if answer == nil || !answer(w, r) {
				f(w, r)
			}
		}))
		t.Cleanup(h.Close)
		return h
	}
	s.storage = handle(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token is sent to another host")
		}
		name := strings.TrimPrefix(r.URL.Path, "/storage/")
		w.Header().Set("Etag", `"the storage's own"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(s.files[name]))
	})
	s.Server = handle(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/models/") {
			s.api(w, r)
			return
		}
		name, ok := strings.CutPrefix(r.URL.Path, "/"+s.name+"/resolve/"+testCommit+"/")
		content, there := s.files[name]
		if !ok || !there {
			w.Header().Set("X-Error-Code", "EntryNotFound")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("X-Repo-Commit", testCommit)
		if isLarge(name) {
			w.Header().Set("X-Linked-Etag", fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(content))))
			w.Header().Set("X-Linked-Size", fmt.Sprint(len(content)))
			http.Redirect(w, r, s.storage.URL+"/storage/"+name+"?Signature=secret", http.StatusFound)
			return
		}
		w.Header().Set("Etag", fmt.Sprintf(`W/"%x"`, sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content))))
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	})
	return s
}

func (s *server) api(w http.ResponseWriter, r *http.Request) {
	name, revision, ok := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/api/models/"), "/revision/")
	switch {
	case !ok || name != s.name:
		w.Header().Set("X-Error-Code", "RepoNotFound")
		w.WriteHeader(http.StatusUnauthorized)
		return
	case revision != "main" && revision != "refs%2Fpr%2F1" && revision != testCommit:
		w.Header().Set("X-Error-Code", "RevisionNotFound")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	siblings := []map[string]string{}
	for name := range s.files {
		siblings = append(siblings, map[string]string{"rfilename": name})
	}
	json.NewEncoder(w).Encode(map[string]any{"id": s.name, "sha": testCommit, "siblings": siblings})
}

// hub returns a Hub for the server with an empty cache and short waits.
func (s *server) hub(t *testing.T) *Hub {
	h, err := New(s.URL, "", filepath.Join(t.TempDir(), "hub"))
	if err != nil {
		t.Fatal(err)
	}
	h.stall, h.pause = 5*time.Second, time.Millisecond
	return h
}

func (s *server) asked(part string) (requests []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if strings.Contains(r, part) {
			requests = append(requests, r)
		}
	}
	return requests
}

var modelFiles = map[string]string{
	"config.json":        `{"model_type": "bert"}`,
	"vocab.txt":          "[PAD]\n[UNK]\n",
	"tokenizer.json":     "{}",
	"model.safetensors":  strings.Repeat("0123456789abcdef", 1<<14),
	"pytorch_model.bin":  "not wanted",
	"model.onnx":         "not wanted",
	"flax_model.msgpack": "not wanted",
	"README.md":          "not wanted",
}

func pull(t *testing.T, h *Hub, name string) (*Snapshot, error) {
	t.Helper()
	r, err := ParseRef(name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return h.Pull(ctx, r, PullOptions{Note: func(line string) { t.Log("note: " + line) }})
}

// checkSnapshot checks a folder's files, and that the cache holds no unfinished files.
func checkSnapshot(t *testing.T, h *Hub, dir string, want map[string]string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || string(data) != want[e.Name()] {
			t.Errorf("%s is not what the server has: %v", e.Name(), err)
		}
	}
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Errorf("the files are %v, want %v", got, names)
	}
	filepath.WalkDir(h.Cache, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, incomplete) || strings.Contains(path, ".tmp-") {
			t.Errorf("in the cache: %s: %v", path, err)
		}
		return nil
	})
}

var wantNames = []string{"config.json", "vocab.txt", "tokenizer.json", "model.safetensors"}

func TestPull(t *testing.T) {
	s := newServer(t, modelFiles)
	h := s.hub(t)
	snapshot, err := pull(t, h, "org/model")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(h.Cache, "models--org--model", "snapshots", testCommit); snapshot.Dir != want || snapshot.Commit != testCommit {
		t.Errorf("the snapshot is %+v, want %s", snapshot, want)
	}
	checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
	target, err := os.Readlink(filepath.Join(snapshot.Dir, "model.safetensors"))
	want := filepath.Join("..", "..", "blobs", fmt.Sprintf("%x", sha256.Sum256([]byte(modelFiles["model.safetensors"]))))
	if err != nil || target != want {
		t.Errorf("model.safetensors is a link to %q, want %q: %v", target, want, err)
	}
	if r, err := os.ReadFile(filepath.Join(h.Cache, "models--org--model", "refs", "main")); err != nil || string(r) != testCommit {
		t.Errorf("refs/main is %q: %v", r, err)
	}

	for _, name := range []string{"org/model", "org/model@main", "org/model@" + testCommit} {
		r, err := ParseRef(name)
		if err != nil {
			t.Fatal(err)
		}
		if dir, err := h.Lookup(r); err != nil || dir != snapshot.Dir {
			t.Errorf("%s is looked up at %q: %v", name, dir, err)
		}
	}
	for _, name := range []string{"org/model@other", "org/other", "model", "org/model@" + strings.Repeat("0", 40)} {
		r, err := ParseRef(name)
		if err != nil {
			t.Fatal(err)
		}
		if dir, err := h.Lookup(r); !errors.Is(err, ErrNotCached) {
			t.Errorf("%s is looked up at %q: %v, want %v", name, dir, err, ErrNotCached)
		}
	}

	// A second pull asks only for the branch's commit. So does a pull of another revision with the same commit.
	before := len(s.requests)
	for _, name := range []string{"org/model", "org/model@refs/pr/1", "org/model@" + testCommit} {
		if again, err := pull(t, h, name); err != nil || again.Dir != snapshot.Dir {
			t.Errorf("pulled again: %+v: %v", again, err)
		}
	}
	if n := len(s.requests) - before; n != 3 {
		t.Errorf("%d requests for what is there, want 3: %v", n, s.requests[before:])
	}

	s.Close()
	h.Offline = true
	if again, err := pull(t, h, "org/model"); err != nil || again.Dir != snapshot.Dir || len(again.Files) != len(wantNames) {
		t.Errorf("pulled offline: %+v: %v", again, err)
	}
	if _, err := pull(t, h, "org/other"); err == nil || !strings.Contains(err.Error(), "HF_HUB_OFFLINE forbids fetching it") {
		t.Errorf("offline: error %v", err)
	}
}

// TestPullWeights covers the formats that a model's weights may have.
func TestPullWeights(t *testing.T) {
	index := `{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors", "c": "model-00001-of-00002.safetensors"}}`
	for name, c := range map[string]struct {
		weights []string
		index   string
		want    string // an error, instead of the files
		wanted  []string
	}{
		"sharded": {
			weights: []string{"model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model-00003-of-00003.safetensors"},
			index:   index,
			wanted:  []string{"model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"},
		},
		"torch": {weights: []string{"pytorch_model.bin", "tf_model.h5"}, wanted: []string{"pytorch_model.bin"}},
		"tensorflow": {
			weights: []string{"bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.meta"},
			wanted:  []string{"bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"},
		},
		"none":                {weights: []string{"tf_model.h5", "model.onnx"}, want: "org/model has no weights that bert can read"},
		"several checkpoints": {weights: []string{"a.index", "b.index"}, want: "org/model has several TensorFlow checkpoints (a, b)"},
		"shard is missing":    {weights: []string{"model.safetensors.index.json", "model-00001-of-00002.safetensors"}, index: index, want: `names the file "model-00002-of-00002.safetensors", which the model does not have`},
		"shard elsewhere":     {weights: []string{"model.safetensors.index.json", "../x"}, index: `{"weight_map": {"a": "../x"}}`, want: `names the file "../x", which the model does not have`},
		"no index":            {weights: []string{"model.safetensors.index.json"}, index: "[]", want: "model.safetensors.index.json: not the index of a sharded checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"bert_config.json": "{}", "vocab.txt": "a"}
			for _, w := range c.weights {
				files[w] = "content of " + w
			}
			if c.index != "" {
				files["model.safetensors.index.json"] = c.index
			}
			s := newServer(t, files)
			h := s.hub(t)
			snapshot, err := pull(t, h, "org/model")
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				if _, err := h.Lookup(Ref{"org/model", "main"}); !errors.Is(err, ErrNotCached) {
					t.Errorf("looked up: %v, want %v", err, ErrNotCached)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkSnapshot(t, h, snapshot.Dir, files, append([]string{"bert_config.json", "vocab.txt"}, c.wanted...)...)
		})
	}
}

// TestPullGoesOn cuts the connection repeatedly: each request asks for the rest.
func TestPullGoesOn(t *testing.T) {
	s := newServer(t, modelFiles)
	h := s.hub(t)
	content := modelFiles["model.safetensors"]
	const piece = 50_000
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/storage/model.safetensors" {
			return false
		}
		from := 0
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
		if from > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Write([]byte(content[from:min(from+piece, len(content))]))
		return true // the server closes the connection, because less was written than announced
	}
	snapshot, err := pull(t, h, "org/model")
	if err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
	var want []string
	for from := 0; from < len(content); from += piece {
		r := "GET /storage/model.safetensors"
		if from > 0 {
			r += fmt.Sprintf(" bytes=%d-", from)
		}
		want = append(want, r)
	}
	if got := s.asked("/storage/"); !slices.Equal(got, want) {
		t.Errorf("the requests are %v, want %v", got, want)
	}
}

// TestPullResumes interrupts a pull; another one continues, and its progress shows that.
func TestPullResumes(t *testing.T) {
	s := newServer(t, modelFiles)
	h := s.hub(t)
	s.answer = func(w http.ResponseWriter, r *http.Request) bool { // half of it, and then nothing
		if !strings.HasPrefix(r.URL.Path, "/storage/") || r.Header.Get("Range") != "" {
			return false
		}
		content := modelFiles["model.safetensors"]
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write([]byte(content[:len(content)/2]))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := Ref{"org/model", "main"}
	_, err := h.Pull(ctx, r, PullOptions{Progress: func(file string, done, size int64) {
		if file == "model.safetensors" && done > 0 && done < size {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want %v", err, context.Canceled)
	}
	if _, err := h.Lookup(r); !errors.Is(err, ErrNotCached) {
		t.Errorf("half a model is looked up: %v", err)
	}
	first := int64(-1)
	snapshot, err := h.Pull(t.Context(), r, PullOptions{Progress: func(file string, done, size int64) {
		if file == "model.safetensors" && first < 0 {
			first = done
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
	requests := s.asked("/storage/")
	if want := fmt.Sprintf("bytes=%d-", first); first <= 0 || !strings.HasSuffix(requests[len(requests)-1], want) {
		t.Errorf("%d bytes were there, the last request is %q", first, requests[len(requests)-1])
	}
	if n := len(s.asked("HEAD /org/model/resolve/" + testCommit + "/config.json")); n != 2 {
		t.Errorf("config.json is asked for %d times, want 2", n)
	}
	if n := len(s.asked("GET /org/model/resolve/" + testCommit + "/config.json")); n != 1 {
		t.Errorf("config.json is fetched %d times, want once", n)
	}
}

// TestPullBadPart corrupts a partial download: the checksum reveals it, and the whole file is fetched again.
func TestPullBadPart(t *testing.T) {
	for name, part := range map[string]string{
		"other bytes": "something else", "all of it": strings.Repeat("x", len(modelFiles["model.safetensors"])),
		"too much": strings.Repeat("x", len(modelFiles["model.safetensors"])+1),
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, modelFiles)
			h := s.hub(t)
			blob := filepath.Join(h.Cache, "models--org--model", "blobs", fmt.Sprintf("%x", sha256.Sum256([]byte(modelFiles["model.safetensors"]))))
			if err := os.MkdirAll(filepath.Dir(blob), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(blob+incomplete, []byte(part), 0o666); err != nil {
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

// TestPullErrors covers the ways in which a pull can fail.
func TestPullErrors(t *testing.T) {
	status := func(part string, code int, header ...string) func(*server) {
		return func(s *server) {
			s.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, part) {
					return false
				}
				for i := 0; i < len(header); i += 2 {
					w.Header().Set(header[i], header[i+1])
				}
				w.WriteHeader(code)
				return true
			}
		}
	}
	answer := func(part, text string) func(*server) {
		return func(s *server) {
			s.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.URL.Path, part) {
					w.Write([]byte(text))
				}
				return strings.Contains(r.URL.Path, part)
			}
		}
	}
	for name, c := range map[string]struct {
		model   string
		prepare func(*server)
		hub     func(*Hub)
		want    string
	}{
		"no model":          {model: "org/other", want: `has no model "org/other", or it is private: check the name (most are ORGANISATION/NAME); if it is private, log in with Hugging Face's tools, or set HF_TOKEN`},
		"no model, a token": {model: "org/other", hub: func(h *Hub) { h.Token = "t0ken" }, want: `the token may not read it, or has expired`},
		"no revision":       {model: "org/model@other", want: `org/model has no revision "other"`},
		"gated":             {prepare: status("/resolve/", 403, "X-Error-Code", "GatedRepo"), want: "refuses access to org/model: accept the model's terms at http://"},
		"not found":         {prepare: status("/api/", 404), want: "has no model org/model: check the name"},
		"broken":            {prepare: status("/api/", 503, "Retry-After", "0"), want: `answers "503 Service Unavailable" for model org/model (tried 5 times)`},
		"signature expired": {prepare: status("/storage/", 403), want: `answers "403 Forbidden" for file model.safetensors of org/model (tried 5 times)`},
		"odd status":        {prepare: status("/api/", 418), want: `answers "418 I'm a teapot" for model org/model`},
		"no JSON":           {prepare: answer("/api/", "<html>"), want: "is HF_ENDPOINT right?"},
		"no commit":         {prepare: answer("/api/", `{"sha": "../../x"}`), want: "is HF_ENDPOINT right?"},
		"no checksum":       {prepare: answer("/config.json", "x"), want: "gives no checksum of config.json"},
		"evil checksum":     {prepare: status("/config.json", 200, "Etag", `"../../x"`), want: "gives no checksum of config.json"},
		"another file":      {prepare: answer("/storage/", strings.Repeat("x", len(modelFiles["model.safetensors"]))), want: "model.safetensors has the checksum"},
		"a longer file":     {prepare: answer("/storage/", strings.Repeat("x", len(modelFiles["model.safetensors"])+1)), want: "sends more than the 262144 bytes that model.safetensors has"},
		"a shorter file":    {prepare: answer("/storage/", "x"), want: "the connection ended after 1 of 262144 bytes of model.safetensors (tried 5 times)"},
		"endless redirects": {prepare: status("/storage/", 302, "Location", "/storage/again"), want: "more than 10 redirects"},
		"redirect to files": {prepare: status("/storage/", 302, "Location", "file:///etc/passwd"), want: "redirects to an invalid address"},
		"no network":        {prepare: func(s *server) { s.CloseClientConnections(); s.Close() }, want: "connection refused (tried 5 times)"},
		"stalls": {
			prepare: func(s *server) {
				s.answer = func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.Contains(r.URL.Path, "/storage/") {
						return false
					}
					w.Header().Set("Content-Length", "262144")
					w.Write([]byte("x"))
					w.(http.Flusher).Flush()
					<-r.Context().Done()
					return true
				}
			},
			hub: func(h *Hub) { h.stall = 50 * time.Millisecond }, want: "no data for",
		},
		"cache is a file": {
			hub:  func(h *Hub) { os.WriteFile(h.Cache, nil, 0o666) },
			want: "not a directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, modelFiles)
			h := s.hub(t)
			if c.prepare != nil {
				c.prepare(s)
			}
			if c.hub != nil {
				c.hub(h)
			}
			model := c.model
			if model == "" {
				model = "org/model"
			}
			_, err := pull(t, h, model)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v, want one line with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "t0ken") {
				t.Errorf("the error tells a secret: %v", err)
			}
			if _, err := os.Stat(filepath.Join(h.Cache, "models--org--model", "snapshots")); err == nil {
				t.Error("there is a snapshot")
			}
		})
	}
}

func TestPullChecksFirst(t *testing.T) {
	s := newServer(t, modelFiles)
	_, err := s.hub(t).Pull(t.Context(), Ref{"org/model", "main"}, PullOptions{Check: func(path string) error {
		data, err := os.ReadFile(path)
		if err != nil || string(data) != modelFiles["config.json"] {
			t.Errorf("checked %q: %v", data, err)
		}
		return fmt.Errorf("%s: no BERT", path)
	}})
	if want := "org/model: config.json: no BERT"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
	if got := s.asked("safetensors"); len(got) > 0 {
		t.Errorf("asked for the weights: %v", got)
	}
}

// TestToken checks that the token is sent to the endpoint with every request, and to no other host: the storage of newServer
// fails the test if it receives the token.
func TestToken(t *testing.T) {
	s := newServer(t, modelFiles)
	var without atomic.Int32
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/storage/") && r.Header.Get("Authorization") != "Bearer t0ken" {
			without.Add(1)
		}
		return false
	}
	h := s.hub(t)
	h.Token = "t0ken"
	if _, err := pull(t, h, "org/model"); err != nil {
		t.Fatal(err)
	}
	if n := without.Load(); n > 0 {
		t.Errorf("%d requests to the endpoint without the token", n)
	}
	if len(s.asked("/storage/")) == 0 {
		t.Error("nothing was asked of the other host")
	}
	for address, want := range map[string]bool{
		"https://hub.example/x": true, "http://hub.example/x": false, "https://cdn.hub.example/x": false,
		"https://hub.example:444/x": false, "https://hub.example.evil/x": false,
	} {
		h, err := New("https://hub.example", "t0ken", "")
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.mayHaveToken(u); got != want {
			t.Errorf("the token may be sent to %s: %v, want %v", address, got, want)
		}
	}
	for endpoint, want := range map[string]bool{"http://hub.example": false, "http://127.0.0.1:80": true, "http://localhost": true, "http://[::1]:8": true} {
		h, err := New(endpoint, "t0ken", "")
		if err != nil {
			t.Fatal(err)
		}
		if got := h.mayHaveToken(h.Endpoint); got != want {
			t.Errorf("the token may be sent to %s: %v, want %v", endpoint, got, want)
		}
	}
}

// TestPullsAtOnce checks that each file is fetched once, however many pulls run at once.
func TestPullsAtOnce(t *testing.T) {
	s := newServer(t, modelFiles)
	cache := s.hub(t).Cache
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			h := s.hub(t)
			h.Cache = cache
			snapshot, err := h.Pull(t.Context(), Ref{"org/model", "main"}, PullOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			data, err := os.ReadFile(filepath.Join(snapshot.Dir, "model.safetensors"))
			if err != nil || string(data) != modelFiles["model.safetensors"] {
				t.Errorf("model.safetensors: %v", err)
			}
		})
	}
	wait.Wait()
	if got := s.asked("/storage/"); len(got) != 1 {
		t.Errorf("the weights are fetched %d times: %v", len(got), got)
	}
}

func TestCopyTo(t *testing.T) {
	s := newServer(t, modelFiles)
	h := s.hub(t)
	snapshot, err := pull(t, h, "org/model")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 { // the second time the files exist already
		if err := snapshot.CopyTo(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		checkSnapshot(t, h, dir, modelFiles, wantNames...)
	}
	for name, want := range map[string]string{
		"pytorch_model.bin": "contains the pytorch_model.bin of another model", "vocab.txt": "contains a different vocab.txt",
	} {
		other := t.TempDir()
		if err := os.WriteFile(filepath.Join(other, name), []byte("mine"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := snapshot.CopyTo(t.Context(), other); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if entries, err := os.ReadDir(other); err != nil || len(entries) != 1 {
			t.Errorf("in the folder: %v, %v", entries, err)
		}
	}
}

func TestParseRef(t *testing.T) {
	for s, want := range map[string]Ref{
		"bert-base-uncased":             {"bert-base-uncased", "main"},
		"google-bert/bert-base@v1.0":    {"google-bert/bert-base", "v1.0"},
		"a/b@refs/pr/1":                 {"a/b", "refs/pr/1"},
		"google/bert_uncased_L-2_H-128": {"google/bert_uncased_L-2_H-128", "main"},
	} {
		if got, err := ParseRef(s); err != nil || got != want {
			t.Errorf("%q is %+v: %v, want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "/", "a/", "/a", "a/b/c", "..", ".", "../x", "a/..", "a..b", ".a", "a.", "-a", "a-", "a--b", "a b", "a\\b", "a:b", "~/a", "é",
		"a@", "a@..", "a@../x", "a@/x", "a@x/", "a@x//y", "a@.x", "a@x/.", "a@x y", "a@-x", "a@x@y", "a@x.lock", strings.Repeat("a", 97), "a@" + strings.Repeat("b", 201),
	} {
		if got, err := ParseRef(s); err == nil {
			t.Errorf("%q is %+v, want an error", s, got)
		}
	}
}

func TestFromEnvironment(t *testing.T) {
	t.Setenv("HOME", "/home/anna")
	for _, c := range []struct {
		variables              string
		endpoint, cache, token string
		offline                bool
		fails                  string
	}{
		{"", "https://huggingface.co", "/home/anna/.cache/huggingface/hub", "", false, ""},
		{"XDG_CACHE_HOME=/c", "https://huggingface.co", "/c/huggingface/hub", "", false, ""},
		{"HF_HOME=/h XDG_CACHE_HOME=/c HF_HUB_OFFLINE=0", "https://huggingface.co", "/h/hub", "", false, ""},
		{"HF_HOME=/h HF_HUB_CACHE=/x HF_TOKEN=t HF_HUB_OFFLINE=1", "https://huggingface.co", "/x", "t", true, ""},
		{"HF_ENDPOINT=http://localhost:8/p/ HF_HUB_OFFLINE=yes HF_HOME=/h", "http://localhost:8/p", "/h/hub", "", true, ""},
		{"HF_ENDPOINT=hub.example", "", "", "", false, `HF_ENDPOINT: the endpoint "hub.example" is not an address`},
		{"HF_ENDPOINT=ftp://hub.example", "", "", "", false, "is not an address"},
	} {
		if filepath.Separator != '/' {
			t.Skip("paths have other separators here")
		}
		h, err := FromEnvironment(func(name string) string {
			for pair := range strings.FieldsSeq(c.variables) {
				if value, ok := strings.CutPrefix(pair, name+"="); ok {
					return value
				}
			}
			return ""
		})
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: error %v, want %q", c.variables, err, c.fails)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.variables, err)
			continue
		}
		if h.Endpoint.String() != c.endpoint || h.Cache != c.cache || h.Token != c.token || h.Offline != c.offline {
			t.Errorf("%s: %s, %s, %q, %v", c.variables, h.Endpoint, h.Cache, h.Token, h.Offline)
		}
	}
}

// TestAddress checks that a slash in a revision is escaped, and that an endpoint may have a path.
func TestAddress(t *testing.T) {
	h, err := New("https://hub.example/mirror/", "", "")
	if err != nil {
		t.Fatal(err)
	}
	got := h.modelAddress([]string{"api", "models"}, Ref{Name: "org/model"}, "revision", "refs/pr/1").String()
	if want := "https://hub.example/mirror/api/models/org/model/revision/refs%2Fpr%2F1"; got != want {
		t.Errorf("the address is %s, want %s", got, want)
	}
}

func TestSameContent(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	long := bytes.Repeat([]byte("x"), 3<<16)
	other := slices.Clone(long)
	other[len(other)-1] = 'y'
	a, b, c := write("a", long), write("b", long), write("c", other)
	if same, err := sameContent(a, b); !same || err != nil {
		t.Errorf("same: %v, %v", same, err)
	}
	if same, err := sameContent(a, c); same || err != nil {
		t.Errorf("other: %v, %v", same, err)
	}
}

// FuzzParseRef checks that no name leads out of the cache, and that a parsed name is written as it was given.
func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"bert-base-uncased", "a/b@refs/pr/1", "../x", "a@..", "a\\b", "a@x/../y", "a@b@c", "a--b"} {
		f.Add(s)
	}
	h, err := New("https://hub.example", "", "cache")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		if again, err := ParseRef(r.String()); err != nil || again != r {
			t.Errorf("%q is %+v, as text %q, which is %+v: %v", s, r, r, again, err)
		}
		if path := h.refFile(r); !filepath.IsLocal(path) || !strings.HasPrefix(path, filepath.Join("cache", repoName(r), "refs")+string(filepath.Separator)) {
			t.Errorf("%q has its ref at %s", s, path)
		}
		if u := h.modelAddress(nil, r, "revision", r.Revision); u.Host != h.Endpoint.Host || strings.Contains(u.Path, "..") {
			t.Errorf("%q is asked for at %s", s, u)
		}
	})
}
