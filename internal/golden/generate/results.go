package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/golden/reference"
)

// Training is as in the goldens that PyTorch made.
const (
	peakRate    = 5e-3
	warmupSteps = 3
)

// writeResults computes everything that w asks for and writes it under dir.
func writeResults(dir string, w contents, c reference.Config, models map[string]reference.Params, in inputsFile, training trainingFile) error {
	if params, ok := models["pretraining"]; ok {
		forward := reference.Forward(c, params, in.Batch.Sequences)
		if err := writeTensors(filepath.Join(dir, "forward.safetensors"), forward); err != nil {
			return err
		}
	}
	tasks := make(map[string]reference.Task) // by the model's name, too: what its training runs train
	for _, t := range reference.Tasks() {
		tasks[t.Name] = t
		if !slices.Contains(w.tasks, t.Name) {
			continue
		}
		inputs, part := taskInputs(t.Name, in)
		r := reference.Run(c, models[t.Model], t, inputs)
		if err := writeTask(filepath.Join(dir, "task", t.Name), t, part, w, r); err != nil {
			return err
		}
	}
	var batches [][]reference.Sequence
	for _, s := range training.Steps {
		batches = append(batches, s.Sequences)
	}
	for _, r := range w.runs {
		if err := writeRun(filepath.Join(dir, "train", r.head+"."+r.optimizer), r, c, models[r.head], tasks[r.head], batches); err != nil {
			return err
		}
	}
	return nil
}

// taskInputs are the inputs of a task and the part of inputs.json that they are.
func taskInputs(task string, in inputsFile) (reference.Inputs, string) {
	if task != "multiple-choice" {
		return reference.Inputs{Sequences: in.Batch.Sequences}, "batch"
	}
	var inputs reference.Inputs
	for _, e := range in.MultipleChoice.Examples {
		inputs.Choices = len(e.Choices)
		inputs.Answers = append(inputs.Answers, e.Label)
		for _, t := range e.Choices {
			inputs.Sequences = append(inputs.Sequences, reference.Sequence{IDs: t.IDs, Types: t.Types})
		}
	}
	return inputs, "multiple_choice"
}

func writeTask(path string, t reference.Task, part string, w contents, r reference.Result) error {
	null := reference.NullGradients(r.Gradients)
	o := object{
		{"task", t.Name},
		{"model", t.Model},
		{"inputs", part},
		{"loss", decimal(r.Loss)},
		{"grad_global_norm", decimal(r.Gradients.Norm())},
		{"null_gradients", append([]string{}, null...)},
	}
	for _, out := range r.Outputs {
		o = append(o, member{out.Name, outputValue(out)})
	}
	if err := writeJSON(path+".json", o); err != nil {
		return err
	}
	if slices.Contains(w.gradients, t.Name) {
		// What is left of rounding is not the same on every machine.
		for _, name := range null {
			clear(r.Gradients[name].Values)
		}
		if err := writeTensors(path+".grad.safetensors", r.Gradients); err != nil {
			return err
		}
	}
	if !slices.Contains(w.hidden, t.Name) {
		return nil
	}
	width := len(r.Gradients["bert.embeddings.LayerNorm.bias"].Values)
	hidden := make(reference.Params)
	for i, g := range r.HiddenGradients {
		name := "embedding_output"
		if i > 0 {
			name = fmt.Sprintf("layer.%d.output", i-1)
		}
		hidden[name] = reference.Tensor{Shape: []int{len(g) / width, width}, Values: g}
	}
	return writeTensors(path+".hidden-grad.safetensors", hidden)
}

func outputValue(out reference.Output) any {
	if out.Number {
		return decimal(out.Values[0])
	}
	values := decimals(out.Values)
	if out.Rows == 0 {
		return values
	}
	return slices.Collect(slices.Chunk(values, len(values)/out.Rows))
}

func writeRun(path string, r run, c reference.Config, params reference.Params, t reference.Task, batches [][]reference.Sequence) error {
	steps, final, err := reference.Train(c, params, t, batches, reference.Schedule{Optimizer: r.optimizer, Rate: peakRate, Warmup: warmupSteps})
	if err != nil {
		return err
	}
	first := reference.Run(c, params, t, reference.Inputs{Sequences: batches[0]})
	var losses, norms, rates []decimal
	for _, s := range steps {
		losses, norms, rates = append(losses, decimal(s.Loss)), append(norms, decimal(s.GradNorm)), append(rates, decimal(s.Rate))
	}
	err = writeJSON(path+".json", object{
		{"model", r.head},
		{"optimizer", r.optimizer},
		{"peak_learning_rate", decimal(peakRate)},
		{"warmup_steps", warmupSteps},
		{"total_steps", len(steps)},
		{"loss", losses},
		{"grad_norm_before_clipping", norms},
		{"learning_rate", rates},
		{"null_gradients", reference.NullGradients(first.Gradients)},
	})
	if err != nil {
		return err
	}
	return writeTensors(path+".safetensors", final)
}

// decimal is a number that is written with 12 significant digits, which every machine computes alike.
type decimal float64

func (d decimal) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(d), 'g', 12, 64), nil
}

func decimals(values []float64) []decimal {
	list := make([]decimal, len(values))
	for i, v := range values {
		list[i] = decimal(v)
	}
	return list
}

// object is a JSON object with its members in order, a line each.
type object []member

type member struct {
	name  string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, m := range o {
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(&b, "\n %q: %s", m.name, value)
	}
	b.WriteString("\n}")
	return b.Bytes(), nil
}

func writeJSON(path string, v any) error {
	var text []byte
	var err error
	if o, ok := v.(object); ok {
		text, err = o.MarshalJSON() // json.Marshal would put all in one line
	} else {
		text, err = json.Marshal(v)
	}
	if err != nil {
		return err
	}
	return writeFile(path, append(text, '\n'))
}

// writeTensors rounds to float32.
func writeTensors(path string, tensors reference.Params) error {
	var list []checkpoint.Tensor
	for name, t := range tensors {
		x := checkpoint.Tensor{Name: name, DType: checkpoint.F32, Shape: t.Shape}
		for _, v := range t.Values {
			x.Data = binary.LittleEndian.AppendUint32(x.Data, math.Float32bits(float32(v)))
		}
		list = append(list, x)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return checkpoint.WriteSafetensors(path, list, map[string]string{"format": "pt"})
}

func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o666)
}
