package data

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/textfile"
	"pgregory.net/rapid"
)

// simple is an example as the tests write it: line, text, text pair, label.
func simple(e Example) string {
	return fmt.Sprintf("%d|%s|%s|%s", e.Source.Line, e.Text, e.TextPair, e.Label)
}

func readAll(t testing.TB, content, name string, o TableOptions) ([]string, error) {
	t.Helper()
	data, err := ReadTable(t.Context(), writeFile(t, name, content), o)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range data.Examples {
		out = append(out, simple(e))
	}
	if data.Skipped > 0 {
		out = append(out, fmt.Sprintf("skipped %d", data.Skipped))
	}
	return out, nil
}

func TestReadTable(t *testing.T) {
	numbers := Columns{Text: "4", Label: "2", NoHeader: true}
	for _, c := range []struct {
		name, file, content string
		options             TableOptions
		want                []string
	}{
		{"csv", "a.csv", "text,label\ngood,pos\n\"bad, \"\"very\"\"\",neg\n", TableOptions{}, []string{"2|good||pos", `3|bad, "very"||neg`}},
		{"csv, no newline at the end", "a.csv", "label,text\npos,good", TableOptions{}, []string{"2|good||pos"}},
		{"csv, mark and CRLF", "a.csv", "\ufefftext,label\r\ngood,pos\r\n", TableOptions{}, []string{"2|good||pos"}},
		{"csv, record of several lines", "a.csv", "text,label\n\"one\ntwo\",pos\n\nthree,neg\n", TableOptions{},
			[]string{"2|one\ntwo||pos", "5|three||neg"}},
		{"csv, other columns", "a.csv", "id,review,summary,stars\n7,good,fine,5\n8,bad,,1\n",
			TableOptions{Columns: Columns{Text: "review", TextPair: "summary", Label: "stars"}}, []string{"2|good|fine|5", "3|bad||1"}},
		{"csv, pair by default", "a.csv", "text,text_pair,label\na,b,1\n", TableOptions{}, []string{"2|a|b|1"}},
		{"csv, no header", "a.csv", "x,1,y,good\nx,0,y,bad\n", TableOptions{Columns: numbers}, []string{"1|good||1", "2|bad||0"}},
		{"csv, unlabelled", "a.csv", "text\ngood\n", TableOptions{Unlabelled: true}, []string{"2|good||"}},
		{"csv, label not read", "a.csv", "text,label\ngood,pos\nbad,\n", TableOptions{Unlabelled: true}, []string{"2|good||", "3|bad||"}},
		{"csv, skipped", "a.csv", "text,label\ngood,pos\nbad\nb\"d,neg\n\"x\"y,neg\n,\nfine,pos\n", TableOptions{SkipBad: true},
			[]string{"2|good||pos", "7|fine||pos", "skipped 4"}},
		{"tsv, quotes are text", "a.tsv", "sentence\tlabel\n\"unclosed\t0\nit 's \"odd\"\t1\n",
			TableOptions{Columns: Columns{Text: "sentence"}}, []string{`2|"unclosed||0`, `3|it 's "odd"||1`}},
		{"tsv, CRLF and blank lines", "a.tsv", "text\tlabel\r\n\r\ngood\tpos\r\n\n", TableOptions{}, []string{"3|good||pos"}},
		{"tsv, carriage return inside", "a.tsv", "text\tlabel\ngo\rod\tpos\n", TableOptions{}, []string{"2|go\rod||pos"}},
		{"tsv, no header", "a.tsv", "gj04\t1\t\tgood .\ngj04\t0\t*\tbad .", TableOptions{Columns: numbers}, []string{"1|good .||1", "2|bad .||0"}},
		{"tsv, skipped", "a.tsv", "text\tlabel\ngood\tpos\nbad\nvery\tbad\tneg\nfine\tpos\n", TableOptions{SkipBad: true},
			[]string{"2|good||pos", "5|fine||pos", "skipped 2"}},
		{"tsv, NUL is kept", "a.tsv", "text\tlabel\na\x00b\t1\n", TableOptions{}, []string{"2|a\x00b||1"}},
		{"jsonl", "a.jsonl", `{"text": "good", "label": "pos", "id": [1]}` + "\n\n" + `{"label": 0, "text": "b\u0061d", "text_pair": "x"}` + "\n" +
			`{"text": "so", "label": true, "text_pair": null}`, TableOptions{}, []string{"1|good||pos", "3|bad|x|0", "4|so||true"}},
		{"jsonl, other keys", "a.jsonl", `{"premise": "p", "hypothesis": "h", "gold": "yes"}`,
			TableOptions{Columns: Columns{Text: "premise", TextPair: "hypothesis", Label: "gold"}}, []string{"1|p|h|yes"}},
		{"jsonl, skipped", "a.jsonl", "{\n{\"text\": \"a\"}\n{\"text\": \"b\", \"label\": \"x\"}\n[1]\n", TableOptions{SkipBad: true},
			[]string{"3|b||x", "skipped 3"}},
		{"format given", "data", "text\tlabel\ngood\tpos\n", TableOptions{Format: TSV}, []string{"2|good||pos"}},
		{"compressed", "a.csv.gz", string(gzipped(t, []byte("text,label\ngood,pos\n"))), TableOptions{}, []string{"2|good||pos"}},
		{"compressed, whatever the name", "A.CSV", string(gzipped(t, []byte("\ufefftext,label\ngood,pos\n"))), TableOptions{}, []string{"2|good||pos"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(t, c.content, c.file, c.options)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("read\n\t%q\nwant\n\t%q", got, c.want)
			}
		})
	}
}

func TestReadTableErrors(t *testing.T) {
	long := strings.Repeat("long ", textfile.MaxRecord/5+1000)
	for _, c := range []struct {
		name, file, content string
		options             TableOptions
		want                []string
	}{
		{"empty", "a.csv", "", TableOptions{}, []string{"a.csv: empty file"}},
		{"empty jsonl", "a.jsonl", "\n\n", TableOptions{}, []string{"a.jsonl: empty file"}},
		{"header only", "a.tsv", "text\tlabel\n", TableOptions{}, []string{"a.tsv: a header and no examples"}},
		{"nothing good", "a.tsv", "text\tlabel\nx\ny\n", TableOptions{SkipBad: true}, []string{"a.tsv: no good record among 2", "a.tsv:2: 1 column, want 2"}},
		{"extension", "a.txt", "x", TableOptions{}, []string{"a.txt: its name ends in none of .csv, .tsv, .jsonl"}},
		{"no column", "a.csv", "review,label\nx,y\n", TableOptions{}, []string{`a.csv:1: no column "text" for the text; the columns are "review", "label"`}},
		{"no label column", "a.csv", "text,stars\nx,y\n", TableOptions{}, []string{`a.csv:1: no column "label" for the label`}},
		{"pair asked for", "a.csv", "text,label\nx,y\n", TableOptions{Columns: Columns{TextPair: "reply"}}, []string{`no column "reply" for the second text`}},
		{"column twice", "a.csv", "text,text,label\nx,y,z\n", TableOptions{}, []string{`a.csv:1: 2 columns are called "text"`}},
		{"no numbers", "a.csv", "x,y\n", TableOptions{Columns: Columns{NoHeader: true}}, []string{`column "" for the text`, "needs the columns' numbers, from 1"}},
		{"number 0", "a.csv", "x,y\n", TableOptions{Columns: Columns{Text: "0", Label: "2", NoHeader: true}}, []string{`column "0" for the text`}},
		{"number too large", "a.csv", "x,y\n", TableOptions{Columns: Columns{Text: "1", Label: "3", NoHeader: true}}, []string{"a.csv:1: 2 columns, want at least 3"}},
		{"too few columns", "a.tsv", "id\ttext\tlabel\n1\tx\ty\n2\tx\n", TableOptions{}, []string{"a.tsv:3: 2 columns, want 3 as on the first line"}},
		{"too many columns", "a.csv", "text,label\nx,y\nfine, really,pos\n", TableOptions{}, []string{"a.csv:3: 3 columns, want 2"}},
		{"no label", "a.csv", "text,label\nx,\n", TableOptions{}, []string{"a.csv:2: no label"}},
		{"bare quote", "a.csv", "text,label\nx\"y,z\n", TableOptions{}, []string{"a.csv:2: column 2: a quote inside a field without quotes"}},
		{"quote in quotes", "a.csv", "text,label\n\"x\"y\",z\n", TableOptions{}, []string{"a.csv:2: column 3: a quoted field without an end, or with a quote in it"}},
		// The rest of the file is lost to the quote, which SkipBad must not count as one bad record.
		{"open quote", "a.csv", "text,label\nx,y\n\"x,y\nx,y\nx,y\n", TableOptions{SkipBad: true}, []string{"a.csv:3: a quoted field begins in this record and has no end"}},
		{"record too long", "a.csv", "text,label\n\"" + long, TableOptions{}, []string{"a.csv:2: a record of more than 16,777,216 bytes"}},
		{"line too long", "a.tsv", "text\tlabel\nx\ty\n" + long + "\n", TableOptions{}, []string{"a.tsv:3: a record of more than 16,777,216 bytes"}},
		{"not json", "a.jsonl", "{\"text\": \"a\", \"label\": \"b\"}\n{\"text\": }\n", TableOptions{}, []string{"a.jsonl:2: not JSON: invalid character '}'"}},
		{"json cut off", "a.jsonl", `{"text": "a", "label": "b`, TableOptions{}, []string{"a.jsonl:1: not JSON: it ends too early"}},
		{"two objects", "a.jsonl", `{"text": "a", "label": "b"} {}`, TableOptions{}, []string{"a.jsonl:1: something follows"}},
		{"no object", "a.jsonl", `"text"`, TableOptions{}, []string{"a.jsonl:1: not a JSON object"}},
		{"key twice", "a.jsonl", `{"text": "a", "text": "b"}`, TableOptions{}, []string{`a.jsonl:1: key "text" twice`}},
		{"text no string", "a.jsonl", `{"text": 5, "label": "b"}`, TableOptions{}, []string{`a.jsonl:1: text is "5", want a string`}},
		{"label a list", "a.jsonl", `{"text": "5", "label": ["b"]}`, TableOptions{}, []string{`a.jsonl:1: label is "[\"b\"]", want a string or a number`}},
		{"no key text", "a.jsonl", `{"Text": "a", "label": "b"}`, TableOptions{}, []string{`a.jsonl:1: no key "text"`}},
		{"no key label", "a.jsonl", `{"text": "a", "label": null}`, TableOptions{}, []string{`a.jsonl:1: no label: no key "label"`}},
		{"utf-16", "a.csv", "\xff\xfet\x00e\x00", TableOptions{}, []string{"a.csv: text in UTF-16"}},
		{"compressed and cut off", "a.csv.gz", string(gzipped(t, []byte("text,label\na,b\n"))[:20]), TableOptions{}, []string{"a.csv.gz", "truncated"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(t, c.content, c.file, c.options)
			if err == nil {
				t.Fatalf("read %q, want an error", got)
			}
			wantError(t, err, c.want...)
			if len(err.Error()) > 400 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
	_, err := ReadTable(t.Context(), "testdata/none.csv", TableOptions{})
	wantError(t, err, "testdata/none.csv: no such file or directory")
	_, err = ReadTable(t.Context(), "testdata", TableOptions{})
	wantError(t, err, "testdata: a folder")
}

// A line just within the bound is read, and after one beyond it reading goes on.
func TestLongLines(t *testing.T) {
	within := strings.Repeat("x", textfile.MaxRecord-len("\tpos"))
	content := "text\tlabel\n" + within + "\tpos\r\n" + within + "x\tpos\nshort\tneg\n"
	data, err := ReadTable(t.Context(), writeFile(t, "a.tsv", content), TableOptions{SkipBad: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(data.Examples) != 2 || data.Skipped != 1 || data.Examples[0].Text != within || data.Examples[1].Source.Line != 4 {
		t.Errorf("read %d examples, skipped %d, want 2 and 1", len(data.Examples), data.Skipped)
	}
	wantError(t, data.FirstSkipped, "a.tsv:3: a record of more than")
}

// failing gives data and then an error.
type failing struct {
	data io.Reader
	err  error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.data.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

// A failing disk is no end of file, and not skipped.
func TestReadErrors(t *testing.T) {
	broken := errors.New("broken disk")
	for format, content := range map[Format]string{
		CSV: "text,label\na,b\nc,d\ne", TSV: "text\tlabel\na\tb\nc\td\ne", JSONL: `{"text":"a","label":"b"}` + "\n" + `{"text":"a","label":"b"}` + "\n{",
	} {
		r, err := NewTableReader(failing{strings.NewReader(content), broken}, "x", TableOptions{Format: format, SkipBad: true})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for {
			if _, err = r.Read(); err != nil {
				break
			}
			n++
		}
		if n != 2 || !errors.Is(err, broken) {
			t.Errorf("%v: %d examples and %v, want 2 and %v", format, n, err, broken)
		}
	}
}

// What encoding/csv, tabs and encoding/json write is read back.
func TestTablesRoundTrip(t *testing.T) {
	type record struct {
		Text     string `json:"text"`
		TextPair string `json:"text_pair"`
		Label    string `json:"label"`
	}
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.StringOf(rapid.OneOf(rapid.SampledFrom([]rune("\" ,;'\\{}ab")), rapid.Rune().Filter(func(r rune) bool { return r >= ' ' && r != '\ufeff' })))
		records := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) record {
			return record{field.Draw(t, "text"), field.Draw(t, "pair"), field.Draw(t, "label") + "l"}
		}), 1, 8).Draw(t, "records")
		written := map[Format]*bytes.Buffer{CSV: {}, TSV: {}, JSONL: {}}
		w := csv.NewWriter(written[CSV])
		header := []string{"text", "text_pair", "label"}
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		must(w.Write(header))
		fmt.Fprintln(written[TSV], strings.Join(header, "\t"))
		e := json.NewEncoder(written[JSONL])
		for _, r := range records {
			fields := []string{r.Text, r.TextPair, r.Label}
			must(w.Write(fields))
			fmt.Fprintln(written[TSV], strings.Join(fields, "\t"))
			must(e.Encode(r))
		}
		w.Flush()
		for format, content := range written {
			table, err := NewTableReader(content, "x", TableOptions{Format: format})
			must(err)
			for i, want := range records {
				got, err := table.Read()
				must(err)
				if got.Text != want.Text || got.TextPair != want.TextPair || got.Label != want.Label {
					t.Fatalf("%v, record %d: read %+v, want %+v", format, i, got, want)
				}
			}
			if _, err := table.Read(); err != io.EOF {
				t.Fatalf("%v: after the last record: %v", format, err)
			}
		}
	})
}

func fuzzTable(f *testing.F, format Format, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, noHeader bool) {
		for _, several := range []bool{false, true} {
			checkTable(t, format, data, noHeader, several)
		}
	})
}

func checkTable(t *testing.T, format Format, data []byte, noHeader, several bool) {
	if len(data) > 1<<16 {
		return
	}
	o := TableOptions{Format: format, MultiLabel: several}
	if noHeader && format != JSONL {
		o.Columns = Columns{Text: "2", TextPair: "1", Label: "2", NoHeader: true}
	}
	read := func(skip bool) (examples []Example, skipped int, err error) {
		o.SkipBad = skip
		r, err := NewTableReader(bytes.NewReader(data), "fuzz", o)
		if err != nil {
			return nil, 0, err
		}
		for {
			e, err := r.Read()
			if err != nil {
				skipped, _ := r.Skipped()
				return examples, skipped, err
			}
			if e.Label == "" && !several || (e.Labels != nil) != several || slices.Contains(e.Labels, "") {
				t.Fatalf("an example without a label, or with an empty one: %+v", e)
			}
			if n := len(examples); n > 0 && examples[n-1].Source.Line >= e.Source.Line {
				t.Fatalf("line %d after line %d", e.Source.Line, examples[n-1].Source.Line)
			}
			examples = append(examples, e)
		}
	}
	strict, _, strictErr := read(false)
	lenient, skipped, err := read(true)
	// Up to the first bad record the two agree.
	if len(lenient) < len(strict) || !slices.EqualFunc(strict, lenient[:len(strict)], func(a, b Example) bool { return simple(a) == simple(b) }) {
		t.Fatalf("without bad records %d examples, with SkipBad %d others", len(strict), len(lenient))
	}
	if strictErr == io.EOF && (err != io.EOF || skipped != 0 || len(lenient) != len(strict)) {
		t.Fatalf("no bad record, but SkipBad skipped %d and ended in %v", skipped, err)
	}
}

// Several labels stand between commas, or in a list.
func TestSeveralLabels(t *testing.T) {
	for name, content := range map[string]string{
		"a.csv":   "text,label\none,\"x, y\"\ntwo,\nthree,z\n",
		"a.tsv":   "text\tlabel\none\tx,y,\ntwo\t\nthree\tz\n",
		"a.jsonl": `{"text": "one", "label": ["x", " y "]}` + "\n" + `{"text": "two", "label": []}` + "\n" + `{"text": "three", "label": "z"}` + "\n",
	} {
		path := writeFile(t, name, content)
		data, err := ReadTable(t.Context(), path, TableOptions{MultiLabel: true})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range [][]string{{"x", "y"}, {}, {"z"}} {
			x := data.Examples[i]
			if !slices.Equal(x.Labels, want) || x.Labels == nil || x.Label != "" || !x.Labelled() {
				t.Errorf("%s, record %d: %q, want %q", name, i, x.Labels, want)
			}
		}
		if labels, err := LabelsOf(data.Examples); err != nil || !slices.Equal(labels, []string{"x", "y", "z"}) {
			t.Errorf("%s: labels %q, %v", name, labels, err)
		}
		wantError(t, CheckLabels(data.Examples, []string{"x", "y"}), name+":", `label "z" is not one of "x", "y"`)
		data, err = ReadTable(t.Context(), path, TableOptions{MultiLabel: true, Unlabelled: true})
		if err != nil || data.Examples[0].Labelled() {
			t.Errorf("%s, unlabelled: %+v, %v", name, data, err)
		}
	}
	for content, want := range map[string]string{
		`{"text": "a", "label": ["x", ""]}`:   "a.jsonl:1: label: number 2 is empty",
		`{"text": "a", "label": ["x", null]}`: "a.jsonl:1: label: number 2 is empty",
		`{"text": "a", "label": [["x"]]}`:     "a.jsonl:1: label is",
		`{"text": "a", "label": null}`:        `a.jsonl:1: no label: no key "label"`,
	} {
		_, err := ReadTable(t.Context(), writeFile(t, "a.jsonl", content+"\n"), TableOptions{MultiLabel: true})
		wantError(t, err, want)
	}
	_, err := LabelsOf([]Example{{Labels: []string{}}})
	wantError(t, err, "none of 1 examples has a label")
}

func FuzzCSV(f *testing.F) {
	fuzzTable(f, CSV, "text,label\na,b\n\"c\nd\",\"e\"\"\"\n", "text,text_pair,label\r\na,b,c\r\n", "a,\"b", "text,label\nx\"y,z\n", "\ufefftext,label\n\n,x", "text,label\na,\"b, c\"\n", "\x1f\x8b")
}

func FuzzTSV(f *testing.F) {
	fuzzTable(f, TSV, "text\tlabel\na\tb\n\"c\td\n", "a\tb\r\n\r\nc\td", "\xff\xfe", "text\ttext\tlabel\n", "\x00\t\x00\n")
}

func FuzzJSONL(f *testing.F) {
	fuzzTable(f, JSONL, `{"text":"a","label":"b"}`+"\n"+`{"text":"\ud800","label":1e9,"text_pair":"c"}`, `{"text":"a","label":["b",1,""]}`, `{"text":"a","label":" "}`, `{"text":null}`, "{}", `{"text":"a","label":{}}`, "[[[[")
}
