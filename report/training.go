package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/train"
)

func keysOf[V any](m map[string]V) func(func(string) bool) { return maps.Keys(m) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// along is where a step of a run is on an axis.
func along(e *train.Events, a Against, at time.Time, step int, epoch float64, tokens int64) float64 {
	switch a {
	case Epochs:
		return epoch
	case Tokens:
		return float64(tokens)
	case Hours:
		if e.Started.IsZero() {
			return math.NaN()
		}
		return at.Sub(e.Started).Hours()
	}
	return float64(step)
}

// stepX are the places of the logged steps.
func stepX(e *train.Events, a Against) []float64 {
	x := make([]float64, len(e.Logged))
	for i, s := range e.Logged {
		x[i] = along(e, a, s.Time, s.Step, s.Epoch, s.Tokens)
	}
	return x
}

// evaluationX are the places of the evaluations.
func evaluationX(e *train.Events, a Against) []float64 {
	x := make([]float64, len(e.Evaluations))
	for i, v := range e.Evaluations {
		x[i] = along(e, a, v.Time, v.Step, v.Epoch, tokensAt(e, v.Step))
	}
	return x
}

// tokensAt is how many tokens a run had been trained on after a step, as far as its lines say.
func tokensAt(e *train.Events, step int) int64 {
	i, _ := slices.BinarySearchFunc(e.Logged, step, func(s train.LoggedStep, step int) int { return cmp.Compare(s.Step, step) })
	if i < len(e.Logged) {
		return e.Logged[i].Tokens
	}
	if i > 0 {
		return e.Logged[i-1].Tokens
	}
	return 0
}

// trained are the runs that have lines of steps.
func trained(runs []*Run) []*Run {
	return slices.DeleteFunc(slices.Clone(runs), func(r *Run) bool { return r.Events == nil || len(r.Events.Logged) == 0 })
}

// curveName names the curve of a run.
func curveName(r *Run, what string, runs []*Run) string {
	if len(runs) > 1 {
		return r.Name + ": " + what
	}
	return what
}

// lossCurves is the loss of the training and of the evaluations.
func lossCurves(runs []*Run, o *Options) []*Figure {
	c := Curves{
		Name: "loss", Title: "Loss", XTitle: o.Against.String(), YTitle: "loss", Smoothing: o.smoothing(), LogY: true,
		bands: phaseBands(runs, o), bandsAlong: bandsAlong(runs),
	}
	for _, r := range trained(runs) {
		y := make([]float64, len(r.Events.Logged))
		for i, s := range r.Events.Logged {
			y[i] = s.Loss
		}
		c.Curves = append(c.Curves, Curve{Name: curveName(r, "training", runs), X: stepX(r.Events, o.Against), Y: y, Best: -1, axes: stepAxes(r.Events)})
		smooth := y
		if c.Smoothing > 0 {
			smooth = Smooth(y, c.Smoothing)
		}
		c.marks = append(c.marks, goneOn(r, o, smooth)...)
	}
	for _, r := range runs {
		if r.Events == nil || len(r.Events.Evaluations) == 0 {
			continue
		}
		y, best := make([]float64, len(r.Events.Evaluations)), -1
		for i, v := range r.Events.Evaluations {
			y[i] = v.Evaluation.Loss
			if finite(y[i]) && (best < 0 || y[i] < y[best]) {
				best = i
			}
		}
		c.Curves = append(c.Curves, Curve{Name: curveName(r, "evaluation", runs), X: evaluationX(r.Events, o.Against), Y: y, Points: true, Best: best, axes: evaluationAxes(r.Events)})
	}
	if len(c.Curves) == 0 {
		return nil
	}
	f := CurvesFigure(c)
	if text := resumedFinding(runs); text != "" {
		f.Finding += " " + text
	}
	return []*Figure{f}
}

// chosenBy is the metric that chooses the model of a run, or judges it.
func (r *Run) chosenBy() string {
	if r.Events != nil && r.Events.Options["best_metric"] != "" {
		return r.Events.Options["best_metric"]
	}
	if r.Result != nil && len(r.Result.Official) > 0 {
		return r.Result.Official[0]
	}
	if r.Events != nil {
		for _, v := range r.Events.Evaluations {
			if len(v.Evaluation.Metrics) > 0 {
				return v.Evaluation.Metrics[0].Name
			}
		}
	}
	return ""
}

// followed are the metrics that are drawn along a training: the one that chooses or judges the model, and of a pre-training all
// accuracies.
func (r *Run) followed() []string {
	var names []string
	if name := r.chosenBy(); name != "" && name != "loss" {
		names = append(names, name)
	}
	for _, name := range []string{"masked_lm_accuracy", "next_sentence_accuracy", "masked_lm_loss", "next_sentence_loss", "HasAns_f1", "NoAns_f1"} {
		if !slices.Contains(names, name) && slices.ContainsFunc(r.Events.Evaluations, func(v train.LoggedEvaluation) bool {
			_, ok := v.Evaluation.Metrics.Get(name)
			return ok
		}) {
			names = append(names, name)
		}
	}
	return names
}

// metricCurves are the metrics of the evaluations.
func metricCurves(runs []*Run, o *Options) []*Figure {
	by := make(map[string]*Curves)
	var names []string
	for _, r := range runs {
		if r.Events == nil || len(r.Events.Evaluations) == 0 {
			continue
		}
		for _, name := range r.followed() {
			if by[name] == nil {
				by[name], names = &Curves{Name: "metric", Title: "Evaluations", XTitle: o.Against.String(), YTitle: metric.Label(name)}, append(names, name)
			}
			c := by[name]
			curve := metricCurve(r, runs, o, name)
			c.Curves = append(c.Curves, curve)
			c.marks = append(c.marks, stopMark(r, &curve)...)
		}
	}
	var figures []*Figure
	for _, name := range names {
		c := by[name]
		c.bands, c.bandsAlong = phaseBands(runs, o), bandsAlong(runs)
		if len(names) > 1 {
			c.Title += ": " + c.YTitle
		}
		if base, ok := runs[0].majority(); name == "eval_accuracy" && len(runs) == 1 && ok {
			c.Limit, c.LimitName = &base, "the most frequent label each time"
		}
		figures = append(figures, CurvesFigure(*c))
	}
	return figures
}

// metricCurve is a metric of a run's evaluations.
func metricCurve(r *Run, runs []*Run, o *Options, name string) Curve {
	y, best := make([]float64, len(r.Events.Evaluations)), -1
	for i, v := range r.Events.Evaluations {
		value, ok := v.Evaluation.Metrics.Get(name)
		if !ok {
			value = math.NaN()
		}
		y[i] = value
		if finite(value) && (best < 0 || value > y[best] && !metric.LessIsBetter(name) || value < y[best] && metric.LessIsBetter(name)) {
			best = i
		}
	}
	return Curve{Name: curveName(r, metric.Label(name), runs), X: evaluationX(r.Events, o.Against), Y: y, Points: true, Best: best, axes: evaluationAxes(r.Events)}
}

// stepCurves is a number of the logged steps.
func stepCurves(runs []*Run, o *Options, c Curves, of func(train.LoggedStep) float64) []*Figure {
	c.XTitle, c.bands, c.bandsAlong = o.Against.String(), phaseBands(runs, o), bandsAlong(runs)
	some := false
	for _, r := range trained(runs) {
		c.marks = append(c.marks, goneOnAlong(r, o, c.Smoothing, of)...)
		y := make([]float64, len(r.Events.Logged))
		for i, s := range r.Events.Logged {
			y[i] = of(s)
			some = some || finite(y[i])
		}
		c.Curves = append(c.Curves, Curve{Name: r.Name, X: stepX(r.Events, o.Against), Y: y, Best: -1, axes: stepAxes(r.Events)})
	}
	if !some {
		return nil
	}
	return []*Figure{CurvesFigure(c)}
}

func rateCurves(runs []*Run, o *Options) []*Figure {
	c := Curves{Name: "learning-rate", Title: "Learning rate", YTitle: "learning rate", Zero: true}
	return stepCurves(runs, o, c, func(s train.LoggedStep) float64 { return s.LearningRate })
}

func normCurves(runs []*Run, o *Options) []*Figure {
	c := Curves{Name: "gradient-norm", Title: "Norm of the gradient", YTitle: "norm before clipping", LogY: true, Smoothing: o.smoothing()}
	for _, r := range trained(runs) {
		var clip float64
		if _, err := fmt.Sscanf(r.Events.Options["clip_norm"], "%g", &clip); err == nil && clip > 0 {
			c.Limit, c.LimitName = &clip, fmt.Sprintf("clipped to %g", clip)
		}
	}
	return stepCurves(runs, o, c, func(s train.LoggedStep) float64 { return s.GradNorm })
}

func speedCurves(runs []*Run, o *Options) []*Figure {
	c := Curves{Name: "speed", Title: "Speed", YTitle: "tokens per second", Zero: true}
	figures := stepCurves(runs, o, c, func(s train.LoggedStep) float64 { return s.TokensPerSecond })
	c = Curves{Name: "share-of-peak", Title: "Share of the machine's peak", YTitle: "share of peak", Zero: true}
	return append(figures, stepCurves(runs, o, c, func(s train.LoggedStep) float64 {
		if s.ShareOfPeak == 0 {
			return math.NaN()
		}
		return s.ShareOfPeak
	})...)
}

// lead says in a sentence how far the runs are.
func lead(runs []*Run) string {
	if len(runs) != 1 {
		return fmt.Sprintf("%d runs, drawn over one another.", len(runs))
	}
	r := runs[0]
	text := ""
	if r.Spec != nil {
		text = fmt.Sprintf("Task %s, %v. ", r.Spec.Task, r.Spec.Kind)
	}
	switch e := r.Events; {
	case e == nil:
	case e.Result != nil:
		text += fmt.Sprintf("Trained for %s steps (%.2f epochs), the model is from step %s.", message.Thousands(e.Result.Steps), e.Result.Epochs, message.Thousands(e.Result.ModelStep))
		if e.Result.StoppedEarly {
			text += " The training stopped early."
		}
	case len(e.Logged) > 0:
		text += fmt.Sprintf("The run has not ended: step %s of %s when this page was made.", message.Thousands(e.Logged[len(e.Logged)-1].Step), message.Thousands(e.Steps))
	default:
		text += "The run has not ended."
	}
	if n := len(r.Sweep); n > 0 {
		// A run that chooses its model by a metric keeps the best one.
		judged := "last"
		if slices.ContainsFunc(r.Options, func(o Option) bool { return o.Key == "metric_for_best_model" && o.Value != "" }) {
			judged = "best"
		}
		text += fmt.Sprintf("A sweep of %s runs, each judged by its %s evaluation.", message.Thousands(n), judged)
	}
	return text
}

// ofLabels is a warning of labels, in a sentence for one of them or for several.
func ofLabels(labels []string, one, several string) []string {
	switch n := len(labels); {
	case n == 0:
		return nil
	case n == 1:
		return []string{fmt.Sprintf(one, shortName(labels[0]))}
	default:
		const most = 5
		var names []string
		for _, l := range labels[:min(n, most)] {
			names = append(names, shortName(l))
		}
		text := strings.Join(names, ", ")
		if n > most {
			text += fmt.Sprintf(" and %d more", n-most)
		}
		return []string{fmt.Sprintf(several, fmt.Sprintf("%s labels (%s)", message.Thousands(n), text))}
	}
}

// warnings are what a reader should know before the numbers.
func (r *Run) warnings() []string {
	warnings := slices.Clone(r.Notes)
	if s := r.Result; s != nil {
		if s.Truncated > 0 {
			warnings = append(warnings, fmt.Sprintf("%s of %s texts were cut: the model did not read all of them.", message.Thousands(s.Truncated), message.Thousands(s.Examples)))
		}
		var missing, never []string
		labels, scores := r.classes()
		for i, c := range scores {
			switch {
			case c.Support == 0:
				missing = append(missing, labels[i])
			case c.Predicted == 0:
				never = append(never, labels[i])
			}
		}
		warnings = append(warnings, ofLabels(missing, "No example has the label %s: its recall counts as 0.", "No example has one of %s: their recall counts as 0.")...)
		warnings = append(warnings, ofLabels(never, "The label %s is never predicted.", "%s are never predicted.")...)
	}
	e := r.Events
	if e == nil {
		return warnings
	}
	if e.Result == nil {
		warnings = append(warnings, "The run has not ended: it is under way, was interrupted or was killed.")
	}
	if n := len(e.Logged); n >= 4 {
		first, last := e.Logged[0].Loss, e.Logged[n-1].Loss
		if last > 1.5*first && last > first+0.1 {
			warnings = append(warnings, fmt.Sprintf("The loss has grown from %.4g to %.4g: the training diverges. A lower learning rate may help.", first, last))
		}
	}
	if n := len(e.Evaluations); n >= 3 && e.Evaluations[n-1].Best && e.Result != nil && !e.Result.StoppedEarly && e.Options["best_metric"] != "" {
		warnings = append(warnings, "The last evaluation is the best: a longer training may give a better model.")
	}
	return warnings
}
