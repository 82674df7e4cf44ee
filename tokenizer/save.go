package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/files"
)

// SaveOptions are what Save may change. The zero value changes nothing.
type SaveOptions struct {
	// MaxLength is the number of positions that the model has; 0 if unknown. It is written as model_max_length unless the
	// tokenizer's own Config.ModelMaxLength is smaller.
	MaxLength int
}

// Save writes vocab.txt, tokenizer_config.json and tokenizer.json to an existing directory, in HF's formats; Load returns the
// same tokenizer. Each file is written completely or not at all. HF's tools do not know Google mode: they read such a directory
// as their closest pipeline. vocab.txt has the tokens of any vocabulary, but what splits text otherwise than BERT does is in
// tokenizer.json alone.
func (t *Tokenizer) Save(dir string, o SaveOptions) error {
	if o.MaxLength < 0 {
		return fmt.Errorf("tokenizer: MaxLength is %d: want at least 1, or 0 if unknown", o.MaxLength)
	}
	vocab, err := t.vocabText()
	if err != nil {
		return fmt.Errorf("tokenizer: %s: %w", filepath.Join(dir, vocabFile), err)
	}
	settings, err := t.settingsJSON(o)
	if err != nil {
		return fmt.Errorf("tokenizer: %s: %w", filepath.Join(dir, configFile), err)
	}
	pipeline, err := t.pipelineJSON()
	if err != nil {
		return fmt.Errorf("tokenizer: %s: %w", filepath.Join(dir, jsonFile), err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{vocabFile, vocab}, {configFile, settings}, {jsonFile, pipeline}} {
		err := files.WriteFile(filepath.Join(dir, f.name), 0o644, func(w io.Writer) error {
			_, err := w.Write(f.data)
			return err
		})
		if err != nil {
			return fmt.Errorf("tokenizer: %w", err)
		}
	}
	return nil
}

// WriteVocabulary writes the vocabulary as vocab.txt has it, a token a line. A token with a line break is an error.
func (t *Tokenizer) WriteVocabulary(w io.Writer) error {
	vocab, err := t.vocabText()
	if err == nil {
		_, err = w.Write(vocab)
	}
	return err
}

// OnlyVocabulary reports whether a vocabulary and a Config are all of the tokenizer: it splits texts as BERT does.
func (t *Tokenizer) OnlyVocabulary() bool { return !t.general() }

// pieces returns the number of ids up to the last piece of the vocabulary: added tokens after it do not go into vocab.txt.
func (t *Tokenizer) pieces() int {
	n := len(t.tokens)
	for n > 0 && t.outside[int32(n-1)] && t.tokens[n-1] != "" {
		n--
	}
	return n
}

// vocabText returns one token per line. An id without a token is an empty line, so that the tokens after it keep their ids.
func (t *Tokenizer) vocabText() ([]byte, error) {
	var b bytes.Buffer
	for id, s := range t.tokens[:t.pieces()] {
		if strings.ContainsAny(s, "\n\r") {
			return nil, fmt.Errorf("token %d, %q, contains a line break", id, s)
		}
		b.WriteString(s)
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// noMaxLength is HF's value for a model without a maximal length: int(1e30).
const noMaxLength = "1000000000000000019884624838656"

func (t *Tokenizer) settingsJSON(o SaveOptions) ([]byte, error) {
	c := t.config
	name := func(s string) *string {
		if _, ok := t.ids[s]; !ok {
			return nil // HF would add a token that is named here but not in the vocabulary
		}
		return &s
	}
	added := map[string]addedEntry{}
	for _, a := range c.AddedTokens {
		id := t.ids[a.Content]
		e := entry(a, id)
		e.ID = nil
		added[strconv.Itoa(int(id))] = e
	}
	out := map[string]any{
		"tokenizer_class":              "BertTokenizer",
		"unk_token":                    name(c.UnknownToken),
		"cls_token":                    name(c.ClassifierToken),
		"sep_token":                    name(c.SeparatorToken),
		"pad_token":                    name(c.PadToken),
		"mask_token":                   name(c.MaskToken),
		"added_tokens_decoder":         added,
		"model_max_length":             json.Number(noMaxLength),
		"clean_up_tokenization_spaces": t.decoder.cleanup,
	}
	limit := c.ModelMaxLength
	if o.MaxLength > 0 && (limit == 0 || limit > o.MaxLength) {
		limit = o.MaxLength
	}
	if limit > 0 {
		out["model_max_length"] = limit
	}
	if t.general() {
		out["tokenizer_class"] = "PreTrainedTokenizerFast" // BertTokenizer would make a pipeline of its own
	} else {
		out["do_lower_case"], out["strip_accents"], out["tokenize_chinese_chars"] = c.LowerCase, c.StripAccents, c.HandleChineseChars
	}
	if !c.CleanText && !t.general() {
		out["clean_text"] = false
	}
	if t.defaults.TruncateLeft {
		out["truncation_side"] = "left"
	}
	if c.Google {
		out["bert_tokenization"] = "google"
	}
	return indented(out)
}

// general reports whether the tokenizer can't be described by a Config.
func (t *Tokenizer) general() bool { return t.pipeline != nil || t.trim != nil || t.config.NoPrefix }

func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// orderedVocab marshals the vocabulary in the order of the ids.
type orderedVocab struct{ t *Tokenizer }

func (v orderedVocab) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	first := true
	for id, s := range v.t.tokens {
		if s == "" {
			if id < len(v.t.tokens)-1 {
				continue
			}
			// An empty line at the end of vocab.txt: without it the vocabulary would be shorter.
		} else if v.t.outside[int32(id)] || v.t.ids[s] != int32(id) {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		if err := e.Encode(s); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1) // remove the newline that Encode adds
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(id))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (t *Tokenizer) pipelineJSON() ([]byte, error) {
	c := t.config
	added := []addedEntry{}
	for _, a := range c.AddedTokens {
		added = append(added, entry(a, t.ids[a.Content]))
	}
	if c.Google {
		// Google mode has no added tokens, but the ids of tokens outside the vocabulary must not be lost.
		for id, s := range t.tokens {
			if s != "" && t.outside[int32(id)] {
				added = append(added, entry(AddedToken{Content: s, Special: t.special[id]}, int32(id)))
			}
		}
	}
	var truncation any
	if o := t.defaults; o.MaxLength > 0 {
		direction, strategy := "Right", ""
		if o.TruncateLeft {
			direction = "Left"
		}
		for _, s := range strategies {
			if s.truncation == o.Truncation {
				strategy = s.name
			}
		}
		truncation = jsonTruncation{direction, o.MaxLength, strategy, o.Stride}
	}
	var decode any
	if t.decoder.wordPiece {
		decode = jsonDecoder{"WordPiece", t.decoder.prefix, t.decoder.cleanup}
	}
	special := map[string]*jsonSpecialToken{}
	var (
		normalize any = jsonNormalizer{"BertNormalizer", &c.CleanText, &c.HandleChineseChars, c.StripAccents, &c.LowerCase}
		split     any = map[string]string{"type": "BertPreTokenizer"}
		finish    any = jsonTemplates{"TemplateProcessing", t.items(t.single, special), t.items(t.pair, special), special}
		model     any = jsonWordPiece{"WordPiece", c.UnknownToken, c.Prefix, c.MaxWordChars, orderedVocab{t}}
	)
	if t.pipeline != nil {
		normalize, split = t.source.normalizer, t.source.preTokenizer
		if t.pipeline.wordLevel != nil {
			model = jsonWordLevelOut{"WordLevel", orderedVocab{t}, c.UnknownToken}
		}
	}
	if t.source.postProcessor != nil {
		finish = t.source.postProcessor
	}
	return indented(struct {
		Version       string          `json:"version"`
		Truncation    any             `json:"truncation"`
		Padding       json.RawMessage `json:"padding"`
		AddedTokens   []addedEntry    `json:"added_tokens"`
		Normalizer    any             `json:"normalizer"`
		PreTokenizer  any             `json:"pre_tokenizer"`
		PostProcessor any             `json:"post_processor"`
		Decoder       any             `json:"decoder"`
		Model         any             `json:"model"`
	}{"1.0", truncation, t.padding, added, normalize, split, finish, decode, model})
}

type jsonWordPiece struct {
	Type         string       `json:"type"`
	UnknownToken string       `json:"unk_token"`
	Prefix       string       `json:"continuing_subword_prefix"`
	MaxWordChars int          `json:"max_input_chars_per_word"`
	Vocab        orderedVocab `json:"vocab"`
}

type jsonWordLevelOut struct {
	Type         string       `json:"type"`
	Vocab        orderedVocab `json:"vocab"`
	UnknownToken string       `json:"unk_token"`
}

// items returns the items of a template, and adds its special tokens to special.
func (t *Tokenizer) items(form template, special map[string]*jsonSpecialToken) []jsonItem {
	items := []jsonItem{}
	for _, item := range form {
		if item.sequence >= 0 {
			items = append(items, jsonItem{Sequence: &jsonPart{string('A' + rune(item.sequence)), item.typeID}})
			continue
		}
		items = append(items, jsonItem{SpecialToken: &jsonPart{item.token, item.typeID}})
		special[item.token] = &jsonSpecialToken{item.token, item.ids, t.Tokens(item.ids)}
	}
	return items
}
