package data

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

const squadSmall = `{"version":"1.1","data":[{"title":"T","paragraphs":[{"context":"é 東京 was bright","qas":[
 {"id":"1","question":"what is it?","answers":[{"text":"bright","answer_start":9}]}]}]}]}`

func TestReadSQuAD(t *testing.T) {
	version, set, err := parseSQuAD(strings.NewReader(squadSmall), "s.json", true, TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	examples := set.Examples
	x := examples[0]
	if version != SQuAD1 || x.ID != "1" || x.Group != "T" || x.TextPair[x.Answers[0].Start:] != "bright" {
		t.Errorf("version %s, %+v", version, x)
	}
	for replace, want := range map[string]string{
		`"answer_start":9|"answer_start":8`:      `s.json:T/1: answer "bright" is not at 8 of its context`,
		`"answer_start":9|"answer_start":99`:     `s.json:T/1: answer "bright": answer_start is 99, the context has 15 characters`,
		`"answer_start":9|"answer_start":"9"`:    `s.json: no file of SQuAD`,
		`"id":"1"|"id":""`:                       `s.json:T: question 1 of paragraph 1: it has no id`,
		`"id":"1"|"id":"1","is_impossible":true`: `s.json:T/1: is_impossible is true, but there is an answer`,
		`"data"|"date"`:                          `s.json: no file of SQuAD: it has no key "data"`,
		`"data":[|"data":null,"x":[`:             `s.json: no file of SQuAD: it has no key "data"`,
		`"data":[|"data":[],"data":[`:            `s.json: key "data" twice`,
		`"context":"|"context":0,"x":"`:          `s.json: no file of SQuAD: context is 0, want a string`,
		`"qas":[|"qas":3,"x":[`:                  `s.json: no file of SQuAD: qas is 3, want a list`,
	} {
		old, with, _ := strings.Cut(replace, "|")
		_, _, err := parseSQuAD(strings.NewReader(strings.Replace(squadSmall, old, with, 1)), "s.json", true, TableOptions{})
		wantError(t, err, want)
	}
}

func FuzzSQuAD(f *testing.F) {
	f.Add([]byte(squadSmall))
	f.Add([]byte(`{"data":[{"paragraphs":[{"context":"a b","qas":[{"id":1,"question":"q","answers":{"text":["b"],"answer_start":[2]}}]}]}]}`))
	f.Add([]byte(`{"data":[{"paragraphs":[{"context":"a b","qas":[{"id":"1","question":"q","answers":[{"text":"b","answer_start":0}]},{"id":"2","question":"q","answers":[{"text":"b","answer_start":2}]}]}]}]}`))
	addHostile(f, ".json")
	f.Fuzz(func(t *testing.T, data []byte) {
		_, set, err := parseSQuAD(bytes.NewReader(data), "s.json", true, TableOptions{})
		_, kept, skipErr := parseSQuAD(bytes.NewReader(data), "s.json", true, TableOptions{SkipBad: true})
		if err == nil && (skipErr != nil || len(kept.Examples) != len(set.Examples) || kept.Skipped > 0) {
			t.Fatalf("%d examples, with SkipBad %+v, %v", len(set.Examples), kept, skipErr)
		}
		if skipErr != nil {
			return
		}
		if e := new(SourceError); err != nil && (!errors.As(err, &e) || !e.Skippable) {
			t.Fatalf("%v was left out", err)
		}
		for _, x := range kept.Examples {
			if !utf8.ValidString(x.Text) || !utf8.ValidString(x.TextPair) {
				t.Fatalf("%q, %q", x.Text, x.TextPair)
			}
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
	version, set, err := parseSQuAD(strings.NewReader(file), "s.json", true, TableOptions{})
	if err != nil || version != SQuAD2 || len(set.Examples) != 4 {
		t.Fatalf("version %v, %v, %v", version, set, err)
	}
	x := set.Examples
	if x[0].Answers[0] != (Span{"was", 3}) || x[0].Group != "T" || x[0].Source.Member != "T/1" || x[3].Group != "article 2" {
		t.Errorf("%+v", x)
	}
	for _, x := range x[1:] { // null, a list without one, no such key
		if x.Answers == nil || len(x.Answers) != 0 {
			t.Errorf("question %s has the answers %v, want none", x.ID, x.Answers)
		}
	}
}

// What is wrong with a question is an error that says so, or counted. Answers that are null or missing are none, but in a file without
// any answer, which has no labels.
func TestSQuADSkipBad(t *testing.T) {
	paragraph := func(questions ...string) string {
		return `{"data":[{"title":"T","paragraphs":[{"context":"The cat sat on a mat in Paris.","qas":[` + strings.Join(questions, ",") + `]}]}]}`
	}
	const good = `{"id":"1","question":"where","answers":[{"text":"Paris","answer_start":24}]}`
	for question, want := range map[string]string{
		`{"id":"2","question":"on what","answers":[{"text":"mat","answer_start":3}]}`:                     `s.json:T/2: answer "mat" is not at 3`,
		`{"id":"2","question":"who","answers":[{"text":"the cat","answer_start":0}]}`:                     `s.json:T/2: answer "the cat" is not at 0 of its context, which has "The cat" there`,
		`{"id":"2","question":"who","answers":[{"text":"cat","answer_start":99}]}`:                        `answer_start is 99, the context has 30 characters`,
		`{"id":"2","question":"who","answers":[{"text":"cat"}]}`:                                          `answer 1 has no answer_start`,
		`{"id":"2","question":"who","answers":[{"answer_start":3},{"answer_start":4}]}`:                   `question 2 of paragraph 1: answer 1 has no text`,
		`{"id":"2","question":"who","answers":[],"is_impossible":false}`:                                  `is_impossible is false, but there is no answer`,
		`{"id":"2","question":"who","answers":null,"is_impossible":false}`:                                `is_impossible is false, but there is no answer`,
		`{"id":"2","question":"who","is_impossible":false}`:                                               `is_impossible is false, but there is no answer`,
		`{"id":"2","question":"who","answers":[{"text":"Paris","answer_start":24}],"is_impossible":true}`: `is_impossible is true, but there is an answer`,
		`{"id":"2","question":"who","answers":{"text":["cat","Paris"],"answer_start":[4]}}`:               `question 2 of paragraph 1: 2 texts of answers and 1 answer_start`,
		`{"id":"2","question":"who","answers":{"text":[null],"answer_start":[4]}}`:                        `question 2 of paragraph 1: 1 texts`,
		`{"id":"2","question":"who","answers":{"text":["cat"],"answer_start":[5]}}`:                       `s.json:T/2: answer "cat" is not at 5`,
		`{"id":"2","answers":[]}`:                  `no key "question"`,
		`{"id":"","question":"who","answers":[]}`:  `question 2 of paragraph 1: it has no id`,
		`{"id":"1","question":"who","answers":[]}`: `the id occurs in the file twice`,
	} {
		_, _, err := parseSQuAD(strings.NewReader(paragraph(good, question)), "s.json", true, TableOptions{})
		wantError(t, err, want)
		if e := new(SourceError); !errors.As(err, &e) || !e.Skippable {
			t.Errorf("%v can't be skipped", err)
		}
		_, set, err := parseSQuAD(strings.NewReader(paragraph(question, good, `{"id":"3","question":"q","answers":[]}`)), "s.json", true, TableOptions{SkipBad: true})
		if strings.Contains(want, "twice") { // then the other one is left out
			continue
		}
		if err != nil || len(set.Examples) != 2 || set.Examples[0].ID != "1" || set.Skipped != 1 {
			t.Errorf("%s: %+v, %v", question, set, err)
		}
	}
	for questions, want := range map[string]string{
		`{"id":"1","question":"q","answers":null}`:                                  "none",
		`{"id":"1","question":"q","answers":null,"is_impossible":true}`:             "none",
		`{"id":"1","question":"q","is_impossible":true}`:                            "none",
		`{"id":"1","question":"q"},{"id":"2","question":"q","answers":[]}`:          "none",
		`{"id":"1","question":"q"},{"id":"2","question":"q"}`:                       "unlabelled",
		`{"id":"1","question":"q","is_impossible":false},{"id":"2","question":"q"}`: "unlabelled",
	} {
		_, set, err := parseSQuAD(strings.NewReader(paragraph(questions)), "s.json", true, TableOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if x := set.Examples[0]; (x.Answers == nil) != (want == "unlabelled") || len(x.Answers) > 0 {
			t.Errorf("%s: %v, want %s", questions, x.Answers, want)
		}
	}
	// As Hugging Face's datasets have them, with numbers for ids.
	_, set, err := parseSQuAD(strings.NewReader(paragraph(`{"id":7,"question":"q","answers":{"answer_start":[24,24],"text":["Paris","Paris"]}}`,
		`{"id":8,"question":"q","answers":{"text":[],"answer_start":[]}}`)), "s.json", true, TableOptions{})
	if err != nil || len(set.Examples) != 2 || set.Examples[0].ID != "7" || len(set.Examples[0].Answers) != 2 || set.Examples[0].Answers[1] != (Span{"Paris", 24}) || set.Examples[1].Answers == nil {
		t.Errorf("%+v, %v", set, err)
	}
	_, _, err = parseSQuAD(strings.NewReader(paragraph(`{"id":"2","question":"who","answers":[{"text":"x","answer_start":3}]}`)), "s.json", true, TableOptions{SkipBad: true})
	wantError(t, err, "s.json: no good question among 1; the first bad one: s.json:T/2: answer")
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
