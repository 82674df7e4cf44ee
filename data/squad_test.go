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
	} {
		old, with, _ := strings.Cut(replace, "|")
		_, _, err := parseSQuAD(strings.NewReader(strings.Replace(squadSmall, old, with, 1)), "s.json", true)
		wantError(t, err, want)
	}
}

func FuzzSQuAD(f *testing.F) {
	f.Add([]byte(squadSmall))
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
