// Package pretrain pre-trains BERT (paper §3.1, appendix A.1 and A.2), from text to a model directory.
//
// An [InstanceJob] makes sequences of two segments with masked tokens from documents, as google-research/bert
// create_pretraining_data.py does, in files that training reads in place; [Open] opens them.
//
// A [Recipe] says what a run of run_pretraining.py does and can be written as JSON. Recipe.Prepare opens the instances and the
// model and makes a [Job]; Job.Run trains, evaluates and writes the model directory:
//
//	r := pretrain.Recipe{
//		Instances: []string{"short", "long"}, PhaseSteps: []int{90000, 10000}, BatchSize: pretrain.PerPhase{256},
//		EvalInstances: "held-out", Config: "base.json", Training: pretrain.Training{LearningRate: 1e-4},
//	}
//	job, err := r.Prepare(ctx, pretrain.Options{Output: "my-bert"})
//	…
//	defer job.Close()
//	result, err := job.Run(ctx, train.Lines(os.Stderr))
//
// An [Evaluator] measures a model that was pre-trained on other instances.
package pretrain
