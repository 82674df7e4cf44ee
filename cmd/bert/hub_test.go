package main

import (
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdHub serves model directories as Hugging Face's hub does, each under its name, until the script ends: hub NAME DIR ….
// HF_ENDPOINT is set.
func cmdHub(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args)%2 != 0 {
		ts.Fatalf("usage: hub NAME DIR [NAME DIR ...]")
	}
	dirs := map[string]string{}
	for i := 0; i < len(args); i += 2 {
		dirs[args[i]] = ts.MkAbs(args[i+1])
	}
	server := httptest.NewServer(hubOf(dirs))
	ts.Defer(server.Close)
	ts.Setenv("HF_ENDPOINT", server.URL)
}

// hubOf answers as Hugging Face's hub does, for the model directories dirs by name.
func hubOf(dirs map[string]string) http.HandlerFunc {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	return func(w http.ResponseWriter, r *http.Request) {
		if name, revision, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/models/"), "/revision/"); ok {
			siblings := []map[string]string{}
			dir, ok := dirs[name]
			err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					path, err = filepath.Rel(dir, path)
					siblings = append(siblings, map[string]string{"rfilename": filepath.ToSlash(path)})
				}
				return err
			})
			if err != nil || !ok || revision != "main" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": siblings})
			return
		}
		name, file, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/resolve/"+commit+"/")
		data, err := fs.ReadFile(os.DirFS(dirs[name]), file)
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Etag", fmt.Sprintf(`"%x"`, sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(data), data))))
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
	}
}
