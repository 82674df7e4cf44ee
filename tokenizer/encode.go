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

// Encode encodes text as an input of the model, [CLS] text [SEP], and overwrites dst with it. It fails for invalid Options, for
// texts of 2 GiB or more and, with a *UTF8Error, for text that is not valid UTF-8.
func (t *Tokenizer) Encode(dst *Encoding, text string, o Options) error {
	return t.encode(dst, false, o, text, "", nil)
}

// EncodePair encodes two texts as an input of the model, [CLS] a [SEP] b [SEP]. See Encode. It also fails if only one text may
// be truncated and the other leaves no room for it. With an empty second text the input is still a pair, [CLS] a [SEP] [SEP], as in
// HF's library. In Google mode a second text without tokens is none: the input is [CLS] a [SEP], as in google-research/bert
// run_classifier.py.
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
	s.out, s.word, s.given, s.failed = s.out[:0], 0, words != nil, nil
	for i, w := range words {
		s.word = int32(i)
		if s.sequence(w); s.failed != nil {
			return failedAt(s.failed, 0, i)
		}
	}
	if s.sequence(a); s.failed != nil {
		return failedAt(s.failed, 0, 0)
	}
	split := len(s.out)
	s.word = 0
	if s.sequence(b); s.failed != nil {
		return failedAt(s.failed, 1, 0)
	}
	if pair && t.config.Google && len(s.out) == split && room != noLimit {
		// There is more room without the second text.
		room += form.added() - t.single.added()
		if o.OmitSpecialTokens {
			room = o.MaxLength
		}
	}
	if pair && t.config.Google && len(s.out) == split {
		form = t.single
	}
	return form.assemble(dst, o, layout{pair: pair, google: t.config.Google, room: room}, s.out[:split], s.out[split:])
}

// A UTF8Error reports a text that is not valid UTF-8. Nothing of such a text is encoded: characters that a wrong decoding lost can't
// be guessed. strings.ToValidUTF8 replaces them where that is wanted.
type UTF8Error struct {
	Sequence int // 0, or 1 for the second text of a pair
	Word     int // of EncodeWords: the index of the word
	Offset   int // the first byte of the text, or of the word, that is not valid UTF-8
}

func (e *UTF8Error) Error() string {
	text := "the text"
	if e.Sequence == 1 {
		text = "the second text"
	}
	if e.Word > 0 {
		text = fmt.Sprintf("word %d", e.Word+1)
	}
	return fmt.Sprintf("tokenizer: %s is not valid UTF-8 at byte %d: decode it with its own encoding, for example Latin-1", text, e.Offset)
}

// failedAt completes the error of a text with the place of the text.
func failedAt(err error, sequence, word int) error {
	if invalid, ok := err.(*UTF8Error); ok {
		invalid.Sequence, invalid.Word = sequence, word
	}
	return err
}

// AppendIDs appends the ids of a text's tokens, without special tokens, to ids and returns the extended slice. They are the IDs
// of Encode with OmitSpecialTokens and no limit. AppendIDs fails for texts of 2 GiB or more and, with a *UTF8Error, for text that is
// not valid UTF-8; ids is then returned as it was.
func (t *Tokenizer) AppendIDs(ids []int32, text string) ([]int32, error) {
	if len(text) > math.MaxInt32 {
		return ids, errLongText(len(text))
	}
	s := t.scanners.Get().(*scanner)
	defer t.release(s)
	s.out, s.word, s.given, s.failed = s.out[:0], 0, false, nil
	if s.sequence(text); s.failed != nil {
		return ids, s.failed
	}
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
		cap(s.norm.text) <= keepAtMost && cap(s.segmentText.text) <= keepAtMost && cap(s.aligned.chars) <= keepAtMost &&
		cap(s.aligned.spare) <= keepAtMost && cap(s.words0) <= keepAtMost && cap(s.words1) <= keepAtMost {
		t.scanners.Put(s)
	}
}
