package report

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/go-bert/bert/train"
)

func TestPhases(t *testing.T) {
	for options, want := range map[string]string{
		"": "[]",
		"200 steps of 8 examples, batch 0, tokens 0":                                                "[]",
		"120 steps of 203 examples, batch 0, tokens 0; 80 steps of 164 examples, batch 8, tokens 0": "[120 80]",
		"many steps of 3; 80 steps of 164":                                                          "[]",
		"-1 steps of 3; 80 steps of 164":                                                            "[]",
	} {
		if got := fmt.Sprint(phaseSteps(&train.Events{Options: map[string]string{"phases": options}})); got != want {
			t.Errorf("the phases of %q are %s, want %s", options, got, want)
		}
	}
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	e := &train.Events{Started: start, Options: map[string]string{"phases": "20 steps of 3; 20 steps of 5"}}
	for i := 1; i <= 3; i++ {
		e.Logged = append(e.Logged, train.LoggedStep{Step: 10 * i, Tokens: int64(100 * i), Time: start.Add(time.Duration(i) * time.Hour)})
	}
	r := &Run{Name: "run", Events: e}
	for against, want := range map[Against]float64{Steps: 20, Tokens: 200, Hours: 2} {
		bands := phaseBands([]*Run{r}, &Options{Against: against})
		if len(bands) != 2 || bands[0].to != want || bands[1].from != want || !math.IsInf(bands[0].from, -1) {
			t.Errorf("against %v the phases are %v", against, bands)
		}
	}
	if bands := phaseBands([]*Run{r, r}, &Options{}); bands != nil {
		t.Errorf("of two runs the phases are %v", bands)
	}
	// A run that was killed in its first phase.
	e.Logged = nil
	if bands := phaseBands([]*Run{r}, &Options{Against: Tokens}); bands != nil {
		t.Errorf("of a run without steps the phases are %v", bands)
	}
}
