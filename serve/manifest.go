package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/task"
)

// maxManifest bounds a manifest, and the file of a model's probes.
const maxManifest = 4 << 20

// readManifest reads a list of models:
//
//	{"models": [{"name": "reviews", "path": "models/reviews", "precision": "bf16", "pooling": "mean", "max_tokens": 256}]}
//
// Only path is needed. Paths are relative to the manifest's folder.
func readManifest(path string) ([]ModelSpec, error) {
	content, err := files.ReadFile(path, maxManifest)
	if err != nil {
		return nil, err
	}
	var m struct {
		Models []struct {
			Name      string          `json:"name"`
			Path      string          `json:"path"`
			Precision *bert.Precision `json:"precision"`
			Pooling   task.Pooling    `json:"pooling"`
			MaxTokens int             `json:"max_tokens"`
		} `json:"models"`
	}
	if err := strictJSON(content, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(m.Models) == 0 {
		return nil, fmt.Errorf("%s: models is empty: want at least one", path)
	}
	var specs []ModelSpec
	for i, one := range m.Models {
		if one.Path == "" {
			return nil, fmt.Errorf("%s: model %d has no path", path, i+1)
		}
		spec := ModelSpec{Name: one.Name, Path: one.Path, Pooling: one.Pooling, MaxTokens: one.MaxTokens}
		if one.Precision != nil {
			spec.Precision = *one.Precision
		}
		if !filepath.IsAbs(spec.Path) {
			spec.Path = filepath.Join(filepath.Dir(path), spec.Path)
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

// strictJSON reads one value, without unknown keys.
func strictJSON(content []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("there is something after the value")
	}
	return nil
}

// maxModelFiles bounds how many files of a model directory are looked at.
const maxModelFiles = 10_000

// fingerprint changes when a file of a model does: it is of the files' names, sizes and times.
func fingerprint(path string) (string, error) {
	dir, err := bert.ModelDir(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q", path)
	n := 0
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return files.PathError(err)
		}
		if n++; n > maxModelFiles {
			return fmt.Errorf("%s: more than %d files: want a model directory", dir, maxModelFiles)
		}
		info, err := os.Stat(name) // through links, as the hub's cache has them
		if err != nil {
			return files.PathError(err)
		}
		if !info.IsDir() {
			fmt.Fprintf(h, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	return fmt.Sprintf("%x", h.Sum(nil)), err
}
