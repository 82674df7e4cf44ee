package textfile

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding/unicode"
)

// partsOf reads the parts of a file, and checks that each begins where the one before it ends and knows how many lines are before it.
func partsOf(t testing.TB, path, encoding string, n int) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var (
		all   []string
		end   int64
		lines int
	)
	for i := range n {
		p, err := OpenPart(context.Background(), f, path, encoding, i, n)
		if err != nil {
			t.Fatalf("part %d of %d: %v", i, n, err)
		}
		content, err := io.ReadAll(p.Reader)
		if err != nil {
			t.Fatalf("part %d of %d: %v", i, n, err)
		}
		before, err := p.Before(context.Background())
		if err != nil || before != lines {
			t.Errorf("part %d of %d: %d lines before it, %v, want %d", i, n, before, err, lines)
		}
		if p.From != end || p.End() != end+int64(len(content)) {
			t.Errorf("part %d of %d: %d to %d, want from %d with %d bytes", i, n, p.From, p.End(), end, len(content))
		}
		if len(p.SHA256()) != 64 {
			t.Errorf("hash %s", p.SHA256())
		}
		end = p.End()
		lines += strings.Count(string(content), "\n")
		all = append(all, string(content))
		p.Close()
	}
	return all
}

// The parts are whole lines and make up the text, however many there are and however the file is written.
func TestParts(t *testing.T) {
	dir := t.TempDir()
	texts := map[string]string{
		"empty": "", "one": "x", "ends": "a\n", "lines": "a\nbb\n\nccc\r\nd", "blank": "\n\n\n\n", "bzip": strings.Repeat("BZh9 1AY\n", 9),
		"long": strings.Repeat("x", 9000) + "\n" + strings.Repeat("ä", 5000) + "\nshort\n", "marks": "a\n\ufeffb\n\ufeffc\n",
	}
	for name, text := range texts {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		io.WriteString(z, text)
		z.Close()
		wide, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ kind, content, encoding string }{
			{"plain", text, ""}, {"mark", "\ufeff" + text, ""}, {"gzip", zipped.String(), ""}, {"utf16", wide, "utf-16"},
		} {
			path := filepath.Join(dir, name+c.kind)
			if err := os.WriteFile(path, []byte(c.content), 0o666); err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{1, 2, 3, 7, 100} {
				all := partsOf(t, path, c.encoding, n)
				if got := strings.Join(all, ""); got != text {
					t.Errorf("%s, %s in %d: %.60q, want %.60q", name, c.kind, n, got, text)
				}
				for i, part := range all[:n-1] {
					if part != "" && !strings.HasSuffix(part, "\n") && strings.Join(all[i+1:], "") != "" {
						t.Errorf("%s, %s in %d: part %d ends in a line: %.60q", name, c.kind, n, i, part)
					}
				}
			}
		}
	}
}

func FuzzParts(f *testing.F) {
	f.Add("a\nb\r\n\nc", 3)
	f.Fuzz(func(t *testing.T, text string, n int) {
		path := filepath.Join(t.TempDir(), "text")
		if err := os.WriteFile(path, []byte("ok "+text), 0o666); err != nil {
			t.Fatal(err)
		}
		whole, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer whole.Close()
		if r, err := New(whole, path, ""); err != nil || r.from != nil || r.encoding.of != nil {
			return
		}
		n = 1 + int(uint(n)%50)
		if got := strings.Join(partsOf(t, path, "", n), ""); got != "ok "+text {
			t.Errorf("%d parts: %q, want %q", n, got, text)
		}
	})
}

// What is no text, or not there, is the same error in each part.
func TestPartErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0, 1, 2, 3}, 1000), 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, want := New(f, path, "")
	if want == nil {
		t.Fatal("binary data is text")
	}
	for i := range 3 {
		if _, err := OpenPart(context.Background(), f, path, "", i, 3); fmt.Sprint(err) != want.Error() {
			t.Errorf("part %d: %v, want %v", i, err, want)
		}
	}
	for _, bad := range [][2]int{{-1, 2}, {2, 2}, {0, 0}} {
		if _, err := OpenPart(context.Background(), f, path, "", bad[0], bad[1]); err == nil {
			t.Errorf("part %d of %d: no error", bad[0], bad[1])
		}
	}
}
