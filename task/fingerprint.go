package task

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/files"
)

// The files of a model directory that its answers come from: its settings by their names, its weights by their endings.
var (
	settingFiles = []string{
		"config.json", "bert_config.json", "task.json", "adapter_config.json", "modules.json", "sentence_bert_config.json",
		"config_sentence_transformers.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	}
	weightFiles = []string{".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".ckpt", ".index", ".onnx", ".onnx_data"}
)

// Fingerprint is a hash of what a model directory, or another path of a model as bert.Load takes it, has for its answers: configuration,
// tokenizer, task.json, pipeline and weights, or with tokenizerOnly all but the weights. base is bert.Options.Base of an adapter. The
// directory's name makes no difference. In hexadecimal digits.
func Fingerprint(ctx context.Context, path, base string, tokenizerOnly bool) (string, error) {
	h := sha256.New()
	for _, path := range []string{path, base} {
		if path == "" {
			continue
		}
		dir, err := bert.ModelDir(path)
		if err != nil {
			return "", err
		}
		if err := hashModel(ctx, h, dir, tokenizerOnly); err != nil {
			return "", err
		}
		// The pipeline of a sentence-transformers folder may be in the folder above.
		if _, err := os.Stat(filepath.Join(dir, "modules.json")); errors.Is(err, fs.ErrNotExist) {
			above := filepath.Join(dir, "..")
			if _, err := os.Stat(filepath.Join(above, "modules.json")); err == nil {
				if err := hashModel(ctx, h, above, true); err != nil {
					return "", err
				}
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// FileFingerprint is the hash of a file, such as a vocabulary, in hexadecimal digits.
func FileFingerprint(ctx context.Context, path string) (string, error) {
	h := sha256.New()
	if err := hashFile(ctx, h, path, "", 0); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hashModel adds the files of a directory to a hash, and those of the modules of a sentence-transformers folder.
func hashModel(ctx context.Context, h io.Writer, dir string, tokenizerOnly bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return files.PathError(err)
	}
	for _, e := range entries {
		name := e.Name()
		isWeights := slices.ContainsFunc(weightFiles, func(end string) bool { return strings.HasSuffix(name, end) }) ||
			strings.Contains(name, ".data-0")
		path := filepath.Join(dir, name)
		info, err := os.Stat(path) // the cache of a hub has links
		switch {
		case err != nil:
			return files.PathError(err)
		case info.IsDir() && len(name) > 1 && name[0] >= '0' && name[0] <= '9' && strings.Contains(name, "_"): // 1_Pooling
			if err := hashModel(ctx, h, path, tokenizerOnly); err != nil {
				return err
			}
		case info.Mode().IsRegular() && (slices.Contains(settingFiles, name) || isWeights && !tokenizerOnly):
			if err := hashFile(ctx, h, path, name, info.Size()); err != nil {
				return err
			}
		}
	}
	return nil
}

func hashFile(ctx context.Context, h io.Writer, path, name string, size int64) error {
	f, err := files.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := h.Write(binary.LittleEndian.AppendUint64([]byte(name+"\x00"), uint64(size))); err != nil {
		return err
	}
	for buffer := make([]byte, 1<<20); ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := f.Read(buffer)
		if _, err := h.Write(buffer[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return files.PathError(err)
		}
	}
}
