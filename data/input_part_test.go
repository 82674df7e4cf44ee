package data

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert/parts"
)

// inputsOf reads a part, or with no part all of a file, and says where each input was.
func inputsOf(t *testing.T, path string, stdin io.Reader, o InputOptions, p parts.Part) (texts []string, skipped int, first, failed error) {
	t.Helper()
	ctx := context.Background()
	var r *InputReader
	if p.IsZero() {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r = NewInputReader(f, path, o)
	} else {
		in, err := OpenInputPart(ctx, path, stdin, o, p)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		defer func() {
			if d := in.Done(); failed == nil && (d.To < d.From || len(d.Input) != 64) {
				t.Errorf("part %v: %+v", p, d)
			}
		}()
		r = in.InputReader
	}
	for {
		in, at, err := r.Read(ctx)
		if err == io.EOF {
			n, bad := r.Skipped()
			return texts, n, bad, nil
		}
		if err != nil {
			return texts, 0, nil, err
		}
		if in.Text == "refused" {
			if err := r.Skip(&SourceError{Source: at, Err: errors.New("no")}); err != nil {
				return texts, 0, nil, err
			}
			continue
		}
		texts = append(texts, fmt.Sprint(in))
	}
}

// The parts have the inputs of the file, however it is written, and what is wrong with a line has its number in the whole file.
func TestInputPart(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		switch {
		case i == 37 || i == 80:
			b.WriteString("{\"text\": broken\n")
		case i == 60:
			b.WriteString("refused\r\n")
		case i%3 == 0:
			fmt.Fprintf(&b, "{\"text\": \"%d\", \"text_pair\": \"b\"}\r\n", i)
		default:
			fmt.Fprintf(&b, "text %d %s\n", i, strings.Repeat("x", i))
		}
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, b.String())
	z.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for _, c := range []struct {
		name, content string
		encoding      string
		stdin         bool
	}{{"plain", b.String(), "", false}, {"gzip", zipped.String(), "", false}, {"latin", b.String(), "latin-1", false}, {"stdin", b.String(), "", true}, {"stdin gzip", zipped.String(), "", true}} {
		if err := os.WriteFile(path, []byte(c.content), 0o666); err != nil {
			t.Fatal(err)
		}
		name, from := path, func() io.Reader { return nil }
		if c.stdin {
			name, from = "-", func() io.Reader { return strings.NewReader(c.content) }
		}
		o := InputOptions{SkipBad: true, Encoding: c.encoding}
		want, skipped, first, err := inputsOf(t, path, nil, o, parts.Part{})
		if err != nil || skipped != 3 {
			t.Fatal(skipped, err)
		}
		for _, n := range []int{1, 2, 3, 10, 150} {
			var (
				all     []string
				count   int
				earlier error
			)
			for i := range n {
				texts, k, bad, err := inputsOf(t, name, from(), o, parts.Part{Index: i, Count: n})
				if err != nil {
					t.Fatal(err)
				}
				all, count = append(all, texts...), count+k
				if earlier == nil {
					earlier = bad
				}
			}
			message := strings.ReplaceAll(fmt.Sprint(first), path, map[bool]string{true: "stdin", false: path}[c.stdin])
			if strings.Join(all, "\n") != strings.Join(want, "\n") || count != skipped || fmt.Sprint(earlier) != message {
				t.Errorf("%s in %d: %d inputs, %d skipped, %v; want %d, %d, %s", c.name, n, len(all), count, earlier, len(want), skipped, message)
			}
		}
		// Without SkipBad the first bad line of a part ends it.
		_, _, _, err = inputsOf(t, name, from(), InputOptions{Encoding: c.encoding}, parts.Part{Index: 1, Count: 2})
		var at *SourceError
		if !errors.As(err, &at) || !at.Skippable || at.Source.Line != 81 && at.Source.Line != 61 {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// The hash of examples is that of their content, wherever they are.
func TestHash(t *testing.T) {
	x := []Example{{Input: Input{Text: "a", TextPair: "b"}, Label: "c"}, {Input: Input{Words: []string{"d"}}, Labels: []string{"O"}, Source: Source{Line: 3}}}
	want := Hash(x)
	x[1].Source.Line = 4
	if Hash(x) != want {
		t.Error("the source makes a difference")
	}
	for i, change := range []func(){
		func() { x[0].Text, x[0].TextPair = "ab", "" }, func() { x[0].Label = "x" }, func() { x[1].Words = []string{"e"} },
		func() { x[1].ID = "1" }, func() { x[0], x[1] = x[1], x[0] }, func() { x[0].Pair = true }, func() { x[0].Answers = []Span{} },
	} {
		before := Hash(x)
		if change(); Hash(x) == before {
			t.Errorf("change %d makes no difference", i)
		}
	}
}
