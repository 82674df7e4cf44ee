package main

import (
	"fmt"
	"slices"
)

const vectorRegisters = 32

// allocate chooses a register for each vector: one that none has which is needed at the same time. A function calls no
// other, so all are free.
func (f *function) allocate() ([]int, error) {
	liveOut, err := f.liveness()
	if err != nil {
		return nil, err
	}
	// conflicts[v] are the vectors that are needed while v is.
	conflicts := make([]set, f.vectors)
	for v := range conflicts {
		conflicts[v] = newSet(f.vectors)
	}
	for i, ins := range f.code {
		for _, w := range ins.writes {
			for v := range f.vectors {
				copied := ins.move && vector(v) == ins.reads[0]
				if liveOut[i].has(v) && vector(v) != w && !copied {
					conflicts[w].add(v)
					conflicts[v].add(int(w))
				}
			}
		}
	}
	numbers := slices.Repeat([]int{-1}, f.vectors)
	for _, ins := range f.code {
		for _, w := range ins.writes {
			if numbers[w] >= 0 {
				continue
			}
			var taken [vectorRegisters]bool
			for v, n := range numbers {
				if n >= 0 && conflicts[w].has(v) {
					taken[n] = true
				}
			}
			n := slices.Index(taken[:], false)
			if ins.move && numbers[ins.reads[0]] >= 0 && !taken[numbers[ins.reads[0]]] {
				n = numbers[ins.reads[0]]
			}
			if n < 0 {
				return nil, fmt.Errorf("out of vector registers")
			}
			numbers[w] = n
		}
	}
	return numbers, nil
}

// liveness returns for each instruction the vectors that are needed after it.
func (f *function) liveness() ([]set, error) {
	places := map[string]int{}
	for i, ins := range f.code {
		if ins.label != "" {
			places[ins.label] = i
		}
	}
	liveIn, liveOut := make([]set, len(f.code)), make([]set, len(f.code))
	for i := range f.code {
		liveIn[i], liveOut[i] = newSet(f.vectors), newSet(f.vectors)
	}
	for changed := true; changed; {
		changed = false
		for i := len(f.code) - 1; i >= 0; i-- {
			ins := f.code[i]
			if !ins.ends {
				if i+1 == len(f.code) {
					return nil, fmt.Errorf("the function has no end")
				}
				liveOut[i].merge(liveIn[i+1])
			}
			if ins.target != "" {
				to, ok := places[ins.target]
				if !ok {
					return nil, fmt.Errorf("no label %s", ins.target)
				}
				liveOut[i].merge(liveIn[to])
			}
			in := slices.Clone(liveOut[i])
			for _, v := range ins.writes {
				in.remove(int(v))
			}
			for _, v := range ins.reads {
				in.add(int(v))
			}
			changed = liveIn[i].merge(in) || changed
		}
	}
	for v := range f.vectors {
		if liveIn[0].has(v) {
			return nil, fmt.Errorf("vector %d may be read before it is written", v)
		}
	}
	return liveOut, nil
}

// A set of small numbers.
type set []uint64

func newSet(n int) set       { return make(set, (n+63)/64) }
func (s set) has(i int) bool { return s[i/64]>>(i%64)&1 != 0 }
func (s set) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s set) remove(i int)   { s[i/64] &^= 1 << (i % 64) }
func (s set) merge(t set) bool { // reports whether s has grown
	grown := false
	for i, w := range t {
		grown = grown || s[i]|w != s[i]
		s[i] |= w
	}
	return grown
}
