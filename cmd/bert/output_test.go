package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/go-bert/bert/glue"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/prune"
	"github.com/go-bert/bert/report"
	"github.com/go-bert/bert/sweep"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// documentedKeys reads docs/output.md: the keys of each object in their order, by the heading.
func documentedKeys() (map[string][]string, error) {
	text, err := os.ReadFile("../../docs/output.md")
	if err != nil {
		return nil, err
	}
	keys := make(map[string][]string)
	heading := ""
	for _, paragraph := range strings.Split(string(text), "\n\n") {
		if title, ok := strings.CutPrefix(paragraph, "#"); ok {
			heading = strings.TrimLeft(title, "# ")
		} else if list, ok := strings.CutPrefix(paragraph, "Keys: "); ok {
			for _, m := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(list, -1) {
				keys[heading] = append(keys[heading], m[1])
			}
		}
	}
	return keys, nil
}

// orderedKeys returns the keys of a JSON object in their order, and its values.
func orderedKeys(object []byte) (keys []string, values map[string]json.RawMessage, err error) {
	if err := json.Unmarshal(object, &values); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", err, object)
	}
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, key.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, nil, err
		}
	}
	return keys, values, nil
}

// cmdKeys checks that each line of stdout is a JSON object with the keys that docs/output.md has under a heading, in their order;
// with KEY, that the objects below this key of it have them: keys HEADING [KEY].
func cmdKeys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: keys HEADING [KEY]")
	}
	documented, err := documentedKeys()
	ts.Check(err)
	want, ok := documented[args[0]]
	if !ok {
		ts.Fatalf("docs/output.md has no keys under %q", args[0])
	}
	found := 0
	check := func(object []byte) map[string]json.RawMessage {
		keys, values, err := orderedKeys(object)
		ts.Check(err)
		at := 0
		for _, key := range keys {
			i := slices.Index(want[at:], key)
			if i < 0 {
				ts.Fatalf("the keys are %q, docs/output.md has %q under %q", keys, want, args[0])
			}
			at += i + 1
		}
		found++
		return values
	}
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		if len(args) == 1 {
			check([]byte(line))
			continue
		}
		_, values, err := orderedKeys([]byte(line))
		ts.Check(err)
		var objects []json.RawMessage
		if json.Unmarshal(values[args[1]], &objects) != nil {
			objects = []json.RawMessage{values[args[1]]}
		}
		for _, object := range objects {
			check(object)
		}
	}
	if found == 0 {
		ts.Fatalf("stdout has no such object")
	}
}

// TestDocumentedKeys checks that docs/output.md has exactly the keys of each object that is a struct, in their order.
func TestDocumentedKeys(t *testing.T) {
	documented, err := documentedKeys()
	if err != nil {
		t.Fatal(err)
	}
	for heading, object := range map[string]any{
		"tokenize":                             tokenizedJSON{},
		"encode":                               task.Encoded{},
		"encode: a layer":                      task.LayerStates{},
		"encode --pairs":                       task.Similarity{},
		"fill-mask":                            maskJSON{},
		"fill-mask: a candidate":               candidateJSON{},
		"predict":                              task.Prediction{},
		"predict: an entity":                   task.Entity{},
		"predict: an answer":                   task.Answer{},
		"explain":                              task.Explanation{},
		"explain: a target":                    task.Attributed{},
		"explain: what it is":                  task.Target{},
		"explain: a word":                      task.WordScore{},
		"explain --compare":                    task.MethodComparison{},
		"explain --compare: a target":          task.ComparedTarget{},
		"explain --compare: a word":            task.ComparedWord{},
		"explain --compare: removal":           task.RemovalCurves{},
		"attention":                            task.Attended{},
		"attention: blocks":                    task.AttendedBlocks{},
		"attention --before":                   task.HeadChange{},
		"attention --before: what a head does": task.HeadMeans{},
		"attention: a layer":                   task.AttendedLayer{},
		"attention: a head":                    task.AttendedHead{},
		"attention: rows":                      task.AttendedRows{},
		"attention: a link":                    task.Link{},
		"project: the whole":                   projectionJSON{},
		"project: a point":                     pointJSON{},
		"pretrain":                             pretrain.Evaluation{},
		"prune":                                prunedJSON{},
		"prune: a size":                        prune.Size{},
		"prune: vocabulary":                    prune.VocabularyResult{},
		"prune: texts":                         prune.CorpusCheck{},
		"prune: importances":                   prune.Importances{},
		"prune: a score":                       prune.Score{},
		"prune --evaluate":                     prune.Evaluation{},
		"prune --evaluate: a cut":              prune.Cut{},
		"glue":                                 glue.Summary{},
		"glue: a row":                          glue.Row{},
		"sweep":                                sweep.Summary{},
		"sweep: a setting":                     sweep.Row{},
		"sweep: a run":                         sweep.Record{},
		"report":                               report.Summary{},
		"report: a number":                     report.SummaryFact{},
		"report: a figure":                     report.SummaryFigure{},
		"vocab":                                tokenizer.LearnStats{},
		"instances":                            pretrain.Summary{},
		"convert":                              conversionJSON{},
		"inspect":                              inspection{},
		"inspect: a tensor":                    inspectedTensor{},
		"inspect: the model":                   inspectedModel{},
		"inspect: the pipeline":                inspectedPipeline{},
		"bench":                                measurement{},
		"bench ranks":                          ranksMeasurement{},
		"bench calibrate":                      calibration{},
		"pull --json":                          pullJSON{},
		"serve --explain-request":              explainedJSON{},
		"version --json":                       versionJSON{},
	} {
		if keys := structKeys(reflect.TypeOf(object)); !slices.Equal(keys, documented[heading]) {
			t.Errorf("%s has the keys\n%q, docs/output.md\n%q", heading, keys, documented[heading])
		}
	}
}

// structKeys lists the keys that encoding/json gives a struct, in their order.
func structKeys(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			keys = append(keys, structKeys(inner)...)
		case f.IsExported() && name != "" && name != "-":
			keys = append(keys, name)
		}
	}
	return keys
}

// TestTerminalOrJSON checks that outputFlags follows the convention of docs/output.md.
func TestTerminalOrJSON(t *testing.T) {
	for _, c := range []struct {
		args  []string
		table bool
	}{{nil, false}, {[]string{"--json"}, false}, {[]string{"--format", "json"}, false}, {[]string{"--format", "table"}, true}, {[]string{"--format", "auto"}, false}} {
		a, root := newTree()
		cmd, _, err := root.Find([]string{"encode"})
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		var out outputFlags
		out.json, _ = cmd.Flags().GetBool("json")
		out.format = cmd.Flags().Lookup("format").Value.(*choice)
		if got := out.table(a); got != c.table {
			t.Errorf("%q: table is %v, want %v where stdout is no terminal", c.args, got, c.table)
		}
	}
}
