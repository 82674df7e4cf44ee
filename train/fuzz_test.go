package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"
)

// Any text is either read as a state or refused; a state that was read is written unchanged.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"format":1,"step":3,"options":{"seed":"42"},"best_evaluation":{"step":1,"evaluation":{"loss":null,"metrics":{"f1":0.5}}}}`))
	f.Add([]byte(`{"format":1,"examples":1e9,"loss_sum":0.1}`))
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := unseal(text); err == nil {
			t.Fatal("a text without a hash is a state")
		}
		var compact bytes.Buffer
		if json.Compact(&compact, text) != nil {
			return
		}
		sum := sha256.Sum256(compact.Bytes())
		s, err := unseal(fmt.Appendf(nil, `{"sha256":"%x","state":%s}`, sum, text))
		if err != nil {
			return
		}
		again, err := seal(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := unseal(again)
		if err != nil {
			t.Fatalf("what was read can't be read again: %v", err)
		}
		if third, err := seal(back); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("written again as\n%s\nand\n%s: %v", again, third, err)
		}
	})
}

func FuzzEvaluation(f *testing.F) {
	f.Add([]byte(`{"loss":null,"metrics":{"z":0.1,"a":null}}`))
	f.Add([]byte(`{"metrics":{"a":1,"a":2}}`))
	f.Add([]byte(`{"metrics":[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var e Evaluation
		if json.Unmarshal(text, &e) != nil {
			return
		}
		again, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back Evaluation
		if err := json.Unmarshal(again, &back); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if third, err := json.Marshal(back); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("written again as %s and %s: %v", again, third, err)
		}
	})
}

// The events file of a folder may hold anything: the events of a killed run, or another program's data.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"event":"start","options":{"seed":"42"}}` + "\n" + `{"event":"end","step":3,"evaluation":{"loss":1,"metrics":{}}}` + "\n"))
	f.Add([]byte("{\"event\":\"start\"}\n\n\x00"))
	f.Add([]byte(`{"event":"start"`))
	f.Fuzz(func(t *testing.T, text []byte) {
		rec, err := parseRecord(bytes.NewReader(text))
		if err != nil || rec == nil {
			t.Fatalf("record is %v, %v", rec, err)
		}
		// What follows the last line break does not matter.
		whole := text[:bytes.LastIndexByte(text, '\n')+1]
		if again, err := parseRecord(bytes.NewReader(whole)); err != nil || fmt.Sprintf("%+v", again.options) != fmt.Sprintf("%+v", rec.options) ||
			(again.result == nil) != (rec.result == nil) {
			t.Fatalf("record is %+v, of the whole lines %+v, %v", rec, again, err)
		}
	})
}
