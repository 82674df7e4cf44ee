package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
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
// is missing too, a directory with bert_config.json is a Google checkpoint and gets Google's tokenization, any other gets HF's.
//
// Where no setting says so, text is lower-cased, as by HF, and Notes says it if the vocabulary is cased. A cased vocabulary of a
// Google checkpoint keeps case: google-research/bert refuses to lower-case with one.
//
// A model that needs a tokenizer of another kind, such as MeCab or SentencePiece, is a *KindError; one without a vocabulary, or without
// a token that every text needs, is an *IncompleteError.
func Load(dir string) (*Tokenizer, error) {
	settings, err := readSettings(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, jsonFile)
	data, err := readBounded(path)
	if err == nil {
		if err := settings.checkKind(true); err != nil {
			return nil, fmt.Errorf("tokenizer: %s: %w", filepath.Join(dir, configFile), err)
		}
		t, err := parseJSON(data, settings)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %s: %w", fileOf(err, path), err)
		}
		t.noteCase()
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
		if err := otherFiles(dir); err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		return nil, fmt.Errorf("tokenizer: %w", &IncompleteError{fmt.Sprintf("%s has neither %s nor %s", dir, jsonFile, vocabFile)})
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if err := settings.checkKind(false); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", filepath.Join(dir, configFile), err)
	}
	_, err = os.Stat(filepath.Join(dir, googleBertFile))
	t, err := fromVocab(data, settings, err == nil)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", fileOf(err, path), err)
	}
	t.noteCase()
	return t, nil
}

// IncompleteError says that a model has no vocabulary, or one without a token that every text needs. Its ids can be used all the same.
type IncompleteError struct{ text string }

func (e *IncompleteError) Error() string { return e.text }

// A fileError is an error of another file than the one that is being read.
type fileError struct {
	file string
	err  error
}

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// fileOf returns the file of an error: another file of the same folder, or path.
func fileOf(err error, path string) string {
	var other *fileError
	if errors.As(err, &other) {
		return filepath.Join(filepath.Dir(path), other.file)
	}
	return path
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
	if s != nil && s.LowerCase == nil && strings.HasPrefix(s.Class, "BertJapaneseTokenizer") {
		c.LowerCase = false // its default
	}
	c, err := s.apply(c)
	if err != nil {
		return nil, &fileError{configFile, err}
	}
	c = c.withDefaults()
	tokens, notes, err := parseVocab(vocab, c.Google)
	if err != nil {
		return nil, err
	}
	if s == nil {
		c.LowerCase = !c.Google || !cased(tokens)
	} else {
		if c.AddedTokens, err = s.addedTokens(c, tokens); err != nil {
			return nil, &fileError{s.added, err}
		}
		notes = append(notes, s.notes...)
	}
	return build(c, parts{tokens: tokens, defaults: s.defaults(), notes: notes})
}

// LoadVocab reads a vocabulary with one token per line; the first has id 0. HF mode strips white space from the ends of lines, as
// the reader of its Rust library does, Google mode from both ends. A byte order mark is left out. Notes says where c lower-cases
// a cased vocabulary.
func LoadVocab(path string, c Config) (*Tokenizer, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	tokens, notes, err := parseVocab(data, c.Google)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	t, err := build(c, parts{tokens: tokens, notes: notes})
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	t.noteCase()
	return t, nil
}

// parseVocab splits a vocabulary into lines.
func parseVocab(data []byte, google bool) ([]string, []Note, error) {
	var notes []Note
	if rest, ok := bytes.CutPrefix(data, []byte("\uFEFF")); ok {
		data = rest
		notes = append(notes, Note{NoteByteOrderMark, "the vocabulary begins with a byte order mark, which is left out"})
	}
	if len(data) == 0 {
		return nil, nil, errors.New("the vocabulary is empty")
	}
	if n := bytes.Count(data, []byte{'\n'}); n > maxTokens {
		return nil, nil, fmt.Errorf("%d lines, want a token on each of at most %d", n, maxTokens)
	}
	lines := strings.Split(string(data), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	for i, line := range lines {
		if !utf8.ValidString(line) {
			return nil, nil, fmt.Errorf("line %d: %q is not valid UTF-8", i+1, clip(line))
		}
		if google {
			line = strings.TrimFunc(line, func(r rune) bool { return unidata.Google.Properties(r)&unidata.Space != 0 })
		} else {
			line = strings.TrimRightFunc(line, isSpace)
		}
		lines[i] = line
	}
	return lines, notes, checkPieces(lines)
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
	if longValue(data) {
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
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends within the JSON value")
	}
	return plainJSONError(err)
}

// plainJSONError says what a value should be, without the names of Go's types.
func plainJSONError(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		want := "another kind of value"
		switch wrong.Type.Kind() {
		case reflect.Bool:
			want = "true or false"
		case reflect.String:
			want = "a text"
		case reflect.Int, reflect.Int32, reflect.Int64:
			want = "a whole number"
		case reflect.Slice:
			want = "a list"
		case reflect.Map, reflect.Struct, reflect.Pointer:
			want = "an object"
		}
		if wrong.Field != "" {
			return fmt.Errorf("%s: want %s, got %s", clip(wrong.Field), want, clip(wrong.Value))
		}
		return fmt.Errorf("want %s, got %s", want, clip(wrong.Value))
	}
	// The decoder's messages quote whole numbers and names.
	return errors.New(clipAt(strings.TrimPrefix(err.Error(), "json: "), 200))
}

// longValue reports whether a string or a number in JSON may be longer than maxLong: whether so many bytes are between two quotes or
// commas.
func longValue(data []byte) bool {
	for len(data) > maxLong {
		end := bytes.IndexByte(data, '"')
		if end < 0 {
			end = len(data)
		}
		if end > maxLong {
			for part := range bytes.SplitSeq(data[:end], []byte{','}) {
				if len(part) > maxLong {
					return true
				}
			}
		}
		data = data[min(end+1, len(data)):]
	}
	return false
}
