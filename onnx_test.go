package bert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
)

// onnxBound is how far ONNX Runtime's results may be from ours, relative to the largest of them: both compute in float32, in
// other orders.
const onnxBound = 1e-5

// onnxRun is a pass of a model in ONNX Runtime, as testdata/onnxruntime.js reads it.
type onnxRun struct {
	Model  string             `json:"model"`
	Shape  []int              `json:"shape"`
	Inputs map[string][]int32 `json:"inputs"`
}

// newONNXRun pads the sequences of b with what would be seen if the mask did not hide it.
func newONNXRun(path string, b *Batch, head Head) onnxRun {
	length := 0
	for i := range b.Len() {
		from, to := b.Sequence(i)
		length = max(length, to-from)
	}
	r := onnxRun{Model: path, Shape: []int{b.Len(), length}, Inputs: make(map[string][]int32)}
	if head == MultipleChoice {
		r.Shape = []int{b.Len() / b.Choices, b.Choices, length}
	}
	for i := range b.Len() {
		from, to := b.Sequence(i)
		for name, values := range map[string][]int32{
			"input_ids": b.IDs[from:to], "token_type_ids": b.TypeIDs[from:to], "attention_mask": slices.Repeat([]int32{1}, to-from),
		} {
			padding := int32(1)
			if name == "attention_mask" {
				padding = 0
			}
			r.Inputs[name] = slices.Concat(r.Inputs[name], values, slices.Repeat([]int32{padding}, length-(to-from)))
		}
	}
	return r
}

// ragged takes padding out of an output of so many numbers a token.
func ragged(padded []float32, b *Batch, length, width int) []float32 {
	var values []float32
	for i := range b.Len() {
		from, to := b.Sequence(i)
		values = append(values, padded[i*length*width:][:(to-from)*width]...)
	}
	return values
}

// TestGoldenONNXRuntime compares every head in ONNX Runtime with ours, on a single sequence and on a padded batch, and
// every activation.
func TestGoldenONNXRuntime(t *testing.T) {
	node := filepath.Dir(golden.Peers(t, "node", "node_modules", "onnxruntime-node"))
	program, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("no node to run ONNX Runtime with, which BERT_PEERS asks for")
	}
	type passed struct {
		m *Model
		b *Batch
	}
	var (
		passes []passed
		runs   []onnxRun
	)
	add := func(c Config, head Head) {
		m := newTestModel(t, c, head, 1)
		path := filepath.Join(t.TempDir(), "model.onnx")
		if err := m.ExportONNX(path); err != nil {
			t.Fatal(err)
		}
		for _, lengths := range [][]int{{9}, {9, 1, 24, 13, 2, 7}} {
			b := testBatch(c, lengths...)
			if b.Choices > 1 {
				b.Choices = 3
			}
			b.MaskedPositions, b.MaskedIDs = nil, nil
			for i := range b.Tokens() { // the graph gives the logits of all
				b.MaskedPositions = append(b.MaskedPositions, int32(i))
			}
			passes = append(passes, passed{m, b})
			runs = append(runs, newONNXRun(path, b, head))
		}
	}
	c := smallConfig()
	for head := range heads {
		add(c, Head(head))
	}
	c.Labels = c.Labels[:1]
	add(c, SequenceClassification) // a regression
	add(prunedConfig(), NoHead)
	for act := range activations {
		c.HiddenAct = act
		add(c, MaskedLM)
	}

	input, err := json.Marshal(runs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, filepath.Join("testdata", "onnxruntime.js"), filepath.Dir(node))
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, &stderr)
	}
	var results []map[string][]float32
	if err := json.Unmarshal(output, &results); err != nil || len(results) != len(runs) {
		t.Fatalf("%d results of %d: %v", len(results), len(runs), err)
	}
	for i, p := range passes {
		var (
			head   = p.m.head
			what   = fmt.Sprintf("%v, %s, %d sequences", head, p.m.config.HiddenAct, p.b.Len())
			length = runs[i].Shape[len(runs[i].Shape)-1]
			ours   = make(map[string][]float32)
		)
		out, err := p.m.NewSession().Forward(p.b, Outputs{LastHidden: head == NoHead, Pooled: head == NoHead})
		if err != nil {
			t.Fatal(err)
		}
		perToken := map[string]int{}
		switch head {
		case NoHead:
			ours["last_hidden_state"], ours["pooler_output"] = out.LastHidden, out.Pooled
			perToken["last_hidden_state"] = p.m.config.HiddenSize
		case PreTraining:
			ours["prediction_logits"], ours["seq_relationship_logits"] = out.Logits, out.NextSentenceLogits
			perToken["prediction_logits"] = p.m.config.VocabSize
		case QuestionAnswering:
			for i, name := range []string{"start_logits", "end_logits"} {
				for at := i; at < len(out.Logits); at += 2 {
					ours[name] = append(ours[name], out.Logits[at])
				}
				perToken[name] = 1
			}
		default:
			ours["logits"] = out.Logits
			if head == MaskedLM || head == TokenClassification {
				perToken["logits"] = len(out.Logits) / p.b.Tokens()
			}
		}
		if len(results[i]) != len(ours) {
			t.Errorf("%s: %d outputs, want %d", what, len(results[i]), len(ours))
		}
		for name, want := range ours {
			got := results[i][name]
			if width := perToken[name]; width > 0 {
				if len(got) != p.b.Len()*length*width {
					t.Errorf("%s: %s has %d values, want %d", what, name, len(got), p.b.Len()*length*width)
					continue
				}
				got = ragged(got, p.b, length, width)
			}
			near(t, what+": "+name, got, want, onnxBound, 0)
		}
	}
}

// TestONNXRoundTrip exports every head and reads the file: the same bits come back, under the same names, and a model loads
// from them.
func TestONNXRoundTrip(t *testing.T) {
	c := smallConfig()
	for head := range heads {
		m := newTestModel(t, c, Head(head), 1)
		dir := t.TempDir()
		if err := m.Save(dir, SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		// A format is recognised by its content, so the ONNX file may stand in the place of the weights.
		if err := m.ExportONNX(filepath.Join(dir, "model.safetensors")); err != nil {
			t.Fatal(err)
		}
		again := load(t, dir, Options{Threads: 1})
		if report := again.Report(); len(report.NewHead)+len(report.Missing)+len(report.LeftOver) > 0 {
			t.Errorf("%v: the file and the parameters differ: %+v", Head(head), report)
		}
		for i := range m.params {
			if want, got := m.host(m.params[i].value), again.host(again.params[i].value); !slices.Equal(got, want) {
				t.Errorf("%v: %s has other values", Head(head), m.params[i].Name)
			}
		}
	}
}

// TestONNXTooLarge asks for a file that a protobuf message can't be; nothing may be left of it.
func TestONNXTooLarge(t *testing.T) {
	c := smallConfig()
	m := newTestModel(t, c, NoHead, 1)
	m.params[0].Shape = []int{1 << 25, c.HiddenSize}
	dir := t.TempDir()
	err := m.ExportONNX(filepath.Join(dir, "model.onnx"))
	if want := "an ONNX file holds at most 2147483647"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %q", err, want)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}
