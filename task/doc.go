// Package task takes BERT to its uses, both ways: from examples to the features that a model reads, and from a model's
// logits to the answer.
//
// For a service, [Open] makes a [Runner] of a model directory for one of the uses [Predict], [Encode], [FillMask], [ZeroShot],
// [Compare], [Explain], [CompareMethods] and [Attend]; [Describe] says beforehand which of them a model has.
//
//	r, err := task.Open(ctx, "model", task.Predict(), task.Options{})
//	…
//	predictions, err := r.Do(ctx, data.Texts("A joy from start to finish."))
//
// For training, a [Task] reads examples, [NewDataset] turns them into features as a [Spec] says, and [Evaluate] measures a model
// on them.
//
// Kinds of tasks are closed: a kind is a row of the table in kind.go and a codec in a file of its own. Tasks are open: a
// program may fill in a Task of its own. The names are more than a page because each kind has a report and each use an answer
// and options of its own; Open, Runner, NewDataset and Evaluate are where to begin.
//
// The files are storeys, here from the bottom up, of which each uses those below it; a test holds them to that.
//
//	long.go spec.go                                  what has to be the same in training and in prediction
//	features.go shorten.go windows.go dataset.go     from inputs to sequences of ids
//	prediction.go outcome.go report.go softmax.go aim.go    answers, what is measured, and what can be explained
//	classification.go multilabel.go regression.go choice.go ner.go conll.go squad.go    a codec for each kind
//	kind.go                                          the table of kinds
//	task.go tasks.go save.go                         the table of tasks
//	batches.go result.go evaluate.go brief.go outcome_explain.go    a model measured
//	nextsentence.go describe.go                      what a model directory is
//	prepared.go engine.go broken.go many.go runner.go shared.go stream.go    a model run
//	predict.go logits.go pooling.go encode.go similarity.go fillmask.go sparse.go zeroshot.go model_function.go explain.go methods.go attend.go head_changes.go    the uses
package task
