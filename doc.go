// Package bert is BERT, the model of Devlin, Chang, Lee and Toutanova (2018, arXiv:1810.04805): the encoder, its heads,
// forward and backward, on the processor and without cgo.
//
// Beside the paper, read the files in this order:
//
//	config.go            the sizes and constants of a model                    §3, appendix A
//	params.go            the table of its parameters, which drives all else
//	batch.go             the ragged batch: sequences end to end, no padding
//	precision.go         what float32 and bfloat16 change
//	encoder.go           embeddings, attention, feed-forward, pooler           §3
//	heads.go             logits and losses of pre-training and of the tasks    §3.1, §4
//	encoder_backward.go  the same way back
//	trainer.go           gradients and Adam's update
//	names.go             whose name is which parameter's: Hugging Face's, Google's
//	load.go, save.go     model directories, in the formats that BERTs are published in
//	session.go           inference
//	onnx.go              the same model as a graph for other programs
//
// The numbers are made in internal/compute, the text in package tokenizer; package task turns examples into batches and
// logits into answers, package train is the loop.
//
// # Inference
//
// [Load] opens a model directory; a [Session] runs it over a [Batch]:
//
//	m, err := bert.Load("path/to/model", bert.Options{})
//	…
//	var b bert.Batch
//	b.Add(ids, nil) // as package tokenizer made them
//	out, err := m.NewSession().Forward(&b, bert.Outputs{Pooled: true})
//
// # Training
//
// A [Trainer] computes gradients and applies updates; package train makes a run of it.
//
// # What the bits depend on
//
// A sequence's results are the same to the bit whatever else is in its batch. The same seed gives the same bits on any
// number of threads. Different instruction sets (AVX-512, AVX2, plain Go) differ by float32 rounding, and so does a [Precision], by its own.
package bert
