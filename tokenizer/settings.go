package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// settings are the keys of tokenizer_config.json that affect tokenization. Its other keys (chat templates and the like) are
// ignored. A missing key, or one that is null, changes nothing.
type settings struct {
	LowerCase          *bool
	StripAccents       *bool
	HandleChineseChars *bool
	CleanText          *bool
	BasicTokenize      *bool
	NeverSplit         []string
	Unknown            tokenName
	Classifier         tokenName
	Separator          tokenName
	Pad                tokenName
	Mask               tokenName
	Additional         []tokenName
	Added              map[string]*addedEntry
	ModelMaxLength     json.Number
	TruncationSide     string
	Tokenization       string
	Class              string
	WordTokenizer      string // word_tokenizer_type of BertJapaneseTokenizer
	SubwordTokenizer   string // subword_tokenizer_type

	notes []Note
	// added is the file that Added came from.
	added string
}

// keys lists the keys and where their values go.
func (s *settings) keys() map[string]any {
	return map[string]any{
		"do_lower_case": &s.LowerCase, "strip_accents": &s.StripAccents, "tokenize_chinese_chars": &s.HandleChineseChars,
		"clean_text": &s.CleanText, "do_basic_tokenize": &s.BasicTokenize, "never_split": &s.NeverSplit,
		"unk_token": &s.Unknown, "cls_token": &s.Classifier, "sep_token": &s.Separator, "pad_token": &s.Pad, "mask_token": &s.Mask,
		"additional_special_tokens": &s.Additional, "added_tokens_decoder": &s.Added, "model_max_length": &s.ModelMaxLength,
		"truncation_side": &s.TruncationSide, "bert_tokenization": &s.Tokenization, "tokenizer_class": &s.Class,
		"word_tokenizer_type": &s.WordTokenizer, "subword_tokenizer_type": &s.SubwordTokenizer,
	}
}

// parseSettings reads tokenizer_config.json, or another file with some of its keys.
func parseSettings(data []byte) (*settings, error) {
	var object map[string]json.RawMessage
	if err := decodeJSON(data, &object, false); err != nil {
		return nil, err
	}
	s := &settings{added: configFile}
	targets := s.keys()
	// The order of a map varies, and the first error and the notes must not.
	names := make([]string, 0, len(targets))
	for name := range targets {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := object[name]
		if null(value) {
			continue
		}
		var err error
		switch to := targets[name].(type) {
		case **bool:
			var text bool
			if *to, text, err = readBool(value); text {
				s.note(NoteTextValue, "%s: %s is %s as text or as a number, and is taken as %t", configFile, name, clip(string(value)), **to)
			}
		case *json.Number:
			var text bool
			if *to, text, err = readNumber(value); text {
				s.note(NoteTextValue, "%s: %s is the number %s as text", configFile, name, clip(to.String()))
			}
		case *string:
			if err = json.Unmarshal(value, to); err != nil {
				err = fmt.Errorf("want a text, got %s", clip(string(value)))
			}
		default:
			if err = json.Unmarshal(value, to); err != nil {
				err = plainJSONError(err)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, nil
}

// readBool reads true or false, also as text and as the numbers 1 and 0.
func readBool(data json.RawMessage) (value *bool, text bool, err error) {
	var b bool
	if json.Unmarshal(data, &b) == nil {
		return &b, false, nil
	}
	var s string
	if json.Unmarshal(data, &s) != nil {
		s = string(data)
	}
	switch strings.ToLower(s) {
	case "true", "1":
		b = true
	case "false", "0":
	default:
		return nil, false, fmt.Errorf("want true or false, got %s", clip(string(data)))
	}
	return &b, true, nil
}

func readNumber(data json.RawMessage) (n json.Number, text bool, err error) {
	if json.Unmarshal(data, &n) != nil {
		return "", false, fmt.Errorf("want a number, got %s", clip(string(data)))
	}
	if n == "" {
		return "", false, errors.New(`want a number, got ""`)
	}
	return n, data[0] == '"', nil
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
		return fmt.Errorf("a special token is %s: want a text or an object with content", clip(string(data)))
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
			s = &settings{added: configFile}
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
	s.Added, s.added = map[string]*addedEntry{}, addedFile
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
	// HF's Rust library, and so AutoTokenizer, knows neither key; transformers' tokenizers in Python, which did, are gone.
	if s.BasicTokenize != nil && !*s.BasicTokenize {
		s.note(NoteIgnored, "%s: do_basic_tokenize is false, which has no effect, as in Hugging Face's AutoTokenizer: text is split at white space and punctuation", configFile)
	}
	if len(s.NeverSplit) > 0 {
		s.note(NoteIgnored, "%s: never_split has no effect, as in Hugging Face's AutoTokenizer: list such words as added tokens", configFile)
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
// special tokens and the additional special tokens. Its errors are of the file s.added.
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
	where := ""
	if s.added == configFile {
		where = "added_tokens_decoder: "
	}
	ids := make([]int, 0, len(s.Added))
	for key, e := range s.Added {
		id, err := strconv.Atoi(key)
		if err != nil || e == nil {
			return nil, fmt.Errorf("%s%q: want an id and an object", where, clip(key))
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	next := len(vocab)
	for _, id := range ids {
		e := s.Added[strconv.Itoa(id)]
		if e == nil {
			return nil, fmt.Errorf("%sthe id %d has leading zeros or a sign", where, id)
		}
		at, ok := known[e.Content]
		switch {
		case !ok && id != next:
			return nil, fmt.Errorf("%s%q has id %d, but the next id after the %d tokens of vocab.txt and the added tokens is %d",
				where, clip(e.Content), id, len(vocab), next)
		case !ok:
			next++
		case at != id:
			return nil, fmt.Errorf("%s%q has id %d, but id %d in vocab.txt", where, clip(e.Content), id, at)
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
	return list, nil
}
