package data

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
)

// Made lines in the layout of each file of GLUE, and what they say: text, second text and label.
var glueSamples = map[string]map[Split]struct {
	file, content string
	want          []string
}{
	"cola": {
		Train: {"train.tsv", "gj04\t1\t\tShe said \"no\".\ncj99\t0\t*\tNo \"said she.\n", []string{`She said "no".||1`, `No "said she.||0`}},
		Dev:   {"dev.tsv", "gj04\t1\t\tHe left.\n", []string{"He left.||1"}},
		Test:  {"test.tsv", "index\tsentence\n0\tThey \"left.\n1\tIt rains.\n", []string{`They "left.||`, "It rains.||"}},
	},
	"sst2": {
		Train: {"train.tsv", "sentence\tlabel\na joy \t1\n", []string{"a joy ||1"}},
		Dev:   {"dev.tsv", "sentence\tlabel\ndull . \t0\n", []string{"dull . ||0"}},
		Test:  {"test.tsv", "index\tsentence\n0\tit is fine .\n", []string{"it is fine .||"}},
	},
	"mrpc": {
		Train: {"train.tsv", "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t7\t8\tA \"b.\tB a.\r\n", []string{`A "b.|B a.|1`}},
		Dev:   {"dev.tsv", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t9\t10\tC.\tD.\n", []string{"C.|D.|0"}},
		Test:  {"test.tsv", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tE.\tF.\n", []string{"E.|F.|"}},
	},
	"stsb": {
		Train: {"train.tsv", stsbHeader + "\tscore\n0\tcaps\tfile\t2012\t1\tnone\tnone\tA man.\tA \"boy.\t3.800\n", []string{`A man.|A "boy.|3.800`}},
		Dev:   {"dev.tsv", stsbHeader + "\tscore\n0\tcaps\tfile\t2012\t1\tnone\tnone\tOne.\tTwo.\t0.000\n", []string{"One.|Two.|0.000"}},
		Test:  {"test.tsv", stsbHeader + "\n0\tcaps\tfile\t2012\t1\tnone\tnone\tOne.\tThree.\n", []string{"One.|Three.|"}},
	},
	"qqp": {
		Train: {"train.tsv", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n5\t6\t7\tWhy?\tHow \"so?\t0\n", []string{`Why?|How "so?|0`}},
		Dev:   {"dev.tsv", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n5\t6\t7\tWhere?\tIn what place?\t1\n", []string{"Where?|In what place?|1"}},
		Test:  {"test.tsv", "id\tquestion1\tquestion2\n0\tWho?\tWhat?\n", []string{"Who?|What?|"}},
	},
	"mnli": {
		Train:          {"train.tsv", mnliHeader + "\tlabel1\tgold_label\n" + mnliFields + "It rains.\tIt is wet.\tneutral\tentailment\n", []string{"It rains.|It is wet.|entailment"}},
		DevMatched:     {"dev_matched.tsv", mnliHeader + "\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n" + mnliFields + "A.\tB.\tn\te\te\tn\tn\tneutral\n", []string{"A.|B.|neutral"}},
		DevMismatched:  {"dev_mismatched.tsv", mnliHeader + "\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n" + mnliFields + "C.\tD.\tn\te\te\tn\tn\tcontradiction\n", []string{"C.|D.|contradiction"}},
		TestMatched:    {"test_matched.tsv", mnliHeader + "\n" + mnliFields + "E.\tF.\n", []string{"E.|F.|"}},
		TestMismatched: {"test_mismatched.tsv", mnliHeader + "\n" + mnliFields + "G.\tH.\n", []string{"G.|H.|"}},
	},
	"qnli": {
		Train: {"train.tsv", "index\tquestion\tsentence\tlabel\n0\tWhen?\tIn May.\tentailment\n", []string{"When?|In May.|entailment"}},
		Dev:   {"dev.tsv", "index\tquestion\tsentence\tlabel\n0\tWhen?\tIn Rome.\tnot_entailment\n", []string{"When?|In Rome.|not_entailment"}},
		Test:  {"test.tsv", "index\tquestion\tsentence\n0\tWhen?\tNever.\n", []string{"When?|Never.|"}},
	},
	"rte": {
		Train: {"train.tsv", "index\tsentence1\tsentence2\tlabel\n0\tAll came.\tOne came.\tentailment\n", []string{"All came.|One came.|entailment"}},
		Dev:   {"dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tOne came.\tAll came.\tnot_entailment\n", []string{"One came.|All came.|not_entailment"}},
		Test:  {"test.tsv", "index\tsentence1\tsentence2\n0\tNone.\tOne.\n", []string{"None.|One.|"}},
	},
	"wnli": {
		Train: {"train.tsv", "index\tsentence1\tsentence2\tlabel\n0\tHe saw it.\tHe saw a cat.\t1\n", []string{"He saw it.|He saw a cat.|1"}},
		Dev:   {"dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tHe saw it.\tA cat saw.\t0\n", []string{"He saw it.|A cat saw.|0"}},
		Test:  {"test.tsv", "index\tsentence1\tsentence2\n0\tIt ran.\tA cat ran.\n", []string{"It ran.|A cat ran.|"}},
	},
	"ax": {
		Dev:  {"diagnostic-full.tsv", "Lexical Semantics\tPredicate-Argument Structure\tLogic\tKnowledge\tDomain\tPremise\tHypothesis\tLabel\nLexical entailment\t\t\t\tNews\tA cat.\tAn animal.\tentailment\n", []string{"A cat.|An animal.|entailment"}},
		Test: {"diagnostic.tsv", "index\tsentence1\tsentence2\n0\tA cat.\tNo cat.\n", []string{"A cat.|No cat.|"}},
	},
}

const (
	stsbHeader = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
	mnliHeader = "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2"
	mnliFields = "0\t1\t1e\tfiction\t( a )\t( b )\t(ROOT a)\t(ROOT b)\t"
)

var glueLayouts = map[string]*Layout{
	"cola": &CoLA, "sst2": &SST2, "mrpc": &MRPC, "stsb": &STSB, "qqp": &QQP, "mnli": &MNLI, "qnli": &QNLI, "rte": &RTE, "wnli": &WNLI, "ax": &AX,
}

// Every file of every task is read as it says.
func TestGLUE(t *testing.T) {
	for name, layout := range glueLayouts {
		samples := glueSamples[name]
		if len(samples) != len(layout.Tables) {
			t.Errorf("%s: samples of %d files, want one of each of %v", name, len(samples), layout.Splits())
		}
		dir := t.TempDir()
		for split, s := range samples {
			if layout.Has(dir, split) {
				t.Errorf("%s has %s before it is there", name, split)
			}
			write(t, filepath.Join(dir, s.file), s.content)
			if !layout.Has(dir, split) {
				t.Errorf("%s doesn't have %s", name, split)
			}
		}
		for split, s := range samples {
			data, err := layout.Read(t.Context(), dir, ReadOptions{Split: split})
			if err != nil {
				t.Errorf("%s, %s: %v", name, split, err)
				continue
			}
			if got := said(data.Examples); !slices.Equal(got, slices.Sorted(slices.Values(s.want))) {
				t.Errorf("%s, %s: read %q, want %q", name, split, got, s.want)
			}
			if unlabelled := s.want[0][len(s.want[0])-1] == '|'; layout.Unlabelled(split) != unlabelled {
				t.Errorf("%s, %s: unlabelled is %v, want %v", name, split, !unlabelled, unlabelled)
			}
		}
	}
}

// MRPC is also read from the corpus as Microsoft gives it out, split by GLUE's list.
func TestMRPCFromTheCorpus(t *testing.T) {
	dir := t.TempDir()
	const header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
	write(t, filepath.Join(dir, "msr_paraphrase_train.txt"), header+"1\t1\t2\tA.\tB.\r\n0\t3\t4\tC.\tD.\r\n1\t4\t3\tD.\tC.\r\n")
	write(t, filepath.Join(dir, "msr_paraphrase_test.txt"), header+"0\t5\t6\tE.\tF.\r\n")
	_, err := MRPC.Read(t.Context(), dir, ReadOptions{Split: Dev})
	wantError(t, err, "dev_ids.tsv: no such file or directory (the list of the pairs for development)")
	write(t, filepath.Join(dir, "dev_ids.tsv"), "3\t4\n")
	for split, want := range map[Split][]string{
		Train: {"A.|B.|1", "D.|C.|1"}, Dev: {"C.|D.|0"}, Test: {"E.|F.|0"},
	} {
		data, err := MRPC.Read(t.Context(), dir, ReadOptions{Split: split})
		if err != nil {
			t.Fatal(err)
		}
		if got := said(data.Examples); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", split, got, want)
		}
	}
	write(t, filepath.Join(dir, "dev_ids.tsv"), "8\t9\n")
	_, err = MRPC.Read(t.Context(), dir, ReadOptions{Split: Dev})
	wantError(t, err, "msr_paraphrase_train.txt: no pair is left by the list dev_ids.tsv")
	if err := os.Remove(filepath.Join(dir, "msr_paraphrase_train.txt")); err != nil {
		t.Fatal(err)
	}
	_, err = MRPC.Read(t.Context(), dir, ReadOptions{})
	wantError(t, err, "train.tsv: no such file")
}

// The files that GLUE gives out have the numbers of rows and labels that its paper says.
func TestGoldenGLUE(t *testing.T) {
	for _, c := range []struct {
		task, folder string
		split        Split
		labels       map[string]int // "": not labelled
	}{
		{"cola", "CoLA", Train, map[string]int{"0": 2528, "1": 6023}},
		{"cola", "CoLA", Dev, map[string]int{"0": 322, "1": 721}},
		{"cola", "CoLA", Test, map[string]int{"": 1063}},
		{"sst2", "SST-2", Train, map[string]int{"0": 29780, "1": 37569}},
		{"sst2", "SST-2", Dev, map[string]int{"0": 428, "1": 444}},
		{"stsb", "STS-B", Train, map[string]int{"number": 5749}},
		{"stsb", "STS-B", Dev, map[string]int{"number": 1500}},
		{"stsb", "STS-B", Test, map[string]int{"": 1379}},
		{"qnli", "QNLI", Dev, map[string]int{"entailment": 2702, "not_entailment": 2761}},
		{"wnli", "WNLI", Train, map[string]int{"0": 323, "1": 312}},
		{"wnli", "WNLI", Dev, map[string]int{"0": 40, "1": 31}},
		{"wnli", "WNLI", Test, map[string]int{"": 146}},
	} {
		layout := glueLayouts[c.task]
		data, err := layout.Read(t.Context(), golden.Shared(t, "data", "glue", c.folder), ReadOptions{Split: c.split})
		if err != nil {
			t.Errorf("%s, %s: %v", c.task, c.split, err)
			continue
		}
		got := make(map[string]int)
		lines := records(t, data.Examples[0].Source.File, !layout.Tables[c.split].Columns.NoHeader)
		for i, x := range data.Examples {
			for _, text := range []string{x.Text, x.TextPair, x.Label} {
				if !strings.Contains(lines[i], text) {
					t.Fatalf("%v: %q is not in the line %q", x.Source, text, lines[i])
				}
			}
			label := x.Label
			if c.task == "stsb" && label != "" {
				label = "number"
			}
			got[label]++
			if x.Text == "" || strings.ContainsAny(x.Text+x.TextPair, "\t\n") {
				t.Errorf("%v: %q, %q", x.Source, x.Text, x.TextPair)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.labels) {
			t.Errorf("%s, %s: labels %v, want %v", c.task, c.split, got, c.labels)
		}
	}
}

// records are the lines of a file, without the header.
func records(t *testing.T, path string, header bool) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if header {
		lines = lines[1:]
	}
	return lines
}

// The diagnostic sentences come with what they are about, also where a column isn't there.
func TestDiagnosticFields(t *testing.T) {
	dir := t.TempDir()
	for header, want := range map[string][]string{
		"Lexical Semantics\tPredicate-Argument Structure\tLogic\tKnowledge\tDomain\tPremise\tHypothesis\tLabel\nLexical entailment\t\tNegation;Conjunction\t\tNews\tA cat.\tAn animal.\tentailment\n": {"Lexical entailment", "", "Negation;Conjunction", "", "News"},
		"Premise\tHypothesis\tLabel\tLogic\nA cat.\tAn animal.\tentailment\tNegation\n":                                                                                                               {"", "", "Negation", "", ""},
	} {
		write(t, filepath.Join(dir, "diagnostic-full.tsv"), header)
		set, err := AX.Read(t.Context(), dir, ReadOptions{Split: Dev})
		if err != nil || len(set.Examples) != 1 || !slices.Equal(set.Examples[0].Fields, want) {
			t.Errorf("%v, %v, want %q", set, err, want)
		}
	}
	write(t, filepath.Join(dir, "train.tsv"), "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tentailment\n")
	if set, err := RTE.Read(t.Context(), dir, ReadOptions{Split: Train}); err != nil || set.Examples[0].Fields != nil {
		t.Errorf("of rte: %v, %v", set, err)
	}
}
