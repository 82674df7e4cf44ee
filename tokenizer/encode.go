package tokenizer

import (
	"fmt"
	"math"
)

// A template says how texts and special tokens are combined to an input.
type template []templateItem

// A templateItem is a text, or the ids of a special token.
type templateItem struct {
	sequence int8 // 0 or 1; -1 for special tokens
	typeID   int32
	token    string // the name of the special token
	ids      []int32
}

// bertTemplates returns [CLS] A [SEP] and [CLS] A [SEP] B [SEP].
func bertTemplates(clsName, sepName string, cls, sep int32) (single, pair template) {
	first := templateItem{sequence: -1, token: clsName, ids: []int32{cls}}
	last := templateItem{sequence: -1, token: sepName, ids: []int32{sep}}
	lastOfB := last
	lastOfB.typeID = 1
	pair = template{first, {sequence: 0}, last, {sequence: 1, typeID: 1}, lastOfB}
	return pair[:3:3], pair
}

// added returns the number of special tokens.
func (t template) added() int {
	n := 0
	for _, item := range t {
		n += len(item.ids)
	}
	return n
}

// Encode encodes text as an input of the model, [CLS] text [SEP], and overwrites dst with it. It fails only for invalid
// Options and for texts of 2 GiB or more.
func (t *Tokenizer) Encode(dst *Encoding, text string, o Options) error {
	return t.encode(dst, false, o, text, "", nil)
}

// EncodePair encodes two texts as an input of the model, [CLS] a [SEP] b [SEP]. See Encode. It also fails if only one text may
// be truncated and the other leaves no room for it.
func (t *Tokenizer) EncodePair(dst *Encoding, a, b string, o Options) error {
	return t.encode(dst, true, o, a, b, nil)
}

// EncodeWords encodes a text that is already split into words, as for tagging: WordIDs are indices into words, and Offsets
// count from the beginning of the word. A word may become several tokens, or none if cleaning removes all of it.
func (t *Tokenizer) EncodeWords(dst *Encoding, words []string, o Options) error {
	if words == nil {
		words = []string{}
	}
	return t.encode(dst, false, o, "", "", words)
}

func (t *Tokenizer) encode(dst *Encoding, pair bool, o Options, a, b string, words []string) error {
	form := t.single
	if pair {
		form = t.pair
	}
	room, err := o.room(form, pair)
	if err != nil {
		return err
	}
	longest := max(len(a), len(b))
	for _, w := range words {
		longest = max(longest, len(w))
	}
	if longest > math.MaxInt32 {
		return errLongText(longest)
	}
	s := t.scanners.Get().(*scanner)
	defer t.release(s)
	s.out, s.word, s.given = s.out[:0], 0, words != nil
	for i, w := range words {
		s.word = int32(i)
		s.sequence(w)
	}
	s.sequence(a)
	split := len(s.out)
	s.word = 0
	s.sequence(b)
	return form.assemble(dst, o, layout{pair: pair, google: t.config.Google, room: room}, s.out[:split], s.out[split:])
}

// AppendIDs appends the ids of a text's tokens, without special tokens, to ids and returns the extended slice. They are the IDs
// of Encode with OmitSpecialTokens and no limit. AppendIDs fails only for texts of 2 GiB or more.
func (t *Tokenizer) AppendIDs(ids []int32, text string) ([]int32, error) {
	if len(text) > math.MaxInt32 {
		return ids, errLongText(len(text))
	}
	s := t.scanners.Get().(*scanner)
	defer t.release(s)
	s.out, s.word, s.given = s.out[:0], 0, false
	s.sequence(text)
	for _, p := range s.out {
		ids = append(ids, p.id)
	}
	return ids, nil
}

func errLongText(size int) error {
	return fmt.Errorf("tokenizer: the text has %d bytes: want at most %d", size, math.MaxInt32)
}

// keepAtMost limits the memory, in tokens, that each pooled scanner keeps.
const keepAtMost = 1 << 18

func (t *Tokenizer) release(s *scanner) {
	if cap(s.out) <= keepAtMost && cap(s.run) <= keepAtMost && cap(s.ascii) <= keepAtMost &&
		cap(s.norm.text) <= keepAtMost && cap(s.segmentText.text) <= keepAtMost {
		t.scanners.Put(s)
	}
}
