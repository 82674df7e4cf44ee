package jsonobject

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	var keys []string
	err := Parse([]byte(` {"b": 1, "a": {"x": [2]}, "": null} `), func(key string, value json.RawMessage) error {
		keys = append(keys, key+"="+string(value))
		return nil
	})
	if got := strings.Join(keys, " "); err != nil || got != `b=1 a={"x": [2]} =null` {
		t.Errorf("%s, %v", got, err)
	}
	for text, want := range map[string]string{
		"":                "ends too early",
		`{"a": 1`:         "ends too early",
		`[1]`:             "not a JSON object",
		`{"a": 1, "a":1}`: `key "a" twice`,
		`{} {}`:           "something follows",
		`{"a": x}`:        "not JSON: invalid character",

		strings.Repeat("5", 400): "a JSON number in a wrong place", // more than a float64 holds
	} {
		err := Parse([]byte(text), func(string, json.RawMessage) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestMarshal(t *testing.T) {
	values := []any{Number(0.5), Number(math.NaN()), Number(math.Inf(1)), Number(float32(0.1)), "<"}
	got, err := Marshal(len(values), func(i int) (string, any) { return string(rune('e' - i)), values[i] })
	if want := `{"e":0.5,"d":null,"c":null,"b":0.1,"a":"<"}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestField(t *testing.T) {
	var (
		text   string
		whole  int
		number float64
		yes    bool
		list   []string
	)
	for value, field := range map[string]any{`"a"`: &text, `3`: &whole, `0.5`: &number, `true`: &yes, `["a"]`: &list} {
		if err := Field("k", json.RawMessage(value), field); err != nil {
			t.Error(err)
		}
	}
	if text != "a" || whole != 3 || number != 0.5 || !yes || len(list) != 1 {
		t.Errorf("read %q, %d, %v, %v, %q", text, whole, number, yes, list)
	}
	for want, field := range map[string]any{
		`k is "{}", want a string`: &text, `k is "{}", want a whole number`: &whole, `k is "{}", want a number`: &number,
		`k is "{}", want true or false`: &yes, `k is "{}", want a list of strings`: &list,
	} {
		if err := Field("k", json.RawMessage("{}"), field); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	long := json.RawMessage(`"` + strings.Repeat("a", maxValue) + `"`)
	if err := Field("k", long, &text); err == nil || !strings.Contains(err.Error(), "want a string") || len(err.Error()) > 200 {
		t.Errorf("a long text: %v", err)
	}
	many := json.RawMessage("[" + strings.Repeat(`"",`, maxList+1) + `""]`)
	if err := Field("k", many, &list); err == nil || err.Error() != "k: more than 65,536" {
		t.Errorf("a long list: %v", err)
	}
}
