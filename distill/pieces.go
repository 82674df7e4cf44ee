package distill

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// pieces are the teacher's ids of the student's tokens, where their vocabularies differ: a token is the same piece of text to both.
type pieces struct {
	ids     []int32 // by the student's; −1: the teacher lacks the token
	student *tokenizer.Tokenizer
	teacher *tokenizer.Tokenizer
}

// PiecesError says that a student's tokens are not the teacher's, so that it can't be told what a text is to the teacher.
type PiecesError struct {
	// Word is a word of the data, Student the pieces that the student cuts it into, and Teacher those of the teacher; of a token that the
	// teacher lacks, Student is that.
	Word             string
	Student, Teacher []string
}

func (e *PiecesError) Error() string {
	if e.Word == "" {
		return fmt.Sprintf("the teacher's vocabulary lacks %q: want a student whose tokens are all the teacher's", e.Student[0])
	}
	return fmt.Sprintf("the student cuts %q into %s, the teacher into %s: want a vocabulary that cuts the words of the data as the teacher's does",
		e.Word, strings.Join(e.Student, " "), strings.Join(e.Teacher, " "))
}

// newPieces finds the tokens of the student's vocabulary in the teacher's; nil where all have the same ids.
func newPieces(student, teacher *tokenizer.Tokenizer) *pieces {
	p := &pieces{student: student, teacher: teacher, ids: make([]int32, student.VocabSize())}
	same := true
	special := map[int32]int32{
		student.ClassifierID(): teacher.ClassifierID(), student.SeparatorID(): teacher.SeparatorID(), student.PadID(): teacher.PadID(),
		student.MaskID(): teacher.MaskID(), student.UnknownID(): teacher.UnknownID(),
	}
	for i := range p.ids {
		id := int32(i)
		token, _ := student.Token(id)
		other, ok := special[id]
		if !ok {
			if other, ok = teacher.ID(token); !ok {
				other = -1
			}
		}
		p.ids[i] = other
		same = same && other == id
	}
	if same {
		return nil
	}
	return p
}

// translate replaces the student's ids by the teacher's.
func (p *pieces) translate(ids []int32) error {
	for i, id := range ids {
		if ids[i] = p.ids[id]; ids[i] < 0 {
			token, _ := p.student.Token(id)
			return &PiecesError{Student: []string{token}}
		}
	}
	return nil
}

// sequences are what words are read from.
type sequences interface {
	Len() int
	Append(b *bert.Batch, i int) error
}

// check compares how student and teacher cut the words of data, each once.
func (p *pieces) check(data sequences) error {
	var (
		b    bert.Batch
		seen = make(map[string]bool)
	)
	for i := range data.Len() {
		b.Reset()
		if err := data.Append(&b, i); err != nil {
			return err
		}
		for from := 0; from < len(b.IDs); {
			to := from + 1
			for to < len(b.IDs) && p.student.Continues(b.IDs[to]) {
				to++
			}
			if err := p.checkWord(b.IDs[from:to], seen); err != nil {
				return err
			}
			from = to
		}
	}
	return nil
}

// checkWord compares the pieces of a word.
func (p *pieces) checkWord(ids []int32, seen map[string]bool) error {
	for _, id := range ids {
		if p.ids[id] < 0 {
			token, _ := p.student.Token(id)
			return &PiecesError{Student: []string{token}}
		}
		if p.student.IsSpecial(id) || id == p.student.UnknownID() {
			return nil // no text to cut; what is unknown to the student is unknown to the teacher too
		}
	}
	names := p.student.Tokens(ids)
	key := strings.Join(names, " ")
	if seen[key] {
		return nil
	}
	seen[key] = true
	if p.student.Continues(ids[0]) {
		return nil // the rest of a word that a window begins in
	}
	prefix := p.student.Config().Prefix
	word := names[0]
	for _, piece := range names[1:] {
		word += strings.TrimPrefix(piece, prefix)
	}
	var e tokenizer.Encoding
	if err := p.teacher.Encode(&e, word, tokenizer.Options{OmitSpecialTokens: true}); err != nil {
		return err
	}
	got := e.IDs
	want := make([]int32, len(ids))
	for i, id := range ids {
		want[i] = p.ids[id]
	}
	got = slices.DeleteFunc(slices.Clone(got), func(id int32) bool { return id == p.teacher.ClassifierID() || id == p.teacher.SeparatorID() })
	if !slices.Equal(got, want) {
		return &PiecesError{Word: word, Student: names, Teacher: p.teacher.Tokens(got)}
	}
	return nil
}
