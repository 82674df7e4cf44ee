package jsonobject

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// anyValue reads whatever value there is by a Stream's methods.
func anyValue(s *Stream) (any, error) {
	c, err := s.peek()
	if err != nil {
		return nil, err
	}
	switch c {
	case '{':
		m := map[string]any{}
		err := s.Object(func(key string) (err error) { m[key], err = anyValue(s); return err })
		return m, err
	case '[':
		list := []any{}
		_, err := s.List(func() error {
			v, err := anyValue(s)
			list = append(list, v)
			return err
		})
		return list, err
	case '"':
		text, err := s.String()
		if err != nil {
			return nil, err
		}
		return *text, nil
	case 't', 'f':
		b, err := s.Bool()
		if err != nil {
			return nil, err
		}
		return *b, nil
	}
	_, word, err := s.begin()
	if err != nil {
		return nil, err
	}
	var v any
	err = json.Unmarshal(word, &v)
	return v, err
}

// A Stream reads what encoding/json does, with the same values, and nothing else.
func checkStream(t *testing.T, text string) {
	t.Helper()
	var want any
	wantErr := json.Unmarshal([]byte(text), &want)
	for _, r := range []*Stream{NewStream(strings.NewReader(text), 1<<20), NewStream(iotest.OneByteReader(strings.NewReader(text)), 1<<20)} {
		got, err := anyValue(r)
		if err == nil {
			err = r.End()
		}
		if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %v (%v), want %v (%v)", text, got, err, want, wantErr)
		}
	}
	s := NewStream(strings.NewReader(text), 1<<20)
	err := s.Skip()
	if err == nil {
		err = s.End()
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: skipped with %v, want %v", text, err, wantErr)
	}
	if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 500) {
		t.Errorf("error %q", err)
	}
}

var streams = []string{
	"", " ", "{}", "[]", "[ ]", `{"a":1}`, `{"a" : [1 , -2.5e3, "x\"y\\", "\\"] , "b":{"c":null}} `, `"\u00e9\ud83d\ude00é"`, `"\ud800"`, "\"\xff\"", "\"a\nb\"", `"\x"`, `"a`, `"a\"`, `"\\"`,
	"[1,]", "[,1]", "[1 2]", `{"a"}`, `{"a":}`, `{"a":1,}`, `{1:2}`, "truee", "nul", "01", "1e", "+1", "[true,false,null]", "{} {}", "[1]]", "[", "{", `{"a":1`, "nan", `["a"`, "\ufeff{}", `[""]`, `{"":""}`, "-", "9e999", "[}", "{]",
	`{"a":1}x`, "[\"" + strings.Repeat("aé", 3) + `\n"]`, "\x00", "[\"\x1f\"]",
}

func TestStream(t *testing.T) {
	for _, text := range streams {
		if text != "9e999" { // which is JSON, but no float64
			checkStream(t, text)
		}
	}
	long := `"` + strings.Repeat("é\\n", 100_000) + strings.Repeat("a", 100_000) + `"`
	checkStream(t, "["+long+","+long+"]")
	if _, err := NewStream(strings.NewReader(long), 1<<16).String(); err != ErrTooLong {
		t.Errorf("%v", err)
	}
}

func FuzzStream(f *testing.F) {
	for _, text := range streams {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			if _, number := err.(*json.UnmarshalTypeError); number {
				return
			}
		}
		checkStream(t, text)
	})
}
