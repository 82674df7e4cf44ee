// Package grouptest holds the suite that every [train.Group] passes, whatever its ranks are: goroutines, processes, machines.
package grouptest

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/go-bert/bert/train"
)

// Check goes through all calls but Abort, with messages of none to some million bytes. Each rank of the group calls it, once. The error says
// what this rank found wrong.
func Check(g train.Group) error {
	if g.Size() < 1 || g.Rank() < 0 || g.Rank() >= g.Size() {
		return fmt.Errorf("rank %d of %d", g.Rank(), g.Size())
	}
	for _, c := range []struct {
		name string
		do   func(train.Group) error
	}{
		{"barrier", train.Group.Barrier},
		{"broadcast", checkBroadcast},
		{"exchange", checkExchange},
		{"shared memory", checkShared},
		{"goroutines", checkGoroutines},
		{"sum", checkSum},
		{"order", checkOrder},
	} {
		if err := c.do(g); err != nil {
			return fmt.Errorf("%s: rank %d of %d: %w", c.name, g.Rank(), g.Size(), err)
		}
	}
	return nil
}

// lengths are those of messages, in bytes: none, fewer than a word, and more than libraries send in one piece.
var lengths = []int{0, 1, 7, 8, 4096, 70001, 3<<20 + 5}

// message is what one rank sends another.
func message(from, to, length int) []byte {
	b := make([]byte, length)
	for i := range b {
		b[i] = byte(31*from + 17*to + i + i>>8)
	}
	return b
}

func checkBroadcast(g train.Group) error {
	for root := range g.Size() {
		for _, n := range lengths {
			b := make([]byte, n)
			if g.Rank() == root {
				b = message(root, 0, n)
			}
			if err := g.Broadcast(b, root); err != nil {
				return err
			}
			if !bytes.Equal(b, message(root, 0, n)) {
				return fmt.Errorf("%d bytes of rank %d are others", n, root)
			}
		}
	}
	return nil
}

// checkExchange sends messages of different lengths between each two ranks, to oneself too.
func checkExchange(g train.Group) error {
	length := func(round, from, to int) int { return lengths[(round+3*from+5*to)%len(lengths)] }
	for round := range len(lengths) {
		send, receive := make([][]byte, g.Size()), make([][]byte, g.Size())
		for i := range g.Size() {
			if n := length(round, g.Rank(), i); n > 0 {
				send[i] = message(g.Rank(), i, n)
			}
			if n := length(round, i, g.Rank()); n > 0 {
				receive[i] = make([]byte, n)
			}
		}
		if err := g.Exchange(send, receive); err != nil {
			return err
		}
		for i, got := range receive {
			if !bytes.Equal(got, message(i, g.Rank(), length(round, i, g.Rank()))) {
				return fmt.Errorf("%d bytes of rank %d are others", len(got), i)
			}
			if !bytes.Equal(send[i], message(g.Rank(), i, len(send[i]))) {
				return fmt.Errorf("the %d bytes for rank %d were changed", len(send[i]), i)
			}
		}
	}
	return nil
}

// checkShared sends the same part of larger memory to all ranks, and receives into its other parts.
func checkShared(g train.Group) error {
	const n = 12345
	memory := make([]byte, n*g.Size())
	part := func(rank int) []byte { return memory[rank*n : (rank+1)*n] }
	copy(part(g.Rank()), message(g.Rank(), 0, n))
	send, receive := make([][]byte, g.Size()), make([][]byte, g.Size())
	for i := range g.Size() {
		if i != g.Rank() {
			send[i], receive[i] = part(g.Rank()), part(i)
		}
	}
	if err := g.Exchange(send, receive); err != nil {
		return err
	}
	for i := range g.Size() {
		if !bytes.Equal(part(i), message(i, 0, n)) {
			return fmt.Errorf("the part of rank %d is another", i)
		}
	}
	return nil
}

// checkGoroutines makes calls from goroutines of their own, one after the other.
func checkGoroutines(g train.Group) error {
	for range 20 {
		done := make(chan error)
		go func() { done <- g.Barrier() }()
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

func checkSum(g train.Group) error {
	for _, n := range []int{0, 1, 5, 100000} {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i%97) / 7 * float32(g.Rank()+1)
		}
		if err := g.Sum(values); err != nil {
			return err
		}
		for i, got := range values {
			want := float64(float32(i%97)/7) * float64(g.Size()*(g.Size()+1)) / 2
			if math.Abs(float64(got)-want) > 1e-6*float64(g.Size())*want {
				return fmt.Errorf("sum %d of %d is %v, want %v", i, n, got, want)
			}
		}
		// The bits are the same on all ranks.
		first := make([]byte, 4*n)
		for i, v := range values {
			bits := math.Float32bits(v)
			first[4*i], first[4*i+1], first[4*i+2], first[4*i+3] = byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24)
		}
		mine := bytes.Clone(first)
		if err := g.Broadcast(first, 0); err != nil {
			return err
		}
		if !bytes.Equal(first, mine) {
			return errors.New("sums have other bits than those of rank 0")
		}
	}
	return nil
}

// checkOrder makes many small calls of all kinds, in which a rank that is ahead could meet another call of the others.
func checkOrder(g train.Group) error {
	for i := range 200 {
		b := []byte{byte(i)}
		if g.Rank() != i%g.Size() {
			b[0] = 0
		}
		if err := g.Broadcast(b, i%g.Size()); err != nil {
			return err
		}
		if b[0] != byte(i) {
			return fmt.Errorf("broadcast %d gave %d", i, b[0])
		}
		send, receive := make([][]byte, g.Size()), make([][]byte, g.Size())
		for r := range g.Size() {
			send[r], receive[r] = []byte{byte(i), byte(g.Rank()), byte(r)}, make([]byte, 3)
		}
		if err := g.Exchange(send, receive); err != nil {
			return err
		}
		for r, got := range receive {
			if want := []byte{byte(i), byte(r), byte(g.Rank())}; !bytes.Equal(got, want) {
				return fmt.Errorf("exchange %d gave %v of rank %d, want %v", i, got, r, want)
			}
		}
	}
	return g.Barrier()
}
