package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The names under which Hugging Face's libraries look for weights in a model directory, and google-research/bert's.
const (
	singleName  = "model.safetensors"
	indexName   = "model.safetensors.index.json"
	torchName   = "pytorch_model.bin"
	torchIndex  = "pytorch_model.bin.index.json"
	stateName   = "checkpoint"
	googleIndex = "bert_model.ckpt.index"
	onnxName    = "model.onnx"
)

// ONNXFolder is the folder of a model directory in which exporters put graphs.
const ONNXFolder = "onnx"

// locate finds the file to open for a path, as Open documents.
func locate(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && exists(path+indexSuffix) {
		return path + indexSuffix, nil // the prefix of a TensorFlow checkpoint
	}
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		return weightsIn(path)
	}
	if numbers := dataName().FindString(path); numbers != "" {
		if index := strings.TrimSuffix(path, numbers) + indexSuffix; exists(index) {
			return index, nil
		}
	}
	return path, nil
}

// weightsIn finds the file to open in a model directory.
func weightsIn(dir string) (string, error) {
	named := func(names ...string) string {
		for _, name := range names {
			if path := filepath.Join(dir, name); exists(path) {
				return path
			}
		}
		return ""
	}
	if path := named(singleName, indexName, torchName, torchIndex); path != "" {
		return path, nil
	}
	if path := named(stateName); path != "" {
		if newest, err := newestCheckpoint(path); newest != "" || err != nil {
			return newest, err
		}
	}
	if path := named(googleIndex); path != "" {
		return path, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var (
		weights, others []string
		newest          = -1 // the last of a Trainer's folders checkpoint-N
	)
	for _, e := range entries {
		if n, ok := strings.CutPrefix(e.Name(), "checkpoint-"); ok && e.IsDir() {
			if n, err := strconv.Atoi(n); err == nil {
				newest = max(newest, n)
			}
		}
		switch f := formatAt(filepath.Join(dir, e.Name())); {
		case f == nil:
		case f.format != 0:
			weights = append(weights, e.Name())
		default:
			others = append(others, fmt.Sprintf("%s is a %s, which is not supported", e.Name(), f.name))
		}
	}
	switch {
	case len(weights) == 1:
		return filepath.Join(dir, weights[0]), nil
	case len(weights) > 1:
		return "", fmt.Errorf("%s: several weight files: %s; give the path of one of them", dir, some(weights, ", "))
	}
	if path := filepath.Join(dir, ONNXFolder); filepath.Base(dir) != ONNXFolder && exists(path) {
		if model := filepath.Join(path, onnxName); exists(model) {
			return model, nil
		}
		if found, err := weightsIn(path); err == nil {
			return found, nil
		}
	}
	switch {
	case newest >= 0:
		return "", fmt.Errorf("%s: no weights here, but checkpoints of a training: give one of them, such as %s", dir, filepath.Join(dir, fmt.Sprintf("checkpoint-%d", newest)))
	case exists(filepath.Join(dir, "adapter_config.json")):
		return "", fmt.Errorf("%s: no model's weights here: adapter_config.json says that this is an adapter of another model", dir)
	case len(others) > 0:
		return "", fmt.Errorf("%s: no weights here (%s)", dir, some(others, "; "))
	}
	return "", fmt.Errorf("%s: no weights here: no %s, no %s, no TensorFlow checkpoint and no ONNX model", dir, singleName, torchName)
}

// some joins the first of a folder's names, which may be many.
func some(names []string, separator string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, separator)
	}
	return fmt.Sprintf("%s%sand %d more", strings.Join(names[:most], separator), separator, len(names)-most)
}

// newestCheckpoint reads TensorFlow's record of its checkpoints, a CheckpointState in text format
// (tensorflow/python/training/checkpoint_state.proto), and returns the index of the newest; "" if the file is not one.
func newestCheckpoint(path string) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
		return "", err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "model_checkpoint_path:")
		if !ok {
			continue
		}
		prefix, err := strconv.Unquote(strings.TrimSpace(value))
		if err != nil || prefix == "" {
			return "", fmt.Errorf("%s: model_checkpoint_path is %s, want a path in quotes", path, clip(strings.TrimSpace(value)))
		}
		// Only the base name counts: the path may be absolute, and the folder may have been moved.
		index := filepath.Join(filepath.Dir(path), filepath.Base(prefix)) + indexSuffix
		if !exists(index) {
			return "", fmt.Errorf("%s: names %s as the newest checkpoint, but %s is missing", path, quoted(prefix), clip(filepath.Base(index)))
		}
		return index, nil
	}
	return "", nil
}

// exists is true for a broken symbolic link too, so that the error for the missing file names it.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
