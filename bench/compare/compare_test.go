package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestParseOutput(t *testing.T) {
	const (
		torch = "torch-infer base thr=2 B=8 S=128: 7.30 seq/s  [7.10-7.40]  p50 1095.90 ms min 1081.00 ms n=7  maxRSS 1024 MB\n"
		onnx  = "check logits [ 0.1, -0.2 ]\nort base.onnx thr=2 B=8 S=128: 8.90 seq/s [8.70-9.00] p50 500.000 ms p95 901.000 min 890.000 ms n=6 maxRSS 512 MB\n"
		texts = "first 952.472 ms\ntexts 872 p50 400.000 ms labels 0 800 72; maxRSS 64 MB\n"
		rust  = "rust thr=1 sst.txt docs=872 0.09 MB tokens=23001: 3.08 MB/s [2.97-3.18] 0.740 Mtok/s maxRSS 64 MB\n"
	)
	eight := func(out []byte) (result, error) { return parsePeer(out, 8) }
	for _, c := range []struct {
		out   string
		parse func([]byte) (result, error)
		want  result
	}{
		{torch, eight, result{rate: 8 / 1.0959, memory: 1 << 30}},
		{onnx, eight, result{rate: 16, memory: 512 << 20}},
		{rust, parseTokenizers, result{rate: 3.08, memory: 64 << 20}},
		{`{"sequences_per_second":9.5,"peak_rss_bytes":1000,"share_of_peak":0.91}`, parseBert, result{rate: 9.5, memory: 1000, share: 0.91}},
		{texts, parseTexts, result{rate: 872 / 0.4, memory: 64 << 20, labels: []int{72, 800}}},
		{`{"sequences_per_second":800,"peak_rss_bytes":1000,"labels":{"b":800,"a":72}}`, parseBert, result{rate: 800, memory: 1000, labels: []int{72, 800}}},
		{`{"sequences_per_second":null,"p50_ms":125,"beyond_pass_ms":75,"rss_bytes":1000}`, parseBert, result{rate: 8, memory: 1000}},
		{`{"sequences_per_second":900,"megabytes_per_second":31.5,"peak_rss_bytes":null,"share_of_peak":null}`, parseBert, result{rate: 31.5}},
	} {
		got, err := c.parse([]byte(c.out))
		text := func(r result) string { return fmt.Sprintf("%.9g %.9g %.9g %v", r.rate, r.memory, r.share, r.labels) }
		if err != nil || text(got) != text(c.want) {
			t.Errorf("%q gives %v, %v, want %v", c.out, got, err, c.want)
		}
	}
	for _, out := range []string{"", "p50 0.0 ms", "p50 1.2.3 ms", "{}", `{"sequences_per_second":1}{`} {
		for name, parse := range map[string]func([]byte) (result, error){"peer": eight, "tokenizers": parseTokenizers, "texts": parseTexts, "bert": parseBert} {
			if r, err := parse([]byte(out)); err == nil {
				t.Errorf("%s: %q gives %v, want an error", name, out, r)
			}
		}
	}
}

func TestParseFlags(t *testing.T) {
	o, err := parse(strings.Fields("--work infer,train,vocab --sizes tiny,base --batch-sizes 1,8 --text dir/a.txt --rounds 3"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range o.cases() {
		got = append(got, c.String())
	}
	const want = "infer tiny, batch 1; infer tiny, batch 8; infer base, batch 1; infer base, batch 8; train tiny, batch 32; train base, batch 32; vocab a.txt"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("the cases are %s, want %s", s, want)
	}
	o, err = parse(strings.Fields("--work texts,startup --sizes tiny --text a/sst2.txt,cola.txt --text-batch-sizes 8,32"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, c := range o.cases() {
		got = append(got, c.String())
	}
	const texts = "texts tiny sst2.txt, batch 8; texts tiny sst2.txt, batch 32; texts tiny cola.txt, batch 8; texts tiny cola.txt, batch 32; startup tiny sst2.txt"
	if s := strings.Join(got, "; "); s != texts {
		t.Errorf("the cases are %s, want %s", s, texts)
	}
	for _, args := range []string{
		"--work serve", "--text-batch-sizes x", "--rounds 0", "--batch-sizes 1,x", "--train-batch-sizes 0", "--precision int8", "--seconds 0", "--seconds NaN", "extra", "--no-such",
	} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
}

// TestTable compares fake programs: medians and ratios, a program that fails in a round, and one that lacks a case.
func TestTable(t *testing.T) {
	answers := func(rates ...float64) func(context.Context, *benchCase) (result, error) {
		round := -1
		return func(ctx context.Context, c *benchCase) (result, error) {
			if err := ctx.Err(); err != nil {
				return result{}, err
			}
			if c.work == tokenizing {
				return result{}, errors.ErrUnsupported
			}
			if round++; rates[round] == 0 {
				return result{}, errors.New("out of memory")
			}
			return result{rate: rates[round], memory: 2e9, share: 0.5}, nil
		}
	}
	tab := &table{
		options: &options{rounds: 3, threads: 2, length: 128, precision: "float32"},
		cases:   []benchCase{{work: inferring, size: "base", batch: 8}, {work: tokenizing, text: "dir/reviews.txt"}},
		programs: []*program{
			{name: "bert", ours: true, run: answers(10, 30, 12)},
			{name: "A", run: answers(3, 6, 6)},
			{name: "B", run: answers(5, 0)},
		},
		versions: []string{"bert v1", "A 2", "B 3"},
	}
	tab.measure(t.Context(), io.Discard)
	var b bytes.Buffer
	if err := tab.write(&b); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(b.String(), "\n") // the date and the machine
	const want = `bert v1, A 2, B 3.

| work | batch | unit | bert | A | B | bert / A | bert / B | bert, % of peak |
|---|---|---|---|---|---|---|---|---|
| infer base | 8 | sequences/s | 12.0 (10.0–30.0) | 6.00 (3.00–6.00) | 5.00 | 2.00 | 2.40 | 50.0 (50.0–50.0) |
| tokenize reviews.txt | – | MB/s | – | – | – | – | – | – |

| work | batch | unit | bert | A | B |
|---|---|---|---|---|---|
| infer base | 8 | GB of memory | 2.00 (2.00–2.00) | 2.00 (2.00–2.00) | 2.00 |
| tokenize reviews.txt | – | GB of memory | – | – | – |

Left out:

- B, infer base, batch 8: out of memory
`
	if got != want {
		t.Errorf("the tables are\n%s\nwant\n%s", got, want)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tab.absent = nil
	tab.measure(ctx, io.Discard)
	if len(tab.results) != 0 || len(tab.absent) != 1 || !strings.Contains(tab.absent[0], "interrupted") {
		t.Errorf("interrupted, it has %v and left out %q", tab.results, tab.absent)
	}
}

func TestDigits(t *testing.T) {
	for v, want := range map[float64]string{0.031: "0.03", 9.994: "9.99", 9.996: "10.0", 99.94: "99.9", 99.96: "100", 2785.4: "2785"} {
		if got := digits(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}
