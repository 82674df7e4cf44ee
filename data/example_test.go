package data

import (
	"fmt"
	"slices"
	"testing"
)

func TestLabelsOf(t *testing.T) {
	labelled := func(labels ...string) []Example {
		var examples []Example
		for i, l := range labels {
			examples = append(examples, Example{Label: l, Source: Source{File: "a.csv", Line: i + 2}})
		}
		return examples
	}
	for _, c := range []struct{ labels, want []string }{
		{[]string{"pos", "neg", "pos"}, []string{"neg", "pos"}},
		{[]string{"10", "9", "-1", "9"}, []string{"-1", "9", "10"}},
		{[]string{"1", "01"}, []string{"01", "1"}},
		{[]string{"10", "9", "x"}, []string{"10", "9", "x"}},
	} {
		got, err := LabelsOf(labelled(c.labels...))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("labels of %q: %q, %v; want %q", c.labels, got, err, c.want)
		}
	}
	_, err := LabelsOf(labelled(slices.Repeat([]string{"pos"}, 5000)...))
	wantError(t, err, `all 5,000 examples have the label "pos": a classifier needs two`)
	_, err = LabelsOf(labelled("pos", ""))
	wantError(t, err, "a.csv:3: no label")
	_, err = LabelsOf(nil)
	wantError(t, err, "no examples")

	known := []string{"neg", "pos"}
	if err := CheckLabels(labelled("pos", "neg"), known); err != nil {
		t.Error(err)
	}
	wantError(t, CheckLabels(labelled("pos", "Pos"), known), `a.csv:3: label "Pos" is not one of "neg", "pos"`)
	var many []string
	for i := range 500 {
		many = append(many, fmt.Sprint("label", i))
	}
	wantError(t, CheckLabels(labelled("pos"), many), `"label19" and 480 more`)
}
