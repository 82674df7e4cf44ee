package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/tokenizer/internal/unidata"
)

// components are the parts of a tokenizer.json that a Config does not describe, as they were read. Save writes them back.
type components struct {
	normalizer, preTokenizer, postProcessor json.RawMessage
}

// Limits on a pipeline, far beyond what models have.
const (
	maxComponents = 64
	maxNesting    = 8
)

// A componentError reports a component that the package does not have.
type componentError struct{ key, kind, why string }

func (e *componentError) Error() string {
	return fmt.Sprintf("%s.type %q is not supported: %s", e.key, clip(e.kind), e.why)
}

// foreign says of the components of other models what they belong to.
var foreign = map[string]string{
	"ByteLevel":      "it belongs to byte-level BPE, the tokenizer of GPT-2 and RoBERTa",
	"Metaspace":      "it belongs to SentencePiece, the tokenizer of T5, XLM-R and ALBERT",
	"Precompiled":    "it belongs to SentencePiece, the tokenizer of T5, XLM-R and ALBERT",
	"UnicodeScripts": "it belongs to SentencePiece's trainer",
	"FixedLength":    "no BERT has it",
	"BPE":            "a BERT has WordPiece or WordLevel; BPE is the tokenizer of GPT-2 and RoBERTa",
	"Unigram":        "a BERT has WordPiece or WordLevel; Unigram is SentencePiece, the tokenizer of T5, XLM-R and ALBERT",
}

func unsupported(key, kind, want string) error {
	why, ok := foreign[kind]
	if !ok {
		why = "want " + want
	}
	return &componentError{key, kind, why}
}

// decodeComponent decodes a component into v, a struct with a field for type, and whose fields without omitempty it must have.
func decodeComponent(key string, data json.RawMessage, v any, required ...string) error {
	if err := decodeJSON(data, v, true); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	var has map[string]json.RawMessage
	if err := json.Unmarshal(data, &has); err != nil {
		return fmt.Errorf("%s: want an object", key)
	}
	for _, name := range required {
		if null(has[name]) {
			return fmt.Errorf("%s lacks %s", key, name)
		}
	}
	return nil
}

// sequenceOf calls visit with each component of a Sequence, however nested, or with the component itself.
type sequenceOf struct {
	list  string // the key of a Sequence's components
	count int
	visit func(key, kind string, data json.RawMessage) error
}

func (s *sequenceOf) walk(key string, data json.RawMessage, depth int) error {
	kind, err := typeOf(key, data)
	if err != nil {
		return err
	}
	if kind != "Sequence" {
		if s.count++; s.count > maxComponents {
			return fmt.Errorf("%s: more than %d components, which no tokenizer has", key, maxComponents)
		}
		return s.visit(key, kind, data)
	}
	if depth == maxNesting {
		return fmt.Errorf("%s: sequences are nested more than %d times", key, maxNesting)
	}
	var object map[string]json.RawMessage
	if err := decodeJSON(data, &object, false); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	for name := range object {
		if name != "type" && name != s.list {
			return fmt.Errorf("%s: unknown key %q", key, clip(name))
		}
	}
	var list []json.RawMessage
	if null(object[s.list]) {
		return fmt.Errorf("%s lacks %s", key, s.list)
	}
	if err := json.Unmarshal(object[s.list], &list); err != nil {
		return fmt.Errorf("%s.%s: want a list", key, s.list)
	}
	for i, element := range list {
		if len(list) > maxComponents {
			return fmt.Errorf("%s: %d components, want at most %d", key, len(list), maxComponents)
		}
		name := fmt.Sprintf("%s.%s[%d]", key, s.list, i)
		if null(element) {
			return fmt.Errorf("%s is null: want an object with a type", name)
		}
		if err := s.walk(name, element, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// normalizerList reads the normalizers.
func (f *jsonTokenizer) normalizerList() ([]normalizer, error) {
	var list []normalizer
	if null(f.Normalizer) {
		return nil, nil
	}
	s := sequenceOf{list: "normalizers", visit: func(key, kind string, data json.RawMessage) error {
		n, err := readNormalizer(key, kind, data)
		list = append(list, n)
		return err
	}}
	err := s.walk("normalizer", f.Normalizer, 0)
	return list, err
}

func readNormalizer(key, kind string, data json.RawMessage) (normalizer, error) {
	var typeOnly struct {
		Type string `json:"type"`
	}
	alone := func(n normalizer) (normalizer, error) { return n, decodeComponent(key, data, &typeOnly) }
	switch kind {
	case "BertNormalizer":
		var n jsonNormalizer
		if err := decodeComponent(key, data, &n, "clean_text", "handle_chinese_chars", "lowercase"); err != nil {
			return nil, err
		}
		strip := *n.Lowercase
		if n.StripAccents != nil {
			strip = *n.StripAccents
		}
		return bertNormalizer{*n.CleanText, *n.HandleChineseChars, strip, *n.Lowercase}, nil
	case "Lowercase":
		return alone(lowercase{})
	case "NFC":
		return alone(normalForm{compose: true})
	case "NFD":
		return alone(normalForm{})
	case "NFKC":
		return alone(normalForm{compatible: true, compose: true})
	case "NFKD":
		return alone(normalForm{compatible: true})
	case "StripAccents":
		return alone(stripAccents{})
	case "Nmt":
		return alone(nmt{})
	case "Strip":
		var n struct {
			Type  string `json:"type"`
			Left  bool   `json:"strip_left"`
			Right bool   `json:"strip_right"`
		}
		err := decodeComponent(key, data, &n, "strip_left", "strip_right")
		return strip{n.Left, n.Right}, err
	case "Prepend":
		var n struct {
			Type    string `json:"type"`
			Prepend string `json:"prepend"`
		}
		err := decodeComponent(key, data, &n, "prepend")
		if err == nil && len(n.Prepend) > maxPattern {
			err = fmt.Errorf("%s.prepend: %d bytes, want at most %d", key, len(n.Prepend), maxPattern)
		}
		return prepend{n.Prepend}, err
	case "Replace":
		var n struct {
			Type    string      `json:"type"`
			Pattern jsonPattern `json:"pattern"`
			Content string      `json:"content"`
		}
		if err := decodeComponent(key, data, &n, "pattern", "content"); err != nil {
			return nil, err
		}
		if len(n.Content) > maxPattern {
			return nil, fmt.Errorf("%s.content: %d bytes, want at most %d", key, len(n.Content), maxPattern)
		}
		p, err := n.Pattern.compile(key)
		return replace{p, []rune(n.Content)}, err
	}
	return nil, unsupported(key, kind,
		"BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, StripAccents, Strip, Prepend, Replace, Nmt or Sequence")
}

// jsonPattern is {"String": "x"} or {"Regex": "x"}.
type jsonPattern struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

func (p jsonPattern) compile(key string) (pattern, error) {
	switch {
	case (p.String == nil) == (p.Regex == nil):
		return nil, fmt.Errorf("%s.pattern: want either String or Regex", key)
	case p.Regex != nil:
		e, err := newExpression(*p.Regex)
		if err != nil {
			return nil, fmt.Errorf("%s.pattern: %w", key, err)
		}
		return e, nil
	case *p.String == "":
		return nil, fmt.Errorf("%s.pattern: the empty text is not supported", key)
	case len(*p.String) > maxPattern:
		return nil, fmt.Errorf("%s.pattern: %d bytes, want at most %d", key, len(*p.String), maxPattern)
	}
	return substring(*p.String), nil
}

// splitterList reads the pre-tokenizers. bert says that they are BertPreTokenizer alone.
func (f *jsonTokenizer) splitterList() (list []splitter, bert bool, err error) {
	if null(f.PreTokenizer) {
		return nil, false, nil
	}
	kinds := 0
	s := sequenceOf{list: "pretokenizers", visit: func(key, kind string, data json.RawMessage) error {
		kinds++
		bert = kind == "BertPreTokenizer"
		more, err := readSplitter(key, kind, data)
		list = append(list, more...)
		return err
	}}
	err = s.walk("pre_tokenizer", f.PreTokenizer, 0)
	return list, bert && kinds == 1, err
}

func readSplitter(key, kind string, data json.RawMessage) ([]splitter, error) {
	var typeOnly struct {
		Type string `json:"type"`
	}
	switch kind {
	case "BertPreTokenizer":
		return []splitter{splitAt{pattern: characters(isSpace)}, splitAt{pattern: characters(isPunctuation), behavior: isolated}},
			decodeComponent(key, data, &typeOnly)
	case "Whitespace":
		return []splitter{splitAt{pattern: wordsAndSymbols{}, invert: true}}, decodeComponent(key, data, &typeOnly)
	case "WhitespaceSplit":
		return []splitter{splitAt{pattern: characters(isSpace)}}, decodeComponent(key, data, &typeOnly)
	case "Punctuation":
		s := struct {
			Type     string `json:"type"`
			Behavior string `json:"behavior"`
		}{Behavior: behaviorNames[isolated]}
		if err := decodeComponent(key, data, &s); err != nil {
			return nil, err
		}
		how, err := parseBehavior(s.Behavior)
		if err != nil {
			err = fmt.Errorf("%s: %w", key, err)
		}
		return []splitter{splitAt{pattern: characters(isPunctuation), behavior: how}}, err
	case "Digits":
		var s struct {
			Type       string `json:"type"`
			Individual bool   `json:"individual_digits"`
		}
		err := decodeComponent(key, data, &s, "individual_digits")
		how := contiguous
		if s.Individual {
			how = isolated
		}
		return []splitter{splitAt{pattern: characters(unidata.IsNumeric), behavior: how}}, err
	case "Delimiter", "CharDelimiterSplit":
		var s struct {
			Type      string `json:"type"`
			Delimiter string `json:"delimiter"`
		}
		if err := decodeComponent(key, data, &s, "delimiter"); err != nil {
			return nil, err
		}
		r, size := utf8.DecodeRuneInString(s.Delimiter)
		if size == 0 || size < len(s.Delimiter) {
			return nil, fmt.Errorf("%s.delimiter %q: want one character", key, clip(s.Delimiter))
		}
		return []splitter{splitAt{pattern: characters(func(c rune) bool { return c == r })}}, nil
	case "Split":
		var s struct {
			Type     string      `json:"type"`
			Pattern  jsonPattern `json:"pattern"`
			Behavior string      `json:"behavior"`
			Invert   bool        `json:"invert"`
		}
		if err := decodeComponent(key, data, &s, "pattern", "behavior", "invert"); err != nil {
			return nil, err
		}
		p, err := s.Pattern.compile(key)
		if err != nil {
			return nil, err
		}
		how, err := parseBehavior(s.Behavior)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return []splitter{splitAt{p, how, s.Invert}}, nil
	}
	return nil, unsupported(key, kind,
		"BertPreTokenizer, Whitespace, WhitespaceSplit, Punctuation, Digits, Split, Delimiter or Sequence")
}

// pipeline decides whether normalizers and pre-tokenizers are BERT's own, which c then describes and the scanner carries out, and
// makes the pipeline otherwise.
func (f *jsonTokenizer) pipeline(c *Config, p *parts) error {
	normalizers, err := f.normalizerList()
	if err != nil {
		return err
	}
	splitters, bert, err := f.splitterList()
	if err != nil {
		return err
	}
	bert = bert && p.pipeline == nil // no WordLevel
	kind, err := typeOf("normalizer", f.Normalizer)
	if err != nil {
		return err
	}
	p.fixed = kind != "BertNormalizer" && kind != ""
	if len(normalizers) == 0 && bert {
		return nil
	}
	if len(normalizers) == 1 && bert {
		switch n := normalizers[0].(type) {
		case bertNormalizer:
			c.CleanText, c.HandleChineseChars, c.LowerCase = n.clean, n.ideographs, n.lower
			if n.strip != n.lower {
				c.StripAccents = &n.strip
			}
			return nil
		case lowercase:
			off := false
			c.LowerCase, c.StripAccents = true, &off
			return nil
		}
	}
	if p.pipeline == nil {
		p.pipeline = &pipeline{}
	}
	p.pipeline.normalizers, p.pipeline.splitters = normalizers, splitters
	for _, n := range normalizers {
		switch n := n.(type) {
		case lowercase:
			p.pipeline.lower = true
		case bertNormalizer:
			p.pipeline.lower = p.pipeline.lower || n.lower
		}
	}
	c.LowerCase, p.fixed = p.pipeline.lower, true
	p.source.normalizer, p.source.preTokenizer = compact(f.Normalizer), compact(f.PreTokenizer)
	return nil
}

// compact returns a value without white space, in memory of its own.
func compact(data json.RawMessage) json.RawMessage {
	if null(data) {
		return json.RawMessage("null")
	}
	var b bytes.Buffer
	if json.Compact(&b, data) != nil {
		return json.RawMessage("null") // impossible: it has been decoded
	}
	return b.Bytes()
}

// jsonRoberta is RobertaProcessing.
type jsonRoberta struct {
	Type        string    `json:"type"`
	Sep         jsonNamed `json:"sep"`
	Cls         jsonNamed `json:"cls"`
	TrimOffsets bool      `json:"trim_offsets"`
	PrefixSpace bool      `json:"add_prefix_space"`
}

// postProcessor reads the template, which a Sequence may combine with the trimming of ByteLevel.
func (f *jsonTokenizer) postProcessor(c *Config, p *parts) error {
	plain := func() {
		p.pair = template{{sequence: 0}, {sequence: 1, typeID: 1}}
		p.single = p.pair[:1:1]
	}
	if null(f.PostProcessor) {
		plain()
		return nil
	}
	templates := 0
	s := sequenceOf{list: "processors", visit: func(key, kind string, data json.RawMessage) error {
		if kind == "ByteLevel" {
			var b struct {
				Type        string `json:"type"`
				PrefixSpace bool   `json:"add_prefix_space"`
				TrimOffsets bool   `json:"trim_offsets"`
				UseRegex    bool   `json:"use_regex"`
			}
			if err := decodeComponent(key, data, &b, "add_prefix_space", "trim_offsets"); err != nil {
				return err
			}
			if b.TrimOffsets {
				p.trim = &trimming{b.PrefixSpace}
			}
			return nil
		}
		if templates++; templates > 1 {
			return fmt.Errorf("%s: a second template is not supported", key)
		}
		return p.readTemplate(key, kind, data, c)
	}}
	if err := s.walk("post_processor", f.PostProcessor, 0); err != nil {
		return err
	}
	if templates == 0 {
		plain()
	}
	if p.trim != nil {
		p.source.postProcessor = compact(f.PostProcessor)
	}
	return nil
}

// readTemplate reads BertProcessing, RobertaProcessing or TemplateProcessing.
func (p *parts) readTemplate(key, kind string, data json.RawMessage, c *Config) (err error) {
	named := func(cls, sep jsonNamed) error {
		for _, n := range []jsonNamed{cls, sep} {
			if err := p.checkSpecial(n.token, n.id); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		c.ClassifierToken, c.SeparatorToken = cls.token, sep.token
		return nil
	}
	switch kind {
	case "BertProcessing":
		var b jsonBert
		if err := decodeComponent(key, data, &b, "sep", "cls"); err != nil {
			return err
		}
		p.single, p.pair = bertTemplates(b.Cls.token, b.Sep.token, b.Cls.id, b.Sep.id)
		return named(b.Cls, b.Sep)
	case "RobertaProcessing":
		var r jsonRoberta
		if err := decodeComponent(key, data, &r, "sep", "cls", "trim_offsets", "add_prefix_space"); err != nil {
			return err
		}
		if r.TrimOffsets {
			p.trim = &trimming{r.PrefixSpace}
		}
		cls := templateItem{sequence: -1, token: r.Cls.token, ids: []int32{r.Cls.id}}
		sep := templateItem{sequence: -1, token: r.Sep.token, ids: []int32{r.Sep.id}}
		p.pair = template{cls, {sequence: 0}, sep, sep, {sequence: 1}, sep}
		p.single = p.pair[:3:3]
		return named(r.Cls, r.Sep)
	case "TemplateProcessing":
		var t jsonTemplates
		if err := decodeComponent(key, data, &t); err != nil {
			return err
		}
		if p.single, err = p.template(t.Single, t.SpecialTokens, 1); err != nil {
			return fmt.Errorf("%s.single: %w", key, err)
		}
		if p.pair, err = p.template(t.Pair, t.SpecialTokens, 2); err != nil {
			return fmt.Errorf("%s.pair: %w", key, err)
		}
		return nil
	}
	return unsupported(key, kind, "TemplateProcessing, BertProcessing, RobertaProcessing or Sequence")
}

// roles gives the special tokens of BERT's template their parts. The classifier and the separator that tokenizer_config.json names
// take the places of the template's, as where transformers' BertTokenizer is loaded; PreTrainedTokenizerFast keeps the template.
func (p *parts) roles(c *Config, s *settings) {
	special := func(i int) bool { return i < len(p.single) && p.single[i].sequence < 0 && len(p.single[i].ids) == 1 }
	if len(p.single) != 3 || !special(0) || special(1) || !special(2) {
		return
	}
	keeps := s == nil || p.trim != nil || strings.HasPrefix(s.Class, "PreTrainedTokenizer") || s.Class == "TokenizersBackend"
	for _, role := range []struct {
		place    int
		declared tokenName
		to       *string
	}{{0, s.classifier(), &c.ClassifierToken}, {2, s.separator(), &c.SeparatorToken}} {
		old := p.tokens[p.single[role.place].ids[0]]
		id := int32(slices.Index(p.tokens, string(role.declared)))
		if keeps || role.declared == "" || id < 0 || old == string(role.declared) {
			*role.to = old
			continue
		}
		*role.to = string(role.declared)
		for _, form := range []template{p.single, p.pair} {
			for i, item := range form {
				if item.sequence < 0 && len(item.ids) == 1 && p.tokens[item.ids[0]] == old {
					form[i].token, form[i].ids = string(role.declared), []int32{id}
				}
			}
		}
	}
}

func (s *settings) classifier() tokenName {
	if s == nil {
		return ""
	}
	return s.Classifier
}

func (s *settings) separator() tokenName {
	if s == nil {
		return ""
	}
	return s.Separator
}

// jsonWordLevel is the model WordLevel.
type jsonWordLevel struct {
	Type         string           `json:"type"`
	UnknownToken string           `json:"unk_token"`
	Vocab        map[string]int32 `json:"vocab"`
}

func (f *jsonTokenizer) wordLevel(c *Config) (map[string]int32, error) {
	m := jsonWordLevel{UnknownToken: "<unk>"}
	if err := decodeJSON(f.Model, &m, true); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if m.UnknownToken == "" {
		return nil, errors.New(`model.unk_token "": want a token, such as [UNK]`)
	}
	c.UnknownToken = m.UnknownToken
	return m.Vocab, nil
}
