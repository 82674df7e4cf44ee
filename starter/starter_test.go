package starter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/task"
)

var models = []Model{Pretrained, Sentiment}

// withWeights skips a test if the sources lack the weights.
func withWeights(t *testing.T) {
	t.Helper()
	if !Included() {
		t.Skip(ErrMissing)
	}
}

// cache makes an empty cache folder for a test.
func cache(t *testing.T) string {
	dir := t.TempDir()
	t.Setenv(CacheVariable, dir)
	return dir
}

// contents are the files in dir and in folders of it, by their paths from dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func mustDir(t *testing.T, m Model) string {
	t.Helper()
	dir, err := Dir(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestArchives checks that both archives are small enough, and that their digests match their contents.
func TestArchives(t *testing.T) {
	withWeights(t)
	entries, err := embedded.ReadDir("model")
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 13_500_000 {
		t.Errorf("%d bytes are embedded, want at most 13.5 MB", size)
	}
	for _, m := range models {
		a, err := open(m)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		for _, f := range a.Files() {
			fmt.Fprintf(sum, "%s %d\n", f.Name(), f.Size())
			if n, err := f.WriteTo(sum); err != nil || n != f.Size() {
				t.Errorf("%s, %s: %d bytes, %v; want %d", m, f.Name(), n, err, f.Size())
			}
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != a.Digest() {
			t.Errorf("%s has digest %s, its archive says %s", m, got, a.Digest())
		}
	}
}

// TestModels checks that both models load, have the card and dropout for fine-tuning, and that they work: the classifier on plain
// praise and complaint, the masked LM on a sentence about a film.
func TestModels(t *testing.T) {
	withWeights(t)
	cache(t)
	for m, want := range map[Model]bert.Head{Pretrained: bert.PreTraining, Sentiment: bert.SequenceClassification} {
		dir := mustDir(t, m)
		b, err := bert.Load(t.Context(), dir, bert.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		c := b.Config()
		if b.Head() != want || c.HiddenDropoutProb != 0.1 || c.AttentionProbsDropoutProb != 0.1 {
			t.Errorf("%s: a %s with dropout %g and %g, want a %s with 0.1", m, b.Head(), c.HiddenDropoutProb, c.AttentionProbsDropoutProb, want)
		}
		if card, err := os.ReadFile(filepath.Join(dir, "README.md")); err != nil || string(card) != Card {
			t.Errorf("%s: README.md is not the card: %v", m, err)
		}
	}
	p, err := task.Open(t.Context(), mustDir(t, Sentiment), task.Predict(), task.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	texts := map[string]string{
		"That movie was absolutely awful":      "neg",
		"The film was creative and surprising": "pos",
		"Absolutely fantastic!":                "pos",
	}
	for text, want := range texts {
		answers, err := p.Do(t.Context(), data.Texts(text))
		if err != nil {
			t.Fatal(err)
		}
		if answers[0].Label != want {
			t.Errorf("%q is %s %v, want %s", text, answers[0].Label, answers[0].Probabilities, want)
		}
	}
	similar, err := task.Open(t.Context(), mustDir(t, Pretrained), task.Compare(task.EncodeOptions{}), task.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer similar.Close()
	pairs, err := similar.Do(t.Context(), []data.Input{
		{Text: "A man is playing a guitar.", TextPair: "Someone plays an instrument."}, {Text: "A man is playing a guitar.", TextPair: "The bank raised its interest rates."},
	})
	if err != nil {
		t.Fatal(err)
	}
	if near, far := pairs[0].Of(), pairs[1].Of(); near < 0.5 || far > 0.3 {
		t.Errorf("vectors of sentences have cosines of %.2f where they mean nearly the same, and of %.2f where they don't", near, far)
	}
	f, err := task.Open(t.Context(), mustDir(t, Pretrained), task.FillMask(1), task.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	masks, err := f.Do(t.Context(), data.Texts("This is the worst [MASK] I have ever seen."))
	if err != nil {
		t.Fatal(err)
	}
	if got := masks[0][0].Candidates[0].Token; got != "movie" && got != "film" {
		t.Errorf("the worst %q I have ever seen, want a film", got)
	}
}

// TestDir checks that a second call changes nothing, and that damaged files, and only those, are written again.
func TestDir(t *testing.T) {
	withWeights(t)
	root := cache(t)
	dir := mustDir(t, Pretrained)
	if filepath.Dir(dir) != root || !strings.HasPrefix(filepath.Base(dir), "starter-") {
		t.Errorf("unpacked to %s, want a folder starter-… in %s", dir, root)
	}
	state := func() map[string]string {
		files := contents(t, dir)
		for name, data := range files {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = fmt.Sprintf("%x %v", sha256.Sum256([]byte(data)), info.ModTime())
		}
		return files
	}
	first := state()
	if again := mustDir(t, Pretrained); again != dir {
		t.Errorf("unpacked to %s, and then to %s", dir, again)
	}
	for name, was := range first {
		if state()[name] != was {
			t.Errorf("%s was written again", name)
		}
	}

	weights := filepath.Join(dir, "model.safetensors")
	for name, damage := range map[string]func() error{
		"missing": func() error { return os.Remove(weights) },
		"cut":     func() error { return os.Truncate(weights, 1000) },
	} {
		if err := damage(); err != nil {
			t.Fatal(name, err)
		}
		mustDir(t, Pretrained)
		now := state()
		for file, was := range first {
			got, want := now[file], was
			if file == "model.safetensors" { // compare contents, not times
				got, want = got[:2*sha256.Size], want[:2*sha256.Size]
			}
			if got != want {
				t.Errorf("weights %s: %s is %s, was %s", name, file, got, want)
			}
		}
		if len(now) != len(first) {
			t.Errorf("weights %s: %d files, want %d", name, len(now), len(first))
		}
	}
}

// TestDirAtOnce checks that concurrent calls for one model all find it complete.
func TestDirAtOnce(t *testing.T) {
	withWeights(t)
	cache(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			dir, err := Dir(t.Context(), Sentiment)
			if err != nil {
				t.Error(err)
				return
			}
			m, err := bert.Load(t.Context(), dir, bert.Options{Threads: 1})
			if err != nil {
				t.Error(err)
				return
			}
			m.Close()
		})
	}
	group.Wait()
	entries, err := os.ReadDir(mustDir(t, Sentiment))
	if err != nil {
		t.Fatal(err)
	}
	a, err := open(Sentiment)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(a.Files())+1 {
		t.Errorf("the folder holds %v, want %d files and the card", entries, len(a.Files()))
	}
}

// TestUnwritable checks that an unwritable BERT_CACHE is a one-line error with advice, and that a private temporary folder
// replaces an unwritable user cache.
func TestUnwritable(t *testing.T) {
	withWeights(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv(CacheVariable, filepath.Join(file, "cache"))
	_, err := Dir(t.Context(), Pretrained)
	if err == nil || !strings.Contains(err.Error(), file) || !strings.HasSuffix(err.Error(), "set BERT_CACHE to a writable folder") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line with the folder and BERT_CACHE", err)
	}

	if runtime.GOOS != "linux" {
		t.Skip("the variables of the user's cache and temporary folders are Linux's here")
	}
	t.Setenv(CacheVariable, "")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(file, "cache"))
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	dir := mustDir(t, Sentiment)
	private := filepath.Dir(dir)
	if filepath.Dir(private) != temp {
		t.Errorf("unpacked to %s, want a folder in %s", dir, temp)
	}
	if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s has mode %v, %v; want 0700", private, info.Mode(), err)
	}
	if err := os.Chmod(private, 0o777); err != nil {
		t.Fatal(err)
	}
	if dir, err := Dir(t.Context(), Sentiment); err == nil {
		t.Errorf("took %s, into which others may write", dir)
	}
}

// TestCard checks that no placeholder for a figure is left.
func TestCard(t *testing.T) {
	withWeights(t)
	if n := strings.Count(Card, "[to fill"); n > 0 {
		t.Errorf("model/README.md lacks %d figures: look for [to fill", n)
	}
}

// TestNames: a model and its name are the same thing in text.
func TestNames(t *testing.T) {
	for _, m := range models {
		text, err := m.MarshalText()
		var again Model
		if err != nil || again.UnmarshalText(text) != nil || again != m || string(text) != m.String() {
			t.Errorf("%v is %s, %v, and read again %v", m, text, err, again)
		}
	}
	if m, err := ParseModel("start"); err == nil || !strings.Contains(err.Error(), "want one of starter, starter-sentiment") {
		t.Errorf("%v, %v", m, err)
	}
}

// TestFind: the names of the models lead to their directories, and no others do.
func TestFind(t *testing.T) {
	withWeights(t)
	cache(t)
	for _, m := range models {
		if dir, err := Find(t.Context(), m.String()); err != nil || dir != mustDir(t, m) {
			t.Errorf("%s: %q, %v", m, dir, err)
		}
	}
	if dir, err := Find(t.Context(), "google-bert/bert-base-uncased"); dir != "" || err != nil {
		t.Errorf("another name: %q, %v", dir, err)
	}
}

func TestUnknownModel(t *testing.T) {
	if dir, err := Dir(t.Context(), Model(7)); err == nil || !strings.Contains(err.Error(), "Model(7)") {
		t.Errorf("%q, %v; want an error that names Model(7)", dir, err)
	}
}

// TestCancelled: nothing is unpacked for a caller that has gone away.
func TestCancelled(t *testing.T) {
	withWeights(t)
	root := cache(t)
	gone := errors.New("the caller has gone away")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if dir, err := Dir(ctx, Pretrained); err != gone {
		t.Errorf("%q, %v; want the cause of the context's end", dir, err)
	}
	files, err := filepath.Glob(filepath.Join(root, "*", "*"))
	if err != nil || len(files) > 0 {
		t.Errorf("unpacked %v, %v", files, err)
	}
}

// TestWithoutWeights: with the build tag nostarter, the error says why there are no models.
func TestWithoutWeights(t *testing.T) {
	if Included() {
		t.Skip("the weights are here: go test -tags nostarter tests a program without them")
	}
	if dir, err := Dir(t.Context(), Pretrained); !errors.Is(err, ErrMissing) || !strings.HasPrefix(err.Error(), "this program was built without the starter models") {
		t.Errorf("%q, %v; want ErrMissing", dir, err)
	}
}
