package train

import (
	"encoding/binary"
	"encoding/json"
	"slices"
)

// peers is the group of a run as the loop uses it. Without a group the process is alone: it agrees with itself, and exchanges nothing.
type peers struct {
	group      Group // nil: alone
	rank, size int
	broken     error // that of the first call that failed
}

func newPeers(g Group) *peers {
	if g == nil {
		return &peers{size: 1}
	}
	return &peers{group: g, rank: g.Rank(), size: g.Size()}
}

func (p *peers) alone() bool  { return p.size == 1 }
func (p *peers) leader() bool { return p.rank == 0 }

// call makes a call of the group. After one has failed none is made: the others have been told to end.
func (p *peers) call(do func(Group) error) error {
	if p.alone() || p.broken != nil {
		return p.broken
	}
	if err := do(p.group); err != nil {
		p.broken = &GroupError{p.rank, p.size, err}
		p.group.Abort(err)
	}
	return p.broken
}

func (p *peers) exchange(send, receive [][]byte) error {
	return p.call(func(g Group) error { return g.Exchange(send, receive) })
}

func (p *peers) broadcast(b []byte, root int) error {
	return p.call(func(g Group) error { return g.Broadcast(b, root) })
}

func (p *peers) sum(values []float32) error {
	return p.call(func(g Group) error { return g.Sum(values) })
}

// gatherSized gives all ranks what each has: mine, of size(rank) bytes.
func (p *peers) gatherSized(mine []byte, size func(rank int) int) ([][]byte, error) {
	all := make([][]byte, p.size)
	send, receive := make([][]byte, p.size), make([][]byte, p.size)
	for i := range all {
		if i == p.rank {
			all[i] = mine
			continue
		}
		all[i] = make([]byte, size(i))
		send[i], receive[i] = mine, all[i]
	}
	return all, p.exchange(send, receive)
}

// gather is gatherSized where the others don't know the sizes.
func (p *peers) gather(mine []byte) ([][]byte, error) {
	sizes, err := p.gatherSized(binary.LittleEndian.AppendUint64(nil, uint64(len(mine))), func(int) int { return 8 })
	if err != nil {
		return nil, err
	}
	return p.gatherSized(mine, func(rank int) int { return int(binary.LittleEndian.Uint64(sizes[rank])) })
}

// tell gives all ranks what one of them has.
func (p *peers) tell(b []byte, root int) ([]byte, error) {
	var size [8]byte
	binary.LittleEndian.PutUint64(size[:], uint64(len(b)))
	if err := p.broadcast(size[:], root); err != nil {
		return nil, err
	}
	if p.rank != root {
		b = make([]byte, binary.LittleEndian.Uint64(size[:]))
	}
	return b, p.broadcast(b, root)
}

// follow replaces v, a pointer, by that of rank 0.
func (p *peers) follow(v any) error {
	if p.alone() {
		return nil
	}
	var b []byte
	if p.leader() {
		var err error
		if b, err = json.Marshal(v); err != nil {
			return err
		}
	}
	b, err := p.tell(b, 0)
	if err != nil || p.leader() {
		return err
	}
	return json.Unmarshal(b, v)
}

// cancelledError says that the context of a rank was cancelled. The loop makes an InterruptedError of it.
type cancelledError struct{ rank int }

func (e *cancelledError) Error() string { return "interrupted" }

// What a rank says of itself.
const (
	fine byte = iota
	cancelled
	failed
)

// status is what this rank says of itself.
func status(isCancelled bool, err error) byte {
	switch {
	case isCancelled:
		return cancelled
	case err != nil:
		return failed
	}
	return fine
}

// agree returns nil if all ranks are fine. If some have failed, they return their own errors and the others a RankError; if some are only
// cancelled, all return a cancelledError.
func (p *peers) agree(isCancelled bool, err error) error {
	mine := status(isCancelled, err)
	said := []byte{mine}
	if !p.alone() {
		all, broken := p.gatherSized(said, func(int) int { return 1 })
		if broken != nil {
			return broken
		}
		said = slices.Concat(all...)
	}
	return p.conclude(said, err)
}

// conclude is the end of agree, once it is known what all ranks said of themselves.
func (p *peers) conclude(said []byte, err error) error {
	if first := slices.Index(said, failed); first >= 0 {
		reason := ""
		if first == p.rank {
			reason = err.Error()
		}
		told, broken := p.tell([]byte(reason), first)
		switch {
		case broken != nil:
			return broken
		case said[p.rank] == failed:
			return err
		}
		return &RankError{first, string(told)}
	}
	if first := slices.Index(said, cancelled); first >= 0 {
		return &cancelledError{first}
	}
	return nil
}

// Share is the part that this process has in a work that the ranks of a group share, as in an evaluation: see Point.Share.
type Share struct{ peers *peers }

// NewShare is the part of the group's rank in a work of its own, outside of a run.
func NewShare(g Group) *Share { return &Share{newPeers(g)} }

// Rank is the number of this process, from 0 to Size()-1.
func (s *Share) Rank() int { return s.peers.rank }

// Size is the number of processes.
func (s *Share) Size() int { return s.peers.size }

// Gather gives all processes what each of them has, by rank. All of them call it, with as much as they like.
func (s *Share) Gather(mine []byte) ([][]byte, error) { return s.peers.gather(mine) }
