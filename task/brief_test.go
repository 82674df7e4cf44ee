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
		`[`: "details: ", `{"labels":["a"]}`: "0 rows for 1 labels", `{"labels":["a"],"confusion_matrix":[[1,2]]}`: "a row of 2", `{"labels":["a"],"confusion_matrix":[[-1]]}`: "-1 in a confusion matrix",
	} {
		if _, err := ParseBrief([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
