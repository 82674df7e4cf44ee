package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/tokenizer/internal/unidata"
)

// The files of a model directory that concern the tokenizer.
const (
	vocabFile      = "vocab.txt"
	jsonFile       = "tokenizer.json"
	configFile     = "tokenizer_config.json"
	googleBertFile = "bert_config.json"

	// Written by old versions of HF's transformers.
	specialFile = "special_tokens_map.json"
	addedFile   = "added_tokens.json"
)

// Load reads the tokenizer of a model directory.
//
// It reads tokenizer.json if there is one; the settings of tokenizer_config.json for case, accents, Chinese characters and
// special tokens take precedence, as in HF's transformers. Otherwise it reads vocab.txt with tokenizer_config.json. If that
// is missing too, a directory with bert_config.json is a Google checkpoint and gets Google's tokenization, any other gets HF's;
// text is then lower-cased, unless the vocabulary has the pieces A to Z, which lower-cased text could never use.
func Load(dir string) (*Tokenizer, error) {
	settings, err := readSettings(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, jsonFile)
	data, err := readBounded(path)
	if err == nil {
		t, err := parseJSON(data, settings)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
		}
		return t, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	path = filepath.Join(dir, vocabFile)
	data, err = readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		return nil, fmt.Errorf("tokenizer: %s has neither %s nor %s", dir, jsonFile, vocabFile)
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	_, err = os.Stat(filepath.Join(dir, googleBertFile))
	t, err := fromVocab(data, settings, err == nil)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	return t, nil
}

// Limits on the files, far beyond any BERT's: LaBSE has the largest published vocabulary, 501,153 tokens in a vocab.txt of
// 5 MB.
const (
	maxTokens    = 1 << 20
	maxAdded     = 1 << 16
	maxVocabFile = 16 << 20 // bytes
	maxJSONFile  = 32 << 20 // of tokenizer.json
	maxSettings  = 8 << 20  // of the others
	// maxValues limits the values of a JSON file: a token is one, and an added token seven.
	maxValues = maxTokens + 7*maxAdded
)

// readBounded reads one of the files above, which must be regular.
func readBounded(path string) ([]byte, error) {
	most := int64(maxSettings)
	switch filepath.Base(path) {
	case jsonFile:
		most = maxJSONFile
	case configFile, specialFile, addedFile:
	default: // vocab.txt, or what a user calls it
		most = maxVocabFile
	}
	return files.ReadFile(path, most)
}

// fromVocab makes a tokenizer from vocab.txt and the settings of tokenizer_config.json. If s is nil, google says whether the
// vocabulary belongs to a Google checkpoint.
func fromVocab(vocab []byte, s *settings, google bool) (*Tokenizer, error) {
	c := Config{LowerCase: true, CleanText: true, HandleChineseChars: true, Google: google && s == nil}
	c, err := s.apply(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", configFile, err)
	}
	c = c.withDefaults()
	tokens, err := parseVocab(vocab, c.Google)
	if err != nil {
		return nil, err
	}
	if s == nil {
		c.LowerCase = !cased(tokens)
	} else if c.AddedTokens, err = s.addedTokens(c, tokens); err != nil {
		return nil, fmt.Errorf("%s: %w", configFile, err)
	}
	return build(c, parts{tokens: tokens, defaults: s.defaults()})
}

// LoadVocab reads a vocabulary with one token per line; the first has id 0. Google mode strips white space from both ends of a
// line, HF mode does not.
func LoadVocab(path string, c Config) (*Tokenizer, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	tokens, err := parseVocab(data, c.Google)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	t, err := build(c, parts{tokens: tokens})
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	return t, nil
}

// parseVocab splits a vocabulary into lines.
func parseVocab(data []byte, google bool) ([]string, error) {
	if len(data) == 0 {
		return nil, errors.New("the vocabulary is empty")
	}
	if n := bytes.Count(data, []byte{'\n'}); n > maxTokens {
		return nil, fmt.Errorf("%d lines, want a token on each of at most %d", n, maxTokens)
	}
	lines := strings.Split(string(data), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	for i, line := range lines {
		if !utf8.ValidString(line) {
			return nil, fmt.Errorf("line %d: %q is not valid UTF-8", i+1, clip(line))
		}
		line = strings.TrimSuffix(line, "\r")
		if google {
			line = strings.TrimFunc(line, func(r rune) bool { return unidata.Google.Properties(r)&unidata.Space != 0 })
		}
		lines[i] = line
	}
	if strings.HasPrefix(lines[0], "\uFEFF") {
		return nil, fmt.Errorf("line 1: the file begins with a byte order mark: remove it")
	}
	return lines, nil
}

// clip shortens a string for quoting in an error.
func clip(s string) string { return clipAt(s, 40) }

func clipAt(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// cased reports whether a vocabulary has all pieces A to Z.
func cased(tokens []string) bool {
	var seen uint32
	for _, s := range tokens {
		if len(s) == 1 && 'A' <= s[0] && s[0] <= 'Z' {
			seen |= 1 << (s[0] - 'A')
		}
	}
	return seen == 1<<26-1
}

// settings are the keys of tokenizer_config.json that affect tokenization. Its other keys (chat templates, class names) are
// ignored. A missing key changes nothing.
type settings struct {
	LowerCase          *bool                  `json:"do_lower_case"`
	StripAccents       *bool                  `json:"strip_accents"`
	HandleChineseChars *bool                  `json:"tokenize_chinese_chars"`
	CleanText          *bool                  `json:"clean_text"`
	BasicTokenize      *bool                  `json:"do_basic_tokenize"`
	NeverSplit         []string               `json:"never_split"`
	Unknown            tokenName              `json:"unk_token"`
	Classifier         tokenName              `json:"cls_token"`
	Separator          tokenName              `json:"sep_token"`
	Pad                tokenName              `json:"pad_token"`
	Mask               tokenName              `json:"mask_token"`
	Additional         []tokenName            `json:"additional_special_tokens"`
	Added              map[string]*addedEntry `json:"added_tokens_decoder"`
	ModelMaxLength     json.Number            `json:"model_max_length"`
	TruncationSide     string                 `json:"truncation_side"`
	Tokenization       string                 `json:"bert_tokenization"`
}

// tokenName is the name of a token: a string, or an AddedToken object.
type tokenName string

func (n *tokenName) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err == nil {
		*n = tokenName(s)
		return nil
	}
	var o struct {
		Content *string `json:"content"`
	}
	if err := json.Unmarshal(data, &o); err != nil || o.Content == nil {
		return fmt.Errorf("a special token is %s: want a string or an object with content", clip(string(data)))
	}
	*n = tokenName(*o.Content)
	return nil
}

// addedEntry is an added token in HF's files: in added_tokens of tokenizer.json and added_tokens_decoder of
// tokenizer_config.json.
type addedEntry struct {
	ID         *int32 `json:"id,omitempty"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

func (e addedEntry) token() AddedToken {
	return AddedToken{e.Content, e.SingleWord, e.LStrip, e.RStrip, e.Normalized, e.Special}
}

func entry(a AddedToken, id int32) addedEntry {
	return addedEntry{&id, a.Content, a.SingleWord, a.LStrip, a.RStrip, a.Normalized, a.Special}
}

// readSettings reads tokenizer_config.json and, for missing keys, special_tokens_map.json and added_tokens.json. It returns
// nil if there is none of them.
func readSettings(dir string) (*settings, error) {
	var s *settings
	read := func(name string, apply func(data []byte) error) error {
		path := filepath.Join(dir, name)
		data, err := readBounded(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tokenizer: %w", err)
		}
		if s == nil {
			s = &settings{}
		}
		if err := apply(data); err != nil {
			return fmt.Errorf("tokenizer: %s: %w", path, err)
		}
		return nil
	}
	err := read(configFile, func(data []byte) (err error) {
		s, err = parseSettings(data)
		return err
	})
	if err == nil {
		err = read(specialFile, func(data []byte) error { return s.addNames(data) })
	}
	if err == nil {
		err = read(addedFile, func(data []byte) error { return s.addAdded(data) })
	}
	return s, err
}

// addNames takes the special tokens that s does not name from special_tokens_map.json.
func (s *settings) addNames(data []byte) error {
	names, err := parseSettings(data)
	if err != nil {
		return err
	}
	for _, f := range []struct{ to, from *tokenName }{{&s.Unknown, &names.Unknown}, {&s.Classifier, &names.Classifier},
		{&s.Separator, &names.Separator}, {&s.Pad, &names.Pad}, {&s.Mask, &names.Mask}} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	if s.Additional == nil {
		s.Additional = names.Additional
	}
	return nil
}

// addAdded takes added tokens from added_tokens.json, which has only their ids: those that are not special tokens are matched in
// the normalized text.
func (s *settings) addAdded(data []byte) error {
	if n := bytes.Count(data, []byte{','}); n > maxAdded {
		return fmt.Errorf("%d added tokens, want at most %d", n+1, maxAdded)
	}
	var ids map[string]int
	if err := decodeJSON(data, &ids, false); err != nil {
		return err
	}
	if s.Added != nil {
		return nil // added_tokens_decoder has all of them, with their flags
	}
	s.Added = map[string]*addedEntry{}
	isSpecial := map[tokenName]bool{s.Unknown: true, s.Classifier: true, s.Separator: true, s.Pad: true, s.Mask: true}
	for _, name := range s.Additional {
		isSpecial[name] = true
	}
	for content, id := range ids {
		special := isSpecial[tokenName(content)]
		key := strconv.Itoa(id)
		if other := s.Added[key]; other != nil {
			return fmt.Errorf("%q and %q both have id %d", clip(min(content, other.Content)), clip(max(content, other.Content)), id)
		}
		s.Added[key] = &addedEntry{Content: content, Special: special, Normalized: !special}
	}
	return nil
}

func parseSettings(data []byte) (*settings, error) {
	s := &settings{}
	if err := decodeJSON(data, s, false); err != nil {
		return nil, err
	}
	return s, nil
}

// decodeJSON decodes one value. A syntax error names its line.
func decodeJSON(data []byte, v any, strict bool) error {
	// A value may be two bytes of a file and a hundred of memory. Each has a comma after it, but for the last of a list.
	if n := bytes.Count(data, []byte{','}); n > maxValues {
		return fmt.Errorf("%d values, want at most %d: more than any tokenizer has", n, maxValues)
	}
	if n := bytes.Count(data, []byte{'{'}); n > 2*maxAdded {
		return fmt.Errorf("%d objects, want at most %d: more than any tokenizer has", n, 2*maxAdded)
	}
	// The decoder copies each string and number several times.
	if longestValue(data) > maxLong {
		return fmt.Errorf("a value of more than %d bytes, which no tokenizer has", maxLong)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if strict {
		d.DisallowUnknownFields()
	}
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); more == nil {
			return errors.New("data after the JSON value")
		}
		return nil
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n")), err)
	}
	// The decoder's messages quote whole numbers and names.
	return errors.New(clipAt(strings.TrimPrefix(err.Error(), "json: "), 200))
}

// longestValue is at least the length of the longest string or number in JSON: the most bytes between two quotes or commas.
func longestValue(data []byte) int {
	longest, begin := 0, 0
	if len(data) <= maxLong {
		return 0
	}
	for i, c := range data {
		if c == '"' || c == ',' {
			longest = max(longest, i-begin)
			begin = i
		}
	}
	return max(longest, len(data)-begin)
}

// apply returns c changed by the settings.
func (s *settings) apply(c Config) (Config, error) {
	if s == nil {
		return c, nil
	}
	switch s.Tokenization {
	case "", "huggingface":
	case "google":
		c.Google = true
	default:
		return c, fmt.Errorf("bert_tokenization %q: want huggingface or google", clip(s.Tokenization))
	}
	if s.BasicTokenize != nil && !*s.BasicTokenize {
		return c, errors.New("do_basic_tokenize is false: only tokenization with a split into words is supported")
	}
	for _, f := range []struct {
		from *bool
		to   *bool
	}{{s.LowerCase, &c.LowerCase}, {s.HandleChineseChars, &c.HandleChineseChars}, {s.CleanText, &c.CleanText}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if s.StripAccents != nil {
		c.StripAccents = s.StripAccents
	}
	for _, f := range []struct {
		from tokenName
		to   *string
	}{{s.Unknown, &c.UnknownToken}, {s.Classifier, &c.ClassifierToken}, {s.Separator, &c.SeparatorToken}, {s.Pad, &c.PadToken}, {s.Mask, &c.MaskToken}} {
		if f.from != "" {
			*f.to = string(f.from)
		}
	}
	if s.ModelMaxLength != "" {
		// HF writes 1e30 for "no limit".
		if n, err := s.ModelMaxLength.Int64(); err == nil && n < 1<<31 {
			if n < 1 {
				return c, fmt.Errorf("model_max_length %d: want at least 1", n)
			}
			c.ModelMaxLength = int(n)
		} else if f, err := s.ModelMaxLength.Float64(); err != nil || f < 1 {
			return c, fmt.Errorf("model_max_length %s: want a positive number", clip(s.ModelMaxLength.String()))
		}
	}
	return c, nil
}

// defaults returns the options in the settings.
func (s *settings) defaults() Options {
	return Options{TruncateLeft: s != nil && s.TruncationSide == "left"}
}

// addedTokens returns the added tokens of a vocabulary file and the settings: the tokens of added_tokens_decoder, the five
// special tokens, the additional special tokens, and the words that are never split.
func (s *settings) addedTokens(c Config, vocab []string) ([]AddedToken, error) {
	if c.Google {
		return nil, nil
	}
	known := make(map[string]int, len(vocab))
	for id, token := range vocab {
		known[token] = id
	}
	var list []AddedToken
	listed := map[string]bool{}
	add := func(a AddedToken) {
		if !listed[a.Content] {
			listed[a.Content] = true
			list = append(list, a)
		}
	}
	ids := make([]int, 0, len(s.Added))
	for key, e := range s.Added {
		id, err := strconv.Atoi(key)
		if err != nil || e == nil {
			return nil, fmt.Errorf("added_tokens_decoder: %q: want an id and an object", clip(key))
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	next := len(vocab)
	for _, id := range ids {
		e := s.Added[strconv.Itoa(id)]
		if e == nil {
			return nil, fmt.Errorf("added_tokens_decoder: the id %d has leading zeros or a sign", id)
		}
		at, ok := known[e.Content]
		if !ok {
			at = next
			next++
		}
		if at != id {
			return nil, fmt.Errorf("added_tokens_decoder: %q has id %d, but the vocabulary implies %d", clip(e.Content), id, at)
		}
		add(e.token())
	}
	for _, name := range c.specialTokens() {
		if _, ok := known[name]; ok {
			add(AddedToken{Content: name, Special: true})
		}
	}
	for _, name := range s.Additional {
		add(AddedToken{Content: string(name), Special: true})
	}
	for _, word := range s.NeverSplit {
		if _, ok := known[word]; !ok {
			return nil, fmt.Errorf("never_split: %q is not in the vocabulary", clip(word))
		}
		add(AddedToken{Content: word, SingleWord: true})
	}
	return list, nil
}
