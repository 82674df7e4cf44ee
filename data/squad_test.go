package data

import (
	"bytes"
	"strings"
	"testing"
)

const squadSmall = `{"version":"1.1","data":[{"title":"T","paragraphs":[{"context":"é 東京 was bright","qas":[
 {"id":"1","question":"what is it?","answers":[{"text":"bright","answer_start":9}]}]}]}]}`

func TestReadSQuAD(t *testing.T) {
	version, examples, err := parseSQuAD(strings.NewReader(squadSmall), "s.json", true)
	if err != nil {
		t.Fatal(err)
	}
	x := examples[0]
	if version != SQuAD1 || x.ID != "1" || x.Group != "T" || x.TextPair[x.Answers[0].Start:] != "bright" {
		t.Errorf("version %s, %+v", version, x)
	}
	for replace, want := range map[string]string{
		`"answer_start":9|"answer_start":8`:      `s.json:T/1: answer "bright" is not at 8 of its context`,
		`"answer_start":9|"answer_start":99`:     `s.json:T/1: answer "bright": answer_start is 99, the context has 15 characters`,
		`"answer_start":9|"answer_start":"9"`:    `s.json: no file of SQuAD`,
		`"id":"1"|"id":""`:                       `s.json:T: question 1 of paragraph 1 has no id`,
		`"id":"1"|"id":"1","is_impossible":true`: `s.json:T/1: is_impossible is true, but there is an answer`,
		`"data"|"date"`:                          `s.json: no file of SQuAD: it has no key "data"`,
		`"data":[|"data":null,"x":[`:             `s.json: no file of SQuAD: it has no key "data"`,
		`"data":[|"data":[],"data":[`:            `s.json: key "data" twice`,
		`"context":"|"context":0,"x":"`:          `s.json: no file of SQuAD: context is 0, want a string`,
		`"qas":[|"qas":3,"x":[`:                  `s.json: no file of SQuAD: qas is 3, want a list`,
	} {
		old, with, _ := strings.Cut(replace, "|")
		_, _, err := parseSQuAD(strings.NewReader(strings.Replace(squadSmall, old, with, 1)), "s.json", true)
		wantError(t, err, want)
	}
}

func FuzzSQuAD(f *testing.F) {
	f.Add([]byte(squadSmall))
	addHostile(f, ".json")
	f.Fuzz(func(t *testing.T, data []byte) {
		_, examples, err := parseSQuAD(bytes.NewReader(data), "s.json", true)
		if err != nil {
			return
		}
		for _, x := range examples {
			for _, a := range x.Answers {
				if !strings.HasPrefix(x.TextPair[a.Start:], a.Text) {
					t.Fatalf("%+v", x)
				}
			}
		}
	})
}

// The keys of an object may come in any order, and answers may be missing.
func TestReadSQuADOrder(t *testing.T) {
	const file = `{"data":[{"paragraphs":[{"qas":[{"answers":[{"answer_start":2,"text":"was"}],"question":"q","id":"1","x":[{}]},` +
		`{"id":"2","question":"r","answers":null},{"id":"3","question":"s","answers":[],"is_impossible":true}],"context":"é was"}],"title":"T"},` +
		`{"title":null,"paragraphs":[{"context":"","qas":[{"id":"4","question":"r"}]}]}],"version":2}`
	version, x, err := parseSQuAD(strings.NewReader(file), "s.json", true)
	if err != nil || version != SQuAD2 || len(x) != 4 {
		t.Fatalf("version %v, %d examples, %v", version, len(x), err)
	}
	if x[0].Answers[0] != (Span{"was", 3}) || x[0].Group != "T" || x[0].Source.Member != "T/1" || x[1].Answers != nil || x[2].Answers == nil || len(x[2].Answers) != 0 || x[3].Group != "article 2" {
		t.Errorf("%+v", x)
	}
}

// Places in a context are counted in code points, however long it is.
func TestCodePoints(t *testing.T) {
	for _, text := range []string{"", "abc", strings.Repeat("aé東😀", 300)} {
		c, i := newCodePoints(text), 0
		for at := range text {
			if got := c.byte(i); got != at {
				t.Fatalf("code point %d is at %d, want %d", i, got, at)
			}
			i++
		}
		if c.len() != i || c.byte(i) != -1 || c.byte(-1) != -1 {
			t.Errorf("%d code points, want %d", c.len(), i)
		}
	}
}
