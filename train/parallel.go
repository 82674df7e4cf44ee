package train

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/random"
)

// parallel computes steps in parts, which it shares with the other ranks, if there are any. Each part goes forward and backward by
// itself, with the denominators of the whole step; the gradients, losses and denominators of the parts are added up along one tree. Each rank
// has consecutive parts, owns the moments of some of the parameters, updates these and gets the others from their owners.
type parallel struct {
	*bert.Trainer
	m     *bert.Model
	peers *peers
	l     *layout
	how   reduction
	parts int
	own   nodes // the parts of this rank

	reducer *reducer
	batches [][]*bert.Batch // memory of each own part
	moved   int             // pieces of the moments that were exchanged for the state at hand
}

// partsOf are the parts of a rank.
func partsOf(parts, rank, ranks int) nodes {
	return nodes{rank * parts / ranks, (rank + 1) * parts / ranks}
}

func newParallel(m *bert.Model, r *run) (*parallel, error) {
	p := &parallel{
		m: m, peers: r.peers, parts: r.o.Parts, own: partsOf(r.o.Parts, r.peers.rank, r.peers.size),
		l:   newLayout(m.Runs(), r.peers.size, cmp.Or(r.o.chunk, chunkElements)),
		how: reduction{fast: r.o.FastReduce, rounded: r.o.ReducePrecision == bert.BFloat16},
	}
	var o bert.TrainerOptions
	if !p.peers.alone() {
		o.Owned = p.l.owned[p.peers.rank]
	}
	t, err := m.NewTrainerWith(o)
	if err != nil {
		return nil, err
	}
	p.Trainer = t
	p.reducer = newReducer(t, p.peers, p.l, p.parts, p.how)
	p.batches = make([][]*bert.Batch, p.own.to-p.own.from)
	return p, nil
}

// partKeys are the dropout keys of the parts of a step. They depend on the place of a part in the step alone.
func partKeys(seed uint64, step, parts int) []uint64 {
	s := random.New(seed, forDropout, uint64(step))
	keys := make([]uint64, parts)
	for i := range keys {
		keys[i] = s.Next()
	}
	return keys
}

// gradients computes the gradients of a step, of the owned parameters. A cancelled context, of any rank, gives a cancelledError before
// anything is computed.
func (p *parallel) gradients(ctx context.Context, r *run, examples []draw) (c computed, err error) {
	// 1. What this rank has to do, and the denominators of all.
	lengths := make([]int, len(examples))
	for i, e := range examples {
		lengths[i] = r.data.Length(int(e.example))
		c.tokens += lengths[i]
	}
	var (
		parts        = split(examples, cut(lengths, p.parts))[p.own.from:p.own.to]
		filled       = make([][]*bert.Batch, len(parts))
		denominators = make([]bert.Denominators, len(parts))
		failure      = r.failure
	)
	for i, part := range parts {
		if failure != nil {
			break
		}
		if filled[i], _, failure = r.fill(&p.batches[i], part); failure == nil {
			denominators[i], failure = p.m.Denominators(filled[i]...)
			failure = ofExamples(part, failure)
		}
		c.batches = append(c.batches, filled[i]...)
	}
	all, err := exchangeParts(p, ctx.Err() != nil, failure, denominators, nil, nil)
	if err != nil {
		return c, err
	}
	sum := fold(all, func(a, b bert.Denominators) bert.Denominators { a.Add(b); return a })

	// 2. Forward and backward, part by part; the gradients of the last one go out as they become final.
	losses := make([]float64, len(parts))
	tree := stack{n: p.parts}
	keys := partKeys(*r.o.Seed, r.state.Step, p.parts)
	begun := false
	for i, batches := range filled {
		pass := bert.Pass{Key: keys[p.own.from+i], Denominators: &sum}
		last := i == len(filled)-1
		merges := 0
		if !p.how.fast {
			merges = tree.push(nodes{p.own.from + i, p.own.from + i + 1})
		}
		if last {
			p.reducer.begin(merges, false)
			begun = true
			pass.Settled = p.reducer.settle
		}
		if len(batches) > 0 {
			loss, err := p.Backward(batches, pass)
			if failure = ofExamples(parts[i], err); failure != nil {
				break
			}
			losses[i] = loss.Total
		}
		if !last && !p.how.fast {
			if failure = p.hold(merges); failure != nil {
				break
			}
		}
	}
	if !begun {
		p.reducer.begin(0, true)
	}
	if err := p.reducer.end(); p.peers.broken != nil {
		return c, p.peers.broken
	} else if failure == nil {
		failure = err
	}

	// 3. The loss, and the norm by runs.
	squares := make([]float64, p.ownRuns())
	if failure == nil {
		failure = p.RunSquares(squares)
	}
	everyones := make([]float64, p.l.runs)
	allLosses, err := exchangeParts(p, false, failure, losses, squares, everyones)
	if err != nil {
		return c, err
	}
	c.loss = fold(allLosses, func(a, b float64) float64 { return a + b })
	total := 0.0
	for _, s := range everyones {
		total += s
	}
	c.norm = math.Sqrt(total)
	return c, nil
}

// hold sets the gradients aside, after adding those that belong to the same node, the last ones first.
func (p *parallel) hold(merges int) error {
	all := bert.Range{To: p.all()}
	for range merges {
		if err := p.roundAll(); err != nil {
			return err
		}
		if err := p.AddHeld(p.Held()-1, all); err != nil {
			return err
		}
		p.DropHeld(1)
	}
	if err := p.roundAll(); err != nil {
		return err
	}
	return p.Hold()
}

// roundAll rounds the gradients where nodes are rounded.
func (p *parallel) roundAll() error {
	if !p.how.rounded {
		return nil
	}
	for i := range p.l.chunks {
		if err := roundIn(p.GradientRange(p.l.chunks[i].Range), &p.reducer.loaded); err != nil {
			return err
		}
	}
	return nil
}

// all is the number of all parameters.
func (p *parallel) all() int { return p.l.chunks[0].To }

// ownRuns is how many runs of parameters this rank owns: all, where it is alone.
func (p *parallel) ownRuns() int { return len(p.l.runsOf[p.peers.rank]) }

// exchangeParts tells all ranks how this one is, with a fixed-size value for each of its parts, and what it has to say of the runs that it
// owns. It returns the values of all parts, in order, and leaves those of all runs in everyones.
func exchangeParts[T any](p *parallel, isCancelled bool, failure error, mine []T, ofRuns, everyones []float64) ([]T, error) {
	var zero T
	each := binary.Size(zero)
	perRun := 0
	if p.l.runs > 0 {
		perRun = len(everyones) / p.l.runs
	}
	message, err := binary.Append([]byte{status(isCancelled, failure)}, binary.LittleEndian, mine)
	if err != nil {
		return nil, err
	}
	messages, err := p.peers.gatherSized(appendNumbers(message, ofRuns), func(rank int) int {
		parts := partsOf(p.parts, rank, p.peers.size)
		return 1 + (parts.to-parts.from)*each + 8*perRun*len(p.l.runsOf[rank])
	})
	if err != nil {
		return nil, err
	}
	said := make([]byte, p.peers.size)
	for rank, m := range messages {
		said[rank] = m[0]
	}
	if err := p.peers.conclude(said, failure); err != nil {
		return nil, err
	}
	all := make([]T, 0, p.parts)
	for rank, m := range messages {
		parts := partsOf(p.parts, rank, p.peers.size)
		values := make([]T, parts.to-parts.from)
		n, err := binary.Decode(m[1:], binary.LittleEndian, values)
		if err != nil {
			return nil, err
		}
		all = append(all, values...)
		numbers := make([]float64, perRun*len(p.l.runsOf[rank]))
		takeNumbers(m[1+n:], numbers)
		p.l.spread(everyones, rank, perRun, numbers)
	}
	return all, nil
}

// apply updates the owned parameters and gives them to all ranks. An error of this rank is for the next agreement.
func (p *parallel) apply(u bert.Update) error {
	var failure error
	if u.LAMB && !p.peers.alone() {
		squares, all := make([]float64, 2*p.ownRuns()), make([]float64, 2*p.l.runs)
		failure = p.Directions(squares, u)
		if _, err := exchangeParts(p, false, failure, make([]byte, len(p.batches)), squares, all); err != nil {
			return err
		}
		failure = p.Apply(u, all)
	} else {
		failure = p.Update(u)
	}
	return cmp.Or(failure, p.reducer.gatherParameters())
}

// WriteState is called by rank 0 alone, while the others are in moveMoments.
func (p *parallel) WriteState(path string, metadata map[string]string) error {
	if p.peers.alone() {
		return p.Trainer.WriteState(path, metadata)
	}
	return p.WriteStateFrom(path, metadata, p.collect)
}

// ReadState is called by rank 0 alone, while the others are in moveMoments.
func (p *parallel) ReadState(path string) (map[string]string, error) {
	if p.peers.alone() {
		return p.Trainer.ReadState(path)
	}
	return p.ReadStateTo(path, p.distribute)
}

// collect gets a piece of the moments from those who own it to rank 0, which alone has values.
func (p *parallel) collect(moment int, at bert.Range, values []float32) error {
	p.moved++
	var (
		mine    []float32
		failure error
	)
	for part, v := range p.OwnedMoments(at, moment == 1) {
		own := make([]float32, part.Len())
		failure = cmp.Or(failure, v.Read(own))
		if p.peers.leader() && values != nil {
			copy(values[part.From-at.From:], own)
		}
		mine = append(mine, own...)
	}
	send, receive := make([][]byte, p.peers.size), make([][]byte, p.peers.size)
	if !p.peers.leader() {
		send[0] = bytesOf(mine)
		return cmp.Or(failure, p.peers.exchange(send, receive))
	}
	got := make([][]float32, p.peers.size)
	for rank := 1; rank < p.peers.size; rank++ {
		n := 0
		for part := range p.l.within(rank, at) {
			n += part.Len()
		}
		got[rank] = make([]float32, n)
		receive[rank] = bytesOf(got[rank])
	}
	if err := p.peers.exchange(send, receive); err != nil {
		return err
	}
	if values == nil {
		return failure
	}
	for rank, of := range got {
		if rank == 0 {
			continue
		}
		for part := range p.l.within(rank, at) {
			copy(values[part.From-at.From:part.To-at.From], of)
			of = of[part.Len():]
		}
	}
	return failure
}

// distribute gives a piece of the moments, which rank 0 has, to those who own it.
func (p *parallel) distribute(moment int, at bert.Range, values []float32) error {
	p.moved++
	send, receive := make([][]byte, p.peers.size), make([][]byte, p.peers.size)
	var mine []float32
	if p.peers.leader() {
		if values == nil { // there are none: something of the right length
			values = make([]float32, at.Len())
		}
		for rank := range p.peers.size {
			var of []float32
			for part := range p.l.within(rank, at) {
				of = append(of, values[part.From-at.From:part.To-at.From]...)
			}
			if rank == 0 {
				mine = of
			} else {
				send[rank] = bytesOf(of)
			}
		}
	} else {
		n := 0
		for part := range p.l.within(p.peers.rank, at) {
			n += part.Len()
		}
		mine = make([]float32, n)
		receive[0] = bytesOf(mine)
	}
	if err := p.peers.exchange(send, receive); err != nil {
		return err
	}
	for part, v := range p.OwnedMoments(at, moment == 1) {
		if err := v.Write(mine[:part.Len()]); err != nil {
			return err
		}
		mine = mine[part.Len():]
	}
	return nil
}

// moveMoments lets rank 0 write or read a state, by do, while the moments come from or go to those who own them. All ranks call it. Where do
// ends early, with an error, the rest is exchanged for nothing, so that all get to where they agree on the error.
func (p *parallel) moveMoments(do func() error, move func(moment int, at bert.Range, values []float32) error) error {
	p.moved = 0
	var failure error
	if p.peers.leader() {
		failure = do()
	}
	if p.peers.alone() {
		return failure
	}
	done := p.moved
	for moment, at := range p.m.MomentPieces() {
		if done > 0 {
			done--
			continue
		}
		if p.peers.broken != nil {
			break
		}
		if err := move(moment, at, nil); failure == nil {
			failure = err
		}
	}
	return failure
}

// broadcastParameters gives all ranks the parameters of rank 0.
func (p *parallel) broadcastParameters() error {
	if p.peers.alone() {
		return nil
	}
	var failure error
	for i := range p.l.chunks {
		v := p.ParameterRange(p.l.chunks[i].Range)
		values, err := load(v, &p.reducer.loaded)
		if err != nil {
			failure = cmp.Or(failure, err)
			values = make([]float32, v.Len())
		}
		if err := p.peers.broadcast(bytesOf(values), 0); err != nil {
			return err
		}
		if !p.peers.leader() {
			failure = cmp.Or(failure, store(v, values))
		}
	}
	return failure
}
