package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// TestDemoReviews: as many of each label, in both parts; none twice; and the parts and the sentences have nothing in
// common that could be learned by heart.
func TestDemoReviews(t *testing.T) {
	training, held, err := demoReviews()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, text := range sentences {
		seen[text] = true
	}
	for _, part := range []struct {
		examples []task.Example
		each     int
	}{{training, 200}, {held, 40}} {
		counts := map[string]int{}
		for _, e := range part.examples {
			counts[e.Label]++
			if seen[e.Text] {
				t.Errorf("twice: %s", e.Text)
			}
			seen[e.Text] = true
		}
		if len(counts) != 2 || counts["positive"] != part.each || counts["negative"] != part.each {
			t.Errorf("%v, want %d of each label", counts, part.each)
		}
	}
}

// TestLearnVocabulary: the vocabulary depends on the texts alone, holds words that occur often enough, and knows every
// ASCII text.
func TestLearnVocabulary(t *testing.T) {
	texts := []task.Example{
		{Input: task.Input{Text: "The film, the FILM! Once."}},
		{Input: task.Input{Text: "A film."}},
	}
	tok, err := learnVocabulary(texts, 2)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for id := range tok.VocabSize() {
		if token, _ := tok.Token(int32(id)); len(token) > 1 && token[0] != '[' && !strings.HasPrefix(token, "##") {
			words = append(words, token)
		}
	}
	if want := []string{"film", "the"}; !slices.Equal(words, want) { // three times, twice; not "once"
		t.Errorf("words %q, want %q", words, want)
	}
	var ascii strings.Builder
	for c := ' '; c < 0x7f; c++ {
		ascii.WriteRune(c)
		ascii.WriteString(" x" + string(c) + " ")
	}
	var e tokenizer.Encoding
	if err := tok.Encode(&e, ascii.String(), tokenizer.Options{}); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(e.IDs, tok.UnknownID()) {
		t.Errorf("unknown tokens in %q", tok.Tokens(e.IDs))
	}
}
