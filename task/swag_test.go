package task

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/tokenizer"
)

func TestReadSWAG(t *testing.T) {
	const file = "\ufeff,video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,label\r\n" +
		"0,v,17,x,\"A \"\"man\"\", here.\",He,gold,sits.,\"stands,\nthen sits.\",Été,2\r\n" +
		"1,v,18,x,B.,She,gold,a,b,c,0\n"
	read := func(file string, o TableOptions) (*Data, error) { return readSWAG(strings.NewReader(file), "a.csv", o) }
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
	_, err = ReadSWAG(writeFile(t, "a.csv", head), TableOptions{})
	wantError(t, err, "a header and no examples")
}

// Rows of the data set: four choices, each [CLS] sent1 [SEP] sent2 ending [SEP], and a model that learns them.
func TestGoldenSWAG(t *testing.T) {
	swag, err := Lookup("swag")
	if err != nil {
		t.Fatal(err)
	}
	read, err := swag.Read(golden.Shared(t, "data", "swag", "sample-10rows.csv"), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	for _, x := range read.Examples {
		labels = append(labels, x.Label)
	}
	if got := strings.Join(labels, ""); got[:7] != "0313030" || len(got) != 10 {
		t.Errorf("the labels are %s", got)
	}
	tok, err := tokenizer.LoadVocab(golden.Shared(t, "vocab", "bert-base-uncased", "vocab.txt"), tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	data, err := NewDataset(tok, swag.Describe(nil, 64), read.Examples)
	if err != nil {
		t.Fatal(err)
	}
	var b bert.Batch
	if err := data.Append(&b, 1); err != nil {
		t.Fatal(err)
	}
	from, to := b.Sequence(3)
	const want = "[CLS] a drum line passes by walking down the street playing their instruments . [SEP] " +
		"members of the procession continue to play marching , interspersed . [SEP]"
	if got := strings.Join(tok.Tokens(b.IDs[from:to]), " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if b.Len() != 4 || b.Choices != 4 || b.Classes[0] != 3 || b.TypeIDs[from] != 0 || b.TypeIDs[to-1] != 1 {
		t.Errorf("%d sequences of %d choices, class %v", b.Len(), b.Choices, b.Classes)
	}
	c := tinyConfig()
	c.VocabSize, c.MaxPositionEmbeddings, c.InitializerRange, c.HiddenDropoutProb = tok.VocabSize(), 64, 0.1, 0
	m, err := bert.New(c, bert.Options{Head: bert.MultipleChoice, Threads: 1, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	learn(t, m, data, 30)
	r, err := Evaluate(t.Context(), m, data, EvaluateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if acc := r.Metrics().Value("eval_accuracy"); acc != 1 {
		t.Errorf("after learning ten rows by heart the accuracy is %v", acc)
	}
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
