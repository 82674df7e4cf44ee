package task

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/go-bert/bert"
)

// Share is the part of a process in a work that several share. *train.Share is one.
type Share interface {
	// Rank is the number of this process, from 0 to Size()-1.
	Rank() int
	// Size is the number of processes.
	Size() int
	// Gather gives all processes what each of them has, by rank.
	Gather(mine []byte) ([][]byte, error)
}

// shareOf is every size-th of some features, from the one of a rank on.
type shareOf struct {
	features
	rank, size int
}

func (s shareOf) Len() int                          { return (s.features.Len() - s.rank + s.size - 1) / s.size }
func (s shareOf) Length(i int) int                  { return s.features.Length(s.rank + i*s.size) }
func (s shareOf) Append(b *bert.Batch, i int) error { return s.features.Append(b, s.rank+i*s.size) }

// sharedLogits is allLogits of which each process that shares the evaluation computes a part. A sequence has the same logits whatever is
// in a batch with it, so that it doesn't matter who computes them.
func sharedLogits(ctx context.Context, with withSession, f features, head bert.Head, tokens int, progress func(done, all int), share Share) ([][]float32, error) {
	if share == nil {
		return allLogits(ctx, with, f, head, tokens, progress)
	}
	rank, size := share.Rank(), share.Size()
	mine, failure := allLogits(ctx, with, shareOf{f, rank, size}, head, tokens, progress)
	if failure != nil {
		mine = nil // the others are told by its absence
	}
	all, err := share.Gather(appendLogits(nil, mine))
	switch {
	case failure != nil:
		return nil, failure
	case err != nil:
		return nil, err
	}
	logits := make([][]float32, f.Len())
	for rank, message := range all {
		part := shareOf{f, rank, size}
		for i := range part.Len() {
			if len(message) == 0 {
				return nil, fmt.Errorf("rank %d has not evaluated its share", rank)
			}
			logits[rank+i*size], message = takeLogits(message)
		}
	}
	return logits, nil
}

// appendLogits appends the logits of sequences as bytes: their number, and the numbers.
func appendLogits(b []byte, logits [][]float32) []byte {
	for _, row := range logits {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(row)))
		for _, v := range row {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return b
}

// takeLogits reads the logits of a sequence from the beginning of b and returns the rest.
func takeLogits(b []byte) (row []float32, rest []byte) {
	row = make([]float32, binary.LittleEndian.Uint32(b))
	b = b[4:]
	for i := range row {
		row[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return row, b[4*len(row):]
}
