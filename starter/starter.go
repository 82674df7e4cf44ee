// Package starter embeds two small BERTs in the program that imports it: a pre-trained model, and one fine-tuned from it to
// distinguish favourable film reviews from unfavourable ones. Both are for uncased English. Their model card, Card, says what
// they were trained on, how good they are, and what they should not be used for.
//
//	dir, err := starter.Dir(starter.Sentiment)
//	…
//	p, err := task.Open(dir, task.Options{})
//
// The weights are compressed in the executable and take no memory or time until Dir is called. They are committed with the
// sources; make.sh rebuilds them.
package starter

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/go-bert/bert/internal/atomicfile"
	"github.com/go-bert/bert/starter/internal/archive"
)

//go:embed model
var embedded embed.FS

// Card is the model card, in Markdown, of both models. It is the README.md of their directories.
//
//go:embed model/README.md
var Card string

// A Model is one of the models of this package.
type Model int

const (
	// Pretrained has the heads of pre-training, masked LM and next sentence. It is for fine-tuning and for filling masks.
	Pretrained Model = iota
	// Sentiment was fine-tuned from Pretrained on the 25,000 training reviews of IMDB (Maas et al. 2011). Its labels are neg
	// and pos.
	Sentiment
)

// String returns the model's name: starter or starter-sentiment.
func (m Model) String() string {
	switch m {
	case Pretrained:
		return "starter"
	case Sentiment:
		return "starter-sentiment"
	}
	return fmt.Sprintf("Model(%d)", int(m))
}

// CacheVariable is the environment variable that names the folder to unpack models to. By default that is bert in the user's
// cache directory (os.UserCacheDir) or, if there is none or it is not writable, a private folder in os.TempDir.
const CacheVariable = "BERT_CACHE"

// ErrMissing is returned if the program was built without the weights.
var ErrMissing = errors.New("this program was built without the starter model: its weights were missing from the sources; starter/make.sh makes them")

// Included reports whether the program was built with the weights.
func Included() bool {
	for _, m := range []Model{Pretrained, Sentiment} {
		if _, err := open(m); errors.Is(err, ErrMissing) {
			return false
		}
	}
	return true
}

// Dir returns the directory of a model, which it unpacks if necessary: config.json, vocab.txt, tokenizer.json,
// tokenizer_config.json, model.safetensors in bfloat16, README.md and, for Sentiment, task.json. The directory's name contains a
// digest of the contents, so that programs with other weights use other directories. Files appear complete or not at all, so
// several processes may call Dir at once. A file that is missing or has the wrong size is written again; other files in the
// directory are left alone.
func Dir(m Model) (string, error) {
	a, err := open(m)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(a.Digest() + Card))
	name := m.String() + "-" + hex.EncodeToString(sum[:6])
	var first error
	for _, root := range cacheRoots() {
		dir, err := root()
		if err == nil {
			dir = filepath.Join(dir, name)
			err = unpack(a, dir)
		}
		if err == nil {
			return dir, nil
		}
		first = cmp.Or(first, err)
	}
	return "", fmt.Errorf("can't unpack the model %s: %w: set %s to a writable folder", m, first, CacheVariable)
}

// open reads the directory of a model's archive.
func open(m Model) (*archive.Reader, error) {
	names := map[Model]string{Pretrained: "pretrained.zip", Sentiment: "sentiment.zip"}
	name, ok := names[m]
	if !ok {
		return nil, fmt.Errorf("there is no model %s", m)
	}
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
	// The files of an embed.FS implement io.ReaderAt, which copies only the requested bytes.
	a, err := archive.Open(f.(io.ReaderAt), info.Size())
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

// privateTemp returns a folder in os.TempDir into which no other user can have put anything.
func privateTemp() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("bert-%d", os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() || runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s: not a private folder", dir)
	}
	return dir, nil
}

// unpack writes the files of an archive, and the card, to dir.
func unpack(a *archive.Reader, dir string) error {
	made := false
	put := func(name string, size int64, write func(io.Writer) error) error {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() == size {
			return nil
		}
		if !made {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return err
			}
			made = true
		}
		return atomicfile.WriteFile(path, 0o666, write)
	}
	for _, f := range a.Files() {
		err := put(f.Name(), f.Size(), func(w io.Writer) error {
			_, err := f.WriteTo(w)
			return err
		})
		if err != nil {
			return err
		}
	}
	return put("README.md", int64(len(Card)), func(w io.Writer) error {
		_, err := io.WriteString(w, Card)
		return err
	})
}
