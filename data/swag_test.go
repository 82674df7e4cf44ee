package data

import (
	"slices"
	"strings"
	"testing"
)

func TestReadSWAG(t *testing.T) {
	const file = "\ufeff,video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,label\r\n" +
		"0,v,17,x,\"A \"\"man\"\", here.\",He,gold,sits.,\"stands,\nthen sits.\",Été,2\r\n" +
		"1,v,18,x,B.,She,gold,a,b,c,0\n"
	read := func(file string, o TableOptions) (*Set, error) { return readSWAG(strings.NewReader(file), "a.csv", o) }
	data, err := read(file, TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	x := data.Examples[0]
	if x.Text != `A "man", here.` || x.TextPair != "He" || x.Label != "2" || x.ID != "17" || x.Source.Line != 2 ||
		!slices.Equal(x.Choices, []string{"sits.", "stands,\nthen sits.", "Été"}) {
		t.Errorf("%+v", x)
	}
	if y := data.Examples[1]; y.Source.Line != 4 || y.Label != "0" {
		t.Errorf("%+v", y)
	}
	if data, err = read(file, TableOptions{Unlabelled: true}); err != nil || data.Examples[0].Label != "" {
		t.Errorf("%+v, %v", data, err)
	}
	const head = "sent1,sent2,ending0,ending1,label\n"
	for _, c := range []struct {
		file string
		o    TableOptions
		want string
	}{
		{"", TableOptions{}, "a.csv: empty file"},
		{"sent1,ending0,ending1,label\n", TableOptions{}, `a.csv:1: no column "sent2"; the columns are "sent1"`},
		{"sent1,sent2,ending0,label\n", TableOptions{}, "a.csv:1: no columns ending0 and ending1"},
		{"sent1,sent2,ending0,ending1\n", TableOptions{}, `a.csv:1: no column "label"`},
		{"sent1,sent1,sent2,ending0,ending1,label\n", TableOptions{}, `a.csv:1: 2 columns are called "sent1"`},
		{"sent1,sent2,ending0,ending1,ending1,label\n", TableOptions{}, `a.csv:1: 2 columns are called "ending1"`},
		{head + "a,b,c,d,2\n", TableOptions{}, `a.csv:2: label "2" is not one of the endings 0 to 1`},
		{head + "a,b,c,d,\n", TableOptions{}, `a.csv:2: label "" is not one`},
		{head + "a,b,c,d,1\na,b,1\n", TableOptions{}, "a.csv:3: 3 columns, want 5 as on the first line"},
		{head + "a,b,c,d,1\na,\"b,c,d,1\n", TableOptions{}, "a.csv:3: column 12: a quoted field without an end"},
		{head, TableOptions{Columns: Columns{Text: "x"}}, "neither a column nor a format to choose"},
		{head, TableOptions{Format: TSV}, "neither a column nor a format to choose"},
	} {
		_, err := read(c.file, c.o)
		wantError(t, err, c.want)
	}
	data, err = read(head+"a,b,c,d,9\na,b,c,d,1\n", TableOptions{SkipBad: true})
	if err != nil || data.Skipped != 1 || len(data.Examples) != 1 {
		t.Errorf("%+v, %v", data, err)
	}
	_, err = ReadSWAG(t.Context(), writeFile(t, "a.csv", head), TableOptions{})
	wantError(t, err, "a header and no examples")
}

func FuzzReadSWAG(f *testing.F) {
	f.Add("sent1,sent2,ending0,ending1,label\na,b,c,d,1\n", false)
	f.Add("sent1,sent2,ending0,ending1\n\"a\nb\",b,c,d\n", true)
	f.Fuzz(func(t *testing.T, file string, loose bool) {
		data, err := readSWAG(strings.NewReader(file), "f", TableOptions{Unlabelled: loose, SkipBad: loose})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		for _, x := range data.Examples {
			if len(x.Choices) < 2 || (x.Label == "") != loose {
				t.Fatalf("%+v", x)
			}
		}
	})
}
