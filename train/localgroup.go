package train

import (
	"fmt"
	"sync"
)

// NewLocalGroup makes a group of n ranks in this process, one for each goroutine that calls Run: for tests, and to see what a run on
// n machines does.
func NewLocalGroup(n int) []Group {
	m := &meeting{calls: make([]localCall, n), read: make([]bool, n)}
	m.changed.L = &m.mu
	groups := make([]Group, n)
	for i := range groups {
		groups[i] = &localGroup{m, i}
	}
	return groups
}

// localGroup is a rank of a group in one process.
type localGroup struct {
	m    *meeting
	rank int
}

// meeting is where the ranks' calls meet: each leaves its own, waits for those of all, reads them, and waits until all have read.
type meeting struct {
	mu      sync.Mutex
	changed sync.Cond
	calls   []localCall
	left    int // calls that are there
	read    []bool
	done    int // of them
	failure error
}

// localCall is what a rank calls.
type localCall struct {
	name   string
	root   int
	bytes  []byte
	send   [][]byte
	values []float32
	length int // that has to be the same everywhere; -1: none has
}

func (g *localGroup) Rank() int { return g.rank }
func (g *localGroup) Size() int { return len(g.m.calls) }

// meet leaves a call, and calls read with those of all ranks when they are there. It returns when all have read.
func (g *localGroup) meet(c localCall, read func(calls []localCall) error) error {
	m := g.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil {
		return m.failure
	}
	m.calls[g.rank] = c
	m.left++
	m.changed.Broadcast()
	for m.failure == nil && m.left < len(m.calls) {
		m.changed.Wait()
	}
	if m.failure != nil {
		return m.failure
	}
	err := m.check()
	if err == nil {
		err = read(m.calls)
	}
	if err != nil {
		m.fail(g.rank, err)
		return err
	}
	m.read[g.rank] = true
	if m.done++; m.done == len(m.calls) {
		m.left, m.done = 0, 0
		clear(m.read)
		m.changed.Broadcast()
		return nil
	}
	for m.failure == nil && m.read[g.rank] {
		m.changed.Wait()
	}
	return m.failure
}

// check reports calls that differ from those of rank 0.
func (m *meeting) check() error {
	a := &m.calls[0]
	for rank := range m.calls {
		b := &m.calls[rank]
		if a.name != b.name || a.root != b.root || a.length != b.length {
			return fmt.Errorf("rank %d calls %s with root %d and length %d, rank 0 %s with root %d and length %d", rank, b.name, b.root, b.length, a.name, a.root, a.length)
		}
	}
	return nil
}

// fail ends all calls. The caller holds the lock.
func (m *meeting) fail(rank int, err error) {
	if m.failure == nil {
		m.failure = &RankError{rank, err.Error()}
		m.changed.Broadcast()
	}
}

func (g *localGroup) Broadcast(b []byte, root int) error {
	if root < 0 || root >= g.Size() {
		return fmt.Errorf("broadcast from rank %d of %d", root, g.Size())
	}
	return g.meet(localCall{name: "Broadcast", root: root, bytes: b, length: len(b)}, func(calls []localCall) error {
		if g.rank != root {
			copy(b, calls[root].bytes)
		}
		return nil
	})
}

func (g *localGroup) Exchange(send, receive [][]byte) error {
	if n := g.Size(); len(send) != n || len(receive) != n {
		return fmt.Errorf("exchange of %d and %d messages between %d ranks", len(send), len(receive), n)
	}
	return g.meet(localCall{name: "Exchange", send: send, length: -1}, func(calls []localCall) error {
		for i, to := range receive {
			from := calls[i].send[g.rank]
			if len(from) != len(to) {
				return fmt.Errorf("rank %d sends %d bytes to rank %d, which expects %d", i, len(from), g.rank, len(to))
			}
			copy(to, from)
		}
		return nil
	})
}

func (g *localGroup) Sum(values []float32) error {
	sums := make([]float32, len(values))
	err := g.meet(localCall{name: "Sum", values: values, length: len(values)}, func(calls []localCall) error {
		for i := range calls {
			for j, v := range calls[i].values {
				sums[j] += v
			}
		}
		return nil
	})
	if err == nil {
		copy(values, sums)
	}
	return err
}

func (g *localGroup) Barrier() error {
	return g.meet(localCall{name: "Barrier"}, func([]localCall) error { return nil })
}

func (g *localGroup) Abort(reason error) {
	g.m.mu.Lock()
	defer g.m.mu.Unlock()
	g.m.fail(g.rank, reason)
}
