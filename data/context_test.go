package data

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// Reading ends with the cause of its context, whatever the format.
func TestContext(t *testing.T) {
	dir := t.TempDir()
	path := func(name, content string) string {
		write(t, filepath.Join(dir, name), content)
		return filepath.Join(dir, name)
	}
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	table := path("a.csv", "text,label\na,b\n")
	for name, read := range map[string]func(ctx context.Context) error{
		"table": func(ctx context.Context) error { _, err := ReadTable(ctx, table, TableOptions{}); return err },
		"layout": func(ctx context.Context) error {
			_, err := new(Layout).Read(ctx, table, ReadOptions{})
			return err
		},
		"CoNLL": func(ctx context.Context) error {
			_, err := ReadCoNLL(ctx, path("a.txt", "a O\n"), TableOptions{})
			return err
		},
		"SWAG": func(ctx context.Context) error {
			_, err := ReadSWAG(ctx, path("swag.csv", "sent1,sent2,ending0,ending1,label\na,b,c,d,1\n"), TableOptions{})
			return err
		},
		"SQuAD": func(ctx context.Context) error {
			_, _, err := ReadSQuAD(ctx, path("a.json", squadSmall), TableOptions{})
			return err
		},
		"IMDB folder": func(ctx context.Context) error {
			_, err := ReadIMDB(ctx, "testdata/aclImdb", Train, TableOptions{})
			return err
		},
		"inputs": func(ctx context.Context) error {
			_, _, err := NewInputReader(strings.NewReader("a\n"), "f", InputOptions{}).Read(ctx)
			return err
		},
	} {
		if err := read(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := read(ctx); !errors.Is(err, stop) {
			t.Errorf("%s: %v, want the cause", name, err)
		}
	}
}

func TestFormats(t *testing.T) {
	for f := range Format(len(formatNames)) {
		text, err := f.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		back := Format(9)
		if err := back.UnmarshalText(text); err != nil || back != f {
			t.Errorf("%v: %v, %v", f, back, err)
		}
	}
	for v := SQuAD1; v <= SQuAD2; v++ {
		text, err := v.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back SQuADVersion
		if err := back.UnmarshalText(text); err != nil || back != v {
			t.Errorf("%v: %v, %v", v, back, err)
		}
	}
	_, err := ParseSQuADVersion("3")
	wantError(t, err, `version of SQuAD "3": want 1.1 or 2.0`)
}
