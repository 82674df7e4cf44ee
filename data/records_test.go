package data

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func readText(t *testing.T, name, content string, skipBad bool) (*Records, error) {
	t.Helper()
	return readRecords(t.Context(), strings.NewReader(content), name, TableOptions{SkipBad: skipBad})
}

func TestReadRecords(t *testing.T) {
	for name, c := range map[string]struct{ file, content, want string }{
		"csv":   {"a.csv", "text,label,n\n\"a, b\",x,1\n\nc,,2\n", "[text label n] [[a, b x 1] [c  2]] [2 4]"},
		"tsv":   {"a.tsv", "text\tlabel\na\tx\nb\ty\n", "[text label] [[a x] [b y]] [2 3]"},
		"jsonl": {"a.jsonl", `{"text":"a","n":1.50}` + "\n" + `{"label":true,"n":null,"list":[1]}` + "\n", "[text n label] [[a 1.50 ] [  true]] [1 2]"},
		"lines": {"a.txt", "one\n\n two, three\n", "[text] [[one] [ two, three]] [1 3]"},
		"stdin": {"stdin", "one\n", "[text] [[one]] [1]"},
	} {
		r, err := readText(t, c.file, c.content, false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := fmt.Sprint(r.Columns, " ", r.Rows, " ", r.Lines); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		for _, row := range r.Rows {
			if len(row) != len(r.Columns) {
				t.Errorf("%s: %d fields of %d columns", name, len(row), len(r.Columns))
			}
		}
	}
	for want, c := range map[string][2]string{
		"a.csv:3: 1 column, want 2": {"a.csv", "x,y\n1,2\n3\n"},
		"a.csv: empty file":         {"a.csv", ""},
		"a.csv: no records":         {"a.csv", "x,y\n"},
		"a.txt: no records":         {"a.txt", "\n\n"},
		"a.jsonl:1: not JSON":       {"a.jsonl", "{\n"},
		"a.csv:1: two columns":      {"a.csv", "x,x\n1,2\n"},
	} {
		_, err := readText(t, c[0], c[1], false)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	var keys strings.Builder
	for i := range maxRecordKeys + 1 {
		fmt.Fprintf(&keys, `{"k%d":1}`+"\n", i)
	}
	var bad *SourceError
	if _, err := readText(t, "a.jsonl", keys.String(), false); !errors.As(err, &bad) || bad.Source.Line != maxRecordKeys+1 {
		t.Errorf("%v, want an error of line %d", err, maxRecordKeys+1)
	}
	r, err := readText(t, "a.csv", "x,y\n1\n2,3\n4\n", true)
	if err != nil || len(r.Rows) != 1 || r.Skipped != 2 || r.FirstSkipped == nil {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := readText(t, "a.csv", "x,y\n1\n", true); err == nil || !strings.Contains(err.Error(), "no good record among 1") {
		t.Errorf("%v", err)
	}
}

// FuzzReadRecords: rows are as long as there are columns, or one line says what is wrong.
func FuzzReadRecords(f *testing.F) {
	f.Add("x,y\n1,\"a\nb\"\n", uint8(CSV))
	f.Add("x\ty\n1\t2\n", uint8(TSV))
	f.Add(`{"a":1,"b":[2]}`+"\n"+`{"b":"c"}`, uint8(JSONL))
	f.Add("one\ntwo", uint8(ByExtension))
	f.Fuzz(func(t *testing.T, content string, format uint8) {
		r, err := readRecords(t.Context(), strings.NewReader(content), "a", TableOptions{Format: Format(format % 4)})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("%q", err)
			}
			return
		}
		if len(r.Rows) == 0 || len(r.Lines) != len(r.Rows) {
			t.Errorf("%d rows, %d lines", len(r.Rows), len(r.Lines))
		}
		for _, row := range r.Rows {
			if len(row) != len(r.Columns) {
				t.Errorf("%d fields of %d columns", len(row), len(r.Columns))
			}
		}
	})
}
