package tokenizer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"unicode"
)

// LearnOptions say what vocabulary Learn makes. Begin with DefaultLearnOptions.
type LearnOptions struct {
	// Size is how many tokens the vocabulary has in the end: special and reserved ones, characters and merges.
	Size int
	// MinFrequency is how often a pair of pieces must occur to be merged into one.
	MinFrequency int64
	// LimitAlphabet is how many different characters are kept, the most frequent ones, of equally frequent ones the
	// smaller code point. A word with any other character is unknown, so no piece is learnt from it. 0: all.
	LimitAlphabet int
	// SpecialTokens stand in the vocabulary after the five that every BERT has. Unless Config.AddedTokens says otherwise
	// they stay whole where a text has them, and nothing is learnt from them.
	SpecialTokens []string
	// Reserved is the number of tokens [unused0], [unused1] and so on, which no text gets: room for tokens to come.
	Reserved int
	// Threads is how many threads count and merge; 0: as many as the process may use. The result does not depend on it.
	Threads int
	// Memory bounds, roughly, the bytes that words and pairs take: at least 1 MiB, and no more than 64 GiB are used. See
	// Learn.
	Memory int64
	// TempDir is where counts go that Memory does not hold. "": the system's folder for temporary files.
	TempDir string
	// Report is told how the work goes on, about twice a second while texts are counted and at every thousandth merge.
	// It must not block. nil: nobody is.
	Report func(LearnProgress)
}

// DefaultLearnOptions returns options for a vocabulary of the size of bert-base-uncased, 30,522, of pairs that occur at least
// twice and 1,000 characters, in 2 GiB.
func DefaultLearnOptions() LearnOptions {
	return LearnOptions{Size: 30522, MinFrequency: 2, LimitAlphabet: 1000, Memory: 2 << 30}
}

// LearnProgress is how far Learn is.
type LearnProgress struct {
	Bytes  int64 // of text read so far
	Merged bool  // all texts are counted
	Tokens int   // of the vocabulary so far, once they are
	Size   int   // that it shall have
}

// LearnStats tell what Learn found.
type LearnStats struct {
	Bytes         int64 `json:"bytes"` // of the texts
	Words         int64 `json:"words"`
	DistinctWords int64 `json:"distinct_words"`
	// LongWords have more characters than Config.MaxWordChars. They are unknown to the tokenizer and count for nothing.
	LongWords int64 `json:"long_words"`
	// InvalidBytes are no UTF-8. They count as U+FFFD, which cleaning drops.
	InvalidBytes int64 `json:"invalid_bytes"`
	// Characters is how many different ones the words have; those that LimitAlphabet leaves out occur DroppedOccurrences
	// times, and UnknownWords words (occurrences) have any of them.
	Characters         int   `json:"characters"`
	DroppedCharacters  int   `json:"dropped_characters"`
	DroppedOccurrences int64 `json:"dropped_occurrences"`
	UnknownWords       int64 `json:"unknown_words"`
	// RareWords is how many distinct words did not fit into LearnOptions.Memory, and RareFrequency that of the most
	// frequent of them: merges were counted without them. 0: all words counted.
	RareWords     int64 `json:"rare_words"`
	RareFrequency int64 `json:"rare_frequency"`
	SpilledBytes  int64 `json:"spilled_bytes"` // that went through temporary files
	// Merges is how many pairs of pieces were merged, the last of which occurred LastFrequency times. Two of them can
	// make the same token.
	Merges        int   `json:"merges"`
	LastFrequency int64 `json:"last_frequency"`
	Size          int   `json:"size"` // of the vocabulary
}

// A LearnSizeError is a size that no vocabulary of the texts has.
type LearnSizeError struct {
	Size int // what was asked for
	// Least is the smallest vocabulary, of special and reserved tokens and characters. Most is the largest one, if Size
	// is above it, else 0.
	Least, Most  int
	MinFrequency int64
}

func (e *LearnSizeError) Error() string {
	if e.Most == 0 {
		return fmt.Sprintf("a vocabulary of %d tokens: special and reserved tokens and characters alone are %d: ask for more tokens or limit the alphabet",
			e.Size, e.Least)
	}
	return fmt.Sprintf("a vocabulary of %d tokens: the texts give no more than %d with a least frequency of %d: ask for fewer tokens, a lower frequency, or give more text",
		e.Size, e.Most, e.MinFrequency)
}

// ErrNoWords says that the texts have no word.
var ErrNoWords = errors.New("there is no word in the texts")

// Learn learns a vocabulary from texts and returns its tokenizer. It counts the words that a tokenizer with this
// configuration finds, begins with their characters, and then merges, again and again, the two neighbouring pieces that
// occur most often (byte-pair encoding: Sennrich, Haddow and Birch 2016), as the WordPiece trainer of
// huggingface/tokenizers does: on the same words the merges are the same, but where that trainer breaks ties between pairs
// by the order of a hash table. The ids are
//
//	[PAD] [UNK] [CLS] [SEP] [MASK] · SpecialTokens · [unused0] … · characters · ##characters · merges
//
// with characters by code point and merges in their order; of pairs that occur equally often, that of the smaller ids
// comes first. Two pairs can make one token (ab + ##c, a + ##bc): it has one id.
//
// Texts may break anywhere between words: a line, a document or a block of a file does. Any script will do; where words
// are not set apart by spaces, a word is what stands between punctuation marks, and ideographs are words of their own.
// Words of more than Config.MaxWordChars characters are left out, so that text without spaces takes no more memory.
//
// Memory is bounded by LearnOptions.Memory, whatever the texts: counts that take more than half of it go to temporary
// files in sorted runs, which are merged; the counts stay exact. Merging then needs all distinct words in memory, about
// 150 bytes for each; if that is more than Memory, the rarest words are left out of it, and LearnStats tells how many.
//
// An error from texts ends Learn and is returned as it is.
func Learn(ctx context.Context, texts iter.Seq2[string, error], c Config, o LearnOptions) (*Tokenizer, LearnStats, error) {
	t, stats, err := learn(ctx, texts, c, o)
	var given textError
	switch {
	case errors.As(err, &given):
		err = given.error
	case err != nil:
		err = fmt.Errorf("tokenizer: %w", err)
	}
	return t, stats, err
}

// textError is an error of the caller's.
type textError struct{ error }

func learn(ctx context.Context, texts iter.Seq2[string, error], c Config, o LearnOptions) (*Tokenizer, LearnStats, error) {
	var stats LearnStats
	if err := o.validate(); err != nil {
		return nil, stats, err
	}
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	o.Memory = min(o.Memory, mostMemory)
	c = c.withDefaults()
	vocab, err := o.fixedTokens(c)
	if err != nil {
		return nil, stats, err
	}
	if len(o.SpecialTokens) > 0 && !c.Google && c.AddedTokens == nil {
		for _, s := range slices.Concat(c.specialTokens(), o.SpecialTokens) {
			c.AddedTokens = append(c.AddedTokens, AddedToken{Content: s, Special: true})
		}
	}
	// The tokenizer of the special tokens finds the words.
	splitter, err := New(vocab, c)
	if err != nil {
		return nil, stats, err
	}
	words, err := countWords(ctx, splitter, texts, &o, &stats)
	if err != nil {
		return nil, stats, err
	}
	defer words.close()

	m, err := newMerger(words, vocab, c.Prefix, &o, &stats)
	if err != nil {
		return nil, stats, err
	}
	if err := m.run(ctx, &o, &stats); err != nil {
		return nil, stats, err
	}
	t, err := New(m.tokens, c)
	return t, stats, err
}

func (o *LearnOptions) validate() error {
	switch {
	case o.Size < 1:
		return fmt.Errorf("a vocabulary of %d tokens: want at least 1", o.Size)
	case o.MinFrequency < 0:
		return fmt.Errorf("a least frequency of %d: want 0 or more", o.MinFrequency)
	case o.LimitAlphabet < 0:
		return fmt.Errorf("an alphabet of %d characters: want at least 1, or 0 for all", o.LimitAlphabet)
	case o.Reserved < 0 || o.Reserved > o.Size:
		return fmt.Errorf("%d reserved tokens: want 0 to the size of the vocabulary, %d", o.Reserved, o.Size)
	case o.Threads < 0:
		return fmt.Errorf("%d threads: want at least 1, or 0 for the default", o.Threads)
	case o.Memory < leastMemory:
		return fmt.Errorf("a memory of %d bytes: want at least %d", o.Memory, leastMemory)
	}
	return nil
}

// Bounds of LearnOptions.Memory: enough for runs that are worth a file, and no more words than their numbers have room for.
const (
	leastMemory = 1 << 20
	mostMemory  = 1 << 36
)

// fixedTokens are the tokens that do not come from the texts.
func (o *LearnOptions) fixedTokens(c Config) ([]string, error) {
	tokens := slices.Concat(c.specialTokens(), o.SpecialTokens)
	for i := range o.Reserved {
		tokens = append(tokens, fmt.Sprintf("[unused%d]", i))
	}
	seen := make(map[string]bool, len(tokens))
	for _, s := range tokens {
		if s == "" || strings.ContainsAny(s, "\n\r") || seen[s] {
			return nil, fmt.Errorf("special token %q: want each once, none empty, and each on one line", s)
		}
		seen[s] = true
	}
	return tokens, nil
}

// alphabet is the characters that words consist of, in pages of neighbouring code points, of which a text has few.
type alphabet [unicode.MaxRune>>pageBits + 1]*[1 << pageBits]character

const pageBits = 8

type character struct {
	frequency           int64
	continues           bool  // it stands in a word after its first character
	initial, continuing int32 // the ids of the character alone at the beginning of a word and within one
}

func (a *alphabet) at(r rune) *character {
	page := &a[r>>pageBits]
	if *page == nil {
		*page = new([1 << pageBits]character)
	}
	return &(*page)[r&(1<<pageBits-1)]
}

// add counts the characters of a word.
func (a *alphabet) add(word []byte, frequency int64) {
	for i, r := range string(word) {
		c := a.at(r)
		c.frequency += frequency
		c.continues = c.continues || i > 0
	}
}

// limit takes the rarest characters out of the alphabet until no more than most are left (0: all are), and returns the
// others in the order of code points.
func (a *alphabet) limit(most int, stats *LearnStats) []rune {
	var kept []rune
	for number, page := range a {
		if page == nil {
			continue
		}
		for i, c := range page {
			if c.frequency > 0 {
				kept = append(kept, rune(number<<pageBits|i))
			}
		}
	}
	stats.Characters = len(kept)
	if most == 0 || len(kept) <= most {
		return kept
	}
	slices.SortStableFunc(kept, func(r, s rune) int { return cmp.Compare(a.at(s).frequency, a.at(r).frequency) })
	for _, r := range kept[most:] {
		stats.DroppedCharacters++
		stats.DroppedOccurrences += a.at(r).frequency
		*a.at(r) = character{}
	}
	kept = kept[:most]
	slices.Sort(kept)
	return kept
}
