package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-bert/bert/tokenizer/internal/unidata"
)

// Tokenizer converts text to ids and back. It is immutable and safe for concurrent use.
type Tokenizer struct {
	config  Config
	tokens  []string // by id
	ids     map[string]int32
	outside map[int32]bool // the ids below len(tokens) that are not pieces of the vocabulary: added tokens and gaps
	special []bool         // by id: tokens that Decode skips

	unknown, classifier, separator, pad, mask int32

	table        unidata.Table
	classes      [256]uint8
	asciiPieces  [128]int32 // the token for each punctuation mark
	strip        bool
	maxWordChars int
	vocab        *vocabulary

	added           *addedTokens // matched in the text; nil if none
	addedNormalized *addedTokens // matched in the normalized text; nil if none

	single, pair template
	decoder      decoder
	written      map[int32]string // what Decode writes for added tokens that are matched in the normalized text
	defaults     Options          // from "truncation" in tokenizer.json
	padding      json.RawMessage  // "padding" in tokenizer.json

	pipeline *pipeline  // nil: BERT's own, which is the scanner's
	trim     *trimming  // nil: offsets keep the white space of a token
	source   components // of tokenizer.json, to be written back
	notes    []Note

	scanners sync.Pool
}

// parts are what build needs besides a Config. Zero values stand for BERT's defaults.
type parts struct {
	tokens       []string
	outside      map[int32]bool
	single, pair template
	decoder      *decoder
	defaults     Options
	padding      json.RawMessage
	pipeline     *pipeline
	trim         *trimming
	source       components
	notes        []Note
	// fixed says that tokenizer_config.json can't change the normalizer: only a BertNormalizer by itself follows it.
	fixed bool
}

// New makes a tokenizer from a vocabulary: vocab[id] is the token with that id. If a token occurs more than once, its last id is
// used, as in Google's and HF's tokenizers; Duplicates lists such tokens. An empty string is an id without a token.
func New(vocab []string, c Config) (*Tokenizer, error) {
	t, err := build(c, parts{tokens: slices.Clone(vocab)})
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

func build(c Config, p parts) (*Tokenizer, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	switch n := len(p.tokens); {
	case n == 0:
		return nil, errors.New("the vocabulary is empty")
	case n > maxTokens:
		return nil, fmt.Errorf("%d tokens, want at most %d", n, maxTokens)
	case len(c.AddedTokens) > maxAdded:
		return nil, fmt.Errorf("%d added tokens, want at most %d", len(c.AddedTokens), maxAdded)
	}
	t := &Tokenizer{config: c, tokens: p.tokens, outside: p.outside, table: unidata.HF, strip: c.stripAccents(),
		maxWordChars: c.MaxWordChars, single: p.single, pair: p.pair, decoder: decoder{c.Prefix, true, true},
		defaults: p.defaults, padding: p.padding, pipeline: p.pipeline, trim: p.trim, source: p.source, notes: p.notes}
	if c.Google {
		t.table = unidata.Google
	}
	if p.decoder != nil {
		t.decoder = *p.decoder
	}
	if t.outside == nil {
		t.outside = map[int32]bool{}
	}
	t.ids = make(map[string]int32, len(t.tokens))
	for id, s := range t.tokens {
		if err := checkToken(s); err != nil {
			return nil, fmt.Errorf("id %d: %w", id, err)
		}
		if s == "" {
			t.outside[int32(id)] = true
			continue
		}
		t.ids[s] = int32(id)
	}
	if err := t.addTokens(); err != nil {
		return nil, err
	}
	if err := t.findSpecialTokens(); err != nil {
		return nil, err
	}
	var err error
	t.vocab, err = newVocabulary(t.tokens, func(id int32) bool { return !t.outside[id] }, c.Prefix, t.maxWordChars)
	if err != nil {
		return nil, err
	}
	t.classify()
	if err := t.indexAddedTokens(); err != nil {
		return nil, err
	}
	t.scanners.New = func() any { return &scanner{t: t} }
	return t, nil
}

// addTokens assigns ids after the vocabulary to added tokens that it lacks.
func (t *Tokenizer) addTokens() error {
	c := &t.config
	if c.Google {
		return nil
	}
	if c.AddedTokens == nil {
		for _, s := range c.specialTokens() {
			if _, ok := t.ids[s]; ok {
				c.AddedTokens = append(c.AddedTokens, AddedToken{Content: s, Special: true})
			}
		}
		return nil
	}
	c.AddedTokens = slices.Clone(c.AddedTokens)
	seen := map[string]bool{}
	for _, a := range c.AddedTokens {
		if err := checkToken(a.Content); err != nil {
			return fmt.Errorf("added %w", err)
		}
		if a.Content == "" || seen[a.Content] {
			return fmt.Errorf("added token %q: empty or duplicate", clip(a.Content))
		}
		seen[a.Content] = true
		if _, ok := t.ids[a.Content]; !ok {
			id := int32(len(t.tokens))
			t.ids[a.Content], t.outside[id] = id, true
			t.tokens = append(t.tokens, a.Content)
		}
	}
	return nil
}

// findSpecialTokens sets the ids of the special tokens, BERT's templates unless there are others, and the tokens that Decode
// skips.
func (t *Tokenizer) findSpecialTokens() error {
	c := &t.config
	bert := t.single == nil && t.pair == nil
	for _, s := range []struct {
		name   string
		id     *int32
		what   string
		needed bool
	}{
		{c.UnknownToken, &t.unknown, "unknown", true},
		{c.ClassifierToken, &t.classifier, "classifier", bert},
		{c.SeparatorToken, &t.separator, "separator", bert},
		{c.PadToken, &t.pad, "padding", false},
		{c.MaskToken, &t.mask, "mask", false},
	} {
		id, ok := t.ids[s.name]
		if !ok {
			if s.needed {
				return &IncompleteError{fmt.Sprintf("the vocabulary of %d tokens lacks the %s token %s", len(t.tokens), s.what, clip(s.name))}
			}
			id = -1
		}
		*s.id = id
	}
	if bert {
		t.single, t.pair = bertTemplates(c.ClassifierToken, c.SeparatorToken, t.classifier, t.separator)
	}
	t.special = make([]bool, len(t.tokens))
	if c.Google {
		for _, s := range c.specialTokens() {
			if id, ok := t.ids[s]; ok {
				t.special[id] = true
			}
		}
	}
	for _, a := range c.AddedTokens {
		if a.Special {
			t.special[t.ids[a.Content]] = true
		}
	}
	return nil
}

// classify fills the tables that are indexed by bytes.
func (t *Tokenizer) classify() {
	for b := range t.classes {
		t.classes[b] = classOther
		if b >= 0x80 {
			continue
		}
		switch p := t.table.Properties(rune(b)); {
		case t.config.CleanText && p&unidata.Drop != 0:
		case p&unidata.Space != 0:
			t.classes[b] = classSpace
		case p&unidata.Punct != 0:
			t.classes[b] = classPunct
			id, n := t.vocab.trie.longestString(rootInitial, string(rune(b)))
			if n == 0 {
				id = t.unknown
			}
			t.asciiPieces[b] = id
		default:
			t.classes[b] = classWord
		}
	}
}

func (t *Tokenizer) indexAddedTokens() error {
	type list struct {
		tokens  []AddedToken
		content []string
		ids     []int32
	}
	var raw, normal list
	for _, a := range t.config.AddedTokens {
		to, content := &raw, a.Content
		if a.Normalized {
			to = &normal
			if t.pipeline != nil {
				var err error
				if content, err = t.pipeline.normalizeToken(content); err != nil {
					return fmt.Errorf("added token %q: %w", clip(a.Content), err)
				}
			} else {
				s := scanner{t: t, whole: true}
				s.normalize(content, 0)
				content = string(s.norm.text)
			}
			if content != a.Content && content != "" {
				if t.written == nil {
					t.written = map[int32]string{}
				}
				t.written[t.ids[a.Content]] = content
			}
		}
		to.tokens = append(to.tokens, a)
		to.content = append(to.content, content)
		to.ids = append(to.ids, t.ids[a.Content])
	}
	var err error
	if t.added, err = newAddedTokens(raw.tokens, raw.content, raw.ids); err != nil {
		return err
	}
	t.addedNormalized, err = newAddedTokens(normal.tokens, normal.content, normal.ids)
	return err
}

// Config returns the configuration with all defaults filled in.
func (t *Tokenizer) Config() Config {
	c := t.config
	c.AddedTokens = slices.Clone(c.AddedTokens)
	return c
}

// DefaultOptions returns the options in "truncation" of the tokenizer.json that the tokenizer was loaded from, or zero Options.
// Encode does not use them: it applies only the options it is given.
func (t *Tokenizer) DefaultOptions() Options { return t.defaults }

// VocabSize returns the number of ids, including those of added tokens. Ids are 0 to VocabSize-1.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// ID returns the id of a token.
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// Token returns the token with an id, or false if the id is out of range or has no token.
func (t *Tokenizer) Token(id int32) (string, bool) {
	if id < 0 || int(id) >= len(t.tokens) || t.tokens[id] == "" {
		return "", false
	}
	return t.tokens[id], true
}

// Tokens returns the token of each id, or the unknown token for an id without one.
func (t *Tokenizer) Tokens(ids []int32) []string {
	tokens := make([]string, len(ids))
	for i, id := range ids {
		s, ok := t.Token(id)
		if !ok {
			s = t.config.UnknownToken
		}
		tokens[i] = s
	}
	return tokens
}

// IsSpecial reports whether Decode skips the token on request: [CLS], [MASK] and the like, including [UNK].
func (t *Tokenizer) IsSpecial(id int32) bool {
	return id >= 0 && int(id) < len(t.special) && t.special[id]
}

// Continues reports whether the token with this id continues a word: whether it begins with Config.Prefix. Without a prefix no token
// is known to.
func (t *Tokenizer) Continues(id int32) bool {
	s, ok := t.Token(id)
	return ok && !t.config.NoPrefix && !t.outside[id] && len(s) > len(t.config.Prefix) && s[:len(t.config.Prefix)] == t.config.Prefix
}

// Duplicates returns the tokens that have more than one id, in the order of the vocabulary. Encode uses the last id.
func (t *Tokenizer) Duplicates() []string {
	var twice []string
	seen := map[string]bool{}
	for id, s := range t.tokens {
		if s != "" && t.ids[s] != int32(id) && !seen[s] {
			seen[s] = true
			twice = append(twice, s)
		}
	}
	return twice
}

// ClassifierID returns the id of [CLS]; SeparatorID, PadID, MaskID and UnknownID return those of [SEP], [PAD], [MASK] and
// [UNK]. The id is -1 if the vocabulary lacks the token.
func (t *Tokenizer) ClassifierID() int32 { return t.classifier }

// SeparatorID returns the id of [SEP].
func (t *Tokenizer) SeparatorID() int32 { return t.separator }

// PadID returns the id of [PAD].
func (t *Tokenizer) PadID() int32 { return t.pad }

// MaskID returns the id of [MASK].
func (t *Tokenizer) MaskID() int32 { return t.mask }

// UnknownID returns the id of [UNK].
func (t *Tokenizer) UnknownID() int32 { return t.unknown }
