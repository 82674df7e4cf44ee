package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/tokenizer/internal/unidata"
)

// Keep makes a tokenizer of some tokens of t, in their order: token i of the new one is ids[i] of t. ids are in order, each once. Those of the
// special and the added tokens have to be among them; ids without a token may be left out or not.
//
// A text of which t uses kept tokens alone has the same tokens, since a longer piece than the one that t finds is in neither vocabulary. Another is split
// into other pieces, or is unknown where these are not enough: see Characters.
func (t *Tokenizer) Keep(ids []int32) (*Tokenizer, error) {
	k := keeping{ids: ids, at: make(map[int32]int32, len(ids))}
	for i, id := range ids {
		if id < 0 || int(id) >= len(t.tokens) || i > 0 && id <= ids[i-1] {
			return nil, fmt.Errorf("tokenizer: id %d to keep at place %d, want ids from 0 to %d in order, each once", id, i, len(t.tokens)-1)
		}
		k.at[id] = int32(i)
	}
	for _, id := range t.Needed() {
		if _, ok := k.at[id]; !ok {
			return nil, fmt.Errorf("tokenizer: %q is not kept, which is a special or an added token", clip(t.tokens[id]))
		}
	}
	p := parts{
		tokens: make([]string, len(ids)), outside: make(map[int32]bool), single: k.template(t.single), pair: k.template(t.pair), decoder: &t.decoder,
		defaults: t.defaults, trim: t.trim, source: t.source, notes: t.notes,
	}
	for i, id := range ids {
		p.tokens[i] = t.tokens[id]
		if t.outside[id] {
			p.outside[int32(i)] = true
		}
	}
	if t.pipeline != nil {
		own := *t.pipeline
		if own.wordLevel != nil {
			words := make(map[string]int32, len(ids))
			for word, id := range own.wordLevel {
				if at, ok := k.at[id]; ok {
					words[word] = at
				}
			}
			own.wordLevel = words
		}
		p.pipeline = &own
	}
	var err error
	if p.padding, err = k.json(t.padding); err != nil {
		return nil, fmt.Errorf("tokenizer: padding: %w", err)
	}
	if p.source.postProcessor, err = k.json(t.source.postProcessor); err != nil {
		return nil, fmt.Errorf("tokenizer: post_processor: %w", err)
	}
	out, err := build(t.Config(), p)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return out, nil
}

// Needed are the ids that Keep can't do without: those of the special tokens that the vocabulary has and of the added tokens, in order.
func (t *Tokenizer) Needed() []int32 {
	var ids []int32
	for _, id := range []int32{t.unknown, t.classifier, t.separator, t.pad, t.mask} {
		if id >= 0 {
			ids = append(ids, id)
		}
	}
	for id, special := range t.special {
		if special {
			ids = append(ids, int32(id))
		}
	}
	for _, a := range t.config.AddedTokens {
		ids = append(ids, t.ids[a.Content])
	}
	for _, form := range []template{t.single, t.pair} {
		for _, item := range form {
			ids = append(ids, item.ids...)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Characters are the ids of the pieces of one character: those that begin a word and those that continue one. A word that can be split into
// pieces of which each character is one can be split whatever other pieces there are. lacking are the pieces with a character that has
// no piece of its own at its place, so that only they, if any, can stand for it. A tokenizer that looks words up whole has none of either.
func (t *Tokenizer) Characters() (single, lacking []int32) {
	if t.WordLevel() {
		return nil, nil
	}
	type place struct {
		r         rune
		continues bool
	}
	have := make(map[place]bool)
	pieces := func(visit func(id int32, text string, continues bool)) {
		for id, s := range t.tokens {
			if s == "" || t.outside[int32(id)] || t.special[id] || t.ids[s] != int32(id) {
				continue
			}
			continues := t.Continues(int32(id))
			if continues {
				s = s[len(t.config.Prefix):]
			}
			visit(int32(id), s, continues)
		}
	}
	pieces(func(id int32, text string, continues bool) {
		for i, r := range text {
			if i == 0 && len(text) == len(string(r)) {
				have[place{r, continues}] = true
				if t.config.NoPrefix {
					have[place{r, true}] = true
				}
				single = append(single, id)
			}
		}
	})
	pieces(func(id int32, text string, continues bool) {
		if t.pipeline == nil && len(text) > 1 && strings.ContainsFunc(text, func(r rune) bool {
			return utf8.RuneLen(r) < len(text) && t.table.Properties(r)&unidata.Punct != 0
		}) {
			return // no word has it: punctuation is a word of its own
		}
		for i, r := range text {
			if !have[place{r, continues || i > 0}] {
				lacking = append(lacking, id)
				return
			}
		}
	})
	return single, lacking
}

// WordLevel reports whether the tokenizer looks words up whole, as WordLevel of HF's library does, and splits none into pieces.
func (t *Tokenizer) WordLevel() bool { return t.pipeline != nil && t.pipeline.wordLevel != nil }

// keeping says what becomes of ids.
type keeping struct {
	ids []int32
	at  map[int32]int32
}

func (k *keeping) template(form template) template {
	if form == nil {
		return nil
	}
	out := template{}
	for _, item := range form {
		if item.ids != nil {
			own := make([]int32, len(item.ids))
			for i, id := range item.ids {
				own[i] = k.at[id]
			}
			item.ids = own
		}
		out = append(out, item)
	}
	return out
}

// json gives the special tokens in a component of tokenizer.json, or in its padding, their new ids: pad_id, ids and ["[SEP]", 102].
func (k *keeping) json(data json.RawMessage) (json.RawMessage, error) {
	if null(data) {
		return data, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	id := func(v any) (any, error) {
		n, ok := v.(json.Number)
		if !ok {
			return v, nil
		}
		old, err := n.Int64()
		if err != nil {
			return nil, fmt.Errorf("id %s is no whole number", n)
		}
		at, ok := k.at[int32(old)]
		if !ok || int64(int32(old)) != old {
			return nil, fmt.Errorf("token %s is not kept", n)
		}
		return at, nil
	}
	var walk func(v any) error
	walk = func(v any) (err error) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				list, _ := value.([]any)
				switch {
				case key == "pad_id":
					v[key], err = id(value)
				case key == "ids":
					for i := range list {
						if list[i], err = id(list[i]); err != nil {
							return err
						}
					}
				case (key == "sep" || key == "cls") && len(list) == 2:
					list[1], err = id(list[1])
				default:
					err = walk(value)
				}
				if err != nil {
					return err
				}
			}
		case []any:
			for _, value := range v {
				if err := walk(value); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := walk(v); err != nil {
		return nil, err
	}
	out, err := json.Marshal(v)
	return out, err
}
