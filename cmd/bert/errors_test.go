package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-bert/bert"
)

func TestSuggestAllowMissing(t *testing.T) {
	for reason, want := range map[bert.TensorReason]string{
		bert.TensorMissing:   "--allow-missing they begin",
		bert.HeadMissing:     "--allow-missing they begin",
		bert.TensorMisshapen: "",
	} {
		err := fmt.Errorf("m: %w", &bert.TensorError{Name: "x", Reason: reason})
		got := suggestAllowMissing(err)
		if !errors.Is(got, err) || !strings.Contains(got.Error(), want) || strings.Contains(got.Error(), "--") != (want != "") {
			t.Errorf("%v: %v", reason, got)
		}
	}
	if suggestAllowMissing(nil) != nil {
		t.Error("no error becomes one")
	}
}
