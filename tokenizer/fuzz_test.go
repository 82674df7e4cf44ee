package tokenizer

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzEncode compares both modes with the reference on arbitrary bytes.
func FuzzEncode(f *testing.F) {
	for _, s := range fragments {
		f.Add(s, "a"+s+"b "+s)
	}
	f.Add(strings.Join(fragments, ""), strings.Join(fragments, " "))
	toks := modes(f)
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 4096 {
			return
		}
		var e Encoding
		for _, m := range toks {
			name, tok := m.name, m.tok
			if !utf8.ValidString(a) || !utf8.ValidString(b) {
				if err := checkInvalid(tok, a, b); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				continue
			}
			if err := tok.Encode(&e, a+b, Options{OmitSpecialTokens: true}); err != nil {
				t.Fatal(err)
			}
			if err := compareReference(tok, &e, a+b); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			tok.Decode(e.IDs, false)
			if err := tok.EncodePair(&e, a, b, Options{MaxLength: 12, Overflow: true, Truncation: OnlyFirst}); err == nil {
				if err := checkEncoding(tok, &e, a, b); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if err := tok.EncodeWords(&e, []string{a, b}, Options{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzJSON reads arbitrary bytes as tokenizer.json. An accepted tokenizer must encode texts and survive Save and Load.
func FuzzJSON(f *testing.F) {
	f.Add(smallJSON(f, nil))
	f.Add(smallJSON(f, func(r object) {
		r["post_processor"], r["normalizer"], r["decoder"] = nil, nil, nil
		r["truncation"] = object{"direction": "Left", "max_length": 9, "strategy": "OnlySecond", "stride": 2}
		r["added_tokens"] = []any{object{"id": 6, "content": " Aé", "normalized": true, "lstrip": true, "rstrip": true, "single_word": true}}
	}))
	dir := f.TempDir()
	if err := smallVocab(f, DefaultConfig()).Save(dir, SaveOptions{}); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, jsonFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, h := range hostileFiles {
		if h.name == jsonFile {
			f.Add([]byte(h.content(300)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		tok, err := parseJSON(data, nil)
		if err != nil {
			return
		}
		texts := []string{"aé \u0301[CLS]Ab 电 A\u0308", strings.Join(tok.tokens, " ") + strings.Join(tok.tokens, "")}
		for _, text := range texts {
			var e Encoding
			if err := tok.EncodePair(&e, text, text, Options{}); err != nil {
				t.Fatal(err)
			}
			tok.Decode(e.IDs, true)
		}
		again, err := tok.pipelineJSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseJSON(again, nil)
		if err != nil {
			t.Fatalf("%v, in\n%s", err, again)
		}
		for _, text := range texts {
			var x, y Encoding
			if tok.EncodePair(&x, text, text, Options{}) != nil || back.EncodePair(&y, text, text, Options{}) != nil {
				t.Fatal("a text failed")
			}
			if err := sameEncoding(&x, &y); err != nil {
				t.Fatalf("%v, in\n%s", err, again)
			}
		}
	})
}

// FuzzVocab reads arbitrary bytes as vocab.txt and tokenizer_config.json.
func FuzzVocab(f *testing.F) {
	f.Add([]byte("[UNK]\n[CLS]\n[SEP]\na\n##b\n"), []byte("{}"), false)
	f.Add([]byte("[UNK]\r\n[CLS]\r\n[SEP]\r\n\u2028\n\n\na"), []byte(`{"do_lower_case": false, "never_split": ["a"], "model_max_length": 1e30}`), true)
	f.Add([]byte("u\nc\ns\n"), []byte(`{"unk_token": "u", "cls_token": {"content": "c"}, "sep_token": "s", "bert_tokenization": "google"}`), false)
	f.Add([]byte("[UNK]\n[CLS]\n[SEP]\n"), []byte(`{"added_tokens_decoder": {"3": {"content": "Ab", "normalized": true}}}`), false)
	f.Fuzz(func(t *testing.T, vocab, config []byte, google bool) {
		if len(vocab)+len(config) > 1<<16 {
			return
		}
		var s *settings
		if !google {
			var err error
			if s, err = parseSettings(config); err != nil {
				return
			}
		}
		tok, err := fromVocab(vocab, s, google)
		if err != nil {
			return
		}
		text := strings.Join(tok.tokens, " ") + strings.Join(tok.tokens, "") + "aé"
		var e, again Encoding
		if err := tok.Encode(&e, text, Options{}); err != nil {
			t.Fatal(err)
		}
		if err := checkEncoding(tok, &e, text); err != nil {
			t.Fatal(err)
		}
		saved, err := tok.settingsJSON(SaveOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pipeline, err := tok.pipelineJSON()
		if err != nil {
			t.Fatal(err)
		}
		if s, err = parseSettings(saved); err != nil {
			t.Fatal(err)
		}
		back, err := parseJSON(pipeline, s)
		if err != nil {
			t.Fatalf("%v, in\n%s", err, pipeline)
		}
		if err := back.Encode(&again, text, Options{}); err != nil {
			t.Fatal(err)
		}
		if err := sameEncoding(&e, &again); err != nil {
			t.Fatal(err)
		}
	})
}

// A vocabulary is read as encoding/json reads a map.
func FuzzVocabJSON(f *testing.F) {
	for _, s := range []string{`{}`, ` { } `, `{"a":1,"b":2,"a":3}`, `{"\"":0,"\\":1,"é":2, "\u00e9" : 3}`, "{\"\xff\":1}", `{"a":-1}`, `{"a":1.0}`,
		`{"a":1234567890123}`, `{"a":null}`, `{"a":[1]}`, `[1]`, `null`, `{"a":"1"}`, "{\n\t\"a\" :\r 7 }"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got jsonVocab
		var want map[string]int32
		gotErr, wantErr := json.Unmarshal(data, &got), json.Unmarshal(data, &want)
		if (gotErr == nil) != (wantErr == nil) || gotErr == nil && !maps.Equal(got, want) {
			t.Fatalf("%q: %v, %v; want %v, %v", data, got, gotErr, want, wantErr)
		}
	})
}
