package distill

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-bert/bert"
)

// tinyConfig is a model of 43 tokens.
func tinyConfig(layers, width int) bert.Config {
	c := bert.DefaultConfig()
	c.VocabSize, c.NumHiddenLayers, c.HiddenSize, c.NumAttentionHeads, c.IntermediateSize, c.MaxPositionEmbeddings = 43, layers, width, 2, 2*width, 16
	c.Labels = []string{"a", "b", "c"}
	return c
}

func tinyModel(t *testing.T, c bert.Config, head bert.Head, seed uint64) *bert.Model {
	t.Helper()
	m, err := bert.New(c, bert.Options{Head: head, Seed: seed, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// tinyBatch has sequences of the given lengths, and masked tokens in all but the second.
func tinyBatch(lengths ...int) *bert.Batch {
	b := &bert.Batch{Choices: 2}
	for i, n := range lengths {
		ids := make([]int32, n)
		for j := range ids {
			ids[j] = int32(5 + (i*7+j*j*3)%38)
		}
		if i != 1 {
			b.MaskedPositions = append(b.MaskedPositions, int32(b.Tokens()+1))
			if n > 3 {
				b.MaskedPositions = append(b.MaskedPositions, int32(b.Tokens()+3))
			}
		}
		b.Add(ids, nil)
	}
	return b
}

// same reports whether two models said the same, to the bit.
func same(t *testing.T, what string, got, want *said) {
	t.Helper()
	a, b := slicesOf(got), slicesOf(want)
	if len(a) != len(b) {
		t.Errorf("%s: %d parts, want %d", what, len(a), len(b))
	}
	for name, list := range b {
		if !slices.Equal(a[name], list) {
			t.Errorf("%s: %s differs", what, name)
		}
	}
}

// TestTeacher: what a teacher of any head says of a batch is what a session says, with a cache or without, whatever of it is in the cache,
// and when files of the cache are damaged, cut or gone.
func TestTeacher(t *testing.T) {
	heads := []bert.Head{bert.NoHead, bert.MaskedLM, bert.SequenceClassification, bert.TokenClassification, bert.QuestionAnswering, bert.MultipleChoice}
	for _, head := range heads {
		t.Run(head.String(), func(t *testing.T) {
			m := tinyModel(t, tinyConfig(2, 8), head, 3)
			n := need{Logits: head != bert.NoHead, Hidden: []int{0, 2}, QKV: []int{1}}
			b, other := tinyBatch(5, 9, 2, 7), tinyBatch(2, 9, 5, 16)
			id, err := digest(m)
			if err != nil {
				t.Fatal(err)
			}
			var notes []string
			open := func(dir string) *teacher {
				t.Helper()
				var kept *cache
				if dir != "" {
					if kept, err = openCache(dir, id, 1<<20, func(text string) { notes = append(notes, text) }); err != nil {
						t.Fatal(err)
					}
				}
				teacher := newTeacher(m, n, nil, kept, id)
				t.Cleanup(teacher.close)
				return teacher
			}
			ask := func(teacher *teacher, batches ...*bert.Batch) []*said {
				t.Helper()
				q := teacher.ask(0, batches)
				if <-q.answered; q.err != nil {
					t.Fatal(q.err)
				}
				return q.answers
			}
			want := ask(open(""), b, other)
			out, err := m.NewSession().Forward(b, bert.Outputs{Hidden: true, QKV: true})
			if err != nil {
				t.Fatal(err)
			}
			same(t, "a session", want[0], saidBy(out, &n))

			dir := t.TempDir()
			same(t, "an empty cache", ask(open(dir), b)[0], want[0])
			again := ask(open(dir), b, other) // the first whole, some of the second
			same(t, "a cache that has all", again[0], want[0])
			same(t, "a cache that has some", again[1], want[1])
			files, _ := filepath.Glob(filepath.Join(dir, "*", "*"+cacheSuffix))
			if len(files) != 2 || len(notes) != 0 {
				t.Fatalf("the files are %v, the notes %v", files, notes)
			}
			for _, damage := range []struct {
				name string
				do   func(text []byte) []byte
			}{
				{"a bit of a value", func(text []byte) []byte { text[len(text)-3] ^= 1; return text }},
				{"a bit of the table", func(text []byte) []byte { text[len(cacheMagic)+9] ^= 1; return text }},
				{"a cut", func(text []byte) []byte { return text[:len(text)/2] }},
				{"nothing left", func([]byte) []byte { return nil }},
			} {
				teacher := open(dir)
				for _, file := range files {
					text, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(file, damage.do(bytes.Clone(text)), 0o666); err != nil {
						t.Fatal(err)
					}
				}
				notes = nil
				same(t, "damaged after it was opened: "+damage.name, ask(teacher, b)[0], want[0])
				again := ask(open(dir), b, other)
				same(t, "damaged: "+damage.name, again[0], want[0])
				same(t, "damaged: "+damage.name, again[1], want[1])
				if len(notes) == 0 || !strings.Contains(notes[0], "is damaged") {
					t.Errorf("damaged: %s: the notes are %q", damage.name, notes)
				}
				files, _ = filepath.Glob(filepath.Join(dir, "*", "*"+cacheSuffix))
			}
			teacher := open(dir)
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(teacher.cache.own, 0o777); err != nil {
				t.Fatal(err)
			}
			same(t, "removed after it was opened", ask(teacher, b)[0], want[0])
		})
	}
}

// TestCacheIsBounded: no more is kept than the bound; folders of other teachers go first, the one that was used longest ago before the
// others, and nothing else.
func TestCacheIsBounded(t *testing.T) {
	dir := t.TempDir()
	entry := func(i, n int) []cacheEntry {
		return []cacheEntry{{cacheKey(sha256.Sum256(fmt.Append(nil, i))), [][]float32{make([]float32, n)}}}
	}
	size := func() (total int64) {
		files, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
		for _, name := range files {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			total += info.Size()
		}
		return total
	}
	var notes []string
	const bound = 10_000
	open := func(teacher byte) *cache {
		c, err := openCache(dir, [32]byte{teacher}, bound, func(text string) { notes = append(notes, text) })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var folders []string
	for i := range byte(3) {
		c := open(i)
		if err := c.write(entry(int(i), 500)); err != nil {
			t.Fatal(err)
		}
		past := time.Now().Add(time.Duration(int(i)-10) * time.Hour)
		if err := os.Chtimes(c.own, past, past); err != nil {
			t.Fatal(err)
		}
		folders = append(folders, c.own)
	}
	mine := filepath.Join(dir, "mine")
	if err := os.MkdirAll(mine, 0o777); err != nil {
		t.Fatal(err)
	}
	c := open(9)
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	for i := 100; !c.full; i++ {
		if i > 110 {
			t.Fatal("it is never full")
		}
		if err := c.write(entry(i, 500)); err != nil {
			t.Fatal(err)
		}
		if n := size(); n > bound {
			t.Fatalf("%d bytes, want at most %d", n, bound)
		}
		if i == 101 && (there(folders[0]) || !there(folders[1]) || !there(folders[2])) {
			t.Errorf("of the other teachers %v, %v and %v are there, want the last two", there(folders[0]), there(folders[1]), there(folders[2]))
		}
	}
	if there(folders[1]) || there(folders[2]) || !there(mine) {
		t.Error("want the folders of other teachers gone, and what is none left alone")
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "bound of 0 MB") {
		t.Errorf("the notes are %q", notes)
	}
	values := [][]float32{make([]float32, 500)}
	if !open(9).read(entry(100, 500)[0].key, values) || open(9).read(entry(0, 500)[0].key, values) {
		t.Error("want the teacher's own entries, and no other's")
	}
}

// FuzzCache reads files as a cache finds them.
func FuzzCache(f *testing.F) {
	dir := f.TempDir()
	c, err := openCache(dir, [32]byte{1}, 1<<20, func(string) {})
	if err != nil {
		f.Fatal(err)
	}
	if err := c.write([]cacheEntry{{cacheKey{1}, [][]float32{{1, 2}, {3}}}, {cacheKey{2}, nil}}); err != nil {
		f.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(c.own, "*"))
	text, err := os.ReadFile(names[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(cacheMagic + "\xff\xff\xff\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		places, err := readEntries(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		for _, p := range places {
			if p.offset < 0 || p.offset+4*int64(p.values) > int64(len(text)) {
				t.Errorf("values at %d to %d of %d bytes", p.offset, p.offset+4*int64(p.values), len(text))
			}
		}
	})
}
