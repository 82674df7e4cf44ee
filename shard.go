package bert

import (
	"fmt"
	"iter"
	"math"
	"strings"

	"github.com/go-bert/bert/internal/compute"
)

// This file is what processes need that share a run: a Trainer that owns a part of the parameters, steps whose gradients are added up in
// an order of the caller's, and access to ranges of parameters, gradients and moments. Package train says how they work together.

// Range is the elements From to To, without To, of all parameters end to end in the order of the table.
type Range struct{ From, To int }

// Len is the number of elements.
func (r Range) Len() int { return r.To - r.From }

// RunLen is the number of elements of a run: see Model.Runs.
const RunLen = compute.Run

// Runs cuts each parameter into runs of RunLen elements, of which the last may be shorter, and lists them in the order of the table.
// Squares are added up by runs: so who owns whole runs gets the bits of who owns all.
func (m *Model) Runs() []Range {
	var runs []Range
	at := 0
	for i := range m.params {
		end := at + m.params[i].Len()
		for ; at < end; at = min(at+RunLen, end) {
			runs = append(runs, Range{at, min(at+RunLen, end)})
		}
	}
	return runs
}

// segment is an owned part of a parameter.
type segment struct {
	p *parameter
	Range
	at int // where its moments begin
}

// own makes the segments of the owned ranges, nil for all, and counts their elements.
func (t *Trainer) own(owned []Range) (elements int, err error) {
	all := t.m.values.Len
	if t.whole {
		owned = []Range{{0, all}}
	}
	end := 0
	for _, r := range owned {
		if r.From < end || r.To <= r.From || r.To > all {
			return 0, fmt.Errorf("the trainer is to own elements %d to %d of %d, after those before %d: want ascending ranges", r.From, r.To, all, end)
		}
		end = r.To
	}
	from := 0 // of the parameter
	for i := range t.m.params {
		p := &t.m.params[i]
		to := from + p.Len()
		for len(owned) > 0 && owned[0].From < to {
			r := Range{max(from, owned[0].From), min(to, owned[0].To)}
			if (r.From-from)%RunLen != 0 || r.To != to && (r.To-from)%RunLen != 0 {
				return 0, fmt.Errorf("the trainer is to own elements %d to %d of %s: want whole runs of %d", r.From-from, r.To-from, p.Name, RunLen)
			}
			t.segments = append(t.segments, segment{p, r, elements})
			elements += r.Len()
			if owned[0].To > to {
				break
			}
			owned = owned[1:]
		}
		from = to
	}
	return elements, nil
}

// layerBounds is where the parameters of each layer of the encoder begin, and where those of the last one end: those of the
// embeddings are before all, those of the pooler and the head after all.
func (m *Model) layerBounds() []int {
	var bounds []int
	at, end := 0, 0
	for i := range m.params {
		p := &m.params[i]
		if strings.Contains(p.Name, fmt.Sprintf("encoder.layer.%d.", len(bounds))) {
			bounds = append(bounds, at)
		}
		at += p.Len()
		if strings.Contains(p.Name, "encoder.layer.") {
			end = at
		}
	}
	return append(bounds, end)
}

// GradientRange is the gradients of a range of the parameters.
func (t *Trainer) GradientRange(r Range) Values { return t.values(t.grads, r) }

// ParameterRange is the values of a range of the parameters.
func (t *Trainer) ParameterRange(r Range) Values { return t.values(t.m.values, r) }

func (t *Trainer) values(all compute.Buffer, r Range) Values {
	if all.None() { // the trainer is closed
		return Values{t: t}
	}
	return Values{t, all.Slice(r.From, r.To)}
}

// OwnedMoments is the first moment of the owned part of a range, or with second the second: each owned segment of a parameter in it,
// and its values.
func (t *Trainer) OwnedMoments(r Range, second bool) iter.Seq2[Range, Values] {
	return func(yield func(Range, Values) bool) {
		moments := t.m1
		if second {
			moments = t.m2
		}
		for i := range t.segments {
			s := &t.segments[i]
			part := Range{max(r.From, s.From), min(r.To, s.To)}
			if part.Len() <= 0 {
				continue
			}
			at := s.at + part.From - s.From
			if !yield(part, t.values(moments, Range{at, at + part.Len()})) {
				return
			}
		}
	}
}

// Hold sets the gradients aside, beside those that are held already, and zeroes them.
func (t *Trainer) Hold() error {
	if err := t.use(); err != nil {
		return err
	}
	defer t.m.done()
	if t.holding == len(t.held) {
		b, err := t.m.device.Alloc(t.grads.Len)
		if err != nil {
			return fmt.Errorf("memory for gradients of %d parameters that are set aside: %w", t.grads.Len, err)
		}
		t.held = append(t.held, b)
	}
	t.m.device.Copy(t.held[t.holding], t.grads)
	t.holding++
	t.m.device.Zero(t.grads)
	return nil
}

// Held is how many gradients are set aside.
func (t *Trainer) Held() int { return t.holding }

// HeldRange is a range of gradients that were set aside, 0 for the first.
func (t *Trainer) HeldRange(i int, r Range) Values { return t.values(t.held[i], r) }

// AddHeld adds to a range of the gradients that of those that were set aside, 0 for the first, which stay.
func (t *Trainer) AddHeld(i int, r Range) error {
	if err := t.use(); err != nil {
		return err
	}
	defer t.m.done()
	t.m.device.Add(t.grads.Slice(r.From, r.To), t.held[i].Slice(r.From, r.To))
	return nil
}

// DropHeld forgets the n gradients that were set aside last. Their memory is used again.
func (t *Trainer) DropHeld(n int) { t.holding -= n }

// RunSquares is Σ g² of each owned run of the gradients, in order: dst has as many elements. The root of the sum of those of all runs is
// the norm of the gradients, up to the order in which GradNorm adds them.
func (t *Trainer) RunSquares(dst []float64) error {
	if err := t.use(); err != nil {
		return err
	}
	defer t.m.done()
	for i := range t.segments {
		s := &t.segments[i]
		n := compute.Runs(s.Len())
		if err := t.m.device.RunSquares(dst[:n], t.grads.Slice(s.From, s.To)); err != nil {
			return err
		}
		dst = dst[n:]
	}
	return nil
}

// Directions is the first half of an Update by LAMB of the owned part of the parameters, and Apply is the second. Directions gives for
// each owned run Σp² and Σu², one after the other in dst; 0 and 0 where the parameter does not decay.
func (t *Trainer) Directions(dst []float64, u Update) error {
	if err := t.use(); err != nil {
		return err
	}
	defer t.m.done()
	var (
		op   = &t.space.op
		runs []float64
	)
	for i := range t.segments {
		s := &t.segments[i]
		n := compute.Runs(s.Len())
		clear(dst[:2*n])
		if s.p.Decay {
			runs = append(runs[:0], make([]float64, n)...)
			op.adam = t.adam(s, &u)
			t.m.device.Direction(&op.adam)
			for k, of := range []compute.Buffer{op.adam.P, op.adam.G} {
				if err := t.m.device.RunSquares(runs, of); err != nil {
					return err
				}
				for r, squares := range runs {
					dst[2*r+k] = squares
				}
			}
		}
		dst = dst[2*n:]
	}
	return nil
}

// Apply ends an Update by LAMB that Directions began. squares are what Directions of all the Trainers that share the parameters gave,
// for all runs in order.
func (t *Trainer) Apply(u Update, squares []float64) error {
	if err := t.use(); err != nil {
		return err
	}
	defer t.m.done()
	var (
		op   = &t.space.op
		rest = t.segments
	)
	for i := range t.m.params {
		p := &t.m.params[i]
		n := compute.Runs(p.Len())
		own := squares[:2*n]
		squares = squares[2*n:]
		if len(rest) == 0 || rest[0].p != p {
			continue
		}
		var ofP, ofU float64
		for r := range n {
			ofP += own[2*r]
			ofU += own[2*r+1]
		}
		ratio := 1.0
		if ofP > 0 && ofU > 0 {
			ratio = math.Sqrt(ofP) / math.Sqrt(ofU)
		}
		for ; len(rest) > 0 && rest[0].p == p; rest = rest[1:] {
			s := &rest[0]
			if !p.Decay {
				op.adam = t.adam(s, &u)
				t.m.device.Adam(&op.adam)
				continue
			}
			// The rate is in float32 as in Update.
			t.m.device.Axpy(t.m.values.Slice(s.From, s.To), float32(-float64(float32(u.LayerRate))*ratio), t.grads.Slice(s.From, s.To))
		}
	}
	t.m.device.Zero(t.grads)
	return nil
}
