package textfile

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
)

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLines(t *testing.T) {
	const text = "one\r\n\ntwo\rthree\nlast"
	for name, content := range map[string][]byte{
		"plain": []byte(text), "mark": []byte("\ufeff" + text), "gzip": gzipped(t, text), "mark in gzip": gzipped(t, "\ufeff"+text),
	} {
		r, err := New(iotest.OneByteReader(bytes.NewReader(content)), "f", "")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var got []string
		lines := NewLines(r)
		for {
			line, err := lines.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(line))
		}
		if want := []string{"one", "", "two\rthree", "last"}; !slices.Equal(got, want) || lines.Number() != 4 {
			t.Errorf("%s: %q, %d lines; want %q", name, got, lines.Number(), want)
		}
	}
}

func TestErrors(t *testing.T) {
	for content, want := range map[string]string{
		"\xff\xfea\x00": "f: text in UTF-16", "\xfe\xff\x00a": "f: text in UTF-16", "\x1f\x8b\x08": "f: no gzip file: the file is truncated",
	} {
		if _, err := New(strings.NewReader(content), "f", ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
	long := strings.Repeat("x", MaxRecord+1) + "\nnext\n"
	r, err := New(strings.NewReader(long), "f", "")
	if err != nil {
		t.Fatal(err)
	}
	lines := NewLines(r)
	if _, err := lines.Next(); !errors.Is(err, ErrTooLong) {
		t.Errorf("a line that is too long: %v", err)
	}
	if line, err := lines.Next(); err != nil || string(line) != "next" || lines.Number() != 2 {
		t.Errorf("after a line that is too long: %q, %v", line, err)
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("text"), 0o666); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	f, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := f.Read(make([]byte, 2)); n != 2 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	cancel(stop)
	if _, err := f.Read(make([]byte, 2)); !errors.Is(err, stop) {
		t.Errorf("read after the end of the context: %v", err)
	}
	if _, err := Open(ctx, path); !errors.Is(err, stop) {
		t.Errorf("opened after the end of the context: %v", err)
	}
	if _, err := Open(t.Context(), path+"x"); !errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(err.Error(), "open ") {
		t.Errorf("a missing file: %v", err)
	}
}

// Python 3 splits at what Go's unicode.IsSpace has and at the four separators of ASCII.
func TestIsPythonSpace(t *testing.T) {
	for r := range rune(unicode.MaxRune + 1) {
		if want := unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f; IsPythonSpace(r) != want {
			t.Errorf("%U: %v, want %v", r, !want, want)
		}
	}
}
