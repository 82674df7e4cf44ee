package tokenizer

import "fmt"

// Config says how text is split into tokens. Its zero value neither cleans nor lower-cases: start with DefaultConfig.
type Config struct {
	// LowerCase is do_lower_case.
	LowerCase bool
	// StripAccents removes nonspacing marks after decomposition (NFD). nil means the value of LowerCase.
	StripAccents *bool
	// CleanText drops control characters and replaces white space by blanks.
	CleanText bool
	// HandleChineseChars makes each CJK ideograph a word: tokenize_chinese_chars.
	HandleChineseChars bool

	// Google selects the behaviour of google-research/bert tokenization.py where HF's differs; see the package comment.
	Google bool

	// MaxWordChars is the maximal number of code points of a normalized word; a longer word is unknown. 0 means 100, or 200
	// in Google mode.
	MaxWordChars int
	// Prefix marks the pieces that continue a word. "" means "##", or no prefix if NoPrefix is set: any piece may then continue a
	// word.
	Prefix   string
	NoPrefix bool

	// The names of the special tokens. "" means [UNK], [CLS], [SEP], [PAD] or [MASK]. The first three must be in the
	// vocabulary.
	UnknownToken, ClassifierToken, SeparatorToken, PadToken, MaskToken string

	// AddedTokens are not split when they occur in the text. nil means those of the five special tokens that the vocabulary
	// has. Tokens that are not in the vocabulary get the ids after it, in order. Google mode has no added tokens: [MASK] in a
	// text is three words there.
	AddedTokens []AddedToken

	// ModelMaxLength is the maximal input length of the model in tokens, including special tokens; 0 if unknown. It is
	// information for the caller: only Options.MaxLength truncates.
	ModelMaxLength int
}

// DefaultConfig returns HF's configuration of an uncased model.
func DefaultConfig() Config {
	return Config{LowerCase: true, CleanText: true, HandleChineseChars: true}.withDefaults()
}

// GoogleConfig returns google-research/bert's configuration for a value of do_lower_case.
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
	prefix := "##"
	if c.NoPrefix {
		prefix = ""
	}
	for _, s := range []struct {
		value *string
		name  string
	}{
		{&c.Prefix, prefix}, {&c.UnknownToken, "[UNK]"}, {&c.ClassifierToken, "[CLS]"}, {&c.SeparatorToken, "[SEP]"},
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
		return fmt.Errorf("MaxWordChars is %d: want at least 1, or 0 for the default", c.MaxWordChars)
	}
	if c.NoPrefix && c.Prefix != "" {
		return fmt.Errorf("there is a prefix, %q, although NoPrefix is set", clip(c.Prefix))
	}
	if c.ModelMaxLength < 0 {
		return fmt.Errorf("model_max_length is %d: want at least 1, or 0 for none", c.ModelMaxLength)
	}
	if c.Google && len(c.AddedTokens) > 0 {
		return fmt.Errorf("added token %q: Google's tokenizer has no added tokens", clip(c.AddedTokens[0].Content))
	}
	return nil
}

// specialTokens returns the names of the five special tokens, in HF's order.
func (c Config) specialTokens() []string {
	return []string{c.PadToken, c.UnknownToken, c.ClassifierToken, c.SeparatorToken, c.MaskToken}
}
