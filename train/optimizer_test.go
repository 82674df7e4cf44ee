package train

import (
	"math"
	"strings"
	"testing"

	"github.com/go-bert/bert"
)

// update applies one bert.Update to a tensor of one parameter, by the formulas of its doc comment.
func update(u bert.Update, p, g, m, v float64) (newP, newM, newV float64) {
	g *= u.GradScale
	m = u.Beta1*m + (1-u.Beta1)*g
	v = u.Beta2*v + (1-u.Beta2)*g*g
	off := u.Decay*p + u.StepSize*m/(math.Sqrt(v)*u.RootScale+u.Eps)
	if u.LAMB {
		off *= u.LayerRate
		if p != 0 && off != 0 {
			off *= math.Abs(p) / (math.Abs(off) / u.LayerRate)
		}
	}
	return p - off, m, v
}

// The reference is each optimiser as in its authors' code, on one parameter.
func TestOptimizers(t *testing.T) {
	grads := []float64{0.3, -2, 0.01, 0.7, 5e-4, 0, -0.2}
	const (
		beta1, beta2, decay, clip = 0.9, 0.999, 0.01, 1
	)
	reference := map[Optimizer]func(step int, rate, g float64, p, m, v *float64){
		// optimization.py, AdamWeightDecayOptimizer.apply_gradients
		GoogleAdam: func(_ int, rate, g float64, p, m, v *float64) {
			g *= clip / math.Max(math.Abs(g), clip) // tf.clip_by_global_norm
			*m = beta1**m + (1-beta1)*g
			*v = beta2**v + (1-beta2)*g*g
			update := *m/(math.Sqrt(*v)+1e-6) + decay**p
			*p -= rate * update
		},
		// torch/optim/adamw.py, _single_tensor_adamw
		AdamW: func(step int, rate, g float64, p, m, v *float64) {
			g *= math.Min(1, clip/(math.Abs(g)+1e-6)) // torch.nn.utils.clip_grad_norm_
			*p *= 1 - rate*decay
			*m = beta1**m + (1-beta1)*g
			*v = beta2**v + (1-beta2)*g*g
			correction1 := 1 - math.Pow(beta1, float64(step))
			correction2 := 1 - math.Pow(beta2, float64(step))
			*p -= rate / correction1 * *m / (math.Sqrt(*v)/math.Sqrt(correction2) + 1e-8)
		},
		// You et al. 2020, Algorithm 2, φ(z) = z
		LAMB: func(step int, rate, g float64, p, m, v *float64) {
			g *= clip / math.Max(math.Abs(g), clip)
			*m = beta1**m + (1-beta1)*g
			*v = beta2**v + (1-beta2)*g*g
			r := *m / (1 - math.Pow(beta1, float64(step))) / (math.Sqrt(*v/(1-math.Pow(beta2, float64(step)))) + 1e-6)
			r += decay * *p
			*p -= rate * math.Abs(*p) / math.Abs(r) * r
		},
	}
	for optimizer, step := range reference {
		t.Run(optimizer.String(), func(t *testing.T) {
			o := defaults()
			o.Optimizer = optimizer
			p, m, v := 0.5, 0.0, 0.0
			wantP, wantM, wantV := p, m, v
			for i, g := range grads {
				rate := 1e-3 * float64(i)
				p, m, v = update(o.update(i, rate, math.Abs(g)), p, g, m, v)
				step(i+1, rate, g, &wantP, &wantM, &wantV)
				if !within(p, wantP, 1e-14) || !within(m, wantM, 1e-14) || !within(v, wantV, 1e-14) {
					t.Fatalf("step %d: p, m, v are %v %v %v, want %v %v %v", i, p, m, v, wantP, wantM, wantV)
				}
			}
		})
	}
}

func TestNoClipping(t *testing.T) {
	o := defaults()
	o.ClipNorm = new(0.0)
	if s := o.update(0, 1, 1e6).GradScale; s != 1 {
		t.Errorf("without clipping the gradient is scaled by %v", s)
	}
	o.ClipNorm = new(1.0)
	if s := o.update(0, 1, 4).GradScale; s != 0.25 {
		t.Errorf("a gradient of norm 4 is scaled by %v, want 0.25", s)
	}
	if s := o.update(0, 1, 0.5).GradScale; s != 1 {
		t.Errorf("a gradient of norm 0.5 is scaled by %v, want 1", s)
	}
}

func TestRates(t *testing.T) {
	tests := []struct {
		name      string
		optimizer Optimizer
		schedule  Schedule
		steps     int
		warmup    float64 // a proportion if less than 1, otherwise steps
		want      map[int]float64
	}{
		// 1−31/312 of the peak after the warm-up, 30/31 of it just before.
		{"google", GoogleAdam, OwnSchedule, 312, 0.1, map[int]float64{0: 0, 1: 1. / 31, 30: 30. / 31, 31: 281. / 312, 156: 0.5, 311: 1. / 312}},
		{"google without warm-up", GoogleAdam, OwnSchedule, 4, 0, map[int]float64{0: 1, 1: 0.75, 2: 0.5, 3: 0.25}},
		{"google's schedule for adamw", AdamW, GoogleLinear, 10, 3, map[int]float64{2: 2. / 3, 3: 0.7, 9: 0.1}},
		// Hugging Face rounds the warm-up steps up, to 32.
		{"linear", AdamW, OwnSchedule, 312, 0.1, map[int]float64{0: 0, 31: 31. / 32, 32: 1, 172: 0.5, 311: 1. / 280}},
		{"linear, one warm-up step", AdamW, OwnSchedule, 4, 1, map[int]float64{0: 0, 1: 1, 3: 1. / 3}},
		{"constant", GoogleAdam, Constant, 100, 0.1, map[int]float64{0: 0, 5: 0.5, 10: 1, 99: 1}},
		{"warm-up longer than the run", AdamW, OwnSchedule, 5, 10, map[int]float64{0: 0, 4: 0.4}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := defaults()
			o.Optimizer, o.Schedule, o.LearningRate, o.WarmupProportion = test.optimizer, test.schedule, 2e-5, new(0.0)
			if test.warmup >= 1 {
				o.WarmupSteps = new(int(test.warmup))
			} else {
				o.WarmupProportion = new(test.warmup)
			}
			for step, want := range test.want {
				if got := o.rate(step, test.steps); !within(got, 2e-5*want, 1e-14) {
					t.Errorf("step %d: rate is %v, want %v of the peak", step, got, want)
				}
			}
		})
	}
}

func TestNames(t *testing.T) {
	for i := range optimizers {
		if o, err := ParseOptimizer(Optimizer(i).String()); err != nil || o != Optimizer(i) {
			t.Errorf("%v is parsed as %v, %v", Optimizer(i), o, err)
		}
	}
	for i := range scheduleNames {
		if s, err := ParseSchedule(Schedule(i).String()); err != nil || s != Schedule(i) {
			t.Errorf("%v is parsed as %v, %v", Schedule(i), s, err)
		}
	}
	if _, err := ParseOptimizer("adam"); err == nil || !strings.Contains(err.Error(), `"adam", want one of google, adamw, lamb`) {
		t.Errorf("error is %v", err)
	}
	if _, err := ParseSchedule("cosine"); err == nil || !strings.Contains(err.Error(), `"cosine", want one of own, google, linear, constant`) {
		t.Errorf("error is %v", err)
	}
}
