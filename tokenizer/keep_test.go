package tokenizer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// keepOf keeps the needed tokens of t and those that the given texts use.
func keepOf(t *testing.T, of *Tokenizer, also []int32, texts ...string) (*Tokenizer, []int32) {
	t.Helper()
	ids := append(of.Needed(), also...)
	var e Encoding
	for _, text := range texts {
		if err := of.Encode(&e, text, Options{}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.IDs...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	k, err := of.Keep(ids)
	if err != nil {
		t.Fatal(err)
	}
	return k, ids
}

// sameText fails where a text has other tokens than before.
func sameText(t rapid.TB, was, is *Tokenizer, ids []int32, text string) {
	var a, b Encoding
	if err := was.Encode(&a, text, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := is.Encode(&b, text, Options{}); err != nil {
		t.Fatal(err)
	}
	for i, id := range b.IDs {
		b.IDs[i] = ids[id]
	}
	if !slices.Equal(a.IDs, b.IDs) || !slices.Equal(a.Offsets, b.Offsets) || !slices.Equal(a.TypeIDs, b.TypeIDs) {
		t.Fatalf("%q has tokens %v, had %v", text, was.Tokens(b.IDs), was.Tokens(a.IDs))
	}
}

// TestKeep keeps what some texts use, of every pipeline of the tests: they have the same tokens, before and after saving.
func TestKeep(t *testing.T) {
	g := readPipelines(t)
	var loaded []*Tokenizer
	for _, p := range g.Pipelines {
		k, err := parseJSON(g.file(t, p), nil)
		if err != nil {
			continue // some are there to be refused
		}
		loaded = append(loaded, k)
	}
	texts := append(g.Texts, "[MASK] a", "")
	plain, err := LoadVocab(filepath.Join("testdata", "vocab.txt"), DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	google, err := LoadVocab(filepath.Join("testdata", "vocab.txt"), GoogleConfig(true))
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded) < 50 {
		t.Fatalf("only %d pipelines in testdata", len(loaded))
	}
	for i, of := range append(loaded, plain, google) {
		used := texts[i%7:]
		used = used[:min(len(used), 12)] // so that something is left out
		k, ids := keepOf(t, of, nil, used...)
		if k.VocabSize() != len(ids) {
			t.Errorf("tokenizer %d: %d tokens, want %d", i, k.VocabSize(), len(ids))
		}
		dir := t.TempDir()
		if err := k.Save(dir, SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		saved, err := Load(dir)
		if err != nil {
			t.Fatalf("tokenizer %d: %v", i, err)
		}
		for _, text := range used {
			sameText(t, of, k, ids, text)
			sameText(t, of, saved, ids, text)
		}
	}
}

// TestKeepIDs asserts that ids beside the vocabulary move with it: those of padding, of templates and of added tokens.
func TestKeepIDs(t *testing.T) {
	const text = `{"version":"1.0","truncation":null,
"padding":{"strategy":"BatchLongest","direction":"Right","pad_to_multiple_of":null,"pad_id":3,"pad_type_id":0,"pad_token":"[PAD]"},
"added_tokens":[{"id":8,"content":"<tag>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":false}],
"normalizer":null,"pre_tokenizer":{"type":"Whitespace"},
"post_processor":{"type":"Sequence","processors":[{"type":"TemplateProcessing",
"single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}}],
"pair":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}},{"Sequence":{"id":"B","type_id":1}},{"SpecialToken":{"id":"[SEP]","type_id":1}}],
"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[5],"tokens":["[CLS]"]},"[SEP]":{"id":"[SEP]","ids":[6],"tokens":["[SEP]"]}}},
{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]},
"decoder":null,"model":{"type":"WordLevel","unk_token":"[UNK]","vocab":{"a":0,"b":1,"c":2,"[PAD]":3,"[UNK]":4,"[CLS]":5,"[SEP]":6,"d":7}}}`
	of, err := parseJSON([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !of.WordLevel() {
		t.Error("not WordLevel")
	}
	k, ids := keepOf(t, of, nil, "b d <tag>")
	if want := []int32{1, 3, 4, 5, 6, 7, 8}; !slices.Equal(ids, want) {
		t.Fatalf("kept %v, want %v", ids, want)
	}
	dir := t.TempDir()
	if err := k.Save(dir, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	saved, err := os.ReadFile(filepath.Join(dir, jsonFile))
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.Join(strings.Fields(string(saved)), "")
	for _, want := range []string{`"pad_id":1`, `"ids":[3]`, `"ids":[4]`, `{"id":6,"content":"<tag>"`} {
		if !strings.Contains(plain, want) {
			t.Errorf("tokenizer.json has no %s:\n%s", want, saved)
		}
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"b d <tag>", "d d b"} {
		sameText(t, of, k, ids, text)
		sameText(t, of, again, ids, text)
	}
	var e Encoding
	if err := again.Encode(&e, "c", Options{}); err != nil || !slices.Equal(again.Tokens(e.IDs), []string{"[CLS]", "[UNK]", "[SEP]"}) {
		t.Errorf("a word that was left out is %v: %v", again.Tokens(e.IDs), err)
	}
}

// TestKeepCharacters: with the characters, and those tokens that alone have some, no word becomes unknown that was not, whatever else is
// left out; and what a kept vocabulary finds is what it found.
func TestKeepCharacters(t *testing.T) {
	of, err := LoadVocab(filepath.Join("testdata", "vocab.txt"), DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	single, lacking := of.Characters()
	if len(single) == 0 {
		t.Fatal("no characters")
	}
	k, ids := keepOf(t, of, append(single, lacking...))
	if len(ids) == of.VocabSize() {
		t.Fatal("nothing was left out")
	}
	words, err := os.ReadFile(filepath.Join("testdata", "reviews.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var a, b Encoding
	checked := 0
	for word := range strings.FieldsSeq(string(words)) {
		if err := of.Encode(&a, word, Options{}); err != nil {
			t.Fatal(err)
		}
		if err := k.Encode(&b, word, Options{}); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(a.IDs, of.UnknownID()) {
			checked++
			if slices.Contains(b.IDs, k.UnknownID()) {
				t.Fatalf("%q is %v, was %v", word, k.Tokens(b.IDs), of.Tokens(a.IDs))
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d words", checked)
	}
	rapid.Check(t, func(r *rapid.T) {
		var own []int32
		for id := range int32(of.VocabSize()) {
			if rapid.IntRange(0, 3).Draw(r, "keep") == 0 {
				own = append(own, id)
			}
		}
		own = append(own, of.Needed()...)
		slices.Sort(own)
		own = slices.Compact(own)
		k, err := of.Keep(own)
		if err != nil {
			r.Fatal(err)
		}
		text := rapid.StringOf(rapid.RuneFrom([]rune("abcdehilnoprstuy .,!-"))).Draw(r, "text")
		var e Encoding
		if err := of.Encode(&e, text, Options{}); err != nil {
			r.Fatal(err)
		}
		if !slices.ContainsFunc(e.IDs, func(id int32) bool { return !slices.Contains(own, id) }) {
			sameText(r, of, k, own, text)
		}
	})
}

// TestCharactersLacking finds the tokens that alone have a character.
func TestCharactersLacking(t *testing.T) {
	of, err := New([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "b", "ab", "##aa", "ca", "[unused1]", "a-b"}, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	single, lacking := of.Characters()
	if want := []string{"a", "##a", "b"}; !slices.Equal(of.Tokens(single), want) {
		t.Errorf("characters %v, want %v", of.Tokens(single), want)
	}
	if want := []string{"ab", "ca"}; !slices.Equal(of.Tokens(lacking), want) {
		t.Errorf("lacking %v, want %v", of.Tokens(lacking), want)
	}
}

func TestKeepRefuses(t *testing.T) {
	of, err := LoadVocab(filepath.Join("testdata", "vocab.txt"), DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	needed := of.Needed()
	for name, ids := range map[string][]int32{
		"want ids from 0": {-1},
		"in order":        append(slices.Clone(needed), needed[0]),
		"is not kept":     needed[1:],
	} {
		if _, err := of.Keep(ids); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: %v, want %q", ids, err, name)
		}
	}
}
