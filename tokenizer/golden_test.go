package tokenizer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
)

// rustRecord is a line of rust-<vocab>.jsonl, what HF's Rust library makes of a text or a pair, or of
// reference-<vocab>.jsonl, what the reference makes of it.
type rustRecord struct {
	Kind string  `json:"kind"`
	N    int     `json:"n"`
	Text string  `json:"text"`
	Pair *string `json:"pair,omitempty"`
	rustEncoding
	Tokens            []string           `json:"tokens,omitempty"`
	SpecialTokensMask mask               `json:"special_tokens_mask,omitempty"`
	Decoded           string             `json:"decoded"`
	LongestFirst      map[string]rustCut `json:"longest_first,omitempty"`
	MaxLength         int                `json:"max_length,omitempty"`
	Stride            int                `json:"stride,omitempty"`
	PairTokens        int                `json:"pair_tokens,omitempty"`
	Windows           []rustEncoding     `json:"windows,omitempty"`
}

// rustCut is a record truncated, longest first.
type rustCut struct {
	rustEncoding
	Kept         []int `json:"kept,omitempty"`
	KeptByGoogle []int `json:"kept_by_google,omitempty"`
}

type rustEncoding struct {
	IDs         []int32    `json:"ids,omitempty"`
	TypeIDs     []int32    `json:"type_ids,omitempty"`
	ByteOffsets [][2]int32 `json:"byte_offsets,omitempty"`
}

// mask is numbers in JSON, where a []uint8 is base64.
type mask []uint8

func (m mask) MarshalJSON() ([]byte, error) {
	numbers := make([]int, len(m))
	for i, v := range m {
		numbers[i] = int(v)
	}
	return json.Marshal(numbers)
}

// compare reports how e differs from the library's output; for truncated single texts the file has only ids.
func (want rustEncoding) compare(e *Encoding) error {
	if !slices.Equal(e.IDs, want.IDs) {
		return fmt.Errorf("ids\n got %v\nwant %v", e.IDs, want.IDs)
	}
	if want.TypeIDs != nil && !slices.Equal(e.TypeIDs, want.TypeIDs) {
		return fmt.Errorf("type ids\n got %v\nwant %v", e.TypeIDs, want.TypeIDs)
	}
	if want.ByteOffsets == nil {
		return nil
	}
	offsets := make([][2]int32, len(e.Offsets))
	for i, o := range e.Offsets {
		offsets[i] = [2]int32{o.Start, o.End}
	}
	if !slices.Equal(offsets, want.ByteOffsets) {
		return fmt.Errorf("offsets\n got %v\nwant %v", offsets, want.ByteOffsets)
	}
	return nil
}

// kept counts the tokens of each text.
func kept(e *Encoding) []int {
	n := []int{0, 0}
	for _, s := range e.SequenceIDs {
		if s >= 0 {
			n[s]++
		}
	}
	return n
}

// goldenTokenizers returns the tokenizers of a vocabulary of the goldens: of vocab.txt, which does not say whether it is
// lower-cased, and of tokenizer.json where there is one. The vocabulary may be beside the tokenizations, in folder.
func goldenTokenizers(t testing.TB, folder, name string) map[string]*Tokenizer {
	c := DefaultConfig()
	c.LowerCase = strings.Contains(name, "uncased")
	list := map[string]*Tokenizer{}
	if path := filepath.Join(folder, name+"."+vocabFile); folder != "" && exists(path) {
		tok, err := LoadVocab(path, c)
		if err != nil {
			t.Fatal(err)
		}
		list[vocabFile] = tok
		return list
	}
	dir := golden.Shared(t, "vocab", name)
	for _, mode := range []string{vocabFile, jsonFile} {
		if _, err := os.Stat(filepath.Join(dir, mode)); err != nil {
			continue
		}
		var err error
		if mode == vocabFile {
			list[mode], err = LoadVocab(filepath.Join(dir, mode), c)
		} else {
			list[mode], err = Load(dir)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// TestGoldenRust compares the tokenizer, and the reference that it is tested with elsewhere, with HF's Rust library.
func TestGoldenRust(t *testing.T) {
	if testing.Short() {
		t.Skip("compares tokens, on one goroutine")
	}
	var files []string
	for _, folder := range golden.Folders(t, "tokenization") {
		for _, pattern := range []string{"rust-*.jsonl", "reference-*.jsonl"} {
			found, err := filepath.Glob(filepath.Join(folder, pattern))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, found...)
		}
	}
	if len(files) == 0 {
		t.Fatal("no tokenizations, not even those of testdata/golden")
	}
	for _, path := range files {
		_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".jsonl"), "-")
		t.Run(name, func(t *testing.T) {
			records := readLines[rustRecord](t, path)
			for from, tok := range goldenTokenizers(t, filepath.Dir(path), name) {
				t.Run(from, func(t *testing.T) {
					failed := 0
					for _, r := range records {
						err := checkRust(tok, &r)
						if from == vocabFile { // the same vocabulary otherwise
							err = errors.Join(err, compareReferenceRecord(tok, r))
						}
						if err != nil {
							t.Errorf("%s %d, %q: %v", r.Kind, r.N, r.Text, err)
							if failed++; failed == 20 {
								t.FailNow()
							}
						}
					}
				})
			}
		})
	}
}

func checkRust(tok *Tokenizer, r *rustRecord) error {
	encode := func(e *Encoding, o Options) error {
		if r.Pair == nil {
			return tok.Encode(e, r.Text, o)
		}
		return tok.EncodePair(e, r.Text, *r.Pair, o)
	}
	var e Encoding
	if r.Kind == "windows" {
		if err := encode(&e, Options{MaxLength: r.MaxLength, Stride: r.Stride, Truncation: OnlySecond}); err != nil {
			return err
		}
		if n := 1 + len(e.Overflowing); n != len(r.Windows) {
			return fmt.Errorf("%d windows, want %d", n, len(r.Windows))
		}
		for i, want := range r.Windows {
			w := &e
			if i > 0 {
				w = &e.Overflowing[i-1]
			}
			if err := want.compare(w); err != nil {
				return fmt.Errorf("window %d: %w", i, err)
			}
			if n := kept(w)[1] + w.Truncated; n != r.PairTokens {
				return fmt.Errorf("window %d: tokens and truncated are %d, want %d", i, n, r.PairTokens)
			}
		}
		return nil
	}
	if err := encode(&e, Options{}); err != nil {
		return err
	}
	if err := r.compare(&e); err != nil {
		return err
	}
	if got := tok.Tokens(e.IDs); !slices.Equal(got, r.Tokens) {
		return fmt.Errorf("tokens\n got %q\nwant %q", got, r.Tokens)
	}
	if !slices.Equal(e.SpecialTokensMask, r.SpecialTokensMask) {
		return fmt.Errorf("mask\n got %v\nwant %v", e.SpecialTokensMask, r.SpecialTokensMask)
	}
	if got := tok.Decode(e.IDs, true); got != r.Decoded {
		return fmt.Errorf("decoded\n got %q\nwant %q", got, r.Decoded)
	}
	all := kept(&e)
	for length, want := range r.LongestFirst {
		n, err := strconv.Atoi(length)
		if err != nil {
			return err
		}
		if err := encode(&e, Options{MaxLength: n}); err != nil {
			return err
		}
		if err := want.compare(&e); err != nil {
			return fmt.Errorf("longest_first %s: %w", length, err)
		}
		if r.Pair == nil {
			continue
		}
		if got := kept(&e); !slices.Equal(got, want.Kept) {
			return fmt.Errorf("longest_first %s: kept %v, want %v", length, got, want.Kept)
		}
		if a, b := longestFirst(all[0], all[1], n-3, true); a != want.KeptByGoogle[0] || b != want.KeptByGoogle[1] {
			return fmt.Errorf("longest_first %s: Google keeps %d, %d, want %v", length, a, b, want.KeptByGoogle)
		}
	}
	return nil
}

// readLines reads JSON lines. Only the byte 0x0A ends a line.
func readLines[T any](t testing.TB, path string) []T {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []T
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, len(data)+1)
	for s.Scan() {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatalf("%s:%d: %v", path, len(list)+1, err)
		}
		list = append(list, v)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestGoldenQuestions compares with another implementation's ids for the questions of SQuAD.
func TestGoldenQuestions(t *testing.T) {
	type question struct {
		Text             string
		Basic, Wordpiece []string
		IDs              []int32
	}
	questions := readLines[question](t, golden.Path(t, "tokenization", "squad-questions.jsonl"))
	for from, tok := range goldenTokenizers(t, "", "bert-base-uncased") {
		var e Encoding
		for _, q := range questions {
			if err := tok.Encode(&e, q.Text, Options{OmitSpecialTokens: true}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(e.IDs, q.IDs) || !slices.Equal(tok.Tokens(e.IDs), q.Wordpiece) {
				t.Errorf("%s: %q: got %q, want %q", from, q.Text, tok.Tokens(e.IDs), q.Wordpiece)
			}
			if n := len(e.WordIDs); n > 0 && int(e.WordIDs[n-1])+1 != len(q.Basic) {
				t.Errorf("%s: %q: %d words, want %d", from, q.Text, e.WordIDs[n-1]+1, len(q.Basic))
			}
		}
	}
}

func TestGoldenBertCpp(t *testing.T) {
	var file struct {
		Vocab string
		Cases []struct {
			Text string
			IDs  []int32
		}
	}
	readJSON(t, golden.Path(t, "tokenization", "bert.cpp-uncased-cases.json"), &file)
	for from, tok := range goldenTokenizers(t, "", file.Vocab) {
		var e Encoding
		for _, c := range file.Cases {
			if err := tok.Encode(&e, c.Text, Options{}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(e.IDs, c.IDs) {
				t.Errorf("%s: %q: got %v, want %v", from, c.Text, e.IDs, c.IDs)
			}
		}
	}
}

// googleFile is google-bert-cases.json.
type googleFile struct {
	Source string `json:"source"`
	Full   struct {
		Vocab []string     `json:"vocab"`
		Lower bool         `json:"do_lower_case"`
		Cases []googleCase `json:"cases"`
	} `json:"full"`
	Basic     []googleCase `json:"basic"`
	Wordpiece struct {
		Vocab []string     `json:"vocab"`
		Cases []googleCase `json:"cases"`
	} `json:"wordpiece"`
	Space   truth `json:"is_whitespace"`
	Control truth `json:"is_control"`
	Punct   truth `json:"is_punctuation"`
}

type googleCase struct {
	Text   string   `json:"text"`
	Tokens []string `json:"tokens"`
	IDs    []int32  `json:"ids,omitempty"`
	Lower  bool     `json:"do_lower_case,omitempty"` // of basic
}

type truth struct {
	True  []string `json:"true"`
	False []string `json:"false"`
}

// TestGoldenGoogle runs the cases of google-research/bert tokenization_test.py, and those that the reference made.
func TestGoldenGoogle(t *testing.T) {
	for _, path := range golden.Folders(t, "tokenization", "google-bert-cases.json") {
		goldenGoogle(t, path)
	}
}

func goldenGoogle(t *testing.T, path string) {
	var file googleFile
	readJSON(t, path, &file)
	tokenizer := func(vocab []string, lower bool) *Tokenizer {
		tok, err := New(vocab, GoogleConfig(lower))
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	check := func(tok *Tokenizer, c googleCase) {
		t.Helper()
		var e Encoding
		if err := tok.Encode(&e, c.Text, Options{OmitSpecialTokens: true}); err != nil {
			t.Fatal(err)
		}
		if got := tok.Tokens(e.IDs); !slices.Equal(got, c.Tokens) {
			t.Errorf("%s: %q: got %q, want %q", path, c.Text, got, c.Tokens)
		}
		if c.IDs != nil && !slices.Equal(e.IDs, c.IDs) {
			t.Errorf("%s: %q: got %v, want %v", path, c.Text, e.IDs, c.IDs)
		}
		var pieces []string
		for _, p := range reference(tok, c.Text) {
			pieces = append(pieces, p.token)
		}
		if !slices.Equal(pieces, c.Tokens) {
			t.Errorf("%s: %q: the reference has %q, want %q", path, c.Text, pieces, c.Tokens)
		}
	}
	full := tokenizer(file.Full.Vocab, file.Full.Lower)
	for _, c := range file.Full.Cases {
		check(full, c)
	}
	if len(file.Wordpiece.Cases) > 0 {
		wordpiece := tokenizer(file.Wordpiece.Vocab, false)
		for _, c := range file.Wordpiece.Cases {
			check(wordpiece, c)
		}
	}
	// With a vocabulary of all words, each is one piece.
	for _, lower := range []bool{true, false} {
		words := []string{"[UNK]", "[CLS]", "[SEP]"}
		for _, c := range file.Basic {
			words = append(words, c.Tokens...)
		}
		slices.Sort(words)
		basic := tokenizer(slices.Compact(words), lower)
		for _, c := range file.Basic {
			if c.Lower == lower {
				check(basic, c)
			}
		}
	}
	vocab := []string{"[UNK]", "[CLS]", "[SEP]", "a", "b", "ab"}
	tok, err := New(vocab, GoogleConfig(false))
	if err != nil {
		t.Fatal(err)
	}
	// A character between a and b: white space separates them, a control character does not, punctuation is a third word.
	words := func(s string) int {
		var e Encoding
		if err := tok.Encode(&e, "a"+s+"b", Options{OmitSpecialTokens: true}); err != nil {
			t.Fatal(err)
		}
		return int(e.WordIDs[len(e.WordIDs)-1]) + 1
	}
	for what, c := range map[string]struct {
		truth
		words int
	}{"white space": {file.Space, 2}, "punctuation": {file.Punct, 3}} {
		for want, list := range map[bool][]string{true: c.True, false: c.False} {
			for _, s := range list {
				if got := words(s) == c.words; got != want {
					t.Errorf("%q is %s: %v, want %v", s, what, got, want)
				}
			}
		}
	}
	for _, s := range file.Control.True {
		var e Encoding
		if err := tok.Encode(&e, "a"+s+"b", Options{OmitSpecialTokens: true}); err != nil || !slices.Equal(e.IDs, []int32{5}) {
			t.Errorf("%q is not dropped: %v, %v", s, e.IDs, err)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
