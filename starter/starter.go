// Package starter embeds two small BERTs in the program that imports it: a sentence encoder that also fills masks, and one fine-tuned from it to
// distinguish favourable film reviews from unfavourable ones. Both are for uncased English. Their model card, Card, says what
// they were trained on, how good they are, and what they should not be used for.
//
//	dir, err := starter.Dir(ctx, starter.Sentiment)
//	…
//	p, err := task.Open(ctx, dir, task.Predict(), task.Options{})
//
// The weights are compressed in the program's file, of which they take 13.3 MB, and cost nothing until Dir is called. The build
// tag nostarter leaves them out; no other package of the library imports this one. They are committed with the sources, and
// next.sh makes them anew; make.sh makes models of text alone.
package starter

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/starter/internal/archive"
)

// Card is the model card, in Markdown, of both models. It is the README.md of their directories.
//
//go:embed model/README.md
var Card string

// A Model is one of the models of this package.
type Model uint8

const (
	// Pretrained is for fine-tuning, for vectors of sentences, which are the means of its hidden states, and for filling masks: its head is
	// that of pre-training. It was moved half the way to what SST-2 makes of it.
	Pretrained Model = iota
	// Sentiment was fine-tuned from Pretrained on training reviews of IMDB (Maas et al. 2011) and sentences of SST-2 (Socher et al. 2013). Its
	// labels are neg and pos.
	Sentiment
)

var modelNames = [...]string{Pretrained: "starter", Sentiment: "starter-sentiment"}

// archives are the files of the models.
var archives = [...]string{Pretrained: "pretrained.zip", Sentiment: "sentiment.zip"}

// String is the model's name: starter or starter-sentiment.
func (m Model) String() string {
	if int(m) < len(modelNames) {
		return modelNames[m]
	}
	return fmt.Sprintf("Model(%d)", uint8(m))
}

// ParseModel is the model of a name.
func ParseModel(name string) (Model, error) {
	if i := slices.Index(modelNames[:], name); i >= 0 {
		return Model(i), nil
	}
	return 0, fmt.Errorf("there is no starter model %q, want one of %s", name, strings.Join(modelNames[:], ", "))
}

// MarshalText is the name.
func (m Model) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads a name.
func (m *Model) UnmarshalText(name []byte) (err error) {
	*m, err = ParseModel(string(name))
	return err
}

// CacheVariable is the environment variable that names the folder to unpack models to. By default that is bert in the user's
// cache directory (os.UserCacheDir) or, if there is none or it is not writable, a private folder in os.TempDir.
const CacheVariable = "BERT_CACHE"

// ErrMissing says that the program was built without the weights.
var ErrMissing = errors.New(missing)

// Included reports whether the program was built with the weights.
func Included() bool {
	for m := range archives {
		if _, err := open(Model(m)); errors.Is(err, ErrMissing) {
			return false
		}
	}
	return true
}

// Dir is the directory of a model: config.json, vocab.txt, tokenizer.json, tokenizer_config.json, model.safetensors in bfloat16,
// README.md, of Pretrained the sentence-transformers pipeline that makes vectors, and task.json of Sentiment. It is unpacked there
// unless that was done before; its name holds a digest of the contents, so that programs with other weights don't meet there. Files appear whole or not at all, and several processes may
// call Dir at once. A file that is missing, or whose contents are not the program's, is made anew: each is verified by its
// checksum once, and again when its size or its times have changed. What else is in the folder is left alone.
//
// A folder that belongs to another user, or to which others may write, is not used.
//
// In a program without the weights the error is ErrMissing. When ctx ends, Dir ends with its cause.
func Dir(ctx context.Context, m Model) (string, error) {
	a, err := open(m)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(a.Digest() + Card))
	name := m.String() + "-" + hex.EncodeToString(sum[:6])
	var tried attempts
	for _, root := range cacheRoots() {
		dir, err := root()
		if err == nil {
			dir, err = unpack(ctx, a, dir, name)
		}
		if err == nil {
			return dir, nil
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		tried = append(tried, files.PathError(err))
	}
	return "", fmt.Errorf("can't unpack the model %s: %w: set %s to a writable folder", m, tried, CacheVariable)
}

// attempts are the reasons why none of several folders could be used, in one line.
type attempts []error

func (a attempts) Error() string {
	texts := make([]string, len(a))
	for i, err := range a {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (a attempts) Unwrap() []error { return a }

// Find is Dir for the name of a model. For any other name the directory is "". It is a hub.ResolveOptions.BuiltIn, with which
// hub.Resolve knows these models.
func Find(ctx context.Context, name string) (dir string, err error) {
	m, err := ParseModel(name)
	if err != nil {
		return "", nil
	}
	return Dir(ctx, m)
}

// bases are the models whose archives have what others have in common with them, and don't hold.
var bases = map[Model]Model{Sentiment: Pretrained}

// open reads the directory of a model's archive.
func open(m Model) (*archive.Reader, error) {
	if int(m) >= len(archives) {
		return nil, fmt.Errorf("there is no model %s", m)
	}
	name := archives[m]
	f, err := embedded.Open("model/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrMissing
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var base *archive.Reader
	if of, ok := bases[m]; ok {
		if base, err = open(of); err != nil {
			return nil, err
		}
	}
	// The files of an embed.FS implement io.ReaderAt, which copies only the requested bytes.
	a, err := archive.Open(f.(io.ReaderAt), info.Size(), base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return a, nil
}

// cacheRoots returns the folders for models, in the order in which to try them.
func cacheRoots() []func() (string, error) {
	if dir := os.Getenv(CacheVariable); dir != "" {
		return []func() (string, error){func() (string, error) { return filepath.Abs(dir) }}
	}
	user := func() (string, error) {
		dir, err := os.UserCacheDir()
		return filepath.Join(dir, "bert"), err
	}
	return []func() (string, error){user, privateTemp}
}

// privateTemp returns a folder in os.TempDir, where anybody can make folders, into which no other user can have put anything.
func privateTemp() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("bert-%d", os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() || !files.Owned(info) || runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s: not a private folder of this user", dir)
	}
	return dir, nil
}
