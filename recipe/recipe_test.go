package recipe

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

type color uint8

func (c color) MarshalText() ([]byte, error) { return []byte([]string{"red", "blue"}[c]), nil }

func (c *color) UnmarshalText(text []byte) error {
	switch string(text) {
	case "red":
		*c = 0
	case "blue":
		*c = 1
	default:
		return errors.New("color is unknown, want one of red, blue")
	}
	return nil
}

type inner struct {
	Rate  float64  `json:"rate,omitzero" zero:"a positive number"`
	Decay *float64 `json:"decay,omitzero"`
	Color color    `json:"color,omitzero"`
}

type outer struct {
	Name  string   `json:"name,omitzero"`
	Flag  bool     `json:"flag,omitzero"`
	List  []string `json:"list,omitzero"`
	Sizes []int    `json:"sizes,omitzero"`
	inner
	Seed  *uint64  `json:"seed,omitzero"`
	Limit *float64 `json:"limit,omitzero" nil:"best"`
	Count int      `json:"count,omitzero"`
	own   int
	Skip  int `json:"-"`
}

func TestKeys(t *testing.T) {
	if got, want := Keys(&outer{own: 1}), []string{"name", "flag", "list", "sizes", "rate", "decay", "color", "seed", "limit", "count"}; !slices.Equal(got, want) {
		t.Errorf("keys are %v, want %v", got, want)
	}
}

// What Text writes, Set reads back.
func TestSetText(t *testing.T) {
	for _, c := range []struct{ key, value, text string }{
		{"name", "", ""}, {"name", "a b, c", "a b, c"},
		{"flag", "true", "true"}, {"flag", "0", "false"},
		{"list", "", ""}, {"list", "a,b", "a,b"}, {"list", `"a,b",c`, `"a,b",c`},
		{"sizes", "3, 4", "3,4"},
		{"rate", "2e-5", "2e-05"}, {"rate", "0.00002", "2e-05"}, {"rate", "1", "1"},
		{"decay", "0", "0"}, {"color", "blue", "blue"}, {"seed", "18446744073709551615", "18446744073709551615"}, {"count", "-3", "-3"},
		{"limit", "best", "best"}, {"limit", "0", "0"}, {"limit", "-0.5", "-0.5"},
	} {
		var r, back outer
		if err := Set(&r, c.key, c.value); err != nil {
			t.Errorf("%s=%s: %v", c.key, c.value, err)
			continue
		}
		text, ok := Text(&r, c.key)
		if !ok || text != c.text {
			t.Errorf("%s=%s is the text %q, want %q", c.key, c.value, text, c.text)
		}
		if err := Set(&back, c.key, text); err != nil || !reflect.DeepEqual(r, back) {
			t.Errorf("%s=%s is read back as %+v, %v", c.key, text, back, err)
		}
	}
	for _, c := range []struct{ key, value, want string }{
		{"rate", "fast", `rate is "fast", want a number`},
		{"rate", "0", "rate is 0, want a positive number"},
		{"decay", "x", `decay is "x", want a number`},
		{"flag", "yes", `flag is "yes", want true or false`},
		{"color", "green", `color is "green", want one of red, blue`},
		{"seed", "-1", `seed is "-1", want a whole number from 0 on`},
		{"count", "1.5", `count is "1.5", want a whole number`},
		{"sizes", "1,x", `sizes is "1,x", want a list`},
		{"limit", "x", `limit is "x", want a number or best`},
		{"colour", "red", `key "colour" is not known`},
	} {
		r := outer{inner: inner{Decay: new(1.0)}}
		err := Set(&r, c.key, c.value)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s=%s: error is %v, want %s", c.key, c.value, err, c.want)
		}
		if *r.Decay != 1 {
			t.Errorf("%s=%s: the value changed", c.key, c.value)
		}
	}
	if _, ok := Text(&outer{}, "colour"); ok {
		t.Error("a key that is not there has a text")
	}
}

// A copy of a recipe is not changed with it.
func TestCopies(t *testing.T) {
	a := outer{inner: inner{Decay: new(1.0)}, Seed: new(uint64(1))}
	b := a
	if err := errors.Join(Set(&b, "decay", "2"), Unmarshal([]byte(`{"seed": 2}`), &b)); err != nil {
		t.Fatal(err)
	}
	if *a.Decay != 1 || *a.Seed != 1 || *b.Decay != 2 || *b.Seed != 2 {
		t.Errorf("%v %v, %v %v", *a.Decay, *a.Seed, *b.Decay, *b.Seed)
	}
}

func TestUnmarshal(t *testing.T) {
	r := outer{Name: "kept", Seed: new(uint64(1))}
	if err := Unmarshal([]byte(`{"rate": 0.5, "decay": 0, "color": "blue", "list": ["a"], "seed": null, "limit": "best"}`), &r); err != nil {
		t.Fatal(err)
	}
	if want := (outer{Name: "kept", List: []string{"a"}, inner: inner{0.5, new(0.0), 1}}); !reflect.DeepEqual(r, want) {
		t.Errorf("%+v, want %+v", r, want)
	}
	data, err := Marshal(&r)
	if err != nil {
		t.Fatal(err)
	}
	back := outer{}
	if err := Unmarshal(data, &back); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("%s is read back as %+v, %v", data, back, err)
	}
	for text, want := range map[string]string{
		``: "not JSON", `[]`: "not a JSON object", `{"rate": 1`: "not JSON", `{"rate": }`: "not JSON", `{} {}`: "more than one JSON value",
		`{"Rate": 1}`: `key "Rate" is not known`, `{"rate": 1, "rate": 2}`: `key "rate" occurs twice`,
		`{"rate": 0}`: "rate is 0, want a positive number", `{"name": 1}`: "name is 1, want a string",
		`{"list": "a"}`: `list is "a", want a list`, `{"own": 1}`: `key "own" is not known`, `{"count": 1e99}`: "count is 1e99, want a whole number",
	} {
		if err := Unmarshal([]byte(text), new(outer)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %s", text, err, want)
		}
	}
}

func TestReadFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "recipe.json")
	if err := os.WriteFile(name, []byte("{\n  \"name\": \"x\",\n  \"count\": \"3\"\n}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	err := ReadFile(name, new(outer))
	var wrong *Error
	if !errors.As(err, &wrong) || wrong.Key != "count" || err.Error() != name+`:3: count is "3", want a whole number` {
		t.Errorf("error is %v", err)
	}
	if err := ReadFile(name+"x", new(outer)); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), name+"x: ") {
		t.Errorf("error is %v", err)
	}
}

func TestErrors(t *testing.T) {
	for want, e := range map[string]Error{
		"a-key is 3, want more":                {Key: "a_key", Value: "3", Want: "more"},
		"a-key is missing: want one":           {Key: "a_key", Want: "one"},
		"a-key is 3, which is odd: want 2":     {Key: "a_key", Value: "3", Reason: "which is odd", Want: "2"},
		"a comparison needs two: want another": {Key: "a_key", Reason: "a comparison needs two", Want: "another"},
		"a-key is for b-key, not c_key":        {Key: "a_key", Value: "3", Reason: "is for `b_key`, not c_key"},
		"a-key is 3, want no b-key":            {Key: "a_key", Value: "3", Want: "no `b_key`"},
		"a-key: broken":                        {Key: "a_key", Err: errors.New("broken")},
	} {
		if got := e.Naming(func(key string) string { return strings.ReplaceAll(key, "_", "-") }); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestValue(t *testing.T) {
	for text, v := range map[string]Value{`2e-5`: "2e-5", `true`: "true", `"a b"`: "a b", `"null"`: "null", `"[1]"`: "[1]", `"01"`: "01"} {
		data, err := v.MarshalJSON()
		var back Value
		if err := errors.Join(err, back.UnmarshalJSON(data)); err != nil || string(data) != text || back != v {
			t.Errorf("%q is %s and back %q, %v", v, data, back, err)
		}
	}
	if err := new(Value).UnmarshalJSON([]byte("[1]")); err == nil {
		t.Error("a list is a value")
	}
}

func TestKindOf(t *testing.T) {
	for key, want := range map[string]string{
		"name": "text", "flag": "bool", "list": "strings", "sizes": "strings", "rate": "float", "decay": "float", "color": "text", "seed": "uint", "count": "int",
	} {
		if kind, ok := KindOf(new(outer), key); !ok || kind.String() != want {
			t.Errorf("%s is a %v, want %s", key, kind, want)
		}
	}
	if _, ok := KindOf(new(outer), "colour"); ok {
		t.Error("a key that is not there has a kind")
	}
}
