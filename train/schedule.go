package train

import (
	"fmt"
	"math"
	"strings"
)

// Schedule says how the learning rate changes over the steps. All schedules begin with a linear rise from 0 over the warm-up
// steps, so the first step of a run with a warm-up has rate 0.
type Schedule uint8

const (
	// OwnSchedule is the optimiser's default: GoogleLinear for GoogleAdam and LAMB, Linear for AdamW.
	OwnSchedule Schedule = iota
	// GoogleLinear falls linearly from the peak at step 0 to 0 at the end. The warm-up replaces the first part of the fall, so the
	// rate jumps down slightly when the warm-up ends (google-research/bert optimization.py, create_optimizer).
	GoogleLinear
	// Linear falls from the peak at the end of the warm-up to 0 (Hugging Face get_linear_schedule_with_warmup).
	Linear
	// Constant stays at the peak after the warm-up.
	Constant
)

var scheduleNames = [...]string{OwnSchedule: "own", GoogleLinear: "google", Linear: "linear", Constant: "constant"}

// String returns the name that ParseSchedule accepts: own, google, linear or constant.
func (s Schedule) String() string {
	if int(s) >= len(scheduleNames) {
		return fmt.Sprintf("Schedule(%d)", uint8(s))
	}
	return scheduleNames[s]
}

// ParseSchedule returns the schedule with the given name.
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

// warmup returns the number of warm-up steps of a run of the given length. A proportion is rounded down for GoogleLinear, as in
// run_classifier.py, and up otherwise, as in Hugging Face's TrainingArguments.get_warmup_steps.
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

// rate returns the learning rate of a step, counted from 0, in a run of the given length.
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
