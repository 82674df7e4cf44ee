package tokenizer

import "fmt"

// Config says how text becomes tokens. Its zero value neither cleans nor lower-cases: begin with DefaultConfig.
type Config struct {
	// LowerCase is do_lower_case.
	LowerCase bool
	// StripAccents removes nonspacing marks after decomposition (NFD). nil: as LowerCase.
	StripAccents *bool
	// CleanText drops control characters and turns white space into blanks.
	CleanText bool
	// HandleChineseChars makes each CJK ideograph a word: tokenize_chinese_chars.
	HandleChineseChars bool

	// Google asks for google-research/bert tokenization.py where HF's library differs; the package comment says where.
	Google bool

	// MaxWordChars is how many code points a word may have, once normalized; a longer one is unknown. 0: 100, and 200
	// in Google mode.
	MaxWordChars int
	// Prefix marks the pieces that continue a word. "": "##".
	Prefix string

	// The special tokens by name. "": [UNK], [CLS], [SEP], [PAD], [MASK]. The first three must be in the vocabulary.
	UnknownToken, ClassifierToken, SeparatorToken, PadToken, MaskToken string

	// AddedTokens stay whole where they stand in the text. nil: the five special tokens, as far as the vocabulary has
	// them. Those that are not in the vocabulary get the ids after it, in order. Google's mode has none: there [MASK] is
	// three words.
	AddedTokens []AddedToken

	// ModelMaxLength is the longest input of the model in tokens, special ones included; 0: not said. It is kept for
	// the caller; only Options.MaxLength truncates.
	ModelMaxLength int
}

// DefaultConfig returns what HF takes for an uncased model.
func DefaultConfig() Config {
	return Config{LowerCase: true, CleanText: true, HandleChineseChars: true}.withDefaults()
}

// GoogleConfig returns what google-research/bert does with do_lower_case.
func GoogleConfig(lowerCase bool) Config {
	return Config{LowerCase: lowerCase, CleanText: true, HandleChineseChars: true, Google: true}.withDefaults()
}

func (c Config) withDefaults() Config {
	if c.MaxWordChars == 0 {
		c.MaxWordChars = 100
		if c.Google {
			c.MaxWordChars = 200
		}
	}
	for _, s := range []struct {
		value *string
		name  string
	}{
		{&c.Prefix, "##"}, {&c.UnknownToken, "[UNK]"}, {&c.ClassifierToken, "[CLS]"}, {&c.SeparatorToken, "[SEP]"},
		{&c.PadToken, "[PAD]"}, {&c.MaskToken, "[MASK]"},
	} {
		if *s.value == "" {
			*s.value = s.name
		}
	}
	return c
}

func (c Config) stripAccents() bool {
	if c.StripAccents != nil {
		return *c.StripAccents
	}
	return c.LowerCase
}

func (c Config) validate() error {
	if c.MaxWordChars < 0 {
		return fmt.Errorf("the longest word has %d characters: want at least 1, or 0 for the default", c.MaxWordChars)
	}
	if c.ModelMaxLength < 0 {
		return fmt.Errorf("model_max_length is %d: want at least 1, or 0 for none", c.ModelMaxLength)
	}
	if c.Google && len(c.AddedTokens) > 0 {
		return fmt.Errorf("added token %q: Google's tokenizer has none", c.AddedTokens[0].Content)
	}
	return nil
}

// specialTokens are the five by name, in the order in which HF lists them.
func (c Config) specialTokens() []string {
	return []string{c.PadToken, c.UnknownToken, c.ClassifierToken, c.SeparatorToken, c.MaskToken}
}
