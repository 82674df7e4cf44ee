package main

import (
	"strings"
	"testing"
)

// TestSentences checks the table: the reference's four, thirty of ours and forty later ones, as many of each kind, none twice.
func TestSentences(t *testing.T) {
	all, err := readSentences(sentences)
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, s := range all {
		if s.label != "pos" && s.label != "neg" {
			t.Errorf("%q has label %q", s.text, s.label)
		}
		count[s.source+" "+s.label]++
		if count[s.text]++; count[s.text] > 1 || strings.TrimSpace(s.text) != s.text || s.text == "" {
			t.Errorf("%q stands twice, is empty or has white space around it", s.text)
		}
	}
	if count["reference pos"] != 2 || count["reference neg"] != 2 || count["ours pos"] != 15 || count["ours neg"] != 15 || count["later pos"] != 20 || count["later neg"] != 20 {
		t.Errorf("sentences by source and label: %v", count)
	}
	if _, err := readSentences("a\tb"); err == nil {
		t.Error("two columns: want an error")
	}
}
