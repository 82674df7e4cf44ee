// Package bert is BERT, the model of Devlin, Chang, Lee and Toutanova (2018, arXiv:1810.04805): the encoder, its heads,
// forward and backward, on the processor and without cgo.
//
// Read the files in this order, with the paper at hand:
//
//	config.go            the sizes and constants of a model                    §3, appendix A
//	params.go            the table of its parameters, on which all else relies
//	batch.go             the ragged batch: sequences end to end, no padding
//	precision.go         the differences between float32, bfloat16 and int8
//	encoder.go           embeddings, attention, feed-forward, pooler           §3
//	head.go, heads.go    the heads of pre-training and of the tasks            §3.1, §4
//	losses.go            their losses: labels, weights, divisors
//	encoder_backward.go  the encoder in reverse
//	trainer.go           gradients and Adam's update
//	trainer_state.go     parameters and moments in a file
//	shard.go             a part of the parameters, for processes that share a run
//	pass.go, values.go   a caller's own losses, gradients and parameters
//	workspace.go         the memory of a pass
//	weights.go           the parameters as the encoder uses them
//	model.go, device.go  options, the model, its device
//	names.go             the parameters' names in the files of others
//	load.go, save.go     model directories, in the formats in which BERTs are published
//	session.go           inference
//	errors.go            the errors that a caller can tell apart
//	onnx.go              the same model as a graph for other programs
//
// The arithmetic is in internal/compute, and text is the business of package tokenizer. Package task turns examples into
// batches and logits into answers, and package train has the training loop.
//
// # Inference
//
// [Load] opens a model directory; a [Session] runs it over a [Batch]:
//
//	m, err := bert.Load(ctx, "path/to/model", bert.Options{})
//	…
//	var b bert.Batch
//	b.Add(ids, nil) // as package tokenizer made them
//	out, err := m.NewSession().Forward(&b, bert.Outputs{Pooled: true})
//
// # Training
//
// A [Trainer] computes gradients and applies updates; package train makes a run of it. A [Pass] adds gradients of losses that
// this package does not know, at logits or hidden states, as for distillation.
//
// # Errors
//
// [TensorError] and [BatchError] say what is wrong with a file or a batch, and where. [ErrClosed] is the error of every use
// after Close.
//
// # What the bits depend on
//
// A sequence's results are the same to the bit whatever else is in its batch. The same seed gives the same bits on any
// number of threads. Instruction sets (AVX-512, AVX2, plain Go) differ from one another by float32 rounding, and a [Precision]
// by its own.
package bert
