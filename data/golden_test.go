package data

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-bert/bert/internal/golden"
)

// The Large Movie Review Dataset v1.0 has 25,000 reviews to train, 25,000 to test, half of each of each label, and 50,000
// without.
func TestGoldenIMDB(t *testing.T) {
	if testing.Short() {
		t.Skip("inflates 215 MB thrice")
	}
	archive := golden.Shared(t, "data", "imdb", "aclImdb_v1.tar.gz")
	folders := map[Split]string{Train: "aclImdb/train/", Test: "aclImdb/test/", Unsupervised: "aclImdb/train/unsup"}
	for split, want := range map[Split]map[string]int{
		Train: {"neg": 12500, "pos": 12500}, Test: {"neg": 12500, "pos": 12500}, Unsupervised: {"": 50000},
	} {
		set, err := ReadIMDB(t.Context(), archive, split, TableOptions{})
		if err != nil {
			t.Fatal(err)
		}
		examples := set.Examples
		got := make(map[string]int)
		for i, e := range examples {
			got[e.Label]++
			if e.Text == "" || !utf8.ValidString(e.Text) {
				t.Errorf("%v: %q", e.Source, e.Text)
			}
			if !strings.Contains(e.Source.Member, folders[split]+e.Label+"/") {
				t.Fatalf("%v is labelled %q", e.Source, e.Label)
			}
			if i > 0 && examples[i-1].Source.Member >= e.Source.Member {
				t.Fatalf("%v comes after %v", e.Source, examples[i-1].Source)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: labels %v, want %v", split, got, want)
		}
		for label, n := range want {
			if got[label] != n {
				t.Errorf("%s: %d reviews of %q, want %d", split, got[label], label, n)
			}
		}
	}
}
