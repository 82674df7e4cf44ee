package train

import (
	"cmp"
	"slices"

	"github.com/go-bert/bert"
)

// reduction is how gradients of a step are added up.
type reduction struct {
	fast    bool // in any order
	rounded bool // each node of the tree but the root is rounded to bfloat16
}

// reducer adds up the gradients of the parts of a step over the ranks, chunk by chunk from the end of the parameters to their
// beginning, while the backward pass of the last part goes on: a chunk begins when all its gradients are settled. At the end each rank
// has the sums for the parameters that it owns, in the place of their gradients.
type reducer struct {
	t     *bert.Trainer
	peers *peers
	l     *layout
	reduction
	parts  int
	others [][]nodes // the nodes that each rank sends

	failed bool // this rank has no gradients: it exchanges something of the right length, so that all get to where they are told of its error
	merges int  // that are left to do of those that this rank holds
	begun  int  // chunks that the worker was told of
	ready  chan struct{}
	done   chan error

	// Memory that is used again.
	loaded        []float32   // values of a device that has them elsewhere
	staged        [][]float32 // likewise, by rank
	out, in       [][]byte    // by rank
	send, receive [][]byte    // by rank: the arguments of an exchange
	numbers       []float32   // of the nodes of all ranks
}

func newReducer(t *bert.Trainer, p *peers, l *layout, parts int, how reduction) *reducer {
	r := &reducer{
		t: t, peers: p, l: l, parts: parts, reduction: how,
		staged: make([][]float32, p.size), out: make([][]byte, p.size), in: make([][]byte, p.size),
		send: make([][]byte, p.size), receive: make([][]byte, p.size),
	}
	for rank := range p.size {
		r.others = append(r.others, held(parts, partsOf(parts, rank, p.size)))
	}
	return r
}

// begin starts the exchange. Of the gradients that the trainer holds, merges are to be added to those of the last part, the last ones first.
func (r *reducer) begin(merges int, failed bool) {
	r.merges, r.failed, r.begun = merges, failed, 0
	r.ready, r.done = make(chan struct{}, len(r.l.chunks)), make(chan error, 1)
	go func() {
		var err error
		for c := range r.l.chunks {
			<-r.ready
			// After an error the exchange goes on, for the others; what it gives is of no use.
			err = cmp.Or(err, r.chunk(&r.l.chunks[c]))
			if r.peers.broken != nil {
				break
			}
		}
		r.done <- err
	}()
}

// settle says that the gradients from element from on are final.
func (r *reducer) settle(from int) {
	for ; r.begun < len(r.l.chunks) && r.l.chunks[r.begun].From >= from; r.begun++ {
		r.ready <- struct{}{}
	}
}

// end waits for the exchange of all chunks, settled or not: after an error of this rank the others still wait for them.
func (r *reducer) end() error {
	r.settle(0)
	err := <-r.done
	r.t.DropHeld(r.t.Held())
	return err
}

// chunk exchanges the gradients of a chunk.
func (r *reducer) chunk(c *chunk) error {
	var failure error
	if !r.failed {
		failure = r.merge(c.Range)
	}
	switch {
	case r.peers.alone():
		return failure
	case r.fast:
		return cmp.Or(failure, r.sum(c.Range))
	}
	for rank, owner := range c.owner {
		r.send[rank], r.receive[rank] = nil, nil
		if rank == r.peers.rank {
			continue
		}
		var err error
		if !r.failed {
			r.send[rank], err = r.outgoing(rank, owner)
			failure = cmp.Or(failure, err)
		}
		if r.failed || err != nil {
			r.send[rank] = make([]byte, len(r.others[r.peers.rank])*owner.Len()*r.elementSize())
		}
		n := len(r.others[rank]) * c.owner[r.peers.rank].Len() * r.elementSize()
		r.in[rank] = slices.Grow(r.in[rank][:0], n)[:n]
		r.receive[rank] = r.in[rank]
	}
	if err := r.peers.exchange(r.send, r.receive); err != nil {
		return err
	}
	if r.failed {
		return failure
	}
	return cmp.Or(failure, r.own(c.owner[r.peers.rank]))
}

// merge adds to the gradients of the last part those that are held and belong to the same node.
func (r *reducer) merge(at bert.Range) error {
	for i := range r.merges {
		if r.rounded {
			if err := roundIn(r.t.GradientRange(at), &r.loaded); err != nil {
				return err
			}
		}
		if err := r.t.AddHeld(r.t.Held()-1-i, at); err != nil {
			return err
		}
	}
	return nil
}

// roundIn rounds values to bfloat16.
func roundIn(v bert.Values, memory *[]float32) error {
	values, err := load(v, memory)
	if err != nil {
		return err
	}
	round(values)
	return store(v, values)
}

// sum adds up the gradients of all ranks in the order of the group's choice.
func (r *reducer) sum(at bert.Range) error {
	values, failure := load(r.t.GradientRange(at), &r.loaded)
	if failure != nil {
		values = make([]float32, at.Len())
	}
	if err := r.peers.sum(values); err != nil {
		return err
	}
	if failure != nil {
		return failure
	}
	return store(r.t.GradientRange(at), values)
}

func (r *reducer) elementSize() int {
	if r.rounded {
		return 2
	}
	return 4
}

// eachNode calls do with the values of each node that this rank has, in the order of the parts: those that are held, and the gradients.
func (r *reducer) eachNode(at bert.Range, do func(values []float32)) error {
	n := r.t.Held() - r.merges
	for i := range n + 1 {
		of := r.t.GradientRange(at)
		if i < n {
			of = r.t.HeldRange(i, at)
		}
		values, err := load(of, &r.loaded)
		if err != nil {
			return err
		}
		do(values)
	}
	return nil
}

// outgoing is what a rank gets for the range that it owns: all nodes of this rank, one after the other.
func (r *reducer) outgoing(rank int, at bert.Range) ([]byte, error) {
	if at.Len() == 0 {
		return nil, nil
	}
	if !r.rounded && r.t.Held() == r.merges { // the gradients as they are, in place where the device has them so
		values, err := load(r.t.GradientRange(at), &r.staged[rank])
		return bytesOf(values), err
	}
	out := r.out[rank][:0]
	err := r.eachNode(at, func(values []float32) {
		if r.rounded {
			out = appendRounded(out, values)
		} else {
			out = append(out, bytesOf(values)...)
		}
	})
	r.out[rank] = out
	return out, err
}

// own adds up the nodes of all ranks for the range that this rank owns.
func (r *reducer) own(at bert.Range) error {
	n := at.Len()
	if n == 0 {
		return nil
	}
	var (
		tree   = stack{n: r.parts}
		values [][]float32 // of the nodes of the tree
	)
	push := func(node nodes, v []float32) {
		values = append(values, v)
		merges := tree.push(node)
		for i := range merges {
			last := len(values) - 1
			addTo(values[last-1], values[last])
			values = values[:last]
			if root := i == merges-1 && tree.list[0] == (nodes{0, r.parts}); r.rounded && !root {
				round(values[last-1])
			}
		}
	}
	count := 0
	for rank := range r.peers.size {
		count += len(r.others[rank])
	}
	r.numbers = slices.Grow(r.numbers[:0], count*n)[:count*n]
	rest := r.numbers
	take := func() []float32 {
		v := rest[:n]
		rest = rest[n:]
		return v
	}
	for rank, list := range r.others {
		if rank == r.peers.rank {
			i := 0
			if err := r.eachNode(at, func(own []float32) {
				v := take()
				copy(v, own)
				if r.rounded {
					round(v)
				}
				push(list[i], v)
				i++
			}); err != nil {
				return err
			}
			continue
		}
		in := r.in[rank]
		for _, node := range list {
			v := take()
			size := r.elementSize() * n
			if r.rounded {
				widen(v, in[:size])
			} else {
				copy(bytesOf(v), in[:size])
			}
			in = in[size:]
			push(node, v)
		}
	}
	return store(r.t.GradientRange(at), values[0])
}

// gatherParameters gives all ranks the parameters that each has changed.
func (r *reducer) gatherParameters() error {
	if r.peers.alone() {
		return nil
	}
	var failure error
	for i := range r.l.chunks {
		c := &r.l.chunks[i]
		mine, err := load(r.t.ParameterRange(c.owner[r.peers.rank]), &r.loaded)
		if err != nil {
			failure = cmp.Or(failure, err)
			mine = make([]float32, c.owner[r.peers.rank].Len())
		}
		got := make([][]float32, r.peers.size)
		for rank, owner := range c.owner {
			r.send[rank], r.receive[rank] = nil, nil
			if rank == r.peers.rank {
				continue
			}
			view, err := r.t.ParameterRange(owner).View()
			if err != nil { // it has memory of its own, or has failed, as store will say
				n := owner.Len()
				r.staged[rank] = slices.Grow(r.staged[rank][:0], n)[:n]
				view = r.staged[rank]
			}
			got[rank] = view
			r.send[rank], r.receive[rank] = bytesOf(mine), bytesOf(view)
		}
		if err := r.peers.exchange(r.send, r.receive); err != nil {
			return err
		}
		for rank, owner := range c.owner {
			if rank != r.peers.rank {
				failure = cmp.Or(failure, store(r.t.ParameterRange(owner), got[rank]))
			}
		}
	}
	return failure
}
