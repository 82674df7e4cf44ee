package pretrain

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"github.com/go-bert/bert/tokenizer"
)

// Format is a file format of instances.
type Format string

const (
	// Own is the mapped format of this package, about two bytes per token (see shard.go).
	Own Format = "own"
	// TFRecord is Google's format: padded tf.Examples (see tfrecord.go).
	TFRecord Format = "tfrecord"
)

// Options say how instances are made. DefaultOptions returns Google's.
type Options struct {
	// MaxSeqLength is the maximal number of tokens of an instance, including [CLS] and [SEP].
	MaxSeqLength int `json:"max_seq_length"`
	// MaxPredictions is the maximal number of masked tokens of an instance, MaskedLMProb their share.
	MaxPredictions int     `json:"max_predictions_per_seq"`
	MaskedLMProb   float64 `json:"masked_lm_prob"`
	// ShortSeqProb is the probability, for each document and duplicate, that its instances are made shorter.
	ShortSeqProb float64 `json:"short_seq_prob"`
	// DupeFactor is the number of passes over each document, with different pairs and masks.
	DupeFactor int `json:"dupe_factor"`
	// WholeWordMask masks all pieces of a word or none.
	WholeWordMask bool `json:"whole_word_mask"`
	// NextSentence pairs segments for next-sentence prediction; without it, sentences are packed (see maker.packed).
	NextSentence bool `json:"next_sentence"`
	// Dynamic stores no masks: new ones are drawn for each epoch when instances are read.
	Dynamic bool `json:"dynamic"`
	// SplitSentences says that a line of the corpus is a paragraph, to be split by Sentences.
	SplitSentences bool `json:"sentences"`
	// GroupBytes is the approximate size of a group of documents, which becomes one file of the set. The second segments of
	// random pairs come from the same group.
	GroupBytes int    `json:"group_bytes"`
	Seed       uint64 `json:"seed"`
	Format     Format `json:"format"`
}

// DefaultOptions returns the options of create_pretraining_data.py.
func DefaultOptions() Options {
	return Options{
		MaxSeqLength: 128, MaxPredictions: 20, MaskedLMProb: 0.15, ShortSeqProb: 0.1, DupeFactor: 10,
		NextSentence: true, GroupBytes: 8 << 20, Seed: 12345, Format: Own,
	}
}

// Bounds of a group: smaller ones have too few documents for pairs; the counts of larger ones would not fit the file format.
const (
	minGroupBytes = 1 << 10
	maxGroupBytes = 256 << 20
)

// fixedMemory is the memory of a job besides its groups: the program, the tokenizer and its tables. readerGroups is the number of
// groups in the reader: one that is passed on, one that is waiting, and one that is being read.
const (
	fixedMemory  = 32 << 20
	readerGroups = 3
)

// groupMemory estimates the memory, in bytes, that a worker needs for a group: its text, with at least three bytes per token as in
// most languages, its ids twice, and the descriptions of the instances. With ten duplicates it is ten times the size of the text.
func (o *Options) groupMemory(wide bool) int64 {
	idSize := 2.0
	if wide {
		idSize = 4
	}
	const (
		ofID     = 4
		ofRecipe = 32.0
		ofMask   = 2 + 4 // the position and the id shown there; the original id comes on top
	)
	text := float64(o.GroupBytes)
	tokens := text / 3
	made := 1.25 * tokens * float64(o.DupeFactor) // as in instances.grow
	bytes := text + tokens*(ofID+idSize) + made/(0.6*float64(o.MaxSeqLength))*ofRecipe
	if !o.Dynamic {
		bytes += made * o.MaskedLMProb * (ofMask + idSize)
	}
	return int64(bytes)
}

// workersIn returns how many workers fit into memory bytes, and the minimal memory for one worker.
func (o *Options) workersIn(memory int64, wide bool) (workers int, least int64) {
	each, fixed := o.groupMemory(wide), fixedMemory+readerGroups*int64(o.GroupBytes)
	return int(max(0, memory-fixed) / each), fixed + each
}

// specials returns the number of special tokens of an instance.
func (o *Options) specials() int {
	if o.NextSentence {
		return 3 // [CLS] a [SEP] b [SEP]
	}
	return 2 // [CLS] a [SEP]
}

// Validate returns an *OptionError for the first option that is out of range.
func (o *Options) Validate() error {
	wrong := func(option, problem string, args ...any) error {
		return &OptionError{option, fmt.Sprintf(problem, args...)}
	}
	share := func(p float64) bool { return p >= 0 && p <= 1 } // false for NaN
	switch least := o.specials() + 2; {
	case o.MaxSeqLength < least || o.MaxSeqLength > math.MaxUint16:
		return wrong("max_seq_length", "is %d, want %d to %d", o.MaxSeqLength, least, math.MaxUint16)
	case o.MaxPredictions < 1 || o.MaxPredictions > o.MaxSeqLength:
		return wrong("max_predictions_per_seq", "is %d, want 1 to the maximal length, %d", o.MaxPredictions, o.MaxSeqLength)
	case !share(o.MaskedLMProb) || o.MaskedLMProb == 0:
		return wrong("masked_lm_prob", "is %v, want a number above 0, at most 1", o.MaskedLMProb)
	case !share(o.ShortSeqProb):
		return wrong("short_seq_prob", "is %v, want a number from 0 to 1", o.ShortSeqProb)
	case o.DupeFactor < 1 || o.DupeFactor > 1000:
		return wrong("dupe_factor", "is %d, want 1 to 1000", o.DupeFactor)
	case o.GroupBytes < minGroupBytes || o.GroupBytes > maxGroupBytes:
		return wrong("group_bytes", "is %d, want %d to %d", o.GroupBytes, minGroupBytes, maxGroupBytes)
	case o.Format != Own && o.Format != TFRecord:
		return wrong("format", "is %q, want %s or %s", o.Format, Own, TFRecord)
	case o.Dynamic && o.Format == TFRecord:
		return wrong("dynamic", "can't be combined with the format %s, which stores the masks: want %s", TFRecord, Own)
	}
	return nil
}

// Vocabulary identifies a vocabulary: with equal ones, two tokenizers use the same ids for the same tokens.
type Vocabulary struct {
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"` // of the tokens in the order of their ids, each followed by a line feed
}

// VocabularyOf returns the identity of a tokenizer's vocabulary.
func VocabularyOf(t *tokenizer.Tokenizer) Vocabulary {
	var tokens []byte
	for id := range t.VocabSize() {
		token, _ := t.Token(int32(id))
		tokens = append(append(tokens, token...), '\n')
	}
	digest := sha256.Sum256(tokens)
	return Vocabulary{t.VocabSize(), hex.EncodeToString(digest[:])}
}

// wide reports whether an id takes four bytes instead of two.
func (v Vocabulary) wide() bool { return v.Size > 1<<16 }

// textTokenizer returns a tokenizer that does not recognise special tokens in text: "[MASK]" is three words, as in Google's code.
// So all special tokens of an instance come from this package.
func textTokenizer(t *tokenizer.Tokenizer) (*tokenizer.Tokenizer, error) {
	for _, special := range []struct {
		id   int32
		name string
	}{{t.MaskID(), t.Config().MaskToken}, {t.ClassifierID(), t.Config().ClassifierToken}, {t.SeparatorID(), t.Config().SeparatorToken}} {
		if special.id < 0 {
			return nil, fmt.Errorf("the vocabulary of %d tokens lacks %s: pre-training needs it", t.VocabSize(), special.name)
		}
	}
	// tokenizer.json can list a token only once, so the set could not name all ids.
	if twice := t.Duplicates(); len(twice) > 0 {
		return nil, fmt.Errorf("the vocabulary contains %q twice: give each token one id", twice[0])
	}
	c := t.Config()
	if !slices.ContainsFunc(c.AddedTokens, func(a tokenizer.AddedToken) bool { return a.Special }) {
		return t, nil
	}
	added := []tokenizer.AddedToken{} // not nil, which would mean the special tokens
	for _, a := range c.AddedTokens {
		if !a.Special {
			added = append(added, a)
		}
	}
	c.AddedTokens = added
	tokens := make([]string, t.VocabSize())
	for id := range tokens {
		tokens[id], _ = t.Token(int32(id))
	}
	return tokenizer.New(tokens, c)
}
