package metric

import (
	"slices"
	"strings"
)

// OutsideTag is the label of a word that is part of no entity.
const OutsideTag = "O"

// tagPlaces are the letters before the type in a tag: IOB's, and those of IOBES, BILOU and BMEWO.
var tagPlaces = map[string]Place{
	"B": Begin, "I": Inside, "M": Inside,
	"E": End, "L": End, "S": Single, "U": Single, "W": Single,
}

// splitTag parts B-PER into the place and the type, at the first hyphen. ok is false for a label that has no place.
func splitTag(label string) (place Place, typ string, ok bool) {
	if label == OutsideTag {
		return Outside, "", true
	}
	letter, typ, _ := strings.Cut(label, "-")
	place, ok = tagPlaces[letter]
	return place, typ, ok
}

// TagSet is how the labels of words spell entities: in IOB1, IOB2, IOE1, IOE2, IOBES, BILOU or BMEWO.
type TagSet struct {
	// Types are the types of entities, sorted; Tag.Type is an index into them.
	Types []string
	// Whole says that labels are types themselves, like parts of speech: each word with one but O is an entity of its own, as
	// in conlleval -r.
	Whole bool
}

// NewTagSet finds out how labels spell entities. They have places if one has a place and a type, like B-PER, or if all
// are places alone, like B, I and O.
func NewTagSet(labels []string) TagSet {
	hyphen, bare := false, true
	for _, label := range labels {
		_, typ, ok := splitTag(label)
		hyphen = hyphen || ok && typ != ""
		bare = bare && ok && typ == ""
	}
	s := TagSet{Whole: !hyphen && !(bare && slices.ContainsFunc(labels, func(l string) bool { return l == "B" || l == "I" }))}
	for _, label := range labels {
		if typ, ok := s.typeOf(label); ok && !slices.Contains(s.Types, typ) {
			s.Types = append(s.Types, typ)
		}
	}
	slices.Sort(s.Types)
	return s
}

// typeOf is the type of a label that is part of an entity.
func (s *TagSet) typeOf(label string) (string, bool) {
	if s.Whole {
		return label, label != OutsideTag
	}
	place, typ, ok := splitTag(label)
	return typ, ok && place != Outside
}

// Known reports whether a label is one of the set's.
func (s *TagSet) Known(label string) bool {
	typ, ok := s.typeOf(label)
	return label == OutsideTag || ok && slices.Contains(s.Types, typ)
}

// Tag is a label as numbers; one that isn't known is outside.
func (s *TagSet) Tag(label string) Tag {
	typ, ok := s.typeOf(label)
	if !ok || !s.Known(label) {
		return Tag{}
	}
	place := Single
	if !s.Whole {
		place, _, _ = splitTag(label)
	}
	return Tag{Place: place, Type: slices.Index(s.Types, typ)}
}

// Label is the label in IOB2 of a word of an entity: of its first word, or of another.
func (s *TagSet) Label(first bool, typ int) string {
	letter := "I"
	if first {
		letter = "B"
	}
	if s.Types[typ] == "" {
		return letter
	}
	return letter + "-" + s.Types[typ]
}

// IOB2 rewrites known labels of a sentence in IOB2, so that they spell the same entities.
func (s *TagSet) IOB2(labels []string) {
	tags := make([]Tag, len(labels))
	for i, label := range labels {
		tags[i], labels[i] = s.Tag(label), OutsideTag
	}
	for _, e := range Entities(tags) {
		for i := e.From; i < e.To; i++ {
			labels[i] = s.Label(i == e.From, e.Type)
		}
	}
}
