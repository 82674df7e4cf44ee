package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/go-bert/bert/internal/files"
)

// modulesFile lists the modules of a sentence-transformers folder. Those after the encoder have folders of their own.
const modulesFile = "modules.json"

// moduleFiles are the small files of a module's folder, and moduleWeights those of its weights, of which the first is taken.
var (
	moduleFiles   = []string{"config.json"}
	moduleWeights = []string{"model.safetensors", "pytorch_model.bin"}
)

// maxModules is far more modules than a folder has.
const maxModules = 100

// settingsNames match the files that say how a sentence-transformers folder treats texts and vectors.
var settingsNames = []string{"config_sentence_transformers.json", "sentence_*_config.json"}

// pipelineNames are those of the files in a list that belong to the pipeline that modules.json describes. Whoever loads the model says
// what is wrong with one that can't be read.
func pipelineNames(modules string, names []string) []string {
	data, err := files.ReadFile(modules, maxJSON)
	if err != nil {
		return nil
	}
	var list []struct {
		Path string `json:"path"`
	}
	if json.Unmarshal(data, &list) != nil || len(list) > maxModules {
		return nil
	}
	var found []string
	for _, name := range names {
		if slices.ContainsFunc(settingsNames, func(pattern string) bool { ok, _ := path.Match(pattern, name); return ok }) {
			found = append(found, name)
		}
	}
	for _, m := range list {
		dir := path.Clean(m.Path)
		if !isPath(dir) {
			continue // the folder of the model itself, or no folder in it
		}
		has := func(name string) bool { return slices.Contains(names, path.Join(dir, name)) }
		for _, name := range moduleFiles {
			if has(name) {
				found = append(found, path.Join(dir, name))
			}
		}
		if i := slices.IndexFunc(moduleWeights, has); i >= 0 {
			found = append(found, path.Join(dir, moduleWeights[i]))
		}
	}
	return found
}

// fetchPipeline fetches the files of a sentence-transformers folder, whose modules.json has been fetched.
func (p *puller) fetchPipeline(ctx context.Context) error {
	if !p.info.has(modulesFile) {
		return nil
	}
	modules := cmp.Or(p.blobs[modulesFile], filepath.Join(p.dir, modulesFile))
	var names []string
	for _, f := range p.info.Files {
		names = append(names, f.Name)
	}
	for _, name := range pipelineNames(modules, names) {
		if _, err := p.fetch(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// pipelineIn are the files of the pipeline in a folder.
func pipelineIn(dir string) []string {
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
			continue
		}
		below, _ := os.ReadDir(filepath.Join(dir, e.Name()))
		for _, b := range below {
			names = append(names, path.Join(e.Name(), b.Name()))
		}
	}
	return pipelineNames(filepath.Join(dir, modulesFile), names)
}
