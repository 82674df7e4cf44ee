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

// LearnOptions are the options of Learn. Start with DefaultLearnOptions.
type LearnOptions struct {
	// Size is the size of the vocabulary: special and reserved tokens, characters and merges.
	Size int
	// MinFrequency is how often a pair of pieces must occur to be merged.
	MinFrequency int64
	// LimitAlphabet is the number of different characters to keep: the most frequent ones and, among equally frequent ones,
	// the smaller code points. Words with other characters are unknown, so no piece is learnt from them. 0 keeps all.
	LimitAlphabet int
	// SpecialTokens follow the five special tokens of every BERT in the vocabulary. Unless Config.AddedTokens is set, they are
	// not split when they occur in a text, and nothing is learnt from them.
	SpecialTokens []string
	// Reserved is the number of tokens [unused0], [unused1] and so on. No text is encoded with them: they can be replaced later.
	Reserved int
	// Threads is the number of threads that count and merge; 0 means all that the process may use. The result does not depend
	// on it.
	Threads int
	// Memory is an approximate limit, in bytes, on the memory for words and pairs. It must be at least 1 MiB; at most 64 GiB
	// are used. See Learn.
	Memory int64
	// TempDir is the folder for counts that do not fit into Memory. "" means the system's folder for temporary files.
	TempDir string
	// Report, if not nil, is called about twice a second while texts are counted and at every thousandth merge. It must not
	// block.
	Report func(LearnProgress)
}

// DefaultLearnOptions returns options for a vocabulary of the size of bert-base-uncased, 30,522 tokens, with at most 1,000
// characters, from pairs that occur at least twice, in 2 GiB of memory.
func DefaultLearnOptions() LearnOptions {
	return LearnOptions{Size: 30522, MinFrequency: 2, LimitAlphabet: 1000, Memory: 2 << 30}
}

// LearnProgress is the progress of Learn.
type LearnProgress struct {
	Bytes  int64 // text read so far
	Merged bool  // whether counting has ended and merging has begun
	Tokens int   // the current size of the vocabulary, while merging
	Size   int   // its final size
}

// LearnStats describe the texts and the vocabulary.
type LearnStats struct {
	Bytes         int64 `json:"bytes"` // of all texts
	Words         int64 `json:"words"`
	DistinctWords int64 `json:"distinct_words"`
	// LongWords is the number of words with more characters than Config.MaxWordChars. They are unknown to the tokenizer and
	// ignored.
	LongWords int64 `json:"long_words"`
	// InvalidBytes is the number of bytes that are not valid UTF-8. They count as U+FFFD, which cleaning drops. Encode refuses such text.
	InvalidBytes int64 `json:"invalid_bytes"`
	// Characters is the number of different characters. LimitAlphabet drops DroppedCharacters of them, which occur
	// DroppedOccurrences times, in UnknownWords occurrences of words.
	Characters         int   `json:"characters"`
	DroppedCharacters  int   `json:"dropped_characters"`
	DroppedOccurrences int64 `json:"dropped_occurrences"`
	UnknownWords       int64 `json:"unknown_words"`
	// RareWords is the number of distinct words that were left out of merging because they did not fit into
	// LearnOptions.Memory, and RareFrequency the frequency of the most frequent of them. 0 if all words were used.
	RareWords     int64 `json:"rare_words"`
	RareFrequency int64 `json:"rare_frequency"`
	SpilledBytes  int64 `json:"spilled_bytes"` // written to temporary files
	// Merges is the number of merged pairs of pieces; the last one occurred LastFrequency times. Two merges can make the same
	// token.
	Merges        int   `json:"merges"`
	LastFrequency int64 `json:"last_frequency"`
	Size          int   `json:"size"` // of the vocabulary
}

// A LearnSizeError reports a size that no vocabulary of the texts can have.
type LearnSizeError struct {
	Size int // the requested size
	// If Size is too small, Least is the size of the smallest vocabulary: special and reserved tokens and characters. If Size
	// is too large, Most is the size of the largest one. The other is 0.
	Least, Most  int
	MinFrequency int64
}

func (e *LearnSizeError) Error() string {
	if e.Most == 0 {
		return fmt.Sprintf("a vocabulary of %d tokens is too small: special tokens, reserved tokens and characters alone are %d: ask for more tokens or limit the alphabet",
			e.Size, e.Least)
	}
	return fmt.Sprintf("a vocabulary of %d tokens is too large: the texts give only %d with a minimal frequency of %d: ask for fewer tokens or a lower frequency, or give more text",
		e.Size, e.Most, e.MinFrequency)
}

// ErrNoWords is returned for texts without words.
var ErrNoWords = errors.New("there are no words in the texts")

// Learn learns a vocabulary from texts and returns its tokenizer. It counts the words that a tokenizer with this
// configuration finds, starts with their characters, and then repeatedly merges the most frequent pair of neighbouring pieces
// (byte-pair encoding: Sennrich, Haddow and Birch 2016), like the WordPiece trainer of huggingface/tokenizers. On the same
// words the merges are the same, except that that trainer breaks ties between pairs by the order of a hash table. The ids are
//
//	[PAD] [UNK] [CLS] [SEP] [MASK] · SpecialTokens · [unused0] … · characters · ##characters · merges
//
// with characters ordered by code point and merges in the order in which they were made; of equally frequent pairs, the one
// with the smaller ids is merged first. Two pairs can make the same token (ab + ##c, a + ##bc), which has one id.
//
// Texts may be split anywhere between words: into lines, documents or blocks of a file. Any script works; in scripts without
// spaces between words, a word extends from one punctuation mark to the next, and each ideograph is a word. Words of more than
// Config.MaxWordChars characters are ignored, so that text without spaces needs no more memory.
//
// Memory is limited by LearnOptions.Memory, whatever the texts: counts that need more than half of it go to temporary files in
// sorted runs, which are merged; the counts stay exact. Merging then needs all distinct words in memory, about 150 bytes each.
// If that exceeds Memory, the rarest words are left out; LearnStats reports how many.
//
// An error from texts ends Learn and is returned unchanged.
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

// textError is an error of the caller's texts.
type textError struct{ error }

func learn(ctx context.Context, texts iter.Seq2[string, error], c Config, o LearnOptions) (*Tokenizer, LearnStats, error) {
	var stats LearnStats
	if err := o.validate(); err != nil {
		return nil, stats, err
	}
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	o.Memory = min(o.Memory, maxMemory)
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
	// A tokenizer with just the special tokens finds the words.
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
		return fmt.Errorf("a minimal frequency of %d: want 0 or more", o.MinFrequency)
	case o.LimitAlphabet < 0:
		return fmt.Errorf("an alphabet of %d characters: want at least 1, or 0 for all", o.LimitAlphabet)
	case o.Reserved < 0 || o.Reserved > o.Size:
		return fmt.Errorf("%d reserved tokens: want 0 to the size of the vocabulary, %d", o.Reserved, o.Size)
	case o.Threads < 0:
		return fmt.Errorf("%d threads: want at least 1, or 0 for the default", o.Threads)
	case o.Memory < minMemory:
		return fmt.Errorf("%d bytes of memory: want at least %d", o.Memory, minMemory)
	}
	return nil
}

// Bounds of LearnOptions.Memory. The minimum avoids tiny runs; the maximum keeps the number of words below 2³¹.
const (
	minMemory = 1 << 20
	maxMemory = 1 << 36
)

// fixedTokens returns the tokens that do not come from the texts.
func (o *LearnOptions) fixedTokens(c Config) ([]string, error) {
	tokens := slices.Concat(c.specialTokens(), o.SpecialTokens)
	for i := range o.Reserved {
		tokens = append(tokens, fmt.Sprintf("[unused%d]", i))
	}
	seen := make(map[string]bool, len(tokens))
	for _, s := range tokens {
		if s == "" || strings.ContainsAny(s, "\n\r") || seen[s] {
			return nil, fmt.Errorf("special token %q: want each once, not empty and without line breaks", s)
		}
		seen[s] = true
	}
	return tokens, nil
}

// alphabet holds the characters of the words, in pages of neighbouring code points: a text uses few pages.
type alphabet [unicode.MaxRune>>pageBits + 1]*[1 << pageBits]character

const pageBits = 8

type character struct {
	frequency           int64
	continues           bool  // it occurs after the first character of a word
	initial, continuing int32 // its ids at the beginning of a word and within one
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

// limit removes the rarest characters until at most most are left (0: no limit), and returns these by code point.
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
