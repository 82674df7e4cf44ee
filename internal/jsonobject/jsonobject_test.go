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
