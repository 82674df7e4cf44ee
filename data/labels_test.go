package data

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestAlikeLabels(t *testing.T) {
	for _, c := range []struct {
		labels, others []string
		want           []string
	}{
		{[]string{"bad", "good"}, nil, nil},
		{[]string{"Good", "bad", "good"}, nil, []string{`labels "good" and "Good" differ by letter case alone`}},
		{[]string{"good", "good "}, nil, []string{`labels "good " and "good" differ by blanks alone`}},
		{[]string{"very good", " Very  Good"}, nil, []string{`labels " Very  Good" and "very good" differ by blanks and letter case alone`}},
		{[]string{"1", "1.0", "2"}, nil, []string{`labels "1.0" and "1" differ by the form of a number alone`}},
		{[]string{"-1", "1", "+1", "10"}, nil, []string{`labels "+1" and "1" differ by the form of a number alone`}},
		{[]string{"1e1", "10", "0x0a", "NaN", "inf"}, nil, nil},
		{[]string{"1000000000000000000001", "1000000000000000000002", "1.2.3", "."}, nil, nil},
		{[]string{"POSITIVE", "neg"}, []string{"positive", "neg"}, []string{`labels "POSITIVE" and "positive" differ by letter case alone`}},
		{[]string{"a", "A"}, []string{"a", "A"}, nil},
		{[]string{"0.0"}, []string{"1", "0"}, []string{`labels "0.0" and "0" differ by the form of a number alone`}},
	} {
		var got []string
		for _, a := range AlikeLabels(c.labels, c.others) {
			got = append(got, a.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q, %q: %q, want %q", c.labels, c.others, got, c.want)
		}
	}
	_, err := LabelID("Good", []string{"bad", "good"})
	wantError(t, err, `label "Good" is not one of "bad", "good"; it differs from "good" by letter case alone`)
}

// Records of other labels are an error, or are left out and counted beside those that were before.
func TestSetCheckLabels(t *testing.T) {
	set := func() *Set {
		s := &Set{Skipped: 2, FirstSkipped: errors.New("before")}
		for i, label := range []string{"a", "-", "b", ""} {
			s.Examples = append(s.Examples, Example{Label: label, Source: Source{File: "f", Line: i + 1}})
		}
		return s
	}
	err := set().CheckLabels([]string{"a", "b"}, false)
	wantError(t, err, `f:2: label "-" is not one of "a", "b"`)
	if e := new(SourceError); !errors.As(err, &e) || !e.Skippable {
		t.Errorf("%v can't be skipped", err)
	}
	s := set()
	if err := s.CheckLabels([]string{"a", "b"}, true); err != nil || len(s.Examples) != 2 || s.Examples[1].Label != "b" || s.Skipped != 4 || fmt.Sprint(s.FirstSkipped) != "before" {
		t.Errorf("%+v, %v", s, err)
	}
	wantError(t, set().CheckLabels([]string{"c"}, true), "no good record among 6; the first bad one: before")
	if err := s.CheckLabels([]string{"a", "b"}, true); err != nil || s.Skipped != 4 {
		t.Errorf("%+v, %v", s, err)
	}
}
