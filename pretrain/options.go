package pretrain

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/tokenizer"
)

// Format is how instances are written.
type Format uint8

const (
	// Own is the mapped format of this package, about two bytes a token (see shard.go).
	Own Format = iota
	// TFRecord is Google's: padded tf.Examples (see tfrecord.go).
	TFRecord
)

var formatNames = [...]string{Own: "own", TFRecord: "tfrecord"}

// FormatNames are the names of all formats.
func FormatNames() []string { return formatNames[:] }

func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}
	return fmt.Sprintf("Format(%d)", uint8(f))
}

// ParseFormat is the format of a name.
func ParseFormat(name string) (Format, error) {
	if i := slices.Index(formatNames[:], name); i >= 0 {
		return Format(i), nil
	}
	return 0, fmt.Errorf("there is no format %q, want %s", name, strings.Join(formatNames[:], " or "))
}

// MarshalText is the name.
func (f Format) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads a name.
func (f *Format) UnmarshalText(name []byte) (err error) {
	*f, err = ParseFormat(string(name))
	return err
}

// InstanceOptions say what instances are made. DefaultInstanceOptions gives Google's.
type InstanceOptions struct {
	// MaxSeqLength is the most tokens of an instance, [CLS] and [SEP] included.
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

// DefaultInstanceOptions are those of create_pretraining_data.py.
func DefaultInstanceOptions() InstanceOptions {
	return InstanceOptions{
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

// groupMemory is about how many bytes a worker takes for a group: text of three bytes a token, which few languages have
// less of, its ids twice over, and what describes the instances. A set of ten duplicates takes ten times its text.
func (o *InstanceOptions) groupMemory(wide bool) int64 {
	idSize := 2.0
	if wide {
		idSize = 4
	}
	const (
		ofID          = 4
		ofComposition = 32.0
		ofMask        = 2 + 4 // position and what is shown; what stood there has the size of an id
	)
	text := float64(o.GroupBytes)
	tokens := text / 3
	made := 1.25 * tokens * float64(o.DupeFactor) // as instances.grow has it
	bytes := text + tokens*(ofID+idSize) + made/(0.6*float64(o.MaxSeqLength))*ofComposition
	if !o.Dynamic {
		bytes += made * o.MaskedLMProb * (ofMask + idSize)
	}
	return int64(bytes)
}

// workersIn is how many workers a number of bytes has room for, and the fewest bytes that have room for one.
func (o *InstanceOptions) workersIn(memory int64, wide bool) (workers int, least int64) {
	each, fixed := o.groupMemory(wide), fixedMemory+readerGroups*int64(o.GroupBytes)
	return int(max(0, memory-fixed) / each), fixed + each
}

// specials is how many tokens of an instance are not text.
func (o *InstanceOptions) specials() int {
	if o.NextSentence {
		return 3 // [CLS] a [SEP] b [SEP]
	}
	return 2 // [CLS] a [SEP]
}

// Validate reports the first value that is not valid, as a *recipe.Error.
func (o *InstanceOptions) Validate() error {
	share := func(p float64) bool { return p >= 0 && p <= 1 } // false for NaN
	least := o.specials() + 2
	for _, c := range []struct {
		key   string
		valid bool
		want  string
	}{
		{"max_seq_length", o.MaxSeqLength >= least && o.MaxSeqLength <= math.MaxUint16, fmt.Sprintf("%d to %d", least, math.MaxUint16)},
		{"max_predictions_per_seq", o.MaxPredictions >= 1 && o.MaxPredictions <= o.MaxSeqLength, fmt.Sprintf("1 to `max_seq_length`, %d", o.MaxSeqLength)},
		{"masked_lm_prob", share(o.MaskedLMProb) && o.MaskedLMProb != 0, "a number above 0, at most 1"},
		{"short_seq_prob", share(o.ShortSeqProb), "a number from 0 to 1"},
		{"dupe_factor", o.DupeFactor >= 1 && o.DupeFactor <= 1000, "1 to 1000"},
		{"group_bytes", o.GroupBytes >= minGroupBytes && o.GroupBytes <= maxGroupBytes, fmt.Sprintf("%d to %d", minGroupBytes, maxGroupBytes)},
		{"format", int(o.Format) < len(formatNames), strings.Join(formatNames[:], " or ")},
		{"dynamic", !o.Dynamic || o.Format != TFRecord, "false with the format tfrecord, which stores the masks"},
	} {
		if !c.valid {
			return recipe.Wrong(o, c.key, c.want)
		}
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
