package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// tokenizer.json is the file of HF's tokenizers library: a pipeline of components, each an object with a type. What is not supported
// is an error that names it.

type jsonTokenizer struct {
	Version       string          `json:"version"`
	Truncation    *jsonTruncation `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedEntry    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

type jsonTruncation struct {
	Direction string `json:"direction"`
	MaxLength int    `json:"max_length"`
	Strategy  string `json:"strategy"`
	Stride    int    `json:"stride"`
}

type jsonNormalizer struct {
	Type               string `json:"type"`
	CleanText          *bool  `json:"clean_text"`
	HandleChineseChars *bool  `json:"handle_chinese_chars"`
	StripAccents       *bool  `json:"strip_accents"`
	Lowercase          *bool  `json:"lowercase"`
}

type jsonModel struct {
	Type         string    `json:"type"`
	UnknownToken string    `json:"unk_token"`
	Prefix       string    `json:"continuing_subword_prefix"`
	MaxWordChars int       `json:"max_input_chars_per_word"`
	Vocab        jsonVocab `json:"vocab"`
}

// jsonVocab is an object of tokens and ids, of which the last holds where a token occurs twice.
type jsonVocab map[string]int32

// UnmarshalJSON is what encoding/json does for a map, in a third of the time: vocabularies are most of what is read when a program
// starts.
func (v *jsonVocab) UnmarshalJSON(data []byte) error {
	if null(data) {
		return nil
	}
	plain := make(map[string]int32, bytes.Count(data, []byte{','})+1)
	if !plainVocab(data, plain) {
		clear(plain) // something is no id
		if err := json.Unmarshal(data, &plain); err != nil {
			return err
		}
	}
	*v = plain
	return nil
}

// plainVocab reads valid JSON into ids. It reports false where that is not an object of ids.
func plainVocab(data []byte, ids map[string]int32) bool {
	const blanks = " \n\t\r"
	data = bytes.TrimRight(data, blanks)
	if len(data) < 2 || data[0] != '{' {
		return false
	}
	for data = bytes.TrimLeft(data[1:], blanks); data[0] == '"'; data = bytes.TrimLeft(data[1:], blanks) {
		end := 1
		for data[end] != '"' {
			if data[end] == '\\' {
				end++
			}
			end++
		}
		token := string(data[1:end])
		if strings.IndexByte(token, '\\') >= 0 || !utf8.ValidString(token) {
			if json.Unmarshal(data[:end+1], &token) != nil {
				return false
			}
		}
		data = bytes.TrimLeft(data[end+1:], blanks)
		data = bytes.TrimLeft(data[1:], blanks) // the colon
		id, n := int32(0), 0
		for ; n < len(data) && data[n] >= '0' && data[n] <= '9'; n++ {
			if n == 9 { // ids have fewer digits
				return false
			}
			id = 10*id + int32(data[n]-'0')
		}
		data = bytes.TrimLeft(data[n:], blanks)
		if n == 0 || data[0] != ',' && data[0] != '}' {
			return false
		}
		ids[token] = id
		if data[0] == '}' {
			return true
		}
	}
	return data[0] == '}'
}

type jsonDecoder struct {
	Type    string `json:"type"`
	Prefix  string `json:"prefix"`
	Cleanup bool   `json:"cleanup"`
}

type jsonTemplates struct {
	Type          string                       `json:"type"`
	Single        []jsonItem                   `json:"single"`
	Pair          []jsonItem                   `json:"pair"`
	SpecialTokens map[string]*jsonSpecialToken `json:"special_tokens"`
}

type jsonItem struct {
	SpecialToken *jsonPart `json:"SpecialToken,omitempty"`
	Sequence     *jsonPart `json:"Sequence,omitempty"`
}

type jsonPart struct {
	ID     string `json:"id"`
	TypeID int32  `json:"type_id"`
}

type jsonSpecialToken struct {
	ID     string   `json:"id"`
	IDs    []int32  `json:"ids"`
	Tokens []string `json:"tokens"`
}

type jsonBert struct {
	Type string    `json:"type"`
	Sep  jsonNamed `json:"sep"`
	Cls  jsonNamed `json:"cls"`
}

// jsonNamed is ["[SEP]", 102].
type jsonNamed struct {
	token string
	id    int32
}

func (n *jsonNamed) UnmarshalJSON(data []byte) error {
	var list []json.RawMessage
	err := json.Unmarshal(data, &list)
	if err == nil && len(list) != 2 {
		err = fmt.Errorf("want a token and its id, got %d values", len(list))
	}
	if err == nil {
		err = json.Unmarshal(list[0], &n.token)
	}
	if err == nil {
		err = json.Unmarshal(list[1], &n.id)
	}
	return err
}

// strategies lists the truncation strategies by their names in tokenizer.json.
var strategies = [...]struct {
	name       string
	truncation Truncation
}{{"LongestFirst", LongestFirst}, {"OnlyFirst", OnlyFirst}, {"OnlySecond", OnlySecond}}

// parseJSON makes a tokenizer from tokenizer.json. s holds the settings of tokenizer_config.json, or is nil.
func parseJSON(data []byte, s *settings) (*Tokenizer, error) {
	var file jsonTokenizer
	if err := decodeJSON(data, &file, true); err != nil {
		return nil, err
	}
	if file.Version != "" && file.Version != "1.0" {
		return nil, fmt.Errorf("version %q: want 1.0", clip(file.Version))
	}
	c := Config{}
	p := parts{defaults: s.defaults()}
	if err := file.model(&c, &p); err != nil {
		return nil, err
	}
	if err := file.pipeline(&c, &p); err != nil {
		return nil, err
	}
	unknown := c.UnknownToken
	read := c
	c, err := s.apply(c)
	if err != nil {
		return nil, &fileError{configFile, err}
	}
	c.UnknownToken = unknown // the model's name takes precedence
	if p.fixed {
		c.LowerCase, c.StripAccents, c.CleanText, c.HandleChineseChars = read.LowerCase, read.StripAccents, read.CleanText, read.HandleChineseChars
	}
	if c.Google {
		c.AddedTokens = nil
		if p.pipeline != nil {
			return nil, &fileError{configFile, errors.New("bert_tokenization is google, but tokenizer.json has a pipeline that Google's tokenizer has not")}
		}
	}
	if s != nil {
		p.notes = s.notes
	}
	if err := file.postProcessor(&c, &p); err != nil {
		return nil, err
	}
	p.roles(&c, s)
	if err := file.decoder(&p); err != nil {
		return nil, err
	}
	if err := file.options(&p); err != nil {
		return nil, err
	}
	return build(c, p)
}

func null(data json.RawMessage) bool { return len(data) == 0 || bytes.Equal(data, []byte("null")) }

// typeOf returns the type of a component, or "" if it has none.
func typeOf(name string, data json.RawMessage) (string, error) {
	var head struct {
		Type string `json:"type"`
	}
	if null(data) {
		return "", nil
	}
	if kind, ok := firstType(data); ok {
		return kind, nil
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return "", fmt.Errorf("%s: want an object with a type", name)
	}
	return head.Type, nil
}

// firstType returns the type of a component that begins with it, as the library writes them. Without it, the type of a model costs a
// pass over its vocabulary.
func firstType(data json.RawMessage) (kind string, ok bool) {
	rest := data
	for i, sign := range []string{"{", `"type"`, ":", `"`} {
		if rest, ok = bytes.CutPrefix(rest, []byte(sign)); !ok {
			return "", false
		}
		if i < 3 {
			rest = bytes.TrimLeft(rest, " \n\t\r")
		}
	}
	text, _, ok := bytes.Cut(rest, []byte{'"'})
	return string(text), ok && utf8.Valid(text) && bytes.IndexByte(text, '\\') < 0
}

// component decodes a component, which must be of type only.
func component(name string, data json.RawMessage, only string, v any) error {
	if null(data) {
		return fmt.Errorf("%s is null: want %s", name, only)
	}
	kind, err := typeOf(name, data)
	if err != nil {
		return err
	}
	if kind != only {
		return fmt.Errorf("%s.type %q: want %s", name, clip(kind), only)
	}
	if err := decodeJSON(data, v, true); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// model reads the vocabulary and the added tokens.
func (f *jsonTokenizer) model(c *Config, p *parts) error {
	m := jsonModel{UnknownToken: "[UNK]", Prefix: "##", MaxWordChars: 100}
	if null(f.Model) {
		return errors.New("model is missing")
	}
	kind, err := typeOf("model", f.Model)
	if err != nil {
		return err
	}
	switch kind {
	case "", "WordPiece": // files of old versions have no type; no other model has exactly these keys
		if err := decodeJSON(f.Model, &m, true); err != nil {
			return fmt.Errorf("model: %w", err)
		}
		c.NoPrefix = m.Prefix == ""
	case "WordLevel":
		if m.Vocab, err = f.wordLevel(c); err != nil {
			return err
		}
		m.UnknownToken = c.UnknownToken
		p.pipeline = &pipeline{wordLevel: m.Vocab}
	default:
		return unsupported("model", kind, "WordPiece or WordLevel")
	}
	switch {
	case len(m.Vocab) == 0:
		return errors.New("model: the vocabulary is empty")
	case m.MaxWordChars < 1:
		return fmt.Errorf("model.max_input_chars_per_word %d: want at least 1", m.MaxWordChars)
	case m.UnknownToken == "":
		return errors.New(`model.unk_token "": want a token, such as [UNK]`)
	}
	c.UnknownToken, c.Prefix, c.MaxWordChars = m.UnknownToken, m.Prefix, m.MaxWordChars

	// The table of tokens is as long as the largest id, so an id far beyond the number of tokens could exhaust memory.
	limit := int32(min(2*(len(m.Vocab)+len(f.AddedTokens))+1024, maxTokens))
	largest := int32(0)
	for token, id := range m.Vocab {
		if id < 0 || id >= limit {
			return fmt.Errorf("model.vocab: %q has id %d, but there are %d tokens", clip(token), id, len(m.Vocab))
		}
		largest = max(largest, id)
	}
	for i, a := range f.AddedTokens {
		if a.ID == nil || *a.ID < 0 || *a.ID >= limit {
			return fmt.Errorf("added_tokens[%d]: %q has no id, or one far beyond the %d tokens", i, clip(a.Content), len(m.Vocab))
		}
		largest = max(largest, *a.ID)
	}
	p.tokens, p.outside = make([]string, largest+1), map[int32]bool{}
	for token, id := range m.Vocab {
		if other := p.tokens[id]; other != "" {
			return fmt.Errorf("model.vocab: %q and %q both have id %d", clip(min(token, other)), clip(max(token, other)), id)
		}
		p.tokens[id] = token
	}
	c.AddedTokens = []AddedToken{}
	for _, a := range f.AddedTokens {
		if id, ok := m.Vocab[a.Content]; ok {
			if id != *a.ID {
				return fmt.Errorf("added_tokens: %q has id %d, but %d in the vocabulary", clip(a.Content), *a.ID, id)
			}
		} else {
			if other := p.tokens[*a.ID]; other != "" {
				return fmt.Errorf("added_tokens: %q has id %d, which belongs to %q", clip(a.Content), *a.ID, clip(other))
			}
			p.tokens[*a.ID] = a.Content
			p.outside[*a.ID] = true
		}
		c.AddedTokens = append(c.AddedTokens, a.token())
	}
	return nil
}

func (p *parts) checkSpecial(token string, id int32) error {
	if id < 0 || int(id) >= len(p.tokens) || p.tokens[id] != token {
		return fmt.Errorf("%q with id %d is not in the vocabulary", clip(token), id)
	}
	return nil
}

// maxSpecial limits the special tokens that a template adds to each text: BERT's has three.
const maxSpecial = 64

// template reads a template for n texts, each of which must occur once.
func (p *parts) template(items []jsonItem, special map[string]*jsonSpecialToken, n int) (template, error) {
	form := template{}
	var seen [2]int
	for i, item := range items {
		switch {
		case item.Sequence != nil && item.SpecialToken == nil:
			k := map[string]int8{"A": 0, "B": 1}
			s, ok := k[item.Sequence.ID]
			if !ok || int(s) >= n {
				return nil, fmt.Errorf("item %d: sequence %q", i, clip(item.Sequence.ID))
			}
			seen[s]++
			form = append(form, templateItem{sequence: s, typeID: item.Sequence.TypeID})
		case item.SpecialToken != nil && item.Sequence == nil:
			token := special[item.SpecialToken.ID]
			if token == nil || len(token.IDs) != len(token.Tokens) {
				return nil, fmt.Errorf("item %d: special_tokens lacks %q, or its numbers of ids and tokens differ", i, clip(item.SpecialToken.ID))
			}
			for j, id := range token.IDs {
				if err := p.checkSpecial(token.Tokens[j], id); err != nil {
					return nil, fmt.Errorf("special_tokens: %w", err)
				}
			}
			form = append(form, templateItem{sequence: -1, typeID: item.SpecialToken.TypeID, token: item.SpecialToken.ID, ids: token.IDs})
		default:
			return nil, fmt.Errorf("item %d: want one of Sequence and SpecialToken", i)
		}
		if n := form.added(); n > maxSpecial {
			return nil, fmt.Errorf("item %d: more than %d special tokens", i, maxSpecial)
		}
		if form[len(form)-1].typeID < 0 {
			return nil, fmt.Errorf("item %d: type_id %d", i, form[len(form)-1].typeID)
		}
	}
	for k := range n {
		if seen[k] != 1 {
			return nil, fmt.Errorf("sequence %c occurs %d times, want once", 'A'+k, seen[k])
		}
	}
	return form, nil
}

func (f *jsonTokenizer) decoder(p *parts) error {
	p.decoder = &decoder{}
	if null(f.Decoder) {
		return nil
	}
	var d jsonDecoder
	if err := component("decoder", f.Decoder, "WordPiece", &d); err != nil {
		return err
	}
	*p.decoder = decoder{d.Prefix, d.Cleanup, true}
	return nil
}

// options reads truncation and padding. Padding is kept only to be written back: Encodings are not padded.
func (f *jsonTokenizer) options(p *parts) error {
	if !null(f.Padding) {
		if f.Padding[0] != '{' {
			return errors.New("padding: want an object or null")
		}
		p.padding = f.Padding
	}
	if f.Truncation == nil {
		return nil
	}
	o := p.defaults
	o.MaxLength, o.Stride = f.Truncation.MaxLength, f.Truncation.Stride
	if o.MaxLength < 1 || o.Stride < 0 {
		return fmt.Errorf("truncation: max_length %d, stride %d", o.MaxLength, o.Stride)
	}
	switch f.Truncation.Direction {
	case "", "Right":
	case "Left":
		o.TruncateLeft = true
	default:
		return fmt.Errorf("truncation.direction %q: want Left or Right", clip(f.Truncation.Direction))
	}
	for _, s := range strategies {
		if s.name == f.Truncation.Strategy {
			o.Truncation = s.truncation
			p.defaults = o
			return nil
		}
	}
	return fmt.Errorf("truncation.strategy %q: want LongestFirst, OnlyFirst or OnlySecond", clip(f.Truncation.Strategy))
}
