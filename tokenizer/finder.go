package tokenizer

import "fmt"

// Pieces are found by walking a trie from each place where one may begin. That takes time proportional to the longest piece, which
// in published vocabularies has some twenty bytes. Where there are pieces of more than longPiece bytes, a finder finds those in
// one pass over the text, and the walk ends after longPiece bytes: so the time is linear in the text whatever the vocabulary.

const (
	longPiece = 64
	// maxLong limits the bytes of all long pieces together, as a finder takes about 60 bytes for each.
	maxLong = 1 << 20
)

// A finder finds the longest of its patterns at each place of a text. It is the automaton of Aho and Corasick (1975) of the
// patterns read backwards, and reads a text backwards: whatever it has matched when it comes to a place begins there.
type finder struct {
	trie trie
	fail []int32 // by node: that of the longest proper suffix of its path that is a path too
	best []int32 // by node: the longest pattern that is a suffix of its path, or -1
}

// A found is a pattern at a place of a text.
type found struct {
	at      int32 // where it begins
	pattern int32
}

// newFinder makes a finder of patterns, none of which is empty. Of equal patterns the last one is found. It returns nil for no
// patterns.
func newFinder(patterns []string) (*finder, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	total := 0
	for _, p := range patterns {
		total += len(p)
	}
	if total > maxLong {
		return nil, fmt.Errorf("tokens of more than %d bytes have more than %d bytes together, which no vocabulary has", longPiece, maxLong)
	}
	f := &finder{trie: newTrie(total)}
	reversed := []byte{}
	for i, p := range patterns {
		reversed = reversed[:0]
		for k := len(p) - 1; k >= 0; k-- {
			reversed = append(reversed, p[k])
		}
		if err := f.trie.put(rootInitial, string(reversed), int32(i)); err != nil {
			return nil, err
		}
	}
	f.link()
	return f, nil
}

// link computes fail and best, from the nodes near the root to those far from it.
func (f *finder) link() {
	n := len(f.trie.ids)
	parent, label := make([]int32, n), make([]byte, n)
	for _, s := range f.trie.slots {
		if s != 0 {
			from, b, to := f.trie.edge(s)
			parent[to], label[to] = from, b
		}
	}
	// A node has a larger number than its parent.
	depth := make([]int32, n)
	count := make([]int32, n+1)
	for node := firstNode; node < n; node++ {
		depth[node] = depth[parent[node]] + 1
		count[depth[node]+1]++
	}
	for d := 1; d < len(count); d++ {
		count[d] += count[d-1]
	}
	order := make([]int32, n-firstNode)
	for node := firstNode; node < n; node++ {
		order[count[depth[node]]] = int32(node)
		count[depth[node]]++
	}
	f.fail, f.best = make([]int32, n), make([]int32, n)
	f.fail[rootInitial], f.best[rootInitial] = rootInitial, -1
	for _, node := range order {
		fail := int32(rootInitial)
		if parent[node] != rootInitial {
			fail = f.step(f.fail[parent[node]], label[node])
		}
		f.fail[node] = fail
		if f.best[node] = f.trie.ids[node]; f.best[node] < 0 {
			f.best[node] = f.best[fail]
		}
	}
}

// step is the node after b has been read at a node.
func (f *finder) step(node int32, b byte) int32 {
	for {
		at, ok := f.trie.find(uint64(node)<<8 | uint64(b))
		if ok {
			return int32(f.trie.slots[at] & nodeMask)
		}
		if node == rootInitial {
			return rootInitial
		}
		node = f.fail[node]
	}
}

// find appends to out the longest pattern at each place of text where one begins, from the last place to the first.
func find[T string | []byte](f *finder, out []found, text T) []found {
	node := int32(rootInitial)
	for i := len(text) - 1; i >= 0; i-- {
		node = f.step(node, text[i])
		if p := f.best[node]; p >= 0 {
			out = append(out, found{int32(i), p})
		}
	}
	return out
}

// at returns the pattern that begins at a place, or -1, and what is left of the list after that place. Places have to be asked for
// in order.
func at(list []found, place int) (int32, []found) {
	for len(list) > 0 && int(list[len(list)-1].at) < place {
		list = list[:len(list)-1]
	}
	if len(list) > 0 && int(list[len(list)-1].at) == place {
		return list[len(list)-1].pattern, list
	}
	return -1, list
}
