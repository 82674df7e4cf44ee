package tokenizer

import "errors"

// Config says how text becomes tokens.
type Config struct {
	LowerCase          bool
	StripAccents       *bool
	CleanText          bool
	HandleChineseChars bool
	Google             bool
	MaxWordChars       int

	UnknownToken, ClassifierToken, SeparatorToken, PadToken, MaskToken string

	ModelMaxLength int
}

// DefaultConfig is HF's uncased default.
func DefaultConfig() Config { return Config{} }

// Tokenizer turns text into ids. It is immutable and safe for concurrent use.
type Tokenizer struct{ config Config }

var errNotYet = errors.New("tokenizer: not written yet")

func New(vocab []string, c Config) (*Tokenizer, error)                          { return nil, errNotYet }
func Load(dir string) (*Tokenizer, error)                                       { return nil, errNotYet }
func LoadVocab(path string, c Config) (*Tokenizer, error)                       { return nil, errNotYet }
func (t *Tokenizer) Save(dir string) error                                      { return errNotYet }
func (t *Tokenizer) Config() Config                                             { return t.config }
func (t *Tokenizer) VocabSize() int                                             { return 0 }
func (t *Tokenizer) ID(token string) (int32, bool)                              { return 0, false }
func (t *Tokenizer) Token(id int32) (string, bool)                              { return "", false }
func (t *Tokenizer) Tokens(ids []int32) []string                                { return nil }
func (t *Tokenizer) ClassifierID() int32                                        { return 0 }
func (t *Tokenizer) SeparatorID() int32                                         { return 0 }
func (t *Tokenizer) PadID() int32                                               { return 0 }
func (t *Tokenizer) MaskID() int32                                              { return 0 }
func (t *Tokenizer) UnknownID() int32                                           { return 0 }
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string                { return "" }
func (t *Tokenizer) Encode(dst *Encoding, text string, o Options) error         { return errNotYet }
func (t *Tokenizer) EncodePair(dst *Encoding, a, b string, o Options) error     { return errNotYet }
func (t *Tokenizer) EncodeWords(dst *Encoding, words []string, o Options) error { return errNotYet }
