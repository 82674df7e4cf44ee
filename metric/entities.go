package metric

import "fmt"

// Place is a word's place in an entity.
type Place uint8

// The places of the tagging schemes. IOB1 and IOB2 have the first three, IOE1 and IOE2 Outside, Inside and End, and IOBES
// (BILOU, BMEWO) all five.
const (
	Outside Place = iota
	Begin
	Inside
	End
	Single
)

// Tag is what a word is tagged with: its place in an entity and the entity's type, in [0, K). The type of a word outside
// plays no part.
type Tag struct {
	Place Place
	Type  int
}

// Entity is the words [From, To) of a sentence, which are an entity of a type in [0, K).
type Entity struct{ Type, From, To int }

// begins says whether an entity begins with the tag t that comes after prev: Outside before a sentence's first word.
func begins(prev, t Tag) bool {
	switch {
	case t.Place == Outside:
		return false
	case prev.Place == Outside, prev.Type != t.Type:
		return true
	case t.Place == Begin, t.Place == Single:
		return true
	}
	return prev.Place == End || prev.Place == Single
}

// Begins reports whether an entity begins with the tag, after prev: the zero Tag before a sentence's first word. It is for tags that
// come one by one.
func (t Tag) Begins(prev Tag) bool { return begins(prev, t) }

// Entities lists the entities that the tags of a sentence spell, in order. Every sequence of tags spells some: an I after
// an O, or after another type, begins an entity, and so does what comes after an E or an S.
//
// Of tags in B, I and O these are the chunks of conlleval (Tjong Kim Sang, for the shared tasks of CoNLL-2000 to 2003). Of E
// and S, which that script hardly knows (it joins a B to an E of the same type before it), they are those of seqeval's default
// mode, which is conlleval for the rest.
func Entities(tags []Tag) []Entity {
	var (
		entities []Entity
		prev     Tag
	)
	for i, t := range tags {
		switch {
		case begins(prev, t):
			entities = append(entities, Entity{t.Type, i, i + 1})
		case t.Place != Outside:
			entities[len(entities)-1].To = i + 1
		}
		prev = t
	}
	return entities
}

// EntityReport is what conlleval reports of the entities of sentences.
//
// Dimensions: K types.
type EntityReport struct {
	Types    []Score // of each type, [K]
	Micro    Score   // of the counts of all types together: what conlleval calls overall
	Macro    Score   // mean over the types
	Weighted Score   // mean over the types, weighted by Support
	Correct  int     // entities of which words and type are right

	Accuracy float64 // the share of words whose tag is right
	Words    int
}

// EntityScores compares the tags of sentences with the predicted ones. An entity is right if its words and its type are. The
// Support of an average is the number of entities that there are, Predicted that of those predicted.
func EntityScores(tags, predictions [][]Tag, types int) (EntityReport, error) {
	r := EntityReport{Types: make([]Score, types)}
	if err := sameLength(len(tags), len(predictions), "predictions"); err != nil {
		return r, err
	}
	var (
		tp, support, predicted = make([]int, types), make([]int, types), make([]int, types)
		right                  int
	)
	for i := range tags {
		if len(tags[i]) != len(predictions[i]) {
			return r, fmt.Errorf("sentence %d has %d tags and %d predictions", i, len(tags[i]), len(predictions[i]))
		}
		for j, t := range tags[i] {
			p := predictions[i][j]
			for _, x := range []Tag{t, p} {
				if x.Place > Single || x.Place != Outside && (x.Type < 0 || x.Type >= types) {
					return r, fmt.Errorf("sentence %d, word %d: %v is no tag of %d types", i, j, x, types)
				}
			}
			if t == p || t.Place == Outside && p.Place == Outside {
				right++
			}
		}
		r.Words += len(tags[i])
		there, said := Entities(tags[i]), Entities(predictions[i])
		for _, e := range there {
			support[e.Type]++
		}
		for _, e := range said {
			predicted[e.Type]++
			for len(there) > 0 && there[0].From < e.From {
				there = there[1:]
			}
			if len(there) > 0 && there[0] == e {
				tp[e.Type]++
			}
		}
	}
	there, said := 0, 0
	for k := range types {
		there, said, r.Correct = there+support[k], said+predicted[k], r.Correct+tp[k]
	}
	r.Micro = score(r.Correct, there, said)
	r.Macro, r.Weighted = Score{Support: there, Predicted: said}, Score{Support: there, Predicted: said}
	for k := range types {
		r.Types[k] = score(tp[k], support[k], predicted[k])
		r.Macro.add(r.Types[k], 1/float64(types))
		r.Weighted.add(r.Types[k], ratio(support[k], there))
	}
	r.Accuracy = ratio(right, r.Words)
	return r, nil
}
