package metric

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
)

func TestMetrics(t *testing.T) {
	m := Metrics{{"f1", 0.5}, {"auc", math.NaN()}, {"exact", math.Inf(-1)}, {"a<b", 1e-9}}
	const want = `{"f1":0.5,"auc":null,"exact":null,"a<b":1e-9}`
	got, err := m.MarshalJSON()
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	var back Metrics
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(back.Names(), m.Names()) {
		t.Errorf("names %v, want %v", back.Names(), m.Names())
	}
	if v, ok := back.Get("f1"); !ok || v != 0.5 {
		t.Errorf("f1 is %v, %v", v, ok)
	}
	if v, ok := back.Get("auc"); !ok || !math.IsNaN(v) {
		t.Errorf("auc is %v, %v; want NaN, true", v, ok)
	}
	if v, ok := back.Get("F1"); ok || v != 0 {
		t.Errorf("F1 is %v, %v; want 0, false", v, ok)
	}
	for _, text := range []string{`{"a":1,"a":2}`, `{"a":"1"}`, `{"a":true}`, `[1]`, `{"a":1`} {
		back = Metrics{{"kept", 1}}
		if err := back.UnmarshalJSON([]byte(text)); err == nil || len(back) != 1 {
			t.Errorf("%s: %v, %v; want an error and the list as it was", text, back, err)
		}
	}
}

func TestDefinitions(t *testing.T) {
	for name, want := range map[string]bool{"loss": true, "masked_lm_loss": true, "mean_squared_error": true, "f1": false, "another": false} {
		if LessIsBetter(name) != want {
			t.Errorf("%s: less is better is %v", name, !want)
		}
	}
	for name, want := range map[string]string{"f1_score": "F1", "eval_accuracy": "accuracy", "mean_squared_error": "mean squared error"} {
		if got := Label(name); got != want {
			t.Errorf("%s is called %s, want %s", name, got, want)
		}
	}
	for i, d := range definitions {
		if slices.ContainsFunc(definitions[:i], func(e definition) bool { return e.name == d.name }) {
			t.Errorf("%s has two rows", d.name)
		}
	}
}

func FuzzMetrics(f *testing.F) {
	f.Add([]byte(`{"f1": 0.5, "auc": null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var m Metrics
		if m.UnmarshalJSON(text) != nil {
			return
		}
		again, err := m.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var back Metrics
		if err := back.UnmarshalJSON(again); err != nil || len(back) != len(m) {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
