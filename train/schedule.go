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

// MarshalText writes String.
func (s Schedule) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name that ParseSchedule takes.
func (s *Schedule) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSchedule(string(text))
	return err
}

func (r *Recipe) schedule() Schedule {
	if r.Schedule == OwnSchedule {
		return optimizers[r.Optimizer].schedule
	}
	return r.Schedule
}

// warmup is the number of warm-up steps of a run of the given length. A proportion is rounded down as
// run_classifier.py does, or up as Hugging Face's TrainingArguments.get_warmup_steps does.
func (r *Recipe) warmup(steps int) int {
	if r.WarmupSteps != nil {
		return *r.WarmupSteps
	}
	w := float64(steps) * *r.WarmupProportion
	if r.schedule() == GoogleLinear {
		return int(w)
	}
	return int(math.Ceil(w))
}

// rate is the learning rate of the step that follows step others, in a run of the given length.
func (r *Recipe) rate(step, steps int) float64 {
	warmup := r.warmup(steps)
	if step < warmup {
		return r.LearningRate * float64(step) / float64(warmup)
	}
	switch r.schedule() {
	case GoogleLinear:
		return r.LearningRate * (1 - float64(step)/float64(steps))
	case Linear:
		return r.LearningRate * float64(steps-step) / float64(steps-warmup)
	default:
		return r.LearningRate
	}
}
