package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// pipelineGoldens are what HF's library makes of texts with many pipelines; testdata/pipelines/make.py writes them.
type pipelineGoldens struct {
	Vocabulary []string
	Texts      []string
	Pairs      [][2]string
	Pipelines  []pipelineGolden
	Records    []pipelineRecord
	CodePoints map[string]string `json:"code_points"`
}

type pipelineGolden struct {
	Name    string
	File    object
	Records []int
}

type pipelineRecord struct {
	IDs     []int32
	Types   []int32
	Offsets []int32
	Words   []int32
	Decoded string
}

func readPipelines(t testing.TB) (g pipelineGoldens) {
	readJSON(t, filepath.Join("testdata", "pipelines", "pipelines.json"), &g)
	if len(g.Pipelines) < 100 || len(g.Texts) < 40 {
		t.Fatalf("%d pipelines and %d texts", len(g.Pipelines), len(g.Texts))
	}
	return g
}

// file returns the tokenizer.json of a pipeline.
func (g *pipelineGoldens) file(t testing.TB, p pipelineGolden) []byte {
	root := object{
		"version": "1.0", "truncation": nil, "padding": nil,
		"normalizer":     object{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": nil, "lowercase": true},
		"pre_tokenizer":  object{"type": "BertPreTokenizer"},
		"post_processor": object{"type": "BertProcessing", "sep": []any{"[SEP]", 3}, "cls": []any{"[CLS]", 2}},
		"decoder":        object{"type": "WordPiece", "prefix": "##", "cleanup": true},
		"model":          object{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
	}
	maps.Copy(root, p.File)
	model := maps.Clone(root["model"].(object))
	vocab := object{}
	for id, token := range g.Vocabulary {
		vocab[token] = id
	}
	model["vocab"] = vocab
	root["model"] = model
	data, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (g *pipelineGoldens) load(t testing.TB, p pipelineGolden) *Tokenizer {
	t.Helper()
	tok, err := parseJSON(g.file(t, p), nil)
	if err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	return tok
}

// check compares an encoding with a record.
func (r *pipelineRecord) check(tok *Tokenizer, e *Encoding, pair bool) error {
	var offsets []int32
	for _, o := range e.Offsets {
		offsets = append(offsets, o.Start, o.End)
	}
	switch {
	case !slices.Equal(e.IDs, r.IDs):
		return fmt.Errorf("ids\n got %q\nwant %q", tok.Tokens(e.IDs), tok.Tokens(r.IDs))
	case !slices.Equal(offsets, r.Offsets):
		return fmt.Errorf("offsets of %q\n got %v\nwant %v", tok.Tokens(e.IDs), offsets, r.Offsets)
	case !slices.Equal(e.WordIDs, r.Words):
		return fmt.Errorf("words of %q\n got %v\nwant %v", tok.Tokens(e.IDs), e.WordIDs, r.Words)
	case pair && !slices.Equal(e.TypeIDs, r.Types):
		return fmt.Errorf("types\n got %v\nwant %v", e.TypeIDs, r.Types)
	case !pair && tok.Decode(e.IDs, true) != r.Decoded:
		return fmt.Errorf("decoded %q, want %q", tok.Decode(e.IDs, true), r.Decoded)
	}
	return nil
}

// TestPipelines compares pipelines with HF's library.
func TestPipelines(t *testing.T) {
	g := readPipelines(t)
	for _, p := range g.Pipelines {
		t.Run(p.Name, func(t *testing.T) {
			tok := g.load(t, p)
			dir := t.TempDir()
			if err := tok.Save(dir, SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			saved, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			for from, tok := range map[string]*Tokenizer{"read": tok, "saved": saved} {
				var e Encoding
				for i, text := range g.Texts {
					if err := tok.Encode(&e, text, Options{}); err != nil {
						t.Fatal(err)
					}
					if err := g.Records[p.Records[i]].check(tok, &e, false); err != nil {
						t.Errorf("%s, %q: %v", from, text, err)
					}
				}
				for i, pair := range g.Pairs {
					if err := tok.EncodePair(&e, pair[0], pair[1], Options{}); err != nil {
						t.Fatal(err)
					}
					if err := g.Records[p.Records[len(g.Texts)+i]].check(tok, &e, true); err != nil {
						t.Errorf("%s, %q: %v", from, pair, err)
					}
				}
			}
		})
	}
}

// TestCodePoints compares normalizers and classes for every code point.
func TestCodePoints(t *testing.T) {
	if testing.Short() {
		t.Skip("goes through every code point, on one goroutine")
	}
	g := readPipelines(t)
	digest := func(f func(a *aligned) string) string {
		h := sha256.New()
		var line []byte
		chars := make([]char, 1)
		for r := rune(0); r <= utf8.MaxRune; r++ {
			if 0xD800 <= r && r <= 0xDFFF {
				continue
			}
			chars[0] = char{r, Offset{}}
			a := aligned{chars: chars, limit: 100}
			line = append(append(line[:0], f(&a)...), '\n')
			h.Write(line)
		}
		return hex.EncodeToString(h.Sum(nil))
	}
	functions := map[string]func(a *aligned) string{}
	for name, n := range map[string]normalizer{"NFC": normalForm{compose: true}, "NFD": normalForm{}, "NFKC": normalForm{true, true},
		"NFKD": normalForm{compatible: true}, "StripAccents": stripAccents{}, "Lowercase": lowercase{}, "Nmt": nmt{}} {
		functions[name] = func(a *aligned) string { n.normalize(a); return textOf(a.chars) }
	}
	digits, err := readSplitter("", "Digits", json.RawMessage(`{"type": "Digits", "individual_digits": true}`))
	if err != nil {
		t.Fatal(err)
	}
	functions["Digits"] = func(a *aligned) string {
		return fmt.Sprint(len(digits[0].split(nil, append([]char{{'a', Offset{}}}, a.chars...))))
	}
	for name := range g.CodePoints {
		if strings.HasPrefix(name, `\`) || strings.HasPrefix(name, "[") {
			e, err := newExpression(name)
			if err != nil {
				t.Fatal(err)
			}
			functions[name] = func(a *aligned) string {
				if text := textOf(a.chars); !e.MatchString(text) { // of a class
					return text
				}
				return ""
			}
		}
	}
	for name, want := range g.CodePoints {
		if functions[name] == nil {
			t.Errorf("%s: no function", name)
		} else if got := digest(functions[name]); got != want {
			t.Errorf("%s differs for some code point", name)
		}
	}
}

// TestPipelineScanner compares the pipeline with the scanner: with BERT's own components both have to give the same.
func TestPipelineScanner(t *testing.T) {
	for _, m := range modes(t) {
		if m.tok.config.Google {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			c := m.tok.config
			splitters, err := readSplitter("", "BertPreTokenizer", json.RawMessage(`{"type": "BertPreTokenizer"}`))
			if err != nil {
				t.Fatal(err)
			}
			general, err := build(c, parts{tokens: m.tok.tokens, pipeline: &pipeline{
				normalizers: []normalizer{bertNormalizer{c.CleanText, c.HandleChineseChars, m.tok.strip, c.LowerCase}}, splitters: splitters}})
			if err != nil {
				t.Fatal(err)
			}
			texts := append(slices.Clone(fragments), strings.Join(fragments, ""), strings.Join(fragments, " "))
			for i := range fragments {
				texts = append(texts, strings.Join(fragments[i:], "a"))
			}
			var x, y Encoding
			for _, text := range append(texts, difficult...) {
				if err := errors.Join(m.tok.Encode(&x, text, Options{}), general.Encode(&y, text, Options{})); err != nil {
					t.Fatal(err)
				}
				if err := sameEncoding(&x, &y); err != nil {
					t.Fatalf("%q: %v", text, err)
				}
			}
		})
	}
}

func TestPatternErrors(t *testing.T) {
	for expression, want := range map[string]string{
		`(?=a)`: "the group (?=", `(?<!a)b`: "the group (?<", `(?i)a`: "the group (?i", `a*`: "matches the empty text", `^`: "matches the empty text",
		`a|`: "matches the empty text", `\bx`: `\b is not supported`, `a++`: "the repetition ++", `a{2}+`: "the repetition }+", `a{,3}b`: "{,", `(a)\1`: `\1 is not supported`,
		`[a&&b]`: "&&", `[a[b]]`: "class in a class", `[[:alpha:]]`: "class in a class", `\p{Klingon}`: `the property "Klingon"`, `\pL`: "without {…}",
		`[b-a]`: "before its beginning", `[a`: "lacks its ]", `(a`: "syntax", `\Qa\E`: `\Q`, `a\`: "backslash", `x(?:^a)^b`: "^ after", `a{2000}`: "not supported",
		`\u12`: `\u without`, `\xe9`: `\x without`, `\h`: `\h is not`, strings.Repeat("a", 2000): "2000 bytes",
	} {
		if _, err := newExpression(expression); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", clip(expression), err, want)
		}
	}
}

// TestExpansion checks that normalizers can't make a short text exhaust memory.
func TestExpansion(t *testing.T) {
	var list []any
	for range maxComponents {
		list = append(list, object{"type": "Replace", "pattern": object{"String": "a"}, "content": "aa"})
	}
	tok, err := parseJSON(smallJSON(t, func(r object) { r["normalizer"] = object{"type": "Sequence", "normalizers": list} }), nil)
	if err != nil {
		t.Fatal(err)
	}
	var e Encoding
	if err := tok.Encode(&e, "a", Options{}); !errors.Is(err, errExpansion) {
		t.Errorf("got %v", err)
	}
	if err := tok.Encode(&e, "b", Options{}); err != nil {
		t.Errorf("after an error: %v", err)
	}
	_, err = parseJSON(smallJSON(t, func(r object) {
		r["normalizer"] = object{"type": "Sequence", "normalizers": append(list, list...)}
	}), nil)
	if err == nil || !strings.Contains(err.Error(), "components") {
		t.Errorf("got %v", err)
	}
}

// TestInvalid checks that text that is not valid UTF-8 is an error with its place.
func TestInvalid(t *testing.T) {
	toks := modes(t)
	g := readPipelines(t)
	for _, p := range g.Pipelines {
		toks = append(toks, mode{p.Name, g.load(t, p)})
	}
	bad := []string{"\xff", "the \xe9t\xe9", "电\xe7", "[MASK]\xff", "a\xffb", "the cat\xc3", "\xed\xa0\x80", "<mask> \xff"}
	for _, m := range toks {
		for _, text := range bad {
			for _, pair := range [][2]string{{text, "the"}, {"the", text}, {text, text}} {
				if err := checkInvalid(m.tok, pair[0], pair[1]); err != nil {
					t.Fatalf("%s, %q: %v", m.name, pair, err)
				}
			}
		}
	}
}

// checkInvalid checks the errors for two texts of which one is not valid UTF-8.
func checkInvalid(tok *Tokenizer, a, b string) error {
	want := UTF8Error{Offset: len(validPrefix(a))}
	if utf8.ValidString(a) {
		want = UTF8Error{Sequence: 1, Offset: len(validPrefix(b))}
	}
	var (
		e   Encoding
		got *UTF8Error
	)
	if err := tok.EncodePair(&e, a, b, Options{}); !errors.As(err, &got) || *got != want {
		return fmt.Errorf("a pair: got %v, want %v", err, &want)
	}
	want.Sequence, want.Word = 0, want.Sequence
	if err := tok.EncodeWords(&e, []string{a, b}, Options{}); !errors.As(err, &got) || *got != want {
		return fmt.Errorf("words: got %v, want %v", err, &want)
	}
	ids, err := tok.AppendIDs([]int32{7}, a)
	if utf8.ValidString(a) != (err == nil) || err != nil && !slices.Equal(ids, []int32{7}) {
		return fmt.Errorf("ids %v, %v", ids, err)
	}
	return nil
}

// FuzzPipeline puts arbitrary components around a small vocabulary.
func FuzzPipeline(f *testing.F) {
	g := readPipelines(f)
	add := func(key string, component any, text string) {
		data, err := json.Marshal(component)
		if err != nil {
			f.Fatal(err)
		}
		for i, name := range fuzzed {
			if name == key {
				f.Add(uint8(i), data, text)
			}
		}
	}
	for i, p := range g.Pipelines {
		for key, component := range p.File {
			add(key, component, g.Texts[i%len(g.Texts)])
		}
	}
	for _, h := range hostileFiles {
		if h.name == jsonFile {
			f.Add(uint8(0), []byte(h.content(300)), "the cat")
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, component []byte, text string) {
		if len(component) > 1<<12 || len(text) > 1<<10 || !json.Valid(component) {
			return
		}
		key := fuzzed[int(which)%len(fuzzed)]
		p := pipelineGolden{File: object{key: json.RawMessage(component)}}
		tok, err := parseJSON(g.file(t, p), nil)
		if err != nil {
			if len(err.Error()) > 600 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		var e, again Encoding
		if err := tok.Encode(&e, text, Options{}); err != nil {
			var invalid *UTF8Error
			if errors.As(err, &invalid) == utf8.ValidString(text) && !errors.Is(err, errExpansion) {
				t.Fatal(err)
			}
			return
		}
		if err := checkPipelineEncoding(&e, text); err != nil {
			t.Fatal(err)
		}
		tok.Decode(e.IDs, true)
		// A pair of the text with itself has the tokens of the text twice, whatever was encoded before.
		if err := tok.EncodePair(&again, text, text, Options{OmitSpecialTokens: true}); err != nil {
			t.Fatal(err)
		}
		if err := tok.Encode(&e, text, Options{OmitSpecialTokens: true}); err != nil {
			t.Fatal(err)
		}
		for sequence := range int8(2) {
			var ids []int32
			for i, id := range again.IDs {
				if again.SequenceIDs[i] == sequence {
					ids = append(ids, id)
				}
			}
			if !slices.Equal(ids, e.IDs) {
				t.Fatalf("%v in a pair, %v alone", ids, e.IDs)
			}
		}
		ids, err := tok.AppendIDs(nil, text)
		if err != nil || !slices.Equal(ids, e.IDs) {
			t.Fatalf("AppendIDs: %v, %v", ids, err)
		}
		data, err := tok.pipelineJSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseJSON(data, nil)
		if err != nil {
			t.Fatalf("%v, in\n%s", err, clip(string(data)))
		}
		if err := back.Encode(&again, text, Options{OmitSpecialTokens: true}); err != nil {
			t.Fatal(err)
		}
		if err := sameEncoding(&e, &again); err != nil {
			t.Fatal(err)
		}
	})
}

var fuzzed = [...]string{"normalizer", "pre_tokenizer", "post_processor", "added_tokens", "padding", "truncation", "decoder"}

// checkPipelineEncoding checks that offsets lie in the text, at characters, and in order.
func checkPipelineEncoding(e *Encoding, text string) error {
	last := Offset{}
	for i, o := range e.Offsets {
		if e.SpecialTokensMask[i] == 1 {
			continue
		}
		if o.Start < last.Start || o.End < o.Start || int(o.End) > len(text) {
			return fmt.Errorf("token %d: %v after %v in %d bytes", i, o, last, len(text))
		}
		for _, at := range []int32{o.Start, o.End} {
			if int(at) < len(text) && !utf8.RuneStart(text[at]) {
				return fmt.Errorf("token %d: %v is inside of a character", i, o)
			}
		}
		last = o
	}
	return nil
}

// BenchmarkPipeline measures a pipeline that is not BERT's own, beside the scanner on the same text.
func BenchmarkPipeline(b *testing.B) {
	g := readPipelines(b)
	for _, p := range g.Pipelines {
		if p.Name == "bert" || p.Name == "n-nfd-lower-strip" || p.Name == "p-whitespace" {
			tok := g.load(b, p)
			b.Run(p.Name, func(b *testing.B) { benchmarkEncode(b, tok, reviewLines(b)) })
		}
	}
}

// TestEmptySecondText: an empty second text makes a pair for HF's library and none for google-research/bert run_classifier.py.
func TestEmptySecondText(t *testing.T) {
	hf, google := smallVocab(t, DefaultConfig()), smallVocab(t, GoogleConfig(true))
	for _, c := range []struct {
		tok   *Tokenizer
		b     string
		o     Options
		want  string
		types []int32
	}{
		{hf, "", Options{}, "[CLS] a [SEP] [SEP]", []int32{0, 0, 0, 1}},
		{hf, " \x01", Options{}, "[CLS] a [SEP] [SEP]", []int32{0, 0, 0, 1}},
		{google, "", Options{}, "[CLS] a [SEP]", []int32{0, 0, 0}},
		{google, " \x01", Options{}, "[CLS] a [SEP]", []int32{0, 0, 0}},
		{google, "b", Options{}, "[CLS] a [SEP] b [SEP]", []int32{0, 0, 0, 1, 1}},
		{google, "", Options{OmitSpecialTokens: true, MaxLength: 1}, "a", []int32{0}},
	} {
		var e Encoding
		if err := c.tok.EncodePair(&e, "a", c.b, c.o); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.tok.Tokens(e.IDs), " "); got != c.want || !slices.Equal(e.TypeIDs, c.types) {
			t.Errorf("%q: %s, types %v, want %s, %v", c.b, got, e.TypeIDs, c.want, c.types)
		}
	}
	var alone, pair Encoding
	for length := 4; length < 9; length++ {
		o := Options{MaxLength: length}
		if err := errors.Join(google.Encode(&alone, "a b a b a b a", o), google.EncodePair(&pair, "a b a b a b a", "", o)); err != nil {
			t.Fatal(err)
		}
		if err := sameEncoding(&alone, &pair); err != nil {
			t.Errorf("%d tokens: %v", length, err)
		}
	}
}

// TestSaveMaxLength: a model's number of positions limits model_max_length.
func TestSaveMaxLength(t *testing.T) {
	for _, c := range []struct{ own, positions, want int }{{0, 0, 0}, {0, 128, 128}, {512, 128, 128}, {64, 128, 64}, {64, 0, 64}} {
		config := DefaultConfig()
		config.ModelMaxLength = c.own
		dir := t.TempDir()
		if err := smallVocab(t, config).Save(dir, SaveOptions{MaxLength: c.positions}); err != nil {
			t.Fatal(err)
		}
		again, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := again.Config().ModelMaxLength; got != c.want {
			t.Errorf("own %d, %d positions: got %d, want %d", c.own, c.positions, got, c.want)
		}
	}
	if err := smallVocab(t, DefaultConfig()).Save(t.TempDir(), SaveOptions{MaxLength: -1}); err == nil {
		t.Error("saved with -1 positions")
	}
}
