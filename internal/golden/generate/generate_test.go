package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/internal/golden/reference"
)

// TestGoldenReference computes from the models and inputs of other goldens what is given for them: those of PyTorch hold the
// reference to a program that others wrote, and the committed ones are thereby as good as those.
func TestGoldenReference(t *testing.T) {
	for _, root := range golden.Folders(t, "model") {
		inputs, err := filepath.Glob(filepath.Join(root, "*", "inputs.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range inputs {
			dir := filepath.Dir(path)
			t.Run(filepath.Base(dir), func(t *testing.T) { compareReference(t, dir) })
		}
	}
}

func compareReference(t *testing.T, dir string) {
	var (
		in       inputsFile
		training trainingFile
		config   reference.Config
		models   = make(map[string]reference.Params)
		what     contents
	)
	if err := readJSON(filepath.Join(dir, "inputs.json"), &in); err != nil {
		t.Fatal(err)
	}
	// Other goldens may be without.
	if err := readJSON(filepath.Join(dir, "training-inputs.json"), &training); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for head := range headLabels {
		c, params, err := readModel(filepath.Join(dir, head))
		if os.IsNotExist(err) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		config, models[head] = c, params
	}
	for _, task := range reference.Tasks() {
		if _, ok := models[task.Model]; !ok {
			continue
		}
		what.tasks = append(what.tasks, task.Name)
		what.gradients = append(what.gradients, task.Name)
		what.hidden = append(what.hidden, task.Name)
	}
	for _, head := range []string{"pretraining", "sequence-classification"} {
		for _, optimizer := range []string{"google", "adamw"} {
			if exists(filepath.Join(dir, "train", head+"."+optimizer+".json")) {
				what.runs = append(what.runs, run{head, optimizer})
			}
		}
	}
	got := t.TempDir()
	if err := writeResults(got, what, config, models, in, training); err != nil {
		t.Fatal(err)
	}
	compareFolders(t, got, dir)
}

// TestCommitted generates testdata/golden once more. Numbers may differ as processors do that fuse a multiplication with an
// addition, or not.
func TestCommitted(t *testing.T) {
	want := t.TempDir()
	if err := generate(want); err != nil {
		t.Fatal(err)
	}
	committed := golden.Committed(t, "model")
	compareFolders(t, filepath.Join(want, "model"), committed)
	generated, found := list(t, filepath.Join(want, "model")), list(t, committed)
	if !slices.Equal(generated, found) {
		t.Errorf("the files under %s are\n%q\nand the generator writes\n%q", committed, found, generated)
	}
	if t.Failed() {
		t.Log("go generate ./internal/golden writes them anew")
	}
}

// TestSize keeps what is committed small.
func TestSize(t *testing.T) {
	const limit = 500_000
	total := int64(0)
	root := golden.Committed(t)
	for _, name := range list(t, root) {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > limit {
		t.Errorf("%s has %d bytes, want at most %d", root, total, limit)
	}
}

// compareFolders compares the files of want, which PyTorch may have written, with those of the same names that the
// reference wrote.
func compareFolders(t *testing.T, got, want string) {
	t.Helper()
	compared, equal, numbers := 0, 0, 0
	for _, name := range list(t, want) {
		path := filepath.Join(got, name)
		if !exists(path) {
			continue
		}
		compared++
		switch filepath.Ext(name) {
		case ".json":
			var g, w map[string]any
			for path, v := range map[string]*map[string]any{path: &g, filepath.Join(want, name): &w} {
				if err := readJSON(path, v); err != nil {
					t.Fatal(err)
				}
			}
			for key := range w {
				// What float32 gives is for information, and the digests belong to the tensors beside them.
				if key == "final" || strings.HasSuffix(key, "_torch_float32") {
					continue
				}
				compareJSON(t, name+" "+key, g[key], w[key])
			}
		case ".safetensors":
			e, n := compareTensors(t, name, path, filepath.Join(want, name))
			equal, numbers = equal+e, numbers+n
		}
	}
	if compared == 0 || numbers == 0 {
		t.Errorf("nothing of %s compared", want)
	}
	t.Logf("%d files; %d of %d numbers of float32 have the same bits", compared, equal, numbers)
}

// JSON has 9 digits in PyTorch's goldens.
const jsonBound = 5.1e-9

func compareJSON(t *testing.T, what string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case float64:
		if got, ok := got.(float64); !ok || !(math.Abs(got-want) <= jsonBound*math.Abs(want)) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			t.Errorf("%s has %d elements, want %d", what, len(got), len(want))
			return
		}
		for i := range want {
			compareJSON(t, fmt.Sprintf("%s[%d]", what, i), got[i], want[i])
		}
	default:
		g, w := fmt.Sprint(got), fmt.Sprint(want)
		if g != w {
			t.Errorf("%s is %s, want %s", what, g, w)
		}
	}
}

// compareTensors holds each number to a unit in the last place of float32, in which both files are, and to a trifle of its
// tensor: 1e-12 of what the reference computes alike but for the order of sums, and 1e-9 of trained parameters, where Adam
// divides small gradients by themselves. Gradients that are zero but for rounding, and the parameters trained with them,
// are held to 1e-12 and 1e-3 of the largest of all.
func compareTensors(t *testing.T, name, got, want string) (equal, numbers int) {
	t.Helper()
	g, err := readTensors(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := readTensors(want)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(g)), slices.Sorted(maps.Keys(w))) {
		t.Errorf("%s has the tensors %q, want %q", name, slices.Sorted(maps.Keys(g)), slices.Sorted(maps.Keys(w)))
		return 0, 0
	}
	bound, nullBound := 1e-12, 1e-12
	if strings.Contains(name, "train/") {
		bound, nullBound = 1e-9, 1e-3
	}
	all := 0.0
	for _, t := range w {
		all = max(all, t.Largest())
	}
	null := nullGradients(t, want)
	for tensor, w := range w {
		g := g[tensor]
		if !slices.Equal(g.Shape, w.Shape) {
			t.Errorf("%s %s has the shape %v, want %v", name, tensor, g.Shape, w.Shape)
			continue
		}
		isNull, trifle := slices.Contains(null, tensor), bound*w.Largest()
		for i, x := range w.Values {
			d := math.Abs(g.Values[i] - x)
			ok := d <= math.Abs(x)*0x1p-23+trifle
			if isNull {
				ok = d <= nullBound*all
			} else {
				numbers++
				if d == 0 {
					equal++
				}
			}
			if !ok {
				t.Errorf("%s %s: element %d is %g, want %g", name, tensor, i, g.Values[i], x)
				break
			}
		}
	}
	return equal, numbers
}

// nullGradients are those that the JSON file of a task or run lists.
func nullGradients(t *testing.T, path string) []string {
	t.Helper()
	base, _, _ := strings.Cut(filepath.Base(path), ".grad.")
	base = strings.TrimSuffix(base, ".safetensors")
	data, err := os.ReadFile(filepath.Join(filepath.Dir(path), base+".json"))
	if err != nil {
		return nil // hidden states have none
	}
	var file struct {
		NullGradients []string `json:"null_gradients"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file.NullGradients
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// list is the files under root.
func list(t *testing.T, root string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			name, _ := filepath.Rel(root, path)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
