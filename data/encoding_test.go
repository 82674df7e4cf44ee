package data

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
)

// encodedReaders reads a file in an encoding by each reader, and gives the texts.
var encodedReaders = map[string]struct {
	file string
	read func(ctx context.Context, path string, o TableOptions) (*Set, error)
	// Of two records, the second with an é.
	content string
}{
	"TSV":   {"a.tsv", ReadTable, "text\tlabel\none\ta\ncafé\tb\n"},
	"CSV":   {"a.csv", ReadTable, "text,label\none,a\n\"ca\n\"\"fé\"\"\",b\n"},
	"JSONL": {"a.jsonl", ReadTable, "{\"text\":\"one\",\"label\":\"a\"}\n{\"text\":\"café\",\"label\":\"b\"}\n"},
	"CoNLL": {"a.conll", ReadCoNLL, "one O\n\ncafé O\n"},
	"SWAG":  {"a.csv", ReadSWAG, "sent1,sent2,ending0,ending1,label\none,two,x,y,0\ncafé,two,x,y,1\n"},
	"SQuAD": {"a.json", func(ctx context.Context, path string, o TableOptions) (*Set, error) {
		_, set, err := ReadSQuAD(ctx, path, o)
		return set, err
	}, "{\"data\":[{\"paragraphs\":[{\"context\":\"a\",\"qas\":[{\"id\":\"1\",\"question\":\"one\",\"answers\":[]},\n{\"id\":\"2\",\"question\":\"café\",\"answers\":[]}]}]}]}"},
	"IMDB": {"aclImdb/train/pos/1_9.txt", func(ctx context.Context, path string, o TableOptions) (*Set, error) {
		return ReadIMDB(ctx, strings.TrimSuffix(path, "/aclImdb/train/pos/1_9.txt"), Train, o)
	}, "café"},
	"inputs": {"a.txt", func(ctx context.Context, path string, o TableOptions) (*Set, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		set, r := new(Set), NewInputReader(f, path, InputOptions{SkipBad: o.SkipBad, Encoding: o.Encoding})
		for {
			in, _, err := r.Read(ctx)
			if err == io.EOF {
				set.Skipped, set.FirstSkipped = r.Skipped()
				return set, nil
			}
			if err != nil {
				return nil, err
			}
			set.Examples = append(set.Examples, Example{Input: in})
		}
	}, "one\n{\"text\":\"café\"}\n"},
}

// Each reader refuses text that is not UTF-8 with its place, decodes it where it is told the encoding, and can leave it out.
func TestEncodings(t *testing.T) {
	for name, c := range encodedReaders {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), filepath.FromSlash(c.file))
			for _, dir := range []string{"pos", "neg"} { // IMDB has both
				if err := os.MkdirAll(filepath.Join(filepath.Dir(path), "..", dir), 0o777); err != nil {
					t.Fatal(err)
				}
			}
			write(t, path, strings.ReplaceAll(c.content, "é", "\xe9"))
			_, err := c.read(t.Context(), path, TableOptions{})
			wantError(t, err, "not valid UTF-8 at byte ", ": say which encoding the text has")
			var (
				at     *SourceError
				coding *EncodingError
			)
			if !errors.As(err, &at) || !errors.As(err, &coding) || at.Source.File != path {
				t.Fatalf("%v", err)
			}
			bad := strings.Index(c.content, "é")
			if line := 1 + strings.Count(c.content[:bad], "\n"); at.Source.Line != line || coding.Offset != bad-1-strings.LastIndex(c.content[:bad], "\n") {
				t.Errorf("%v, want line %d", err, line)
			}
			set, err := c.read(t.Context(), path, TableOptions{Encoding: "latin-1"})
			if err != nil {
				t.Fatal(err)
			}
			x := set.Examples[len(set.Examples)-1]
			if text := x.Text + strings.Join(x.Words, " "); text != "café" && text != "ca\n\"fé\"" {
				t.Errorf("decoded %q", text)
			}
			write(t, path, "\xef\xbb\xbf"+c.content)
			if marked, err := c.read(t.Context(), path, TableOptions{Encoding: "latin-1"}); err != nil || len(marked.Examples) != len(set.Examples) || marked.Examples[len(set.Examples)-1].Text != x.Text {
				t.Errorf("with a mark %+v, %v", marked, err)
			}
			_, err = c.read(t.Context(), path, TableOptions{Encoding: "utf-9"})
			wantError(t, err, `encoding "utf-9": want a name such as latin-1`)
			write(t, path, strings.ReplaceAll(c.content, "é", "\xe9"))
			set, err = c.read(t.Context(), path, TableOptions{SkipBad: true})
			switch name {
			case "SQuAD": // the rest of the file can't be read
				wantError(t, err, "not valid UTF-8")
			case "IMDB":
				wantError(t, err, "no good review among 1")
			default:
				if err != nil || len(set.Examples) != 1 || set.Skipped != 1 {
					t.Errorf("%+v, %v", set, err)
				}
				wantError(t, set.FirstSkipped, "not valid UTF-8")
			}
		})
	}
}

// The cases of public reports, each with what it should become.
func TestGoldenCases(t *testing.T) {
	read := func(l Layout, o ReadOptions, name ...string) (*Set, error) {
		return l.Read(t.Context(), golden.Shared(t, slices.Concat([]string{"cases"}, name)...), o)
	}
	skip := ReadOptions{TableOptions: TableOptions{SkipBad: true}}
	latin := ReadOptions{TableOptions: TableOptions{Encoding: "latin-1"}}
	for _, c := range []struct {
		what     string
		layout   Layout
		name     string
		o        ReadOptions
		examples int
		skipped  int
		comments int
		want     string // of the error, or of the last text
	}{
		{"a table", Layout{}, "86c-latin1/train.tsv", ReadOptions{}, 0, 0, 0, "train.tsv:10: not valid UTF-8 at byte 3"},
		{"a table", Layout{}, "86c-latin1/train.tsv", latin, 9, 0, 0, "café good"},
		{"a table", Layout{}, "86c-latin1/train.tsv", skip, 8, 1, 0, "not great"},
		{"squad2", SQuAD(SQuAD2), "100a-squad-misaligned/t.json", ReadOptions{}, 0, 0, 0, `T/3: answer "mat" is not at 3`},
		{"squad2", SQuAD(SQuAD2), "100a-squad-misaligned/t.json", skip, 2, 1, 0, "where"},
		{"squad", SQuAD(SQuAD1), "100g-squad-case-mismatch/t.json", ReadOptions{}, 0, 0, 0, `T/3: answer "the cat" is not at 0 of its context, which has "The cat" there`},
		{"squad", SQuAD(SQuAD1), "100g-squad-case-mismatch/t.json", skip, 2, 1, 0, "where"},
		{"squad2", SQuAD(SQuAD2), "100m-squad-null-answers/t.json", ReadOptions{}, 3, 0, 0, "x"},
		{"squad", SQuAD(SQuAD1), "100m-squad-null-answers/t.json", ReadOptions{}, 0, 0, 0, "a question without an answer, which version 1.1 doesn't have"},
		{"squad", SQuAD(SQuAD1), "100m-squad-null-answers/t.json", skip, 2, 1, 0, "where"},
		{"qqp", QQP, "95-qqp-malformed/QQP", ReadOptions{}, 7, 1, 0, "cat"},
		{"ner", CoNLL, "102h-conll-comment/d", ReadOptions{}, 2, 0, 2, ""},
	} {
		set, err := read(c.layout, c.o, strings.Split(c.name, "/")...)
		if c.examples == 0 {
			wantError(t, err, c.want)
			if e := new(SourceError); !errors.As(err, &e) || !e.Skippable {
				t.Errorf("%s: %v can't be skipped", c.name, err)
			}
			continue
		}
		if err != nil || len(set.Examples) != c.examples || set.Skipped != c.skipped || set.Comments != c.comments || set.Examples[len(set.Examples)-1].Text != c.want {
			t.Errorf("%s, %s: %+v, %v", c.what, c.name, set, err)
		}
	}
}

// Lines that are too short are left out of QQP as its readers do; longer ones are errors, and other data sets' lines of any length.
func TestShortLines(t *testing.T) {
	const header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
	read := func(l Layout, content string, o TableOptions) (*Set, error) {
		return l.Read(t.Context(), writeFile(t, "train.tsv", content), ReadOptions{TableOptions: o})
	}
	set, err := read(QQP, header+"0\t1\t2\ta\n1\t1\t2\ta\tb\t0\nb\n", TableOptions{})
	if err != nil || len(set.Examples) != 1 || set.Skipped != 2 {
		t.Errorf("%+v, %v", set, err)
	}
	wantError(t, set.FirstSkipped, "train.tsv:2: 4 columns, want 6 as on the first line")
	_, err = read(QQP, header+"0\t1\t2\ta\tb\t0\t0\n", TableOptions{})
	wantError(t, err, "train.tsv:2: 7 columns, want 6")
	_, err = read(QQP, header+"1\t1\t2\ta\tb\t\n", TableOptions{})
	wantError(t, err, "train.tsv:2: no label")
	_, err = read(RTE, "index\tsentence1\tsentence2\tlabel\n0\ta\n", TableOptions{})
	wantError(t, err, "train.tsv:2: 2 columns, want 4")
	_, err = QQP.Read(t.Context(), writeFile(t, "test.tsv", "id\tquestion1\tquestion2\n0\ta\n"), ReadOptions{Split: Test})
	wantError(t, err, "test.tsv:2: 2 columns, want 3")
}

// A second text is there where its column or key is, empty or not.
func TestEmptyPair(t *testing.T) {
	for content, want := range map[string][]bool{
		"a.tsv|text\ttext_pair\tlabel\na\tb\t1\na\t\t1\n": {true, true},
		"a.csv|text,text_pair,label\na,b,1\na,,1\n":       {true, true},
		"a.tsv|text\tlabel\na\t1\n":                       {false},
		"a.jsonl|{\"text\":\"a\",\"label\":1,\"text_pair\":\"\"}\n{\"text\":\"a\",\"label\":1}\n{\"text\":\"a\",\"label\":1,\"text_pair\":null}\n": {true, false, false},
	} {
		name, content, _ := strings.Cut(content, "|")
		set, err := ReadTable(t.Context(), writeFile(t, name, content), TableOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []bool
		for _, x := range set.Examples {
			got = append(got, x.IsPair())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: pairs %v, want %v", content, got, want)
		}
	}
	for line, want := range map[string]bool{`{"text":"a","text_pair":""}`: true, `{"text":"a","text_pair":null}`: false, `{"text":"a"}`: false, `{"text":"","text_pair":"a"}`: true, "a": false} {
		if in, err := ParseInput([]byte(line)); err != nil || in.IsPair() != want {
			t.Errorf("%s: %+v, %v", line, in, err)
		}
	}
	_, err := ParseInput([]byte(`{"question":"a","context":"","text_pair":"b"}`))
	wantError(t, err, "both text_pair and context")
}

// A data set can come from a reader, under the name stdin.
func TestStdin(t *testing.T) {
	l := Layout{}
	set, err := l.Read(t.Context(), "-", ReadOptions{TableOptions: TableOptions{Format: TSV, Stdin: strings.NewReader("text\tlabel\na\tb\n")}})
	if err != nil || len(set.Examples) != 1 || set.Examples[0].Source.String() != "stdin:2" {
		t.Errorf("%+v, %v", set, err)
	}
	_, err = l.Read(t.Context(), "-", ReadOptions{TableOptions: TableOptions{Stdin: strings.NewReader("text\tlabel\na\tb\n")}})
	wantError(t, err, "stdin: its name ends in none of .csv, .tsv, .jsonl")
	_, err = l.Read(t.Context(), "-", ReadOptions{})
	wantError(t, err, "-: no such file")
	squad := SQuAD(SQuAD1)
	if set, err := squad.Read(t.Context(), "-", ReadOptions{TableOptions: TableOptions{Stdin: strings.NewReader(squadSmall)}}); err != nil || len(set.Examples) == 0 {
		t.Errorf("%+v, %v", set, err)
	}
	if !l.OnePart("-") || IMDB.OnePart("-") {
		t.Error("stdin is a part of a table, and all of an archive")
	}
}
