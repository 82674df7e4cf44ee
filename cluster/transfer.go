package cluster

import "fmt"

// messageTag is that of all messages. Messages from one rank to another arrive in the order in which they were sent.
const messageTag = 1

// A stream is a message between this rank and another, which goes in pieces.
type stream struct {
	peer int
	send bool
	data []byte
	next int // where the first piece begins that is not under way yet
}

// A slot is the place of a piece that is under way: a request, and data in the shared memory.
type slot struct {
	stream   *stream
	from, to int // of stream.data
}

// slotData is the shared memory of a slot.
func (g *Group) slotData(i int) []byte {
	return g.library.process.Memory()[g.data+i*g.piece:][:g.piece]
}

// Exchange sends send[i] to each rank i, and fills receive[i] with what rank i sends here.
func (g *Group) Exchange(send, receive [][]byte) error {
	if len(send) != g.size || len(receive) != g.size {
		return fmt.Errorf("an exchange of %d and %d messages between %d ranks", len(send), len(receive), g.size)
	}
	// A message from one rank to itself needs nobody, and may be left out.
	if mine := receive[g.rank]; len(mine) > 0 {
		if len(mine) != len(send[g.rank]) {
			return fmt.Errorf("rank %d expects %d bytes of itself, and sends %d", g.rank, len(mine), len(send[g.rank]))
		}
		copy(mine, send[g.rank])
	}
	left := 0 // pieces
	begin := func(peer, first int, send bool, data []byte) error {
		if peer == g.rank || len(data) == 0 {
			return nil
		}
		left += (len(data) + g.piece - 1) / g.piece
		s := &stream{peer: peer, send: send, data: data}
		for i := range slotsPerRank / 2 {
			if err := g.post(first+i, s); err != nil {
				return err
			}
		}
		return nil
	}
	// Receives come first, so that what arrives has its place. Each rank begins with the one after it, so that they don't all send to the
	// same one.
	for i := range g.size {
		peer := (g.rank + g.size - i) % g.size
		if err := begin(peer, peer*slotsPerRank, false, receive[peer]); err != nil {
			return err
		}
	}
	for i := range g.size {
		peer := (g.rank + i) % g.size
		if err := begin(peer, peer*slotsPerRank+slotsPerRank/2, true, send[peer]); err != nil {
			return err
		}
	}
	for left > 0 {
		done, err := g.await(len(g.slots))
		if err != nil {
			return err
		}
		for at, i := range done {
			if err := g.take(i, at); err != nil {
				return err
			}
			left--
		}
		for _, i := range done {
			if err := g.post(i, g.slots[i].stream); err != nil {
				return err
			}
		}
	}
	return nil
}

// post puts the next piece of a stream under way, if there is one.
func (g *Group) post(i int, s *stream) error {
	if s.next == len(s.data) {
		return nil
	}
	p := &g.slots[i]
	p.stream, p.from, p.to = s, s.next, min(s.next+g.piece, len(s.data))
	s.next = p.to
	function := "MPI_Irecv"
	if s.send {
		function = "MPI_Isend"
		copy(g.slotData(i), s.data[p.from:p.to])
	}
	l := g.library
	return l.call(function, l.process.Address(g.data+i*g.piece), uintptr(p.to-p.from), l.value(l.abi.bytes), uintptr(s.peer), messageTag, l.value(l.abi.world), g.request(i))
}

// take takes a piece that has arrived out of its slot. at is the number of its status.
func (g *Group) take(i, at int) error {
	p := g.slots[i]
	if p.stream.send {
		return nil
	}
	l := g.library
	n, err := l.number("MPI_Get_count", l.process.Address(g.statuses+at*l.abi.status), l.value(l.abi.bytes))
	if err != nil {
		return err
	}
	if want := p.to - p.from; n != want {
		return fmt.Errorf("rank %d has sent %d bytes where rank %d expects %d: they are not at the same place of the run", p.stream.peer, n, g.rank, want)
	}
	copy(p.stream.data[p.from:p.to], g.slotData(i))
	return nil
}

// Broadcast copies b of the rank root to b of all ranks (MPI_Ibcast).
func (g *Group) Broadcast(b []byte, root int) error {
	l := g.library
	for len(b) > 0 {
		n := min(len(b), g.piece)
		shared := g.slotData(0)[:n]
		if g.rank == root {
			copy(shared, b)
		}
		if err := l.call("MPI_Ibcast", l.process.Address(g.data), uintptr(n), l.value(l.abi.bytes), uintptr(root), l.value(l.abi.world), g.request(0)); err != nil {
			return err
		}
		if err := g.awaitAll(1); err != nil {
			return err
		}
		if g.rank != root {
			copy(b, shared)
		}
		b = b[n:]
	}
	return nil
}
