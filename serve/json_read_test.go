package serve

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestBodyErrors(t *testing.T) {
	embed := func(b []byte) error { _, err := readEmbed(b); return err }
	hfBodies := func(b []byte) error {
		q, err := readHF(b)
		if err == nil {
			_, _, err = q.questions()
		}
		return err
	}
	for _, x := range []struct {
		read func([]byte) error
		body string
		want string // of the error
		kind ErrorKind
		in   string // the field
	}{
		{embed, `{}`, "`inputs`: is missing", BadRequest, "inputs"},
		{embed, `{"inputs":[]}`, "`inputs`: cannot be empty", Empty, "inputs"},
		{embed, `{"inputs":["a",7]}`, "`inputs[1]`: want a string or a list of token ids, not a number", BadRequest, "inputs[1]"},
		{embed, `{"inputs":[7,"a"]}`, "`inputs[1]`: want a token id, as before it, not a string", BadRequest, "inputs[1]"},
		{embed, `{"inputs":[[1,-2]]}`, "`inputs[0][1]`: -2 is too small: want at least 0", BadRequest, "inputs[0][1]"},
		{embed, `{"inputs":[[1.5]]}`, "`inputs[0][0]`: 1.5 is no whole number that it can be", BadRequest, "inputs[0][0]"},
		{embed, `{"inputs":null}`, "`inputs`: want a string, a list of strings, or token ids, not null", BadRequest, "inputs"},
		{embed, `{"inputs":"a","truncate":"yes"}`, "`truncate`: want true or false, not a string", BadRequest, "truncate"},
		{embed, `{"inputs":"a","truncation_direction":"up"}`, "`truncation_direction`: \"up\": want", BadRequest, "truncation_direction"},
		{embed, `{"inputs":"a","dimensions":0}`, "`dimensions`: 0 is too small: want at least 1", BadRequest, "dimensions"},
		{embed, `{"inputs":"a"} x`, "the body is not JSON: byte 15 of the body: something follows the value", BadRequest, ""},
		{embed, `{"inputs":"a`, "the body is not JSON: byte 12 of the body: a string without an end", BadRequest, ""},
		{embed, `{"inputs":"\ud83d"}`, "half of a surrogate pair", BadRequest, ""},
		{embed, "{\"inputs\":\"\xff\"}", "not valid UTF-8", BadRequest, ""},
		{embed, ``, "unexpected end", BadRequest, ""},
		{embed, `[1]`, "want an object, not an array", BadRequest, ""},
		{embed, `{"inputs":[` + strings.Repeat(`[1],`, 1<<16) + `[1]]}`, "more than 65,536 elements", BadRequest, "inputs[65536]"},
		{embed, `{"inputs":"a","x":` + strings.Repeat("[", 100), "deeper than 64", BadRequest, ""},
		{hfBodies, `{"inputs":{"question":"q"}}`, "`inputs.context`: is missing", BadRequest, "inputs.context"},
		{hfBodies, `{"inputs":[{"question":"q","context":3}]}`, "`inputs[0].context`: want a string, not a number", BadRequest, "inputs[0].context"},
		{hfBodies, `{"inputs":"a","parameters":{"top_k":0}}`, "`parameters.top_k`: 0 is too small", BadRequest, "parameters.top_k"},
	} {
		err := bodyError(x.read([]byte(x.body)))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", x.body, err)
			continue
		}
		if !strings.Contains(e.Message, x.want) || e.Kind != x.kind || e.Param != x.in {
			t.Errorf("%s: %v, %s, %q; want %v, %s, %q", x.body, e.Kind, e.Message, e.Param, x.kind, x.want, x.in)
		}
	}
}

// value reads a value of any kind as encoding/json does.
func (d *jsonReader) value() (v any, err error) {
	switch d.kind() {
	case '{':
		m := map[string]any{}
		return m, d.object(func(key string) (err error) {
			m[key], err = d.value()
			return err
		})
	case '[':
		list := []any{}
		err = d.array(func(int) error {
			v, err := d.value()
			list = append(list, v)
			return err
		})
		return list, err
	case '"':
		return d.text()
	case 't', 'f':
		return d.boolean()
	case 'n':
		_, err := d.null()
		return nil, err
	}
	return d.number()
}

// FuzzJSON holds the reader to encoding/json: both read the same values, but for what the reader refuses on purpose.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"inputs":["a","\u00e9\n\ud83d\ude00"],"x":[1,-2.5e3,true,null,{}]}`, `[1e400]`, `01`, `-`, `1.`, `"\x"`, "\"\x01\"", `{"a":1,}`, `[1 2]`, `nul`, ` [ ] `,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got any
		err := readJSON(body, func(d *jsonReader) (err error) {
			got, err = d.value()
			return err
		})
		var want any
		other := json.Unmarshal(body, &want)
		if err != nil {
			if other == nil && utf8.Valid(body) && !strings.Contains(err.Error(), "surrogate") && !strings.Contains(err.Error(), "deeper") {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if other != nil {
			t.Fatalf("%q is read, but encoding/json says %v", body, other)
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if string(a) != string(b) {
			t.Fatalf("%q: %s, want %s", body, a, b)
		}
	})
}

func FuzzString(f *testing.F) {
	f.Add("a\"\\\n\x00é😀\u2028\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		b := appendString(nil, s)
		if err := json.Unmarshal(b, &got); err != nil || got != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Fatalf("%q: %s, %v", s, b, err)
		}
	})
}
