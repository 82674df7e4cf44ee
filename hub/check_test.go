package hub

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-bert/bert/internal/files"
)

// damages are what may happen to a file.
var damages = map[string]func(path string) error{
	"garbage": func(path string) error { return os.WriteFile(path, []byte("garbage"), 0o666) },
	"emptied": func(path string) error { return os.Truncate(path, 0) },
	"cut":     func(path string) error { return os.Truncate(path, 10) },
	"removed": os.Remove,
	"a flipped bit": func(path string) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data[len(data)/2] ^= 1
		return os.WriteFile(path, data, 0o666)
	},
	"zeros, with the old time": func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, make([]byte, info.Size()), 0o666); err != nil {
			return err
		}
		return os.Chtimes(path, info.ModTime(), info.ModTime())
	},
}

// TestPullMends damages each file of a cache in each way: a pull fetches it again, with the snapshot and without, and says so;
// without the server there is one error that names it; nothing else is fetched.
func TestPullMends(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, modelFiles)
			h := s.hub(t)
			snapshot, err := pull(t, h, "org/model")
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range wantNames {
				for _, kept := range []bool{true, false} {
					path, err := filepath.EvalSymlinks(filepath.Join(snapshot.Dir, file))
					if err != nil {
						t.Fatal(err)
					}
					if err := damage(path); err != nil {
						t.Fatal(err)
					}
					offline := *h
					offline.Offline = true
					for who, use := range map[string]func() error{
						"Pull, offline": func() error { _, err := pull(t, &offline, "org/model"); return err },
						"Resolve":       func() error { _, err := Resolve(t.Context(), "org/model", ResolveOptions{Hub: h}); return err },
					} {
						if name == "removed" && file == "config.json" {
							break // then the model isn't in the cache
						}
						var damaged *DamagedError
						if err := use(); !errors.As(err, &damaged) || damaged.Name != file || !strings.Contains(err.Error(), "pull the model again") || strings.Contains(err.Error(), "\n") {
							t.Errorf("%s: %s: %v, want one line that names it and says what to do", who, file, err)
						}
					}
					if !kept {
						os.RemoveAll(snapshot.Dir)
					}
					before := len(s.asked("GET /org/model/resolve/"))
					if _, err := pull(t, h, "org/model"); err != nil {
						t.Fatal(err)
					}
					checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
					if n := len(s.asked("GET /org/model/resolve/")) - before; n != 1 {
						t.Errorf("%s: %d files were fetched, want it alone", file, n)
					}
				}
			}
		})
	}
}

// TestRemembers: a file whose size and times are those that it was checked with is believed; its checksum isn't computed again.
func TestRemembers(t *testing.T) {
	s := newServer(t, modelFiles)
	h := s.hub(t)
	snapshot, err := pull(t, h, "org/model")
	if err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(modelFiles["model.safetensors"])))
	blob := filepath.Join(h.folder(Ref{"org/model", "main"}), "blobs", sum)
	if err := os.WriteFile(blob, []byte("other bytes"), 0o666); err != nil {
		t.Fatal(err)
	}
	stamp, err := files.Settled(blob)
	if err != nil {
		t.Fatal(err)
	}
	h.remember(Ref{"org/model", "main"}, sum, sum, stamp)
	if err := h.checkSnapshot(t.Context(), Ref{"org/model", "main"}, snapshot.Commit, true); err != nil {
		t.Errorf("a remembered file was checked: %v", err)
	}
	// What other tools fetched is checked and remembered when it is first used.
	if err := os.WriteFile(blob, []byte(modelFiles["model.safetensors"]), 0o666); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(filepath.Join(h.folder(Ref{"org/model", "main"}), checkedName))
	if _, err := Resolve(t.Context(), "org/model", ResolveOptions{Hub: h}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(blob)
	if err != nil {
		t.Fatal(err)
	}
	if got, stamp := h.remembered(Ref{"org/model", "main"}, sum); got != sum || stamp != files.Stamp(info) {
		t.Errorf("remembered %q, %q", got, stamp)
	}
}

// TestCopiedSnapshot: where a snapshot has copies instead of links, as on systems without them, they are checked too.
func TestCopiedSnapshot(t *testing.T) {
	s := newServer(t, modelFiles)
	h := s.hub(t)
	snapshot, err := pull(t, h, "org/model")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range wantNames { // as Hugging Face's tools leave them: no blobs
		path := filepath.Join(snapshot.Dir, name)
		os.Remove(path)
		if err := os.WriteFile(path, []byte(modelFiles[name]), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	os.RemoveAll(filepath.Join(filepath.Dir(filepath.Dir(snapshot.Dir)), "blobs"))
	gets := len(s.asked("GET /org/model/resolve/"))
	if _, err := pull(t, h, "org/model"); err != nil {
		t.Fatal(err)
	}
	if n := len(s.asked("GET /org/model/resolve/")) - gets; n != 0 {
		t.Errorf("%d files were fetched that are there", n)
	}
	if err := os.WriteFile(filepath.Join(snapshot.Dir, "model.safetensors"), []byte("garbage"), 0o666); err != nil {
		t.Fatal(err)
	}
	var damaged *DamagedError
	if _, err := Resolve(t.Context(), "org/model", ResolveOptions{Hub: h}); !errors.As(err, &damaged) || damaged.Name != "model.safetensors" {
		t.Errorf("a damaged copy: %v", err)
	}
	if _, err := pull(t, h, "org/model"); err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
}

// TestWritesThroughNoLink puts links where a pull writes: what they lead to stays as it is.
func TestWritesThroughNoLink(t *testing.T) {
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(modelFiles["model.safetensors"])))
	model := "models--org--model"
	for name, c := range map[string]struct {
		at     string
		folder bool // what it leads to
		hard   bool
		fails  bool // else the link is replaced
	}{
		"a part":               {at: model + "/blobs/" + sum + ".incomplete"},
		"a part, hard":         {at: model + "/blobs/" + sum + ".incomplete", hard: true},
		"a blob":               {at: model + "/blobs/" + sum},
		"a file of a snapshot": {at: model + "/snapshots/" + testCommit + "/config.json"},
		"a ref":                {at: model + "/refs/main"},
		"a lock":               {at: ".locks/" + model + "/" + sum + ".lock"},
		"a commit's lock":      {at: ".locks/" + model + "/" + testCommit + ".lock"},
		"a memory":             {at: model + "/.checked/" + sum},
		"the blobs":            {at: model + "/blobs", folder: true, fails: true},
		"the snapshots":        {at: model + "/snapshots", folder: true, fails: true},
		"a snapshot":           {at: model + "/snapshots/" + testCommit, folder: true, fails: true},
		"the refs":             {at: model + "/refs", folder: true, fails: true},
		"the locks":            {at: ".locks", folder: true, fails: true},
		"the model":            {at: model, folder: true, fails: true},
		"the memory":           {at: model + "/.checked", folder: true, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, modelFiles)
			h := s.hub(t)
			victim := filepath.Join(t.TempDir(), "victim")
			content := "mine"
			if c.folder {
				if err := os.Mkdir(victim, 0o777); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(victim, []byte(content), 0o666); err != nil {
				t.Fatal(err)
			}
			at := filepath.Join(h.Cache, filepath.FromSlash(c.at))
			link := os.Symlink
			if c.hard {
				link = os.Link
			}
			if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o777), link(victim, at)); err != nil {
				t.Skip(err)
			}
			_, err := pull(t, h, "org/model")
			switch {
			case c.fails && name != "the memory" && (err == nil || !strings.Contains(err.Error(), at) || !strings.Contains(err.Error(), "remove it")):
				t.Errorf("error %v, want one that names the link", err)
			case !c.fails && err != nil:
				t.Error(err)
			}
			if c.folder {
				if entries, err := os.ReadDir(victim); err != nil || len(entries) > 0 {
					t.Errorf("written: %v, %v", entries, err)
				}
			} else if data, err := os.ReadFile(victim); string(data) != content {
				t.Errorf("the victim holds %.20q, %v", data, err)
			}
		})
	}
}

// TestIndexNames: an index of weights leads to weights alone.
func TestIndexNames(t *testing.T) {
	for _, name := range []string{"config.json", "vocab.txt", "../../outside.safetensors", "/etc/passwd", "sub/a.safetensors", "pytorch_model.bin", "", ".", "..", "model.safetensors.index.json", "none.safetensors"} {
		s := newServer(t, map[string]string{
			"config.json": "{}", "vocab.txt": "x\n", "sub/a.safetensors": "x", "pytorch_model.bin": "x", "../../outside.safetensors": "x",
			"model.safetensors.index.json": fmt.Sprintf(`{"weight_map": {"a": %q}}`, name),
		})
		h := s.hub(t)
		if _, err := pull(t, h, "org/model"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("model.safetensors.index.json names the file %q, which", name)) {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

// TestLeftovers: what a killed pull left is gone after the next.
func TestLeftovers(t *testing.T) {
	s := newServer(t, modelFiles)
	h := s.hub(t)
	const mark = ".tmp-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	model := filepath.Join(h.Cache, "models--org--model")
	for _, path := range []string{"snapshots/" + testCommit + "/.config.json" + mark, "refs/.main" + mark, ".checked/.x" + mark} {
		path = filepath.Join(model, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, nil, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	snapshot, err := pull(t, h, "org/model")
	if err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(filepath.Join(dir, ".model.safetensors"+mark), nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(filepath.Dir(dir), ".copy"+mark)
	if err := os.Mkdir(left, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := snapshot.CopyTo(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, h, dir, modelFiles, wantNames...)
	if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) != 1 {
		t.Errorf("beside the copy: %v, %v", entries, err)
	}
}

// TestSlowServers: whatever the server does, a pull ends, with a line that says why.
func TestSlowServers(t *testing.T) {
	content := modelFiles["model.safetensors"]
	begin := func(w http.ResponseWriter) {
		w.Header().Set("Etag", `"`+strings.Repeat("0", 40)+`"`)
		w.Header().Set("Content-Length", "100000")
	}
	stall := func(w http.ResponseWriter, r *http.Request) {
		begin(w)
		w.Write([]byte(" "))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	drip := func(w http.ResponseWriter, r *http.Request) {
		begin(w)
		for r.Context().Err() == nil {
			w.Write([]byte(" "))
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	}
	silent := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	circle := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path+"?again", http.StatusFound)
	}
	// one gives a byte more at each request, and then ends.
	one := func(w http.ResponseWriter, r *http.Request) {
		from := 0
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
		if from > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Write([]byte(content[from : from+1]))
	}
	for name, c := range map[string]struct {
		method, part string
		answer       func(http.ResponseWriter, *http.Request)
		want         string
	}{
		"the description stalls":     {"GET", "/api/models/", stall, "no data for"},
		"the description drips":      {"GET", "/api/models/", drip, "the answer takes more than"},
		"the description is silent":  {"GET", "/api/models/", silent, "the answer takes more than"},
		"the description in circles": {"GET", "/api/models/", circle, "more than 10 redirects"},
		"the checksum is silent":     {"HEAD", "/config.json", silent, "the answer takes more than"},
		"the checksum in circles":    {"HEAD", "/config.json", circle, "more than 10 redirects"},
		"a redirected HEAD":          {"HEAD", "/storage/", silent, ""},
		"a small file stalls":        {"GET", "/vocab.txt", stall, "no data for"},
		"a small file drips":         {"GET", "/vocab.txt", drip, ""},
		"a small file is silent":     {"GET", "/vocab.txt", silent, "the answer takes more than"},
		"the weights drip":           {"GET", "/storage/", drip, "only "},
		"the weights byte by byte":   {"GET", "/storage/", one, "(tried 5 times)"},
		"the weights in circles":     {"GET", "/storage/", circle, "more than 10 redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, modelFiles)
			h := s.hub(t)
			h.stall, h.answer, h.least = 100*time.Millisecond, 80*time.Millisecond, 4<<10
			switch c.want { // the other limits are out of the way
			case "the answer takes more than":
				h.stall, h.least = time.Minute, 0
			case "no data for":
				h.answer = time.Minute
			}
			s.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != c.method || !strings.Contains(r.URL.Path, c.part) {
					return false
				}
				c.answer(w, r)
				return true
			}
			begun := time.Now()
			_, err := pull(t, h, "org/model")
			if c.want == "" && c.method == "HEAD" { // the hub's own answer has the checksum
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, c.want)
			}
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestLies: a server that lies about a length is believed in nothing.
func TestLies(t *testing.T) {
	for length, is := range map[string]bool{ // a number that may be a length
		"0": true, "1": true, "262143": true, "262145": true, "9223372036854775807": true, "-1": false, "18446744073709551616": false, "x": false,
	} {
		s := newServer(t, modelFiles)
		s.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != "HEAD" || !strings.HasSuffix(r.URL.Path, "/model.safetensors") || strings.Contains(r.URL.Path, "/storage/") {
				return false
			}
			w.Header().Set("X-Linked-Etag", fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(modelFiles["model.safetensors"]))))
			w.Header().Set("X-Linked-Size", length)
			http.Redirect(w, r, s.storage.URL+"/storage/model.safetensors", http.StatusFound)
			return true
		}
		h := s.hub(t)
		snapshot, err := pull(t, h, "org/model")
		if !is { // the same as none
			if err != nil {
				t.Errorf("length %s: %v", length, err)
				continue
			}
			checkSnapshot(t, h, snapshot.Dir, modelFiles, wantNames...)
			continue
		}
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("length %s: %v, want one line", length, err)
		}
		if _, err := h.Lookup(Ref{"org/model", "main"}); !errors.Is(err, ErrNotCached) {
			t.Errorf("length %s: there is a model: %v", length, err)
		}
	}
	s := newServer(t, modelFiles)
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "HEAD" || !strings.HasSuffix(r.URL.Path, "/config.json") {
			return false
		}
		w.Header().Set("Etag", `"`+strings.Repeat("0", 40)+`"`)
		w.Header().Set("Content-Length", "100000000000")
		return true
	}
	if _, err := pull(t, s.hub(t), "org/model"); err == nil || !strings.Contains(err.Error(), "which no such file has") {
		t.Errorf("a huge configuration: %v", err)
	}
}
