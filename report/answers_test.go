package report

import (
	"strings"
	"testing"

	"github.com/go-bert/bert/task"
)

// someAnswers are questions of SQuAD 2.0: of five the first and the third have no answer.
const someAnswers = `{"kind":"question_answering","global_step":1,"loss":1,"examples":5}
{"source":"dev.json:1","tokens":30,"loss":2,"id":"a","answer":"","best":"in Rome","null_odds":3,"passage":{"windows":1,"question":"Who was it?"}}
{"source":"dev.json:2","tokens":40,"loss":0.5,"id":"b","answers":["three old cats","cats"],"answer":"old cats","best":"old cats","null_odds":-4,"passage":{"windows":2,"question":"How many were there?","context":"… <b>three old cats</b> sat","right_at":[7,21],"best_at":[13,21]}}
{"source":"dev.json:3","tokens":50,"loss":3,"id":"c","answer":"a hat","best":"a hat","null_odds":-1,"passage":{"windows":1,"question":"In what town?"}}
{"source":"dev.json:4","tokens":60,"loss":0.2,"id":"d","answers":["Rome"],"answer":"Rome","best":"Rome","null_odds":-2,"passage":{"windows":1,"question":"WHERE?"}}
{"source":"dev.json:5","tokens":60,"loss":4,"id":"e","answers":["1815"],"answer":"","best":"1815","null_odds":1,"passage":{"windows":1,"question":"Name the year."}}
`

func TestAnswers(t *testing.T) {
	p := pageOf(t, Options{}, folder(t, map[string]string{
		task.OutcomesFile: someAnswers, task.SpecFile: `{"task":"squad2","kind":"question_answering","max_seq_length":64}`,
		task.ResultsFile: `{"exact":40,"f1":56,"loss":1,"global_step":1,"official_metrics":["f1"],"examples":5,"truncated":0,"compute_precision":"float32"}`,
	}))
	if got, want := names(p), "null-threshold null-odds answers answer-pr question-words windows answer-lengths length"; got != want {
		t.Fatalf("the figures are\n%s, want\n%s", got, want)
	}
	figures := make(map[string]*Figure)
	for _, f := range p.Figures() {
		figures[f.Name] = f
	}
	// The average precision of make_precision_recall_eval in the official evaluate-v2.0.py: of exact matches, in the order b, d, c, e, a,
	// it is 1/2/3 + 2/4/3; of F1 0.8·0.8/3 + 1.8/2/3 + 2.8/4/3; with right answers 1/3 + 1/3 + 3/4/3.
	for _, want := range []string{"0.3333 by exact", "0.7467 by F1", "would be 0.9167"} {
		if !strings.Contains(figures["answer-pr"].Finding, want) {
			t.Errorf("the finding of the curves is %q, want %q in it", figures["answer-pr"].Finding, want)
		}
	}
	if row := strings.Join(figures["answer-pr"].Table.Rows[3], " "); row != "1 4 0.6666667 0.5 0.9333333 0.7 1 0.75" {
		t.Errorf("after four questions the curves are at %s", row)
	}
	var words []string
	for _, row := range figures["question-words"].Table.Rows {
		words = append(words, row[0])
	}
	if got := strings.Join(words, ", "); got != "what, who, where, how many, other" {
		t.Errorf("the question words are %s", got)
	}
	if rows := figures["windows"].Table.Rows; len(rows) != 2 || rows[1][1] != "0" || rows[1][4] != "0.8" {
		t.Errorf("by windows: %v", rows)
	}
	if f := figures["answer-lengths"]; f.Table.Rows[2][2] != "1" || !strings.Contains(f.Finding, "longer than the right one 0 times and shorter once") {
		t.Errorf("the lengths are %v: %s", f.Table.Rows, f.Finding)
	}
	page := rendered(t, p)
	if strings.Contains(page, "<b>") || !strings.Contains(page, "How many were there?") {
		t.Error("the page has elements of a user's text, or no question")
	}
}

func TestContextLine(t *testing.T) {
	said := "cats"
	for _, c := range []struct {
		right, best *[2]int
		want        string
	}{
		{&[2]int{0, 5}, &[2]int{3, 8}, "[012:right][34:right, predicted][567:predicted][89:]"},
		{&[2]int{2, 4}, &[2]int{2, 4}, "[01:][23:right, predicted][456789:]"},
		{nil, &[2]int{8, 10}, "[01234567:][89:predicted]"},
		{nil, nil, "[0123456789:]"},
	} {
		got := ""
		for _, m := range contextLine(&task.Outcome{Passage: &task.Passage{Context: "0123456789", RightAt: c.right, BestAt: c.best}, Answer: &said}).Marks {
			got += "[" + m.Text + ":" + m.Label + "]"
		}
		if got != c.want {
			t.Errorf("%v and %v: %s, want %s", c.right, c.best, got, c.want)
		}
	}
	none := ""
	if marks := contextLine(&task.Outcome{Passage: &task.Passage{Context: "0123456789", BestAt: &[2]int{0, 2}}, Answer: &none}).Marks; len(marks) != 1 || marks[0].Label != "" {
		t.Errorf("the best answer is marked where the model gave none: %v", marks)
	}
}

func TestQuestionWord(t *testing.T) {
	for question, want := range map[string]string{"How much is it": "how many", "how so": "how", "To whom?": "who", "Is it red?": "other", "": "other", "What's that and why": "what", "Somewhat": "other"} {
		if got := questionWords[questionWord(question)]; got != want {
			t.Errorf("%q is of %s, want %s", question, got, want)
		}
	}
}
