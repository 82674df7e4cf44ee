package reference

import (
	"fmt"
	"math"
	"slices"
)

// Inputs are what a task is computed on: sequences, of which each run of Choices is one item of multiple choice, with
// Answers for labels.
type Inputs struct {
	Sequences []Sequence
	Choices   int
	Answers   []int
}

// Output is a named result of a task. Rows is 0 for a single row and for a number, which has Number set.
type Output struct {
	Name   string
	Rows   int
	Values []float64
	Number bool
}

// Result is what a task gives for its inputs.
type Result struct {
	Loss            float64
	Outputs         []Output
	Gradients       Params      // zeros where none flows
	HiddenGradients [][]float64 // at the embeddings' output and each layer's, [tokens, hidden]
}

// A Task computes the logits of a head and its loss.
type Task struct {
	Name  string
	Model string // the directory of the model
	Loss  func(p *pass, in Inputs) (loss *matrix, outputs []Output)
}

// Tasks are those that the reference computes.
func Tasks() []Task {
	return []Task{
		{"pretraining", "pretraining", preTraining},
		{"masked-lm", "pretraining", maskedLM},
		{"next-sentence", "pretraining", nextSentence},
		{"sequence-classification", "sequence-classification", sequenceClassification},
		{"regression", "regression", regression},
		{"token-classification", "token-classification", tokenClassification},
		{"question-answering", "question-answering", questionAnswering},
		{"multiple-choice", "multiple-choice", multipleChoice},
	}
}

// Run computes a task forward and backward.
func Run(c Config, params Params, task Task, in Inputs) Result {
	p := newPass(c, params, in.Sequences)
	loss, outputs := task.Loss(p, in)
	p.backward(loss)
	r := Result{Loss: loss.value[0], Outputs: outputs, Gradients: make(Params)}
	for name, m := range p.params {
		r.Gradients[name] = Tensor{params[name].Shape, m.grad}
	}
	for _, h := range p.hidden {
		r.HiddenGradients = append(r.HiddenGradients, h.grad)
	}
	return r
}

// Forward computes the encoder alone: every hidden state, the pooled vectors and the first layer's attention.
func Forward(c Config, params Params, sequences []Sequence) map[string]Tensor {
	p := newPass(c, params, sequences)
	all := map[string]Tensor{"pooled": {[]int{len(sequences), c.Hidden}, p.pooled().value}}
	for i, h := range p.hidden {
		name := "embedding_output"
		if i > 0 {
			name = fmt.Sprintf("layer.%d.output", i-1)
		}
		all[name] = Tensor{[]int{h.rows, h.cols}, h.value}
	}
	for s := range sequences {
		n := len(sequences[s].IDs)
		t := Tensor{Shape: []int{c.Heads, n, n}}
		for _, probs := range p.probs[s*c.Heads:][:c.Heads] {
			t.Values = append(t.Values, probs.value...)
		}
		all[fmt.Sprintf("layer.0.attention_probs.%d", s)] = t
	}
	return all
}

// NullGradients are the parameters whose gradient is zero but for rounding, though the loss depends on them: a softmax does
// not feel a shift.
func NullGradients(gradients Params) []string {
	largest := 0.0
	for _, g := range gradients {
		largest = max(largest, g.Largest())
	}
	var names []string
	for name, g := range gradients {
		if l := g.Largest(); l > 0 && l < 1e-12*largest {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Largest is the largest absolute value.
func (t Tensor) Largest() float64 {
	largest := 0.0
	for _, x := range t.Values {
		largest = max(largest, math.Abs(x))
	}
	return largest
}

// Norm is the Euclidean norm of all.
func (p Params) Norm() float64 {
	sum := 0.0
	for _, t := range p {
		for _, x := range t.Values {
			sum += x * x
		}
	}
	return math.Sqrt(sum)
}

func (m *matrix) output(name string) Output { return Output{Name: name, Rows: m.rows, Values: m.value} }

func number(name string, x float64) Output {
	return Output{Name: name, Values: []float64{x}, Number: true}
}

// mean is the mean cross-entropy over the labels that are not negative.
func (p *pass) mean(logits *matrix, labels []int) *matrix {
	taking := 0
	for _, l := range labels {
		if l >= 0 {
			taking++
		}
	}
	return p.scale(p.sum(p.crossEntropy(logits, labels)), 1/float64(taking))
}

// labels collects a label of each sequence.
func labels(sequences []Sequence, of func(Sequence) int) []int {
	var all []int
	for _, s := range sequences {
		all = append(all, of(s))
	}
	return all
}

// mlm is the logits of the masked positions and their cross-entropy, one by one (paper, §3.1).
func (p *pass) mlm() (logits, each *matrix) {
	var rows, labels []int
	for i, s := range p.sequences {
		for _, at := range s.MLMPositions {
			rows = append(rows, p.starts[i]+at)
		}
		labels = append(labels, s.MLMLabels...)
	}
	const cls = "cls.predictions."
	x := p.layerNorm(cls+"transform.LayerNorm", p.activate(p.linear(cls+"transform.dense", p.gather(p.last(), rows))))
	logits = p.product(x, p.transpose(p.params["bert.embeddings.word_embeddings.weight"]))
	logits = p.add(logits, p.params[cls+"bias"])
	return logits, p.crossEntropy(logits, labels)
}

func (p *pass) nsp() (logits, loss *matrix) {
	logits = p.linear("cls.seq_relationship", p.pooled())
	return logits, p.mean(logits, labels(p.sequences, func(s Sequence) int { return s.NextSentence }))
}

// preTraining is Google's loss: the sum over the masked tokens by their number + 1e-5, and the mean of next sentences
// (google-research/bert run_pretraining.py, get_masked_lm_output).
func preTraining(p *pass, _ Inputs) (*matrix, []Output) {
	logits, each := p.mlm()
	mlm := p.scale(p.sum(each), 1/(float64(each.rows)+1e-5))
	nspLogits, nsp := p.nsp()
	return p.add(mlm, nsp), []Output{
		logits.output("mlm_logits"), {Name: "mlm_losses", Values: each.value}, number("mlm_loss", mlm.value[0]),
		number("mlm_loss_first_alone", each.value[0]/(1+1e-5)), nspLogits.output("nsp_logits"), number("nsp_loss", nsp.value[0]),
	}
}

// maskedLM is the plain mean, as in Hugging Face's BertForMaskedLM.
func maskedLM(p *pass, _ Inputs) (*matrix, []Output) {
	logits, each := p.mlm()
	return p.scale(p.sum(each), 1/float64(each.rows)), []Output{logits.output("mlm_logits")}
}

func nextSentence(p *pass, _ Inputs) (*matrix, []Output) {
	logits, loss := p.nsp()
	return loss, []Output{logits.output("nsp_logits")}
}

func sequenceClassification(p *pass, _ Inputs) (*matrix, []Output) {
	pooled := p.pooled()
	logits := p.linear("classifier", pooled)
	return p.mean(logits, labels(p.sequences, func(s Sequence) int { return s.Class })), []Output{pooled.output("pooled"), logits.output("logits")}
}

// regression is the mean squared error.
func regression(p *pass, _ Inputs) (*matrix, []Output) {
	logits := p.linear("classifier", p.pooled())
	target := newMatrix(logits.rows, 1)
	for i, s := range p.sequences {
		target.value[i] = -s.Value
	}
	square := p.each(p.add(logits, target), func(x float64) (float64, float64) { return x * x, 2 * x })
	return p.scale(p.sum(square), 1/float64(logits.rows)), []Output{logits.output("logits")}
}

func tokenClassification(p *pass, _ Inputs) (*matrix, []Output) {
	logits := p.linear("classifier", p.last())
	var labels []int
	for _, s := range p.sequences {
		labels = append(labels, s.TokenClasses...)
	}
	return p.mean(logits, labels), []Output{logits.output("logits")}
}

// questionAnswering is half the mean cross-entropy of the starts and of the ends, each among the tokens of its sequence.
func questionAnswering(p *pass, _ Inputs) (*matrix, []Output) {
	logits := p.linear("qa_outputs", p.last())
	var loss *matrix
	var outputs []Output
	for column, name := range []string{"start_logits", "end_logits"} {
		of := p.columns(logits, column, column+1)
		outputs = append(outputs, Output{Name: name, Values: of.value})
		for i, s := range p.sequences {
			row := p.transpose(p.gather(of, p.tokens(i)))
			one := p.scale(p.crossEntropy(row, []int{[]int{s.Start, s.End}[column]}), 1/float64(2*len(p.sequences)))
			if loss == nil {
				loss = one
			} else {
				loss = p.add(loss, one)
			}
		}
	}
	return loss, outputs
}

// multipleChoice is the mean cross-entropy among the choices of each item.
func multipleChoice(p *pass, in Inputs) (*matrix, []Output) {
	logits := p.linear("classifier", p.pooled())
	logits = p.reshape(logits, len(in.Answers), in.Choices)
	return p.mean(logits, in.Answers), []Output{logits.output("logits")}
}
