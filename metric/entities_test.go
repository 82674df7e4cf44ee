package metric

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// parseTags reads tags such as "O B-PER I-PER"; types are numbered as they come.
func parseTags(t testing.TB, types *[]string, line string) []Tag {
	t.Helper()
	var tags []Tag
	for _, s := range strings.Fields(line) {
		place, name, _ := strings.Cut(s, "-")
		tag := Tag{Place: Place(strings.Index("OBIES", place))}
		if tag.Place != Outside {
			if tag.Type = slices.Index(*types, name); tag.Type < 0 {
				tag.Type = len(*types)
				*types = append(*types, name)
			}
		}
		tags = append(tags, tag)
	}
	return tags
}

// conlleval is the script's way of counting, word by word and for both columns at once, as plainly as it can be said.
// It knows O, B, I and E.
type conlleval struct{ correct, found, guessed, right, words int }

func conllevalEnds(prev, t byte, prevType, typ int) bool {
	pair := string([]byte{prev, t})
	return slices.Contains([]string{"BB", "BO", "IB", "IO", "EE", "EI", "EO"}, pair) || prev != 'O' && prevType != typ
}

func conllevalStarts(prev, t byte, prevType, typ int) bool {
	pair := string([]byte{prev, t})
	return slices.Contains([]string{"BB", "IB", "OB", "OI", "EE", "EI", "OE"}, pair) || t != 'O' && prevType != typ
}

func (c *conlleval) sentence(tags, guesses []Tag) {
	type seen struct {
		letter byte
		typ    int
	}
	of := func(t Tag) seen {
		if t.Place == Outside {
			return seen{'O', -1}
		}
		return seen{"OBIES"[t.Place], t.Type}
	}
	last, lastGuess := seen{'O', -1}, seen{'O', -1}
	inside := false
	for i := 0; i <= len(tags); i++ {
		now, guess := seen{'O', -1}, seen{'O', -1} // the script reads a sentence's end as an O
		if i < len(tags) {
			now, guess = of(tags[i]), of(guesses[i])
		}
		ends := conllevalEnds(last.letter, now.letter, last.typ, now.typ)
		guessEnds := conllevalEnds(lastGuess.letter, guess.letter, lastGuess.typ, guess.typ)
		if inside {
			switch {
			case ends && guessEnds && lastGuess.typ == last.typ:
				inside = false
				c.correct++
			case ends != guessEnds || guess.typ != now.typ:
				inside = false
			}
		}
		starts := conllevalStarts(last.letter, now.letter, last.typ, now.typ)
		guessStarts := conllevalStarts(lastGuess.letter, guess.letter, lastGuess.typ, guess.typ)
		if starts && guessStarts && now.typ == guess.typ {
			inside = true
		}
		if starts {
			c.found++
		}
		if guessStarts {
			c.guessed++
		}
		if i < len(tags) {
			if now == guess {
				c.right++
			}
			c.words++
		}
		last, lastGuess = now, guess
	}
}

// allTags are all sequences of n of these tags.
func allTags(tags []Tag, n int) [][]Tag {
	if n == 0 {
		return [][]Tag{nil}
	}
	var all [][]Tag
	for _, head := range allTags(tags, n-1) {
		for _, t := range tags {
			all = append(all, append(slices.Clone(head), t))
		}
	}
	return all
}

// Every pair of sentences of up to three words, of two types in IOB and in IOE, counts as the script counts it.
func TestEntitiesAsConlleval(t *testing.T) {
	for _, tags := range [][]Tag{
		{{}, {Begin, 0}, {Inside, 0}, {Begin, 1}, {Inside, 1}},
		{{}, {End, 0}, {Inside, 0}, {End, 1}, {Inside, 1}},
	} {
		for n := 1; n <= 3; n++ {
			all := allTags(tags, n)
			for _, a := range all {
				for _, b := range all {
					var want conlleval
					want.sentence(a, b)
					r, err := EntityScores([][]Tag{a}, [][]Tag{b}, 2)
					if err != nil {
						t.Fatal(err)
					}
					got := conlleval{r.Correct, r.Micro.Support, r.Micro.Predicted, int(math.Round(r.Accuracy * float64(n))), r.Words}
					if got != want {
						t.Fatalf("%v and %v: %+v, want %+v", a, b, got, want)
					}
				}
			}
		}
	}
}

// seqevalEntities are the chunks of seqeval's default mode: what ends and what starts, said apart.
func seqevalEntities(tags []Tag) []Entity {
	ends := func(prev, t Tag) bool {
		switch {
		case prev.Place == Outside:
			return false
		case prev.Place == End, prev.Place == Single, t.Place == Begin, t.Place == Single, t.Place == Outside:
			return true
		}
		return prev.Type != t.Type
	}
	starts := func(prev, t Tag) bool {
		switch {
		case t.Place == Outside:
			return false
		case t.Place == Begin, t.Place == Single, prev.Place == End, prev.Place == Single, prev.Place == Outside:
			return true
		}
		return prev.Type != t.Type
	}
	var (
		out  []Entity
		prev Tag
		from int
	)
	for i, tag := range append(slices.Clone(tags), Tag{}) {
		if ends(prev, tag) {
			out = append(out, Entity{prev.Type, from, i})
		}
		if starts(prev, tag) {
			from = i
		}
		prev = tag
	}
	return out
}

// Every sequence of four tags of all places spells what seqeval finds.
func TestEntitiesAsSeqeval(t *testing.T) {
	tags := []Tag{{}}
	for p := Begin; p <= Single; p++ {
		tags = append(tags, Tag{p, 0}, Tag{p, 1})
	}
	for _, s := range allTags(tags, 4) {
		if got, want := Entities(s), seqevalEntities(s); !slices.Equal(got, want) {
			t.Fatalf("%v: %v, want %v", s, got, want)
		}
	}
}

// The odd transitions one by one, with what conlleval finds in each.
func TestEntities(t *testing.T) {
	for _, c := range []struct {
		tags string
		want []Entity
	}{
		{"", nil},
		{"O O", nil},
		{"B-A I-A O", []Entity{{0, 0, 2}}},
		{"I-A I-A O", []Entity{{0, 0, 2}}}, // IOB1
		{"I-A B-A I-A", []Entity{{0, 0, 1}, {0, 1, 3}}}, // IOB1: B parts neighbours of one type
		{"I-A I-B", []Entity{{0, 0, 1}, {1, 1, 2}}},     // and a new type needs none
		{"B-A I-B", []Entity{{0, 0, 1}, {1, 1, 2}}},     // an I of another type begins
		{"B-A B-A", []Entity{{0, 0, 1}, {0, 1, 2}}},     //
		{"B-A O I-A", []Entity{{0, 0, 1}, {0, 2, 3}}},   // an I behind an O begins
		{"S-A B-A E-A", []Entity{{0, 0, 1}, {0, 1, 3}}}, // IOBES
		{"S-A S-A", []Entity{{0, 0, 1}, {0, 1, 2}}},     //
		{"B-A I-A E-A I-A", []Entity{{0, 0, 3}, {0, 3, 4}}},
		{"E-A E-A", []Entity{{0, 0, 1}, {0, 1, 2}}},
		{"B-A S-A I-A", []Entity{{0, 0, 1}, {0, 1, 2}, {0, 2, 3}}},
		{"B-A E-B", []Entity{{0, 0, 1}, {1, 1, 2}}},
	} {
		var types []string
		if got := Entities(parseTags(t, &types, c.tags)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.tags, got, c.want)
		}
	}
}

// The example of seqeval's own page: F1 0.50, accuracy 0.80, by type 0 and 1.
func TestEntityScores(t *testing.T) {
	var types []string
	parse := func(lines ...string) (out [][]Tag) {
		for _, line := range lines {
			out = append(out, parseTags(t, &types, line))
		}
		return out
	}
	tags := parse("O O O B-MISC I-MISC I-MISC O", "B-PER I-PER O")
	r, err := EntityScores(tags, parse("O O B-MISC I-MISC I-MISC I-MISC O", "B-PER I-PER O"), len(types))
	if err != nil {
		t.Fatal(err)
	}
	if r.Micro.F1 != 0.5 || r.Macro.F1 != 0.5 || r.Weighted.F1 != 0.5 || r.Accuracy != 0.8 || r.Words != 10 || r.Correct != 1 ||
		r.Types[0] != (Score{Support: 1, Predicted: 1}) || r.Types[1] != (Score{Precision: 1, Recall: 1, F1: 1, Support: 1, Predicted: 1}) {
		t.Errorf("%+v", r)
	}
	// The counts of the example on conlleval's page: of 459 phrases 371 are found, beside 168 that are none.
	if s := score(371, 459, 539); math.Abs(s.Precision-0.6883) > 5e-5 || math.Abs(s.Recall-0.8083) > 5e-5 || math.Abs(s.F1-0.7435) > 5e-5 {
		t.Errorf("%+v", s)
	}
	if r, err = EntityScores([][]Tag{{}}, [][]Tag{{}}, 1); err != nil || r.Accuracy != 0 || r.Micro.F1 != 0 {
		t.Errorf("of nothing %+v, %v", r, err)
	}
	for _, bad := range [][2][][]Tag{
		{tags, tags[:1]},
		{tags, {tags[1], tags[0]}},
		{{{{Begin, 2}}}, {{{}}}},
		{{{{}}}, {{{Begin, -1}}}},
		{{{{}}}, {{{Place: 5}}}},
	} {
		if _, err := EntityScores(bad[0], bad[1], 2); err == nil {
			t.Errorf("%v is no error", bad)
		}
	}
}
