package pretrain

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/internal/textfile"
)

func gzipped(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, text []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(text, nil)
}

// "one\ntwo\n\nthree\n" as Python's lzma and bz2 compress it.
const (
	xzText    = "\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x0e\x6f\x6e\x65\x0a\x74\x77\x6f\x0a\x0a\x74\x68\x72\x65\x65\x0a\x00\x00\xe8\x89\x20\x3a\x3b\xb8\x05\xad\x00\x01\x27\x0f\xdf\x1a\xfc\x6a\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a"
	bzip2Text = "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xc9\xa9\xa0\x95\x00\x00\x05\x41\x80\x00\x10\x02\x41\x94\x80\x20\x00\x31\x0c\x08\x1a\x68\xc2\x2d\xd2\x13\x8e\xca\x42\xf1\x77\x24\x53\x85\x09\x0c\x9a\x9a\x09\x50"
)

// read returns the documents of a corpus, with bars between lines.
func read(c *Corpus) (documents []string, err error) {
	var document []string
	for line, err := range c.Lines(context.Background()) {
		if err != nil {
			return documents, err
		}
		if len(line) > 0 {
			document = append(document, string(line))
			continue
		}
		documents = append(documents, strings.Join(document, "|"))
		document = nil
	}
	if document != nil {
		return documents, fmt.Errorf("the last document has no end")
	}
	return documents, nil
}

func TestCorpus(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := []byte("one\n two \r\n\n \u2003\n\nthree\x1c\n\n")
	long := strings.Repeat("x", 200_000)
	want := []string{"one|two", "three"}
	for _, c := range []struct {
		name  string
		paths []string
		stdin string
		want  []string
	}{
		{"plain", []string{write("a", text)}, "", want},
		{"gzip", []string{write("b", gzipped(t, text))}, "", want},
		{"two gzip members", []string{write("c", append(gzipped(t, text[:6]), gzipped(t, text[6:])...))}, "", want},
		{"zstd", []string{write("d", zstded(t, text))}, "", want},
		{"two zstd frames", []string{write("e", append(zstded(t, text[:6]), zstded(t, text[6:])...))}, "", want},
		{"stdin", []string{"-"}, string(text), want},
		{"a file ends a document", []string{write("f", []byte("one\ntwo")), write("g", []byte("\n\nthree"))}, "", want},
		{"byte order mark", []string{write("h", []byte("\ufeffone\ntwo\n\nthree"))}, "", want},
		{"xz", []string{write("q", []byte(xzText))}, "", []string{"one|two", "three"}}, {"bzip2", []string{write("r", []byte(bzip2Text))}, "", []string{"one|two", "three"}},
		{"long lines", []string{write("i", []byte(long+"\n"+long))}, "", []string{long + "|" + long}},
		{"empty", []string{write("j", nil), write("k", []byte("\n\n\n"))}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(&Corpus{Paths: c.paths, Stdin: strings.NewReader(c.stdin)})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%.80q, %v; want %.80q", got, err, c.want)
			}
		})
	}
	for _, c := range []struct{ name, want string }{
		{write("l", gzipped(t, text)[:20]), ": the file is truncated"},
		{write("m", zstded(t, bytes.Repeat(text, 100))[:30]), "m:"},
		{write("n", []byte("\xff\xfeo\x00")), "n: text in UTF-16"},
		{write("o", append([]byte("short\n"), bytes.Repeat([]byte("x"), MaxLine+1)...)), "o:2: a line of more than 16 MiB"},
		{dir, "a folder, but not that of the Large Movie Review Dataset, aclImdb: want files"},
		{filepath.Join(dir, "missing"), "missing: no such file"},
		{write("p", tarOf(t, map[string]string{"other/a.txt": "x"})), "an archive without reviews of the Large Movie Review Dataset"},
	} {
		_, err := read(&Corpus{Paths: []string{c.name}})
		wantError(t, err, c.want)
	}
	// Text in another encoding is an error with its line, or decoded; a mark decides.
	latin := write("s", []byte("one\r\n\ncaf\xe9 \xa0\n"))
	_, err := read(&Corpus{Paths: []string{latin}})
	wantError(t, err, "s:3: not valid UTF-8 at byte 3: say which encoding the text has")
	if !errors.As(err, new(*textfile.EncodingError)) {
		t.Errorf("%T", err)
	}
	for _, paths := range [][]string{{latin}, {write("t", gzipped(t, []byte("one\n\ncaf\xe9")))}, {write("u", []byte("\xff\xfeo\x00n\x00e\x00\n\x00\n\x00c\x00a\x00f\x00\xe9\x00"))}, {write("v", []byte("\ufeffone\n\ncafé"))}} {
		if got, err := read(&Corpus{Paths: paths, Encoding: "latin-1"}); err != nil || !slices.Equal(got, []string{"one", "café"}) {
			t.Errorf("%s: %q, %v", paths, got, err)
		}
	}
	_, err = read(&Corpus{Paths: []string{latin}, Encoding: "utf-9"})
	wantError(t, err, `encoding "utf-9": want a name`)
	review := tarOf(t, map[string]string{"aclImdb/train/pos/0_9.txt": "caf\xe9<br />good", "aclImdb/train/neg/0_1.txt": "bad"})
	_, err = read(&Corpus{Paths: []string{write("w", review)}})
	wantError(t, err, "w:aclImdb/train/pos/0_9.txt: not valid UTF-8 at byte 3")
	if got, err := read(&Corpus{Paths: []string{write("w", review)}, Encoding: "latin-1"}); err != nil || !slices.Contains(got, "café|good") {
		t.Errorf("%q, %v", got, err)
	}
	c := &Corpus{Paths: []string{filepath.Join(dir, "a"), filepath.Join(dir, "d")}}
	if _, err := read(c); err != nil || c.Read() != c.Size() || c.Size() == 0 {
		t.Errorf("%d of %d bytes read, %v", c.Read(), c.Size(), err)
	}
	// A loop may end early.
	for line, err := range c.Lines(t.Context()) {
		if err != nil || string(line) != "one" {
			t.Errorf("%q, %v", line, err)
		}
		break
	}
}

func tarOf(t testing.TB, members map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(members[name])), Mode: 0o666, Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, members[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestIMDB checks that the folder and the archive give the same reviews, and never those of the test part.
func TestIMDB(t *testing.T) {
	members := map[string]string{
		"aclImdb/README": "read me", "aclImdb/train/urls_neg.txt": "http://",
		"aclImdb/test/neg/0_2.txt": "a test review", "aclImdb/test/pos/0_9.txt": "a test review",
		"aclImdb/train/neg/0_1.txt": "Bad.<br /><br />Very bad.", "aclImdb/train/pos/0_9.txt": "Good.\nReally.",
		"aclImdb/train/unsup/0_0.txt": "Whatever.", "aclImdb/train/unsup/._0_0.txt": "hidden",
	}
	dir := t.TempDir()
	for name, text := range members {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	archive := filepath.Join(t.TempDir(), "aclImdb_v1.tar.gz")
	if err := os.WriteFile(archive, gzipped(t, tarOf(t, members)), 0o666); err != nil {
		t.Fatal(err)
	}
	train := []string{"Bad.|Very bad.", "Good. Really."}
	for _, path := range []string{dir, filepath.Join(dir, "aclImdb"), archive} {
		for _, c := range []struct{ splits, want []string }{
			{nil, append(slices.Clone(train), "Whatever.")}, {[]string{"train"}, train}, {[]string{"unsup"}, []string{"Whatever."}},
		} {
			got, err := read(&Corpus{Paths: []string{path}, IMDBSplits: c.splits})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s, %v: %q, %v; want %q", path, c.splits, got, err, c.want)
			}
		}
		_, err := read(&Corpus{Paths: []string{path}, IMDBSplits: []string{"train", "test"}})
		wantError(t, err, "test reviews must not be used for training")
	}
}

// TestIMDBGolden counts the reviews of the real archive.
func TestIMDBGolden(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 56 MB")
	}
	archive := golden.Shared(t, "data", "imdb", "aclImdb_v1.tar.gz")
	documents, err := read(&Corpus{Paths: []string{archive}})
	if err != nil || len(documents) != 75_000 {
		t.Errorf("%d documents, %v; want 75,000", len(documents), err)
	}
}

// TestGroups checks that groups contain all documents in order, and that each group is large enough, for any text.
func TestGroups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 60).Draw(t, "size")
		documents := rapid.SliceOf(rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,20}`), 1, 8)).Draw(t, "documents")
		var lines []string
		for _, d := range documents {
			lines = append(lines, append(d, "")...)
		}
		seq := func(yield func([]byte, error) bool) {
			for _, line := range lines {
				if !yield([]byte(line), nil) {
					return
				}
			}
		}
		var (
			got    []string
			all    []*group
			counts int
			cut    int
		)
		for g, err := range groups(seq, size) {
			if err != nil {
				t.Fatal(err)
			}
			if g.number != len(all) {
				t.Fatalf("group %d is number %d", len(all), g.number)
			}
			all = append(all, g)
			parts := strings.Split(strings.TrimSuffix(string(g.text), "\n"), "\n\n")
			if len(parts) != g.documents {
				t.Fatalf("%d documents, the group says %d: %q", len(parts), g.documents, g.text)
			}
			for _, p := range parts {
				got = append(got, strings.Split(p, "\n")...)
				counts++
			}
			cut += g.cut
		}
		if want := slices.DeleteFunc(lines, func(s string) bool { return s == "" }); !slices.Equal(got, want) {
			t.Fatalf("lines %q, want %q", got, want)
		}
		if counts != len(documents)+cut {
			t.Fatalf("%d documents of %d, %d cut", counts, len(documents), cut)
		}
		for i, g := range all {
			if len(all) > 1 && (g.documents < 2 || len(g.text) < size/2 || i < len(all)-1 && len(g.text) < size) {
				t.Fatalf("group %d of %d has %d documents, %d bytes", i, len(all), g.documents, len(g.text))
			}
		}
	})
}

// TestMemory checks that groups are not retained, so that a corpus of any size needs only the memory of a few groups.
func TestMemory(t *testing.T) {
	line := []byte(strings.Repeat("x", 99))
	seq := func(yield func([]byte, error) bool) {
		for i := range 200_000 { // 20 MB
			if !yield(line, nil) || i%10 == 9 && !yield(nil, nil) {
				return
			}
		}
	}
	const size = 1 << 16
	for g, err := range groups(seq, size) {
		if err != nil || cap(g.text) > 3*size {
			t.Fatalf("a group of %d bytes, %d allocated, %v", len(g.text), cap(g.text), err)
		}
	}
}
