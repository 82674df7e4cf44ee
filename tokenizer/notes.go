package tokenizer

import (
	"fmt"
	"strings"
)

// A NoteKind says what a Note is about.
type NoteKind uint8

const (
	// NoteCasedVocabulary: text is lower-cased although the vocabulary has the pieces A to Z, which lower-cased text never uses.
	NoteCasedVocabulary NoteKind = iota
	// NoteTextValue: a setting is "true" or "512", as text.
	NoteTextValue
	// NoteIgnored: a setting has no effect.
	NoteIgnored
	// NoteByteOrderMark: vocab.txt begins with a byte order mark, which is left out.
	NoteByteOrderMark
	// NoteUnknownClass: tokenizer_class names a class that is not known, and the files are read as BertTokenizer's.
	NoteUnknownClass
	// NoteVocabularySize: the vocabulary is much smaller than the model's.
	NoteVocabularySize
)

var noteKinds = [...]string{"cased_vocabulary", "text_value", "ignored", "byte_order_mark", "unknown_class", "vocabulary_size"}

// String returns cased_vocabulary, text_value, ignored, byte_order_mark, unknown_class or vocabulary_size.
func (k NoteKind) String() string {
	if int(k) >= len(noteKinds) {
		return fmt.Sprintf("NoteKind(%d)", int(k))
	}
	return noteKinds[k]
}

// ParseNoteKind is the reverse of String.
func ParseNoteKind(s string) (NoteKind, error) {
	for i, name := range noteKinds {
		if s == name {
			return NoteKind(i), nil
		}
	}
	return 0, fmt.Errorf("tokenizer: note %q: want one of %s", clip(s), strings.Join(noteKinds[:], ", "))
}

// MarshalText writes String.
func (k NoteKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a name that ParseNoteKind takes.
func (k *NoteKind) UnmarshalText(text []byte) (err error) {
	*k, err = ParseNoteKind(string(text))
	return err
}

// A Note is something about a tokenizer's files that a user should know of and that is no error.
type Note struct {
	Kind NoteKind `json:"kind"`
	Text string   `json:"text"`
}

// String returns the text.
func (n Note) String() string { return n.Text }

// Notes returns what a user should know about the files that the tokenizer was loaded from. A program is expected to show them.
func (t *Tokenizer) Notes() []Note { return append([]Note(nil), t.notes...) }

// A Model is what a vocabulary's tokens are for: a *bert.Model.
type Model interface {
	// VocabularyNote says where a vocabulary of n tokens may be another model's; "" where it isn't.
	VocabularyNote(n int) string
}

// NotesFor are Notes, and what there is to say about the vocabulary beside a model.
func (t *Tokenizer) NotesFor(m Model) []Note {
	notes := t.Notes()
	if text := m.VocabularyNote(t.VocabSize()); text != "" {
		notes = append(notes, Note{NoteVocabularySize, text})
	}
	return notes
}

func (s *settings) note(kind NoteKind, format string, values ...any) {
	s.notes = append(s.notes, Note{kind, fmt.Sprintf(format, values...)})
}

// noteCase adds a note if text is lower-cased although the vocabulary is a cased one.
func (t *Tokenizer) noteCase() {
	if t.config.LowerCase && cased(t.tokens) {
		t.notes = append(t.notes, Note{NoteCasedVocabulary,
			"the vocabulary is cased (it has the pieces A to Z), but text is lower-cased; set do_lower_case to false in tokenizer_config.json if the model is a cased one"})
	}
}
