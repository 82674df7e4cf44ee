package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	o, err := parse(strings.Fields("--model m --programs bert,library --workloads pairs --connections 1,64 --flags --threads=1,--precision=bf16"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.connections) != 2 || o.connections[1] != 64 || len(o.flags) != 2 || !wants(o.programs, "bert") || wants(o.programs, "infinity") || !wants(nil, "infinity") {
		t.Errorf("the options are %+v", o)
	}
	for _, args := range []string{
		"", "--model m --programs nginx", "--model m --workloads songs", "--model m --connections 0", "--model m --connections x", "--model m --rounds 0", "--model m --seconds NaN",
		"--model m --soak -1", "--render", "--model m extra",
	} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
}

// TestBodies: what a program is sent, and how its answers are read.
func TestBodies(t *testing.T) {
	sentence, pair := &workloads[0], &workloads[2]
	if got, want := string(sentence.body(&programs[0], query{Text: `a "b"`})), `{"input":"a \"b\"","model":"embedder"}`; got != want {
		t.Errorf("the body is %s, want %s", got, want)
	}
	if got, want := string(pair.body(&programs[2], query{Text: "q", Pair: "p"})), `{"documents":["p"],"model":"scorer","query":"q"}`; got != want {
		t.Errorf("the body is %s, want %s", got, want)
	}
	for _, c := range []struct {
		w      *workload
		answer string
		want   []float64
	}{
		{sentence, `{"data":[{"embedding":[0.5,-1]}]}`, []float64{0.5, -1}},
		{sentence, `{"data":[]}`, nil},
		{sentence, `[1]`, nil},
		{pair, `[{"index":0,"score":0.25}]`, []float64{0.25}},
		{pair, `{"results":[{"index":0,"relevance_score":0.5}]}`, []float64{0.5}},
		{pair, `[]`, nil},
		{pair, `{"error":"x"}`, nil},
	} {
		got, err := c.w.numbers([]byte(c.answer))
		if (err == nil) != (c.want != nil) || len(got) != len(c.want) {
			t.Errorf("%s, %s: %v, %v, want %v", c.w.name, c.answer, got, err, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s, %s: %v, want %v", c.w.name, c.answer, got, c.want)
			}
		}
	}
}

func TestParseLoad(t *testing.T) {
	s, err := parseLoad([]byte("Running 10s test\n  50%  1ms\n\n" + `{"requests":100,"seconds":10.0,"median_ms":1.5,"p99_ms":9,"longest_ms":20,"errors":3,"refused":2}` + "\n"))
	if err != nil || s.PerSecond != 9.8 || s.Median != 1.5 || s.P99 != 9 || s.Longest != 20 || s.Errors != 3 || s.Requests != 100 {
		t.Errorf("the sample is %+v, %v", s, err)
	}
	for _, out := range []string{"", "unable to connect\n", `{"requests":0,"seconds":10}`, `{"requests":1,"seconds":0}`} {
		if _, err := parseLoad([]byte(out)); err == nil {
			t.Errorf("%q: no error", out)
		}
	}
}

// TestTable: medians of rounds, the best in bold, faults and load told, between the marks of a file.
func TestTable(t *testing.T) {
	at := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	m := machine{"Some Processor", "linux/amd64", 2, []string{"bert v1", "torch 2"}}
	one := func(program string, connections int, rate float64, errors int) sample {
		return sample{Workload: "sentences", Connections: connections, Program: program, PerSecond: rate, Median: 1e3 / rate, P99: 2e3 / rate, Errors: errors, Memory: 5e7, Difference: 1e-7, Others: 0.5, Time: at, Machine: m}
	}
	samples := []sample{
		one("infinity", 64, 90, 0), one("bert", 64, 100, 0), one("bert", 64, 120, 0), one("bert", 64, 500, 0), one(library, 0, 200, 0), one("bert", 1, 8, 2), one(library, 1, 9, 0),
		{LeftOut: "text-embeddings-inference: no program"},
	}
	got := tableOf(samples)
	want := `| texts | connections | library | bert | infinity |
|---|---:|---|---|---|
| SST-2 dev, a sentence | all in one call | 200/s | – | – |
| SST-2 dev, a sentence | 1 | 9.00/s, 111 / 222 ms | **8.00/s**, 125 / 250 ms, 2 errors | – |
| SST-2 dev, a sentence | 64 | – | **120/s**, 8.33 / 16.7 ms | 90.0/s, 11.1 / 22.2 ms |

Requests a second, and the median and 99th percentile of their times. Some Processor, 2 processors, linux/amd64, 29 November 2026; bert v1, torch 2.
Resident memory: bert 50 MB (numbers within 1e-07 of the library's), infinity 50 MB (numbers within 1e-07 of the library's).
Taken under load: other processes had up to 50 % of the processors.
Left out: text-embeddings-inference: no program.
`
	if got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte("before\n"+markBegin+"\nold\n"+markEnd+"\nafter\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := writeBetweenMarks(path, got); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(path)
	if want := "before\n" + markBegin + "\n\n" + got + "\n" + markEnd + "\nafter\n"; err != nil || string(page) != want {
		t.Errorf("the page is\n%s, %v", page, err)
	}
	if err := os.WriteFile(path, []byte("no marks"), 0o666); err != nil {
		t.Fatal(err)
	}
	if writeBetweenMarks(path, got) == nil {
		t.Error("no error for a page without marks")
	}
}

func TestSamples(t *testing.T) {
	path := filepath.Join(t.TempDir(), "samples.jsonl")
	d := &driver{options: &options{samples: path}, stderr: io.Discard}
	for _, s := range []sample{{Workload: "pairs", PerSecond: 1}, {LeftOut: "x"}} {
		if err := d.add(s); err != nil {
			t.Fatal(err)
		}
	}
	list, err := readSamples(path)
	if err != nil || len(list) != 2 || list[0].Workload != "pairs" || list[1].LeftOut != "x" {
		t.Errorf("read again: %+v, %v", list, err)
	}
	if list, err := readSamples(path + "x"); err != nil || list != nil {
		t.Errorf("a file that isn't there: %v, %v", list, err)
	}
}
