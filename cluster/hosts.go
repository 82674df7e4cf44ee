package cluster

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"os"
	"runtime"
)

// Place is where a rank runs.
type Place struct {
	Host  string
	Cores []uint64 // the processors that it may use: bit i%64 of word i/64 is processor i
	Limit int      // how many of them it may use at once, as a container may have a share of them; 0: all
}

// most bytes of a Place on the way.
const (
	hostBytes = 256
	coreWords = 128 // 8,192 processors
	placeSize = hostBytes + 8*coreWords + 8
)

// Places gives the place of each rank. It is collective.
func (g *Group) Places() ([]Place, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	mine := make([]byte, placeSize)
	copy(mine[:hostBytes], host)
	cores := affinity()
	if cores == nil { // as many as the runtime knows of, the first ones
		cores = make([]uint64, coreWords)
		for i := range min(runtime.NumCPU(), 64*coreWords) {
			cores[i/64] |= 1 << (i % 64)
		}
	}
	for i, word := range cores[:min(len(cores), coreWords)] {
		binary.LittleEndian.PutUint64(mine[hostBytes+8*i:], word)
	}
	binary.LittleEndian.PutUint64(mine[placeSize-8:], uint64(runtime.GOMAXPROCS(0))) // which knows a container's limit
	send, receive := make([][]byte, g.size), make([][]byte, g.size)
	for i := range send {
		send[i], receive[i] = mine, make([]byte, placeSize)
	}
	if err := g.Exchange(send, receive); err != nil {
		return nil, fmt.Errorf("the ranks can't tell one another where they are: %w", err)
	}
	places := make([]Place, g.size)
	for i, b := range receive {
		name, _, _ := bytes.Cut(b[:hostBytes], []byte{0})
		places[i].Host = string(name)
		for w := range coreWords {
			places[i].Cores = append(places[i].Cores, binary.LittleEndian.Uint64(b[hostBytes+8*w:]))
		}
		places[i].Limit = int(binary.LittleEndian.Uint64(b[placeSize-8:]))
	}
	return places, nil
}

// Threads is how many threads a rank should compute with, so that the ranks of its host have the cores that they may use between
// them: its own, divided by the number of ranks that may use some of them.
func Threads(places []Place, rank int) int {
	mine := places[rank]
	cores, ranks := 0, 0
	for _, word := range mine.Cores {
		cores += bits.OnesCount64(word)
	}
	for _, other := range places {
		if other.Host == mine.Host && overlap(mine.Cores, other.Cores) {
			ranks++
		}
	}
	if mine.Limit > 0 {
		cores = min(cores, mine.Limit)
	}
	return max(1, cores/max(1, ranks))
}

func overlap(a, b []uint64) bool {
	for i := range min(len(a), len(b)) {
		if a[i]&b[i] != 0 {
			return true
		}
	}
	return false
}

// Hosts is the number of different hosts.
func Hosts(places []Place) int {
	names := make(map[string]bool)
	for _, p := range places {
		names[p.Host] = true
	}
	return len(names)
}
