package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/bench"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// pretrainFlags are those of bert pretrain.
type pretrainFlags struct {
	instances        []string
	phaseSteps       []int
	evalInstances    string
	evalShare        float64
	maxEvalInstances int

	config, init string
	allowMissing bool
	threads      int
	precision    bert.Precision

	batchSizes, tokenBudgets []int   // one for all phases, or one for each
	epochs                   float64 // 0: MaxSteps
	warmupSteps              int
	options                  train.Options
	optimizer                optimizerFlags

	out outputFlags
}

func (a *app) pretrainCommand() *cobra.Command {
	f := pretrainFlags{options: train.Options{Recipe: train.Recipe{}.WithDefaults()}}
	// The defaults of run_pretraining.py.
	f.options.LearningRate, f.options.SaveSteps = 5e-5, new(1000)
	cmd := &cobra.Command{
		Use:   "pretrain --instances DIR (--config FILE | --init DIR) --output DIR [flags]",
		Short: "Pre-train a model on instances made of raw text",
		Long: `pretrain trains the masked language model and, where the instances are pairs, next-sentence prediction, as
google-research/bert run_pretraining.py does: from random weights (--config), or from those of any model (--init).

--instances names the folder that bert instances wrote. Given more than once, the run has a phase for each, of --phase-steps
steps: sequences of 128 tokens and then of 512, say. The learning rate has one schedule over all phases.

The model is evaluated at the end, and every --eval-steps, on --eval-instances or on a share of the training instances.

The output folder becomes a model directory: config.json, model.safetensors, the instances' vocabulary, and
eval_results.json; events.jsonl and TensorBoard's event files tell how the run went. Checkpoints are written every --save-steps.
Ctrl-C ends the run after the step it is at and saves it; --resume goes on from the newest checkpoint, with the same options,
and ends with the same bits.`,
		Example: `  bert pretrain --instances instances --eval-instances held-out --config 4x256.json --output model \
      --train-batch-size 256 --learning-rate 1e-3 --num-train-steps 20000 --eval-steps 1000
  bert pretrain --instances short --instances long --phase-steps 9000,1000 --token-budget 16384 --config base.json --output model
  bert pretrain --instances my-text --init bert-base-uncased --num-train-epochs 3 --output my-bert`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.pretrain(cmd, &f) },
	}
	f.add(cmd)
	return cmd
}

func (f *pretrainFlags) add(cmd *cobra.Command) {
	o, flags := &f.options, cmd.Flags()

	flags.StringArrayVar(&f.instances, "instances", nil, "train on the instances in `DIR`; once for each phase")
	flags.StringVar(&f.evalInstances, "eval-instances", "", "evaluate on the instances in `DIR`")
	flags.StringVar(&f.config, "config", "", "begin with random weights, for the configuration in `FILE` (config.json)")
	flags.StringVar(&f.init, "init", "", "begin with the weights of the model in `DIR`")
	flags.StringVar(&o.Output, "output", "", "write the model, events and checkpoints to `DIR`")
	_ = cmd.MarkFlagDirname("instances") // the errors are for flags that do not exist
	_ = cmd.MarkFlagDirname("eval-instances")
	markModel(cmd, "init")
	_ = cmd.MarkFlagDirname("output")
	_ = cmd.MarkFlagFilename("config", "json")
	flags.BoolVar(&f.allowMissing, "allow-missing", false, "with --init: let tensors that are missing begin with random values, and leave out those that are left over")

	flags.IntSliceVar(&f.batchSizes, "train-batch-size", []int{o.BatchSize}, "`N` instances a step; N,N…: of each phase")
	flags.IntSliceVar(&f.tokenBudgets, "token-budget", nil, "batches of at most `N` tokens instead; N,N…: of each phase")
	flags.Float64Var(&o.LearningRate, "learning-rate", o.LearningRate, "the highest learning `RATE`")
	flags.IntVar(&o.MaxSteps, "num-train-steps", 0, "train for `N` steps (default: 100,000, unless --num-train-epochs or --phase-steps say otherwise)")
	flags.Float64Var(&f.epochs, "num-train-epochs", 0, "go through the instances `N` times")
	flags.IntSliceVar(&f.phaseSteps, "phase-steps", nil, "the steps of each phase, `N,N…`")
	flags.Float64Var(o.WarmupProportion, "warmup-proportion", *o.WarmupProportion, "the `SHARE` of the steps in which the rate rises")
	flags.IntVar(&f.warmupSteps, "warmup-steps", 0, "the number `N` of steps in which the rate rises")
	flags.Uint64Var(o.Seed, "seed", *o.Seed, "`SEED` of what is drawn at random: new weights, the order of the instances, dropout")
	addThreads(cmd, &f.threads)
	addPrecision(cmd, &f.precision)
	flags.IntVar(o.SaveSteps, "save-steps", *o.SaveSteps, "write a checkpoint every `N` steps and at the end; 0: only when interrupted")
	flags.BoolVar(&o.Resume, "resume", false, "go on from the newest checkpoint in --output")

	flags.Float64Var(&f.evalShare, "eval-share", 0, "evaluate on a `SHARE` of the (last) instances, taken out at random")
	flags.IntVar(&f.maxEvalInstances, "max-eval-instances", 0, "evaluate on `N` instances at equal distances; 0: all")
	flags.IntVar(&o.EvalSteps, "eval-steps", 0, "evaluate every `N` steps, beside the end")

	flags.IntVar(&o.Accumulation, "gradient-accumulation-steps", 1, "add up the gradients of `N` batches before each step")
	flags.IntVar(&o.MicroBatchTokens, "micro-batch-tokens", 0, "let batches go through the model in parts of at most `N` tokens, to save memory; 0: whole")
	flags.BoolVar(&o.GroupByLength, "group-by-length", false, "put instances of like length into the same batch")
	f.optimizer.add(cmd, o)
	flags.Float64Var(o.Beta2, "adam-beta2", *o.Beta2, "how slowly the mean of squared gradients changes, as `β2`")

	flags.StringVar(&o.BestMetric, "metric-for-best-model", "", "keep the model with the best `METRIC`, as in masked_lm_accuracy (more is better), loss; empty: the last")
	flags.IntVar(&o.EarlyStop, "early-stopping-patience", 0, "end after `N` evaluations without a better --metric-for-best-model; 0: never")
	flags.IntVar(o.KeepCheckpoints, "keep-checkpoints", *o.KeepCheckpoints, "keep the newest `N` checkpoints, and the best; 0: all")
	flags.IntVar(&o.LogSteps, "log-steps", o.LogSteps, "record the loss every `N` steps")
	f.out.add(cmd)

	cmd.MarkFlagsMutuallyExclusive("eval-instances", "eval-share")
	cmd.MarkFlagsMutuallyExclusive("train-batch-size", "token-budget")
	cmd.MarkFlagsMutuallyExclusive("num-train-steps", "num-train-epochs", "phase-steps")
	cmd.MarkFlagsMutuallyExclusive("warmup-proportion", "warmup-steps")
}

// defaultTrainSteps is run_pretraining.py's num_train_steps.
const defaultTrainSteps = 100000

// check reports mistakes in the flags that can be seen before anything is read, and fills in the options.
func (f *pretrainFlags) check(cmd *cobra.Command) error {
	o, phases := &f.options, len(f.instances)
	switch {
	case phases == 0:
		return usagef("--instances DIR is missing: want the folder that bert instances wrote")
	case f.config == "" && f.init == "":
		return usagef("neither --config FILE nor --init DIR is given: want a model to begin with")
	case o.Output == "":
		return usagef("--output DIR is missing: want the folder to write the model to")
	case f.allowMissing && f.init == "":
		return usagef("--allow-missing is for --init")
	case phases > 1 && len(f.phaseSteps) != phases:
		return usagef("--phase-steps has %s for %d --instances: want one for each", count(len(f.phaseSteps), "number"), phases)
	case phases == 1 && len(f.phaseSteps) > 1:
		return usagef("--phase-steps has %d numbers for one --instances: want one for each", len(f.phaseSteps))
	case len(f.phaseSteps) > 0 && slices.Min(f.phaseSteps) < 1:
		return usagef("--phase-steps is %s, want positive numbers", numbers(f.phaseSteps))
	case f.maxEvalInstances < 0:
		return usagef("--max-eval-instances is %d, want 0 or more", f.maxEvalInstances)
	case f.evalShare != 0 && !(f.evalShare > 0 && f.evalShare < 1):
		return usagef("--eval-share is %v, want a share in (0, 1)", f.evalShare)
	case o.Accumulation < 1:
		return usagef("--gradient-accumulation-steps is %d, want at least 1", o.Accumulation)
	}
	if f.evalInstances == "" && f.evalShare == 0 && (o.BestMetric != "" || o.EvalSteps > 0) {
		return usagef("--metric-for-best-model and --eval-steps need instances to evaluate on: --eval-instances or --eval-share")
	}
	if err := checkThreads(f.threads); err != nil {
		return err
	}
	for _, list := range []struct {
		flag   string
		values []int
	}{{"train-batch-size", f.batchSizes}, {"token-budget", f.tokenBudgets}} {
		switch n := len(list.values); {
		case n > 1 && n != phases:
			return usagef("--%s has %d numbers for %d --instances: want one, or one for each", list.flag, n, phases)
		case n > 1 && o.Accumulation > 1:
			return usagef("--gradient-accumulation-steps is for one --%s: want --micro-batch-tokens with several", list.flag)
		case n > 0 && slices.Min(list.values) < 1:
			return usagef("--%s is %s, want positive numbers", list.flag, numbers(list.values))
		}
	}
	if err := f.optimizer.fill(o); err != nil {
		return err
	}
	switch {
	case len(f.phaseSteps) > 0:
		for _, n := range f.phaseSteps {
			o.MaxSteps += n
		}
	case o.MaxSteps == 0 && f.epochs == 0:
		o.MaxSteps = defaultTrainSteps
	}
	if cmd.Flags().Changed("num-train-epochs") {
		o.Epochs = f.epochs
	}
	if cmd.Flags().Changed("warmup-steps") {
		o.WarmupSteps = &f.warmupSteps
	}
	o.BatchSize = f.batchSizes[0]
	if len(f.tokenBudgets) > 0 {
		o.BatchSize, o.TokenBudget = 0, f.tokenBudgets[0]
	}
	if err := o.Validate(); err != nil {
		return flagNamed(err)
	}
	return nil
}

// pretraining is a run with all that belongs to it.
type pretraining struct {
	model     *bert.Model
	tokenizer *tokenizer.Tokenizer
	data      train.Data
	eval      pretrain.Source // nil: none
	options   train.Options
}

func (a *app) pretrain(cmd *cobra.Command, f *pretrainFlags) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	if err := checkNewModel(&f.options, "--init", f.init); err != nil {
		return err
	}
	sets, err := openInstances(cmd.Context(), f.instances, f.evalInstances, f.init)
	if err != nil {
		return err
	}
	defer sets.close() // read only: nothing is lost
	p, err := f.prepare(a, sets)
	if err != nil {
		return err
	}
	defer p.model.Close()
	if err := p.measurePeak(a, f.threads); err != nil {
		return err
	}
	result, err := a.trainOnInstances(cmd.Context(), p)
	if err != nil {
		return a.explain(err, p.options.Output, p.eval != nil)
	}
	if result != nil {
		if err := f.out.printPretraining(a, result); err != nil {
			return err
		}
	}
	a.log.Info("saved in " + p.options.Output)
	a.log.Info(fmt.Sprintf("next: bert fill-mask --model %s %q", quoteArgument(p.options.Output), "a text with a [MASK]"))
	return nil
}

// prepare makes the run, whose model the caller closes.
func (f *pretrainFlags) prepare(a *app, sets *instanceSets) (*pretraining, error) {
	config, err := f.loadConfig(a)
	if err != nil {
		return nil, err
	}
	if err := sets.check(&config); err != nil {
		return nil, err
	}
	sets.describe(a)
	p := &pretraining{tokenizer: sets.tokenizer, options: f.options}
	head := sets.head()
	if p.data, p.eval, err = f.data(a, sets, head); err != nil {
		return nil, err
	}
	if err := checkPretrainingMetric(f.options.BestMetric, head); err != nil {
		return nil, err
	}
	p.options.Minimize = strings.HasSuffix(f.options.BestMetric, "_loss")
	if p.eval == nil {
		a.log.Warn("no instances to evaluate on: nothing will say how good the model is (--eval-instances or --eval-share)")
	}
	if p.options.Fingerprint, err = f.fingerprint(&config, sets); err != nil {
		return nil, err
	}
	if p.model, err = f.model(config, head); err != nil {
		return nil, err
	}
	if n := sets.tokenizer.VocabSize(); p.model.CheckVocabulary(n) != nil {
		err := fmt.Errorf("%s: %w", f.init, p.model.CheckVocabulary(n))
		if f.init == "" {
			err = fmt.Errorf("%s: vocab_size is %d, the vocabulary in %s has %d tokens: want that", f.config, config.VocabSize, sets.from, n)
		}
		return nil, errors.Join(err, p.model.Close())
	}
	from := "random weights"
	if f.init != "" {
		from = "weights from " + f.init
	}
	a.describeModel(p.model, from)
	return p, nil
}

// loadConfig reads the configuration of --config or --init, which have to agree if both are given.
func (f *pretrainFlags) loadConfig(a *app) (bert.Config, error) {
	if f.init == "" {
		return a.loadConfig(f.config, "")
	}
	config, err := a.loadConfig("", f.init)
	if err != nil {
		return config, err
	}
	if f.config != "" {
		asked, err := a.loadConfig(f.config, "")
		if err != nil {
			return config, err
		}
		if key, want, got, err := differentKey(&asked, &config); err != nil || key != "" {
			return config, cmp.Or(err, fmt.Errorf("%s: %s is %s, but %s in the model of --init %s: leave --config out, or begin without --init",
				f.config, key, want, got, f.init))
		}
	}
	return config, nil
}

// differentKey is the first key, by name, that says something else about the computation in one configuration than in another.
func differentKey(a, b *bert.Config) (key, inA, inB string, err error) {
	keys := func(c bert.Config) (map[string]json.RawMessage, error) {
		c.Architectures, c.Labels, c.ProblemType, c.Extra = nil, nil, "", nil
		data, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		m := make(map[string]json.RawMessage)
		return m, json.Unmarshal(data, &m)
	}
	of, err := keys(*a)
	if err != nil {
		return "", "", "", err
	}
	other, err := keys(*b)
	if err != nil {
		return "", "", "", err
	}
	all := maps.Clone(of)
	maps.Copy(all, other)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if string(of[k]) != string(other[k]) {
			return k, cmp.Or(string(of[k]), "not set"), cmp.Or(string(other[k]), "not set"), nil
		}
	}
	return "", "", "", nil
}

// data makes what is trained and evaluated on.
func (f *pretrainFlags) data(a *app, sets *instanceSets, head bert.Head) (train.Data, pretrain.Source, error) {
	var (
		sources []pretrain.Source
		held    pretrain.Source
		err     error
	)
	for _, set := range sets.training {
		sources = append(sources, set.Set)
	}
	if len(sets.held) > 0 {
		held = sets.held[0].Set
	}
	if f.evalShare > 0 {
		last := len(sources) - 1
		if sources[last], held, err = pretrain.Split(sources[last], f.evalShare, *f.options.Seed); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.instances[last], err)
		}
		a.log.Info(fmt.Sprintf("held out to evaluate on: %s", count(held.Len(), "instance")))
	}
	if held != nil && f.maxEvalInstances > 0 {
		held = pretrain.Spread(held, f.maxEvalInstances)
	}
	var phases train.Phases
	for i, s := range sources {
		d, err := pretrain.NewData(s, head)
		if err != nil {
			return nil, nil, err
		}
		phase := train.Phase{Data: d}
		if len(f.phaseSteps) > 0 {
			phase.Steps = f.phaseSteps[i]
		}
		if len(f.batchSizes) > 1 {
			phase.BatchSize = f.batchSizes[i]
		}
		if len(f.tokenBudgets) > 1 {
			phase.TokenBudget = f.tokenBudgets[i]
		}
		phases = append(phases, phase)
	}
	if len(phases) == 1 {
		return phases[0].Data, held, nil
	}
	return phases, held, nil
}

// checkPretrainingMetric reports a metric to choose the model by that no evaluation will have.
func checkPretrainingMetric(metric string, head bert.Head) error {
	sample := new(pretrain.Evaluation)
	if head == bert.PreTraining {
		sample.NextSentence = new(pretrain.NextSentence)
	}
	names := []string{train.LossMetric}
	for name := range sample.Metrics() {
		names = append(names, name)
	}
	if metric != "" && !slices.Contains(names, metric) {
		return usagef("--metric-for-best-model is %q, want one of %s", metric, strings.Join(names, ", "))
	}
	return nil
}

// model makes the model to begin with.
func (f *pretrainFlags) model(config bert.Config, head bert.Head) (*bert.Model, error) {
	o := bert.Options{Threads: f.threads, Precision: f.precision, Head: &head, AllowMissing: f.allowMissing, Seed: *f.options.Seed}
	if f.init != "" {
		return bert.Load(f.init, o)
	}
	m, err := bert.New(config, head, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.config, err)
	}
	return m, nil
}

// fingerprint is what has to be the same when the run is resumed, beside the options.
func (f *pretrainFlags) fingerprint(c *bert.Config, sets *instanceSets) (map[string]string, error) {
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{"config": digest(config), "head": sets.head().String()}
	var digests []string
	for _, set := range sets.training {
		digests = append(digests, set.Info().SHA256)
	}
	fields["instances"] = strings.Join(digests, ",")
	if len(sets.held) > 0 {
		fields["eval_instances"] = sets.held[0].Info().SHA256
	}
	if f.evalShare > 0 {
		fields["eval_share"] = fmt.Sprint(f.evalShare)
	}
	if f.maxEvalInstances > 0 {
		fields["max_eval_instances"] = fmt.Sprint(f.maxEvalInstances)
	}
	return fields, nil
}

// measurePeak lets the run tell what share it reaches of the operations that the machine can do.
func (p *pretraining) measurePeak(a *app, threads int) error {
	machine, err := bench.Open(threads)
	if err != nil {
		return err
	}
	precision, _ := p.model.Precision()
	p.options.Peak = machine.PeakOperations(precision, 300*time.Millisecond)
	a.log.Info(fmt.Sprintf("multiply-adds alone reach %.1f GFLOP/s", p.options.Peak/1e9))
	c := p.model.Config()
	p.options.Operations = func(batches []*bert.Batch) float64 { return pretrain.Operations(&c, batches) }
	return nil
}

// trainOnInstances trains the model, writes the model directory into the options' Output and returns the evaluation of the
// model, nil without instances for it.
func (a *app) trainOnInstances(ctx context.Context, p *pretraining) (*pretrain.Evaluation, error) {
	progress := a.newProgress()
	defer progress.close()
	e := &instanceEvaluator{source: p.eval, progress: progress, results: make(map[int]*pretrain.Evaluation)}
	p.options.Observer = func(event train.Event) {
		switch event := event.(type) {
		case train.Started:
			e.step = event.Step
		case train.Stepped:
			e.step = event.Step
		}
		progress.event(event)
	}
	p.options.SaveModel = func(dir string) error {
		return cmp.Or(p.model.Save(dir, bert.SaveOptions{}), p.tokenizer.Save(dir))
	}
	var eval train.Evaluator
	if p.eval != nil {
		eval = e
	}
	ctx, cancel := a.untilInterruptedStep(ctx)
	defer cancel()
	result, err := train.Run(ctx, p.model, p.data, eval, p.options)
	if err != nil || p.eval == nil {
		return nil, err
	}
	// The evaluation was made before the run was resumed, if it is not here.
	measured := e.results[result.ModelStep]
	if measured == nil {
		if measured, err = e.measure(ctx, p.model, result.ModelStep); err != nil {
			return nil, err
		}
	}
	return measured, measured.Save(p.options.Output)
}

// instanceEvaluator measures the model for train.Run and keeps what it found.
type instanceEvaluator struct {
	source   pretrain.Source
	progress *progress
	step     int                          // of the model
	results  map[int]*pretrain.Evaluation // by step
}

func (e *instanceEvaluator) measure(ctx context.Context, m *bert.Model, step int) (*pretrain.Evaluation, error) {
	return pretrain.Evaluate(ctx, m, e.source, pretrain.EvaluateOptions{GlobalStep: step, Progress: e.progress.evaluated})
}

func (e *instanceEvaluator) Evaluate(ctx context.Context, m *bert.Model, _ train.Point) (train.Evaluation, error) {
	r, err := e.measure(ctx, m, e.step)
	if err != nil {
		return train.Evaluation{}, err
	}
	e.results[e.step] = r
	out := train.Evaluation{Loss: r.Loss}
	for name, value := range r.Metrics() {
		out.Metrics = append(out.Metrics, train.Metric{Name: name, Value: value})
	}
	return out, nil
}

// evaluateInstances measures a pre-trained model.
func (a *app) evaluateInstances(ctx context.Context, f *evaluateFlags) error {
	if f.maxExamples < 0 {
		return usagef("--max-eval-examples is %d, want 0 or more", f.maxExamples)
	}
	config, err := f.model.check(a)
	if err != nil {
		return err
	}
	sets, err := openInstances(ctx, nil, f.instances, f.model.dir)
	if err != nil {
		return err
	}
	defer sets.close() // read only: nothing is lost
	if err := sets.check(&config); err != nil {
		return err
	}
	sets.describe(a)
	head, err := bert.HeadOf(&config)
	if err != nil {
		return fmt.Errorf("%s: %w", f.model.dir, err)
	}
	if head == bert.PreTraining && !sets.held[0].paired() {
		head = bert.MaskedLM
	}
	m, err := bert.Load(f.model.dir, bert.Options{Threads: f.model.threads, Head: &head})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.CheckVocabulary(sets.tokenizer.VocabSize()); err != nil {
		return fmt.Errorf("%s: %w", f.model.dir, err)
	}
	a.describeModel(m, "weights from "+f.model.dir)
	var source pretrain.Source = sets.held[0].Set
	if f.maxExamples > 0 {
		source = pretrain.Spread(source, f.maxExamples)
	}
	step, err := pretrain.GlobalStep(f.model.dir)
	if err != nil {
		return err
	}
	progress := a.newProgress()
	defer progress.close()
	e, err := pretrain.Evaluate(ctx, m, source, pretrain.EvaluateOptions{GlobalStep: step, Progress: progress.evaluated})
	progress.close()
	if err != nil {
		return err
	}
	if err := f.out.printPretraining(a, e); err != nil {
		return err
	}
	return f.save(a, e)
}

// printPretraining prints an evaluation of masked language modelling.
func (o *outputFlags) printPretraining(a *app, r *pretrain.Evaluation) error {
	if !o.table(a) {
		return jsonLine(a.stdout, r)
	}
	return writeOut(a.stdout, []byte(r.String()+"\n"))
}
