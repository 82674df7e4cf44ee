package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// directory writes files to a new directory; the content "vocab" stands for the small vocabulary.
func directory(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if content == "vocab" {
			content = smallVocabText(t)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func smallVocabText(t testing.TB) string {
	data, err := os.ReadFile(filepath.Join("testdata", "vocab.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLoad(t *testing.T) {
	capitals := ""
	for c := 'A'; c <= 'Z'; c++ {
		capitals += string(c) + "\n"
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		check func(t *testing.T, tok *Tokenizer)
	}{
		{"vocabulary alone", map[string]string{vocabFile: "vocab"}, func(t *testing.T, tok *Tokenizer) {
			if c := tok.Config(); !c.LowerCase || c.Google || c.MaxWordChars != 100 || len(c.AddedTokens) != 5 {
				t.Errorf("%+v", c)
			}
		}},
		{"cased vocabulary alone", map[string]string{vocabFile: "[UNK]\n[CLS]\n[SEP]\n" + capitals}, func(t *testing.T, tok *Tokenizer) {
			if notes := tok.Notes(); !tok.Config().LowerCase || len(notes) != 1 || notes[0].Kind != NoteCasedVocabulary {
				t.Errorf("lower-cased without a note: %v", notes)
			}
		}},
		{"cased Google vocabulary", map[string]string{vocabFile: "[UNK]\n[CLS]\n[SEP]\n" + capitals, googleBertFile: "{}"}, func(t *testing.T, tok *Tokenizer) {
			if tok.Config().LowerCase || len(tok.Notes()) != 0 {
				t.Errorf("lower-cased, %v", tok.Notes())
			}
		}},
		{"cased vocabulary with settings", map[string]string{vocabFile: "[UNK]\n[CLS]\n[SEP]\n" + capitals, configFile: `{"model_max_length": 512}`}, func(t *testing.T, tok *Tokenizer) {
			if notes := tok.Notes(); !tok.Config().LowerCase || len(notes) != 1 || notes[0].Kind != NoteCasedVocabulary {
				t.Errorf("lower-cased without a note: %v", notes)
			}
		}},
		{"settings as text", map[string]string{vocabFile: "vocab", configFile: `{"do_lower_case": "False", "strip_accents": "true", "model_max_length": "64", "pad_token": null, "odd": []}`}, func(t *testing.T, tok *Tokenizer) {
			c := tok.Config()
			if c.LowerCase || c.StripAccents == nil || !*c.StripAccents || c.ModelMaxLength != 64 || len(tok.Notes()) != 3 || tok.Notes()[0].Kind != NoteTextValue {
				t.Errorf("%+v, %v", c, tok.Notes())
			}
		}},
		{"settings that HF ignores", map[string]string{vocabFile: "vocab", configFile: `{"do_basic_tokenize": false, "never_split": ["Zaragoza"], "tokenizer_class": "MyTokenizer"}`}, func(t *testing.T, tok *Tokenizer) {
			var kinds []NoteKind
			for _, n := range tok.Notes() {
				kinds = append(kinds, n.Kind)
			}
			if !slices.Equal(kinds, []NoteKind{NoteUnknownClass, NoteIgnored, NoteIgnored}) {
				t.Errorf("%v", tok.Notes())
			}
		}},
		{"declared roles", map[string]string{jsonFile: string(smallJSON(t, func(r map[string]any) {
			r["added_tokens"] = []any{object{"id": 5, "content": "<s>", "special": true}}
		})), configFile: `{"cls_token": "<s>"}`}, func(t *testing.T, tok *Tokenizer) {
			if ids := encode(t, tok, "a", Options{}).IDs; !slices.Equal(ids, []int32{5, 3, 2}) || tok.ClassifierID() != 5 {
				t.Errorf("ids %v", ids)
			}
		}},
		{"roles of a template", map[string]string{jsonFile: string(smallJSON(t, func(r map[string]any) {
			r["added_tokens"] = []any{object{"id": 5, "content": "<s>", "special": true}}
		})), configFile: `{"cls_token": "<s>", "tokenizer_class": "PreTrainedTokenizerFast"}`}, func(t *testing.T, tok *Tokenizer) {
			if ids := encode(t, tok, "a", Options{}).IDs; !slices.Equal(ids, []int32{1, 3, 2}) {
				t.Errorf("ids %v", ids)
			}
		}},
		{"byte order mark", map[string]string{vocabFile: "\ufeff[UNK]\n[CLS]\n[SEP]\na\n"}, func(t *testing.T, tok *Tokenizer) {
			if tok.UnknownID() != 0 || len(tok.Notes()) != 1 || tok.Notes()[0].Kind != NoteByteOrderMark {
				t.Errorf("%v", tok.Notes())
			}
		}},
		{"Google checkpoint", map[string]string{vocabFile: "vocab", googleBertFile: "{}"}, func(t *testing.T, tok *Tokenizer) {
			if c := tok.Config(); !c.LowerCase || !c.Google || c.MaxWordChars != 200 || len(c.AddedTokens) != 0 {
				t.Errorf("%+v", c)
			}
		}},
		{"HF's files beside a Google checkpoint", map[string]string{vocabFile: "vocab", googleBertFile: "{}", configFile: `{"do_lower_case": false}`}, func(t *testing.T, tok *Tokenizer) {
			if c := tok.Config(); c.LowerCase || c.Google {
				t.Errorf("%+v", c)
			}
		}},
		{"settings", map[string]string{vocabFile: smallVocabText(t) + "<unk>\n", configFile: `{"do_lower_case": false, "strip_accents": true,
			"tokenize_chinese_chars": false, "clean_text": false, "unk_token": {"content": "<unk>", "lstrip": false}, "pad_token": "[MASK]", "mask_token": null,
			"model_max_length": 512, "truncation_side": "left", "never_split": ["movie"], "additional_special_tokens": ["[X]", {"content": "[Y]"}],
			"tokenizer_class": "BertTokenizer", "chat_template": "what else there is"}`}, func(t *testing.T, tok *Tokenizer) {
			c := tok.Config()
			if c.LowerCase || c.StripAccents == nil || !*c.StripAccents || c.HandleChineseChars || c.CleanText || c.ModelMaxLength != 512 {
				t.Errorf("%+v", c)
			}
			if unk, _ := tok.ID("<unk>"); tok.UnknownID() != unk || tok.PadID() != tok.MaskID() {
				t.Error("special tokens")
			}
			if !tok.DefaultOptions().TruncateLeft {
				t.Error("truncation_side")
			}
			x, _ := tok.ID("[X]")
			if y, _ := tok.ID("[Y]"); y != x+1 || int(y) != tok.VocabSize()-1 || !tok.IsSpecial(x) {
				t.Error("additional special tokens")
			}
			e := encode(t, tok, "movie,[X]", Options{OmitSpecialTokens: true})
			if got := strings.Join(tok.Tokens(e.IDs), " "); got != "movie , [X]" {
				t.Error(got)
			}
		}},
		{"added tokens", map[string]string{vocabFile: "[UNK]\n[CLS]\n[SEP]\na\n", configFile: `{"model_max_length": 1000000000000000019884624838656,
			"added_tokens_decoder": {"1": {"content": "[CLS]", "special": true}, "4": {"content": "b", "special": false, "single_word": true}, "5": {"content": "c", "normalized": true}}}`},
			func(t *testing.T, tok *Tokenizer) {
				want := []AddedToken{{Content: "[CLS]", Special: true}, {Content: "b", SingleWord: true}, {Content: "c", Normalized: true},
					{Content: "[UNK]", Special: true}, {Content: "[SEP]", Special: true}}
				if got := tok.Config().AddedTokens; !slices.Equal(got, want) || tok.VocabSize() != 6 || tok.Config().ModelMaxLength != 0 {
					t.Errorf("%+v", got)
				}
			}},
		{"files of old versions", map[string]string{vocabFile: "<unk>\n[CLS]\n[SEP]\na\n", specialFile: `{"unk_token": "<unk>", "additional_special_tokens": ["[E]"]}`,
			addedFile: `{"[E]": 5, "Word": 4}`}, func(t *testing.T, tok *Tokenizer) {
			e, _ := tok.ID("[E]")
			if ids := encode(t, tok, "WORD[E]", Options{}).IDs; e != 5 || !tok.IsSpecial(5) || tok.IsSpecial(4) || !slices.Equal(ids, []int32{1, 4, 5, 2}) {
				t.Errorf("[E] is %d, ids %v", e, ids)
			}
		}},
		{"settings before tokenizer.json", map[string]string{jsonFile: string(smallJSON(t, nil)), configFile: `{"do_lower_case": false, "unk_token": "a", "model_max_length": 64}`},
			func(t *testing.T, tok *Tokenizer) {
				if c := tok.Config(); c.LowerCase || c.ModelMaxLength != 64 || tok.UnknownID() != 0 || len(c.AddedTokens) != 1 {
					t.Errorf("%+v", c)
				}
			}},
		{"Windows lines", map[string]string{vocabFile: "[UNK]\r\n[CLS]\r\n[SEP]\r\na"}, func(t *testing.T, tok *Tokenizer) {
			if id, _ := tok.ID("a"); id != 3 || tok.VocabSize() != 4 {
				t.Error("a")
			}
		}},
		// As tokenizers 0.23.3 and transformers 5.24 read these lines: white space at the end is no part of a token, and a
		// carriage return alone ends no line.
		{"white space in HF's lines", map[string]string{vocabFile: "[UNK]\n[CLS]\n[SEP]\n\u2028\nthe \ncat\u0085\t\n sat\na\rb\n\nthe\u00a0\n"}, func(t *testing.T, tok *Tokenizer) {
			for token, id := range map[string]int32{"the": 9, "cat": 5, " sat": 6, "a\rb": 7} {
				if got, ok := tok.ID(token); !ok || got != id {
					t.Errorf("%q has id %d, want %d", token, got, id)
				}
			}
			if _, ok := tok.Token(3); ok || tok.VocabSize() != 10 {
				t.Error("U+2028")
			}
		}},
		{"white space in Google's lines", map[string]string{vocabFile: " [UNK]\t\n[CLS]\n[SEP]\n\u2028\na\n", googleBertFile: "{}"}, func(t *testing.T, tok *Tokenizer) {
			if id, _ := tok.ID("a"); id != 4 || tok.UnknownID() != 0 {
				t.Error("lines are stripped, and keep their number")
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tok, err := Load(directory(t, c.files))
			if err != nil {
				t.Fatal(err)
			}
			c.check(t, tok)
		})
	}
}

func TestLoadErrors(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{nil, "has neither tokenizer.json nor vocab.txt"},
		{map[string]string{vocabFile: ""}, "vocab.txt: the vocabulary is empty"},
		{map[string]string{vocabFile: "[UNK]\n[CLS]\n"}, "vocab.txt: the vocabulary of 2 tokens lacks the separator token [SEP]"},
		{map[string]string{vocabFile: "[UNK]\n\xff\n"}, `vocab.txt: line 2: "\xff" is not valid UTF-8`},
		{map[string]string{vocabFile: "\ufeff"}, "the vocabulary is empty"},
		{map[string]string{vocabFile: "vocab", configFile: "{\n\"do_lower_case\": yes}"}, "tokenizer_config.json: line 2"},
		{map[string]string{vocabFile: "vocab", configFile: `{"do_lower_case": "yes"}`}, `tokenizer_config.json: do_lower_case: want true or false, got "yes"`},
		{map[string]string{vocabFile: "vocab", configFile: `{"never_split": 3}`}, "tokenizer_config.json: never_split: want a list, got number"},
		{map[string]string{vocabFile: "vocab", configFile: `{"model_max_length": "long"}`}, `model_max_length: want a number, got "long"`},
		{map[string]string{vocabFile: "vocab", configFile: `[]`}, "tokenizer_config.json: want an object, got array"},
		{map[string]string{vocabFile: "vocab", configFile: `{"a": `}, "tokenizer_config.json: "},
		{map[string]string{vocabFile: "vocab", configFile: `{"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}`}, "the model needs Japanese words from MeCab, which is not supported: tokenizer_class is BertJapaneseTokenizer"},
		{map[string]string{vocabFile: "vocab", configFile: `{"word_tokenizer_type": "sudachi"}`}, "Sudachi"},
		{map[string]string{vocabFile: "vocab", configFile: `{"subword_tokenizer_type": "character"}`}, "splits words into characters"},
		{map[string]string{vocabFile: "vocab", configFile: `{"tokenizer_class": "XLMRobertaTokenizerFast"}`}, "needs a SentencePiece tokenizer"},
		{map[string]string{vocabFile: "vocab", configFile: `{"tokenizer_class": "HerbertTokenizer"}`}, "byte-pair"},
		{map[string]string{jsonFile: string(smallJSON(t, nil)), configFile: `{"word_tokenizer_type": "mecab"}`}, "tokenizer_config.json: the model needs Japanese words from MeCab"},
		{map[string]string{"spiece.model": "x"}, "needs a SentencePiece tokenizer"},
		{map[string]string{"vocab.json": "{}", "merges.txt": ""}, "byte-pair"},
		{map[string]string{vocabFile: "[UNK]\n[CLS]\n[SEP]\n" + strings.Repeat("▁x\n", 30)}, "begin with ▁"},
		{map[string]string{vocabFile: "[UNK]\n[CLS]\n[SEP]\n" + strings.Repeat("Ġx\n", 30)}, "byte-level BPE"},
		{map[string]string{vocabFile: strings.Repeat("the 17\n", 30)}, "a token and a number"},
		{map[string]string{vocabFile: "vocab", configFile: `{} {}`}, "data after the JSON value"},
		{map[string]string{vocabFile: "vocab", configFile: `{"model_max_length": -3}`}, "model_max_length -3"},
		{map[string]string{vocabFile: "vocab", configFile: `{"mask_token": 7}`}, "a special token is 7"},
		{map[string]string{vocabFile: "vocab", configFile: `{"unk_token": "<unk>"}`}, "lacks the unknown token <unk>"},
		{map[string]string{vocabFile: "vocab", configFile: `{"bert_tokenization": "bing"}`}, `bert_tokenization "bing"`},
		{map[string]string{vocabFile: "vocab", addedFile: `{"x": 1000, "y": 1000}`}, `"x" and "y" both have id 1000`},
		{map[string]string{vocabFile: "vocab", addedFile: `{"xyz": 1000}`}, `added_tokens.json: "xyz" has id 1000, but the next id after the 193 tokens of vocab.txt and the added tokens is 193`},
		{map[string]string{vocabFile: "vocab", specialFile: `[]`}, "special_tokens_map.json"},
		{map[string]string{vocabFile: "vocab", configFile: `{"added_tokens_decoder": {"x": {}}}`}, `"x": want an id`},
		{map[string]string{vocabFile: "vocab", configFile: `{"added_tokens_decoder": {"7": {"content": "[MASK]"}}}`}, `tokenizer_config.json: added_tokens_decoder: "[MASK]" has id 7, but id 4 in vocab.txt`},
	} {
		_, err := Load(directory(t, c.files))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %s", c.files[configFile], err, c.want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil || !os.IsNotExist(unwrapped(err)) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := LoadVocab(filepath.Join(t.TempDir(), "none"), DefaultConfig()); err == nil {
		t.Error("no file")
	}
}

func unwrapped(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || os.IsNotExist(err) {
			return err
		}
		err = u.Unwrap()
	}
}

// smallJSON returns a tokenizer.json; edit changes its tree.
func smallJSON(t testing.TB, edit func(root map[string]any)) []byte {
	t.Helper()
	var root map[string]any
	text := `{"version": "1.0", "truncation": null, "padding": null,
		"added_tokens": [{"id": 1, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
		"normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
		"pre_tokenizer": {"type": "BertPreTokenizer"},
		"post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
		"decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
		"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
			"vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "##b": 4}}}`
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(root)
	}
	data, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

type object = map[string]any

func TestJSON(t *testing.T) {
	part := func(root object, name string) object { return root[name].(object) }
	item := func(kind, id string, typeID int) object { return object{kind: object{"id": id, "type_id": typeID}} }
	for _, c := range []struct {
		name  string
		edit  func(root object)
		check func(tok *Tokenizer) bool
	}{
		{"BertProcessing", nil, func(tok *Tokenizer) bool {
			return slices.Equal(encode(t, tok, "Ab[CLS]", Options{}).IDs, []int32{1, 3, 4, 1, 2})
		}},
		{"no special tokens", func(r object) { r["post_processor"] = nil }, func(tok *Tokenizer) bool {
			var e Encoding
			return tok.EncodePair(&e, "a", "ab", Options{}) == nil && slices.Equal(e.IDs, []int32{3, 3, 4}) && slices.Equal(e.TypeIDs, []int32{0, 1, 1})
		}},
		{"template", func(r object) {
			r["post_processor"] = object{"type": "TemplateProcessing", "single": []any{item("Sequence", "A", 5), item("SpecialToken", "end", 7)},
				"pair":           []any{item("Sequence", "B", 1), item("SpecialToken", "end", 0), item("Sequence", "A", 0)},
				"special_tokens": object{"end": object{"id": "end", "ids": []int{2, 0}, "tokens": []string{"[SEP]", "[UNK]"}}}}
		}, func(tok *Tokenizer) bool {
			var e Encoding
			return slices.Equal(encode(t, tok, "a", Options{}).IDs, []int32{3, 2, 0}) && slices.Equal(encode(t, tok, "a", Options{}).TypeIDs, []int32{5, 7, 7}) &&
				tok.EncodePair(&e, "a", "ab", Options{}) == nil && slices.Equal(e.IDs, []int32{3, 4, 2, 0, 3}) && slices.Equal(e.SequenceIDs, []int8{1, 1, -1, -1, 0})
		}},
		{"no normalizer", func(r object) { r["normalizer"] = nil }, func(tok *Tokenizer) bool {
			return slices.Equal(encode(t, tok, "A a", Options{}).IDs, []int32{1, 0, 3, 2})
		}},
		{"no type of model", func(r object) { delete(part(r, "model"), "type") }, func(tok *Tokenizer) bool { return tok.VocabSize() == 5 }},
		{"no decoder", func(r object) { r["decoder"] = nil }, func(tok *Tokenizer) bool { return tok.Decode([]int32{3, 4}, false) == "a ##b" }},
		{"truncation", func(r object) {
			r["truncation"] = object{"direction": "Left", "max_length": 9, "strategy": "OnlySecond", "stride": 2}
		}, func(tok *Tokenizer) bool {
			return tok.DefaultOptions() == Options{MaxLength: 9, Truncation: OnlySecond, Stride: 2, TruncateLeft: true}
		}},
		{"an added token outside the vocabulary", func(r object) {
			r["added_tokens"] = append(r["added_tokens"].([]any), object{"id": 6, "content": "new", "special": false, "normalized": true})
		}, func(tok *Tokenizer) bool {
			_, gap := tok.Token(5)
			return tok.VocabSize() == 7 && !gap && slices.Equal(encode(t, tok, "aNEWa", Options{}).IDs, []int32{1, 3, 6, 3, 2})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tok, err := parseJSON(smallJSON(t, c.edit), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !c.check(tok) {
				t.Errorf("config %+v", tok.Config())
			}
			checkRoundTrip(t, tok)
		})
	}
}

func TestJSONErrors(t *testing.T) {
	part := func(root object, name string) object { return root[name].(object) }
	for want, edit := range map[string]func(r object){
		`normalizer: unknown field "clean_text"`:                   func(r object) { part(r, "normalizer")["type"] = "NFC" },
		`normalizer.type "Odd" is not supported: want Bert`:        func(r object) { part(r, "normalizer")["type"] = "Odd" },
		`normalizer.type "ByteLevel" is not supported: it belongs`: func(r object) { part(r, "normalizer")["type"] = "ByteLevel" },
		`normalizer.normalizers[1].type "Precompiled" is not`: func(r object) {
			r["normalizer"] = object{"type": "Sequence", "normalizers": []any{object{"type": "NFC"}, object{"type": "Precompiled"}}}
		},
		`normalizer.normalizers[0] is null`:               func(r object) { r["normalizer"] = object{"type": "Sequence", "normalizers": []any{nil}} },
		`normalizer lacks content`:                        func(r object) { r["normalizer"] = object{"type": "Replace", "pattern": object{"String": "a"}} },
		`normalizer.pattern: want either String or Regex`: func(r object) { r["normalizer"] = object{"type": "Replace", "pattern": object{}, "content": ""} },
		`normalizer.pattern: regular expression "(?=a)"`: func(r object) {
			r["normalizer"] = object{"type": "Replace", "pattern": object{"Regex": "(?=a)"}, "content": ""}
		},
		`pre_tokenizer.type "Metaspace" is not supported`: func(r object) { part(r, "pre_tokenizer")["type"] = "Metaspace" },
		`pre_tokenizer: behavior "Odd"`:                   func(r object) { r["pre_tokenizer"] = object{"type": "Punctuation", "behavior": "Odd"} },
		`pre_tokenizer.delimiter "ab": want one`:          func(r object) { r["pre_tokenizer"] = object{"type": "CharDelimiterSplit", "delimiter": "ab"} },
		`post_processor.processors[1]: a second template`: func(r object) {
			r["post_processor"] = object{"type": "Sequence", "processors": []any{r["post_processor"], r["post_processor"]}}
		},
		`normalizer lacks lowercase`:                                 func(r object) { delete(part(r, "normalizer"), "lowercase") },
		`normalizer: unknown field "lower"`:                          func(r object) { part(r, "normalizer")["lower"] = true },
		`post_processor lacks trim_offsets`:                          func(r object) { part(r, "post_processor")["type"] = "RobertaProcessing" },
		`post_processor: "[SEP]" with id 9 is not in the vocabulary`: func(r object) { part(r, "post_processor")["sep"] = []any{"[SEP]", 9} },
		`post_processor: want a token and its id`:                    func(r object) { part(r, "post_processor")["sep"] = []any{"[SEP]"} },
		`decoder.type "BPEDecoder": want WordPiece`:                  func(r object) { part(r, "decoder")["type"] = "BPEDecoder" },
		`model.type "BPE" is not supported: a BERT has WordPiece`:    func(r object) { part(r, "model")["type"] = "BPE" },
		`model is missing`:                                           func(r object) { delete(r, "model") },
		`model: unknown field "merges"`:                              func(r object) { part(r, "model")["merges"] = []any{} },
		`model: the vocabulary is empty`:                             func(r object) { part(r, "model")["vocab"] = object{} },
		`"a" and "z" both have id 3`:                                 func(r object) { part(part(r, "model"), "vocab")["z"] = 3 },
		`"z" has id -1`:                                              func(r object) { part(part(r, "model"), "vocab")["z"] = -1 },
		`"z" has id 2000000000, but there are 6 tokens`:              func(r object) { part(part(r, "model"), "vocab")["z"] = 2000000000 },
		`model: vocab: want a whole number, got number 1000`:         func(r object) { part(part(r, "model"), "vocab")["z"] = 1e15 },
		`model.max_input_chars_per_word -1: want at least 1`:         func(r object) { part(r, "model")["max_input_chars_per_word"] = -1 },
		`model.unk_token "": want a token`:                           func(r object) { part(r, "model")["unk_token"] = "" },
		`lacks the unknown token <unk>`:                              func(r object) { part(r, "model")["unk_token"] = "<unk>" },
		`added_tokens[0]: "x" has no id`:                             func(r object) { r["added_tokens"] = []any{object{"content": "x"}} },
		`added_tokens: "a" has id 2, but 3 in the vocabulary`:        func(r object) { r["added_tokens"] = []any{object{"content": "a", "id": 2}} },
		`added_tokens: "x" has id 2, which belongs to "[SEP]"`:       func(r object) { r["added_tokens"] = []any{object{"content": "x", "id": 2}} },
		`version "2.0": want 1.0`:                                    func(r object) { r["version"] = "2.0" },
		`unknown field "normaliser"`:                                 func(r object) { r["normaliser"] = nil },
		`padding: want an object or null`:                            func(r object) { r["padding"] = 3 },
		`truncation.strategy "Longest"`:                              func(r object) { r["truncation"] = object{"max_length": 3, "strategy": "Longest"} },
		`truncation.direction "Up"`:                                  func(r object) { r["truncation"] = object{"max_length": 3, "direction": "Up"} },
		`truncation: max_length 0`:                                   func(r object) { r["truncation"] = object{} },
		`single: sequence A occurs 0 times`:                          func(r object) { r["post_processor"] = object{"type": "TemplateProcessing"} },
		`special_tokens lacks "[X]"`: func(r object) {
			r["post_processor"] = object{"type": "TemplateProcessing", "single": []any{object{"SpecialToken": object{"id": "[X]", "type_id": 0}}}}
		},
	} {
		_, err := parseJSON(smallJSON(t, edit), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	dir := directory(t, map[string]string{jsonFile: "{\n\n\"version\"}"})
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "tokenizer.json: line 3") {
		t.Errorf("no JSON: %v", err)
	}
}

// checkRoundTrip saves tok and checks that the loaded tokenizer is the same: with tokenizer.json and, as far as the other files
// can describe it, without.
func checkRoundTrip(t *testing.T, tok *Tokenizer) {
	t.Helper()
	dir := t.TempDir()
	if err := tok.Save(dir, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	sameTokenizer(t, tok, again)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 3 {
		t.Errorf("Save left %v, %v", files, err)
	}
}

func sameTokenizer(t *testing.T, a, b *Tokenizer) {
	t.Helper()
	if a.VocabSize() != b.VocabSize() || a.UnknownID() != b.UnknownID() || a.ClassifierID() != b.ClassifierID() || a.MaskID() != b.MaskID() ||
		a.DefaultOptions() != b.DefaultOptions() || !slices.Equal(a.special, b.special) {
		t.Errorf("%+v\n%+v", a.Config(), b.Config())
	}
	for _, text := range append(slices.Clone(fragments), strings.Join(fragments, ""), strings.Join(fragments, " ")) {
		var x, y Encoding
		if err := a.EncodePair(&x, text, text, Options{}); err != nil {
			t.Fatal(err)
		}
		if err := b.EncodePair(&y, text, text, Options{}); err != nil {
			t.Fatal(err)
		}
		if err := sameEncoding(&x, &y); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if p, q := a.Decode(x.IDs, true), b.Decode(y.IDs, true); p != q {
			t.Errorf("decoded %q and %q", p, q)
		}
	}
}

func TestSave(t *testing.T) {
	for _, m := range modes(t) {
		t.Run(m.name, func(t *testing.T) { checkRoundTrip(t, m.tok) })
	}
	c := DefaultConfig()
	c.ModelMaxLength = 77
	c.AddedTokens = []AddedToken{{Content: "[MASK]", Special: true, LStrip: true}, {Content: "Foo Bar", Normalized: true}, {Content: "x<y>", RStrip: true, SingleWord: true}}
	tok := smallVocab(t, c)
	checkRoundTrip(t, tok)

	// Without tokenizer.json, the settings and the vocabulary give the same tokenizer.
	dir := t.TempDir()
	if err := tok.Save(dir, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, jsonFile)); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again.Config().ModelMaxLength != 77 || again.VocabSize() != tok.VocabSize() {
		t.Errorf("%+v", again.Config())
	}
	if data, err := os.ReadFile(filepath.Join(dir, vocabFile)); err != nil || string(data) != smallVocabText(t) {
		t.Errorf("vocab.txt has changed: %v", err)
	}

	odd, err := New([]string{"[UNK]", "[CLS]", "[SEP]", "a\nb"}, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := odd.Save(dir, SaveOptions{}); err == nil || !strings.Contains(err.Error(), "contains a line break") {
		t.Errorf("a token of two lines: %v", err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("a failed Save left %v", files)
	}
	if err := tok.Save(filepath.Join(dir, "none"), SaveOptions{}); err == nil {
		t.Error("saved to no directory")
	}
	twice, err := New([]string{"[UNK]", "a", "[CLS]", "[SEP]", "a", ""}, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	checkRoundTrip(t, twice)
}
