package task

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/metric"
)

// A Brief has the confusion matrix of few labels, and is read as it was written.
func TestBrief(t *testing.T) {
	r := &Result{Report: &ClassReport{Labels: []string{"no", "<b>"}, Confusion: metric.ConfusionMatrix{{1, 2}, {3, 4}}}}
	text, err := json.Marshal(r.Brief())
	if want := `{"labels":["no","\u003cb\u003e"],"confusion_matrix":[[1,2],[3,4]]}`; err != nil || string(text) != want {
		t.Fatalf("%s, %v, want %s", text, err, want)
	}
	if back, err := ParseBrief(text); err != nil || !reflect.DeepEqual(back, r.Brief()) {
		t.Errorf("%+v, %v", back, err)
	}
	// Of other tasks it has F1 of each label.
	for _, report := range []Report{
		&MultiLabelReport{Labels: []string{"a", "b"}, Scores: metric.MultiLabelReport{Classes: []metric.Score{{F1: 0.5}, {F1: 0.25}}}},
		&EntityReport{Types: []string{"a", "b"}, EntityReport: metric.EntityReport{Types: []metric.Score{{F1: 0.5}, {F1: 0.25}}}},
	} {
		text, err := json.Marshal((&Result{Report: report}).Brief())
		if want := `{"labels":["a","b"],"f1":[0.5,0.25]}`; err != nil || string(text) != want {
			t.Errorf("of a %T: %s, %v, want %s", report, text, err, want)
		}
		if back, err := ParseBrief(text); err != nil || !slices.Equal(back.LabelF1(), []float64{0.5, 0.25}) {
			t.Errorf("of a %T: %+v, %v", report, back, err)
		}
	}
	// Of “no” 1 is right, 3 have it and 4 are said to.
	if got := r.Brief().LabelF1(); !slices.Equal(got, []float64{2.0 / 7, 8.0 / 13}) {
		t.Errorf("F1 is %v", got)
	}
	many := &ClassReport{Labels: slices.Repeat([]string{"x"}, briefLabels+1)}
	for _, report := range []Report{many, new(RegressionReport)} {
		if b := (&Result{Report: report}).Brief(); b != nil {
			t.Errorf("of a %T: %+v", report, b)
		}
	}
	if b, err := ParseBrief(nil); err != nil || len(b.Labels) != 0 {
		t.Errorf("of nothing: %+v, %v", b, err)
	}
	for text, want := range map[string]string{
		`[`: "details: ", `{"labels":["a"]}`: "0 rows and 0 scores for 1 labels", `{"labels":["a"],"confusion_matrix":[[1]],"f1":[1]}`: "1 rows and 1 scores", `{"labels":["a"],"f1":[1,2]}`: "2 scores for 1 labels",
		`{"labels":["a"],"confusion_matrix":[[1,2]]}`: "a row of 2", `{"labels":["a"],"confusion_matrix":[[-1]]}`: "-1 in a confusion matrix",
	} {
		if _, err := ParseBrief([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
