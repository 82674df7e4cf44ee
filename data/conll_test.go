package data

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/textfile"

	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/metric"
)

// conllOf is a sentence of words a, b, … with tags.
func conllOf(tags string) string {
	var b strings.Builder
	for i, tag := range strings.Fields(tags) {
		fmt.Fprintf(&b, "%c %s\n", 'a'+i, tag)
	}
	return b.String()
}

// Every scheme becomes the same IOB2.
func TestTagSchemes(t *testing.T) {
	const iob2 = "B-X I-X B-X O B-Y B-X O B-Y I-Y I-Y"
	for name, tags := range map[string]string{
		"IOB1":  "I-X I-X B-X O I-Y I-X O I-Y I-Y I-Y",
		"IOB2":  iob2,
		"IOE1":  "I-X E-X I-X O I-Y I-X O I-Y I-Y I-Y",
		"IOE2":  "I-X E-X E-X O E-Y E-X O I-Y I-Y E-Y",
		"IOBES": "B-X E-X S-X O S-Y S-X O B-Y I-Y E-Y",
		"BILOU": "B-X L-X U-X O U-Y U-X O B-Y I-Y L-Y",
		"BMEWO": "B-X E-X W-X O W-Y W-X O B-Y M-Y E-Y",
	} {
		data, err := readCoNLL(strings.NewReader(conllOf(tags)), "a.txt", TableOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(data.Examples[0].Labels, " "); got != iob2 {
			t.Errorf("%s: %s, want %s", name, got, iob2)
		}
	}
	for tags, want := range map[string]string{
		"NN O VB B":   "NN O VB B", // no places: parts of speech
		"B I O I":     "B I O B",   // places and no types
		"O O":         "O O",
		"B-A-B I-A-B": "B-A-B I-A-B",
		"B-X E-Y":     "B-X B-Y",
	} {
		data, err := readCoNLL(strings.NewReader(conllOf(tags)), "a.txt", TableOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(data.Examples[0].Labels, " "); got != want {
			t.Errorf("%s: %s, want %s", tags, got, want)
		}
	}
}

func TestReadCoNLL(t *testing.T) {
	const file = "\ufeff-DOCSTART- -X- -X- O\r\n\r\nEU NNP B-NP I-ORG\r\nrejects\tVBZ \t B-VP O\r\n \t\r\n\r\n-DOCSTART-\nÉté NNP B-NP I-LOC\n. . O O"
	data, err := readCoNLL(strings.NewReader(file), "a.txt", TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Example{
		{Input: Input{Words: []string{"EU", "rejects"}}, Labels: []string{"B-ORG", "O"}, Source: Source{File: "a.txt", Line: 3}},
		{Input: Input{Words: []string{"Été", "."}}, Labels: []string{"B-LOC", "O"}, Source: Source{File: "a.txt", Line: 8}},
	}
	if got := fmt.Sprint(data.Examples); got != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	data, err = readCoNLL(strings.NewReader(file), "a.txt", TableOptions{Columns: Columns{Text: "2", Label: "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if x := data.Examples[0]; !slices.Equal(x.Words, []string{"NNP", "VBZ"}) || !slices.Equal(x.Labels, []string{"EU", "rejects"}) {
		t.Errorf("%v", x)
	}
	data, err = readCoNLL(strings.NewReader("a\nb\n\nc\n"), "a.txt", TableOptions{Unlabelled: true, Columns: Columns{Label: "4"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(data.Examples) != 2 || data.Examples[0].Labels != nil {
		t.Errorf("%v", data.Examples)
	}
	for _, c := range []struct {
		file    string
		columns Columns
		want    string
	}{
		{"a O\n\nb\n", Columns{}, "a.txt:3: 1 column, want 2 as on the first line"},
		{"a O\nb X O\n", Columns{}, "a.txt:2: 3 columns, want 2 as on the first line"},
		{"a\n", Columns{}, "a.txt:1: 1 column, want at least 2"},
		{"a b c d e\n", Columns{}, "a.txt:1: 5 columns, want at most 4, or to know which has the tag"},
		{"a O\n", Columns{Label: "3"}, "a.txt:1: 2 columns, want at least 3"},
		{"a O\nb B-X\nc X\n", Columns{}, `a.txt:3: tag "X" has no B- or I- before its type, unlike others`},
		{"a O\n", Columns{Label: "tag"}, `a.txt: column "tag" for the tag: want its number, from 1`},
		{"a O\n", Columns{Text: "0"}, `a.txt: column "0" for the word: want its number`},
		{"a O\n", Columns{TextPair: "2"}, "no second text"},
		{"\xff\xfea", Columns{}, "UTF-16"},
		{strings.Repeat("a", textfile.MaxRecord+1) + " O\n", Columns{}, "a.txt:1: a record of more than"},
	} {
		_, err := readCoNLL(strings.NewReader(c.file), "a.txt", TableOptions{Columns: c.columns})
		wantError(t, err, c.want)
	}
	// Bad sentences are left out as a whole.
	data, err = readCoNLL(strings.NewReader("a B-X\n\nb\nc O\n\nd X\n\ne O\n"), "a.txt", TableOptions{SkipBad: true})
	if err != nil || len(data.Examples) != 2 || data.Skipped != 2 || data.Examples[1].Words[0] != "e" {
		t.Errorf("%+v, %v", data, err)
	}
	wantError(t, data.FirstSkipped, "a.txt:3: 1 column")
	_, err = ReadCoNLL(t.Context(), writeFile(t, "a.txt", "\n\n-DOCSTART- O\n"), TableOptions{})
	wantError(t, err, "no sentence in it")
	_, err = ReadCoNLL(t.Context(), writeFile(t, "a.txt", "a\n"), TableOptions{SkipBad: true})
	wantError(t, err, "no good sentence among 1")
}

// A folder's parts are found by the names that the data set is spread under.
func TestCoNLLFolder(t *testing.T) {
	for split, names := range map[Split][]string{Train: {"train.txt", "eng.train"}, Dev: {"valid.txt", "dev.txt", "eng.testa"}, Test: {"test.txt", "eng.testb"}} {
		for _, name := range names {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, name), []byte("a O\n"), 0o666); err != nil {
				t.Fatal(err)
			}
			if data, err := CoNLL.Read(t.Context(), dir, ReadOptions{Split: split}); err != nil || len(data.Examples) != 1 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	_, err := CoNLL.Read(t.Context(), t.TempDir(), ReadOptions{Split: Dev})
	wantError(t, err, "valid.txt")
}

// The English data of CoNLL-2003: as many sentences and names of each type as Tjong Kim Sang and De Meulder 2003 count in their
// tables 1 and 2.
func TestGoldenCoNLL(t *testing.T) {
	for _, c := range []struct {
		file      string
		sentences int
		words     int
		types     map[string]int
	}{
		{"train.txt", 14041, 203621, map[string]int{"LOC": 7140, "MISC": 3438, "ORG": 6321, "PER": 6600}},
		{"valid.txt", 3250, 51362, map[string]int{"LOC": 1837, "MISC": 922, "ORG": 1341, "PER": 1842}},
	} {
		data, err := ReadCoNLL(t.Context(), golden.Shared(t, "data", "ner", c.file), TableOptions{})
		if err != nil {
			t.Fatal(err)
		}
		labels, err := LabelsOf(data.Examples)
		if err != nil {
			t.Fatal(err)
		}
		set := metric.NewTagSet(labels)
		types, words := make(map[string]int), 0
		for _, x := range data.Examples {
			var tags []metric.Tag
			for _, label := range x.Labels {
				tags = append(tags, set.Tag(label))
			}
			for _, e := range metric.Entities(tags) {
				types[set.Types[e.Type]]++
			}
			words += len(x.Words)
		}
		if len(data.Examples) != c.sentences || words != c.words || fmt.Sprint(types) != fmt.Sprint(c.types) {
			t.Errorf("%s: %d sentences of %d words with %v, want %d, %d and %v", c.file, len(data.Examples), words, types, c.sentences, c.words, c.types)
		}
	}
}

func FuzzReadCoNLL(f *testing.F) {
	f.Add("-DOCSTART- O\n\na B-X\nb I-X\n\nc O\n", "", false)
	f.Add("a NN I-NP\tO\r\n\r\nb NN S-NP E-X\n", "2", true)
	f.Add("a\n", "", true)
	f.Add("# id 1 d\nthe O\n#x y z\ncat O\n\n# O\n", "", false)
	f.Add("0 0 0 0\n\r 0 0 0", "1", false)
	f.Add(repeat("a ", 300), "2", true)
	f.Add("a "+repeat("\x00", 300), "1", true)
	f.Fuzz(func(t *testing.T, file, column string, loose bool) {
		o := TableOptions{Columns: Columns{Label: column}, Unlabelled: loose, SkipBad: loose}
		data, err := readCoNLL(strings.NewReader(file), "f", o)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		var b strings.Builder
		for _, x := range data.Examples {
			if len(x.Words) == 0 || x.Labels != nil && len(x.Labels) != len(x.Words) || x.Source.Line == 0 {
				t.Fatalf("%+v", x)
			}
		}
		if loose || len(data.Examples) == 0 {
			return
		}
		// What is written says the same when it is read, with the tags in IOB2 already.
		for _, x := range data.Examples {
			for i, word := range x.Words {
				fmt.Fprintf(&b, "%s %s %s\n", word, x.Labels[i], word)
			}
			b.WriteByte('\n')
		}
		again, err := readCoNLL(strings.NewReader(b.String()), "f", TableOptions{Columns: Columns{Label: "2"}})
		if errors.As(err, new(*NotTextError)) {
			return // in which the same words are a larger share
		}
		if err != nil {
			t.Fatalf("%q: %v", b.String(), err)
		}
		if len(again.Examples) != len(data.Examples) {
			t.Fatalf("%d sentences, read again %d", len(data.Examples), len(again.Examples))
		}
		for i, x := range data.Examples {
			if y := again.Examples[i]; !slices.Equal(x.Words, y.Words) || !slices.Equal(x.Labels, y.Labels) {
				t.Errorf("%q %q, read again %q %q", x.Words, x.Labels, y.Words, y.Labels)
			}
		}
	})
}

// Lines that begin with # are comments where they don't fit the columns, and words where they do.
func TestCoNLLComments(t *testing.T) {
	for content, want := range map[string]struct {
		sentences []string
		comments  int
	}{
		"# id 1 domain=en\nthe O\ncat B-PER\n\n# id 2\nsat O\n":     {[]string{"the cat", "sat"}, 2},
		"# O\n1 O\n\n# one two\n# O\n":                              {[]string{"# 1", "#"}, 1},
		"# a comment\n\n# O\nx O\n":                                 {[]string{"# x"}, 1},
		"#begin document (a); part 0\nthe O\n\n#end document now\n": {[]string{"the"}, 2},
		"the O\n# a b c\ncat O\n":                                   {[]string{"the cat"}, 1},
		"the O\n#tag O\n":                                           {[]string{"the #tag"}, 0},
		"# # I-NP O\nthe DT I-NP O\n":                               {[]string{"# the"}, 0},
	} {
		set, err := readCoNLL(strings.NewReader(content), "f", TableOptions{})
		if err != nil {
			t.Errorf("%q: %v", content, err)
			continue
		}
		var got []string
		for _, x := range set.Examples {
			got = append(got, strings.Join(x.Words, " "))
		}
		if !slices.Equal(got, want.sentences) || set.Comments != want.comments {
			t.Errorf("%q: %q and %d comments, want %q and %d", content, got, set.Comments, want.sentences, want.comments)
		}
	}
	_, err := readCoNLL(strings.NewReader("the O\n#tag\n"), "f", TableOptions{})
	wantError(t, err, "f:2: 1 column, want 2 as on the first line") // a word without its tag
	_, err = readFile(t.Context(), writeFile(t, "train.txt", "# nothing else\n\n# at all\n"), TableOptions{}, readCoNLL, "sentence", "no sentence in it")
	wantError(t, err, "no sentence in it")
}
