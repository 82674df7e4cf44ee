package train

import (
	"fmt"
	"math"
	"strings"
)

// Schedule says how the learning rate changes over the steps. All begin with a linear rise from 0 over the warm-up's
// steps: the first step of a run with a warm-up has rate 0.
type Schedule uint8

const (
	// OwnSchedule is the optimiser's: GoogleLinear with GoogleAdam and LAMB, Linear with AdamW.
	OwnSchedule Schedule = iota
	// GoogleLinear falls from the peak at step 0 to 0 at the end, but for the warm-up, which replaces the fall's first
	// part: the rate drops where the warm-up ends (google-research/bert optimization.py, create_optimizer).
	GoogleLinear
	// Linear falls from the full peak at the end of the warm-up to 0 (Hugging Face get_linear_schedule_with_warmup).
	Linear
	// Constant stays at the peak after the warm-up.
	Constant
)

var scheduleNames = [...]string{OwnSchedule: "own", GoogleLinear: "google", Linear: "linear", Constant: "constant"}

// String is the name that ParseSchedule takes: own, google, linear or constant.
func (s Schedule) String() string {
	if int(s) >= len(scheduleNames) {
		return fmt.Sprintf("Schedule(%d)", uint8(s))
	}
	return scheduleNames[s]
}

// ParseSchedule is the schedule of a name.
func ParseSchedule(name string) (Schedule, error) {
	for i, n := range scheduleNames {
		if n == name {
			return Schedule(i), nil
		}
	}
	return 0, fmt.Errorf("schedule is %q, want one of %s", name, strings.Join(scheduleNames[:], ", "))
}

func (o *Options) schedule() Schedule {
	if o.Schedule == OwnSchedule {
		return optimizers[o.Optimizer].schedule
	}
	return o.Schedule
}

// warmup is the number of warm-up steps of a run of the given length. A proportion is rounded down as
// run_classifier.py does, or up as Hugging Face's TrainingArguments.get_warmup_steps does.
func (o *Options) warmup(steps int) int {
	if o.WarmupSteps > 0 {
		return o.WarmupSteps
	}
	w := float64(steps) * o.WarmupProportion
	if o.schedule() == GoogleLinear {
		return int(w)
	}
	return int(math.Ceil(w))
}

// rate is the learning rate of the step that follows step others, in a run of the given length.
func (o *Options) rate(step, steps int) float64 {
	warmup := o.warmup(steps)
	if step < warmup {
		return o.LearningRate * float64(step) / float64(warmup)
	}
	switch o.schedule() {
	case GoogleLinear:
		return o.LearningRate * (1 - float64(step)/float64(steps))
	case Linear:
		return o.LearningRate * float64(steps-step) / float64(steps-warmup)
	default:
		return o.LearningRate
	}
}
