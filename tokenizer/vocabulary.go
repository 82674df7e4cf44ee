package tokenizer

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// vocabulary finds pieces. Most words are whole pieces, and those of up to maxPacked bytes are found with one lookup in words.
// Other words are split by walking trie, which holds every piece as it may begin a word and, under another root, the pieces that
// begin with the prefix ("##") without it, as they may continue a word.
type vocabulary struct {
	words wordTable
	trie  trie

	// The pieces of more than longPiece bytes that may continue a word, which trie doesn't have. long is nil if there are none.
	long    *finder
	longIDs []int32
	lengths []int32
}

// A span is a piece of a word: its bytes [start, end).
type span struct{ id, start, end int32 }

// newVocabulary indexes the pieces tokens[id] for which has(id) is true and that have at most most code points, as words have. Of
// equal pieces the last one is found.
func newVocabulary(tokens []string, has func(id int32) bool, prefix string, most int) (*vocabulary, error) {
	fits := func(s string) bool { return len(s) <= most || utf8.RuneCountInString(s) <= most }
	total, short := 0, 0
	for _, s := range tokens {
		if len(s) <= maxPacked {
			short++
		}
		if fits(s) {
			total += len(s)
		}
	}
	v := &vocabulary{words: newWordTable(short), trie: newTrie(total)}
	var long []string
	for id, s := range tokens {
		if s == "" || !has(int32(id)) {
			continue
		}
		if len(s) <= maxPacked {
			v.words.put(packString(s), int32(id))
		}
		if fits(s) {
			if err := v.trie.put(rootInitial, s, int32(id)); err != nil {
				return nil, err
			}
		}
		tail, ok := strings.CutPrefix(s, prefix)
		switch {
		case !ok || tail == "" || !fits(tail):
		case len(tail) > longPiece:
			long = append(long, tail)
			v.longIDs = append(v.longIDs, int32(id))
			v.lengths = append(v.lengths, int32(len(tail)))
		default:
			if err := v.trie.put(rootContinuing, tail, int32(id)); err != nil {
				return nil, err
			}
		}
	}
	var err error
	v.long, err = newFinder(long)
	return v, err
}

// whole returns the id of a word of up to maxPacked bytes if it is a piece, or -1.
func (v *vocabulary) whole(k packed) int32 { return v.words.get(k) }

// split appends the pieces of word to spans, each the longest that fits (greedy longest match first, as in
// google-research/bert WordpieceTokenizer). It reports false if the word can't be split completely. The time is at most
// proportional to the length of the word times longPiece.
func (v *vocabulary) split(spans []span, word []byte) ([]span, bool) {
	if v.long != nil && len(word) > longPiece {
		return v.splitLong(spans, word)
	}
	for at := 0; at < len(word); {
		root := rootContinuing
		if at == 0 {
			root = rootInitial
		}
		id, n := v.trie.longest(root, word[at:])
		if n == 0 {
			return spans, false
		}
		spans = append(spans, span{id, int32(at), int32(at + n)})
		at += n
	}
	return spans, true
}

// splitLong is split for a word that long pieces may continue.
func (v *vocabulary) splitLong(spans []span, word []byte) ([]span, bool) {
	list := find(v.long, nil, word)
	for from := 0; from < len(word); {
		var (
			id int32
			n  int
		)
		if from == 0 {
			id, n = v.trie.longest(rootInitial, word)
		} else {
			var pattern int32
			if pattern, list = at(list, from); pattern >= 0 {
				id, n = v.longIDs[pattern], int(v.lengths[pattern])
			} else {
				id, n = v.trie.longest(rootContinuing, word[from:])
			}
		}
		if n == 0 {
			return spans, false
		}
		spans = append(spans, span{id, int32(from), int32(from + n)})
		from += n
	}
	return spans, true
}

// packed is a word of up to maxPacked bytes: its bytes in order, padded with zeros, and its length in the last byte.
type packed struct{ lo, hi uint64 }

const maxPacked = 15

func packString(s string) packed {
	var b [16]byte
	copy(b[:], s)
	b[15] = byte(len(s))
	return packed{loadBytes(b[:8]), loadBytes(b[8:])}
}

func packBytes(s []byte) packed {
	var b [16]byte
	copy(b[:], s)
	b[15] = byte(len(s))
	return packed{loadBytes(b[:8]), loadBytes(b[8:])}
}

func loadBytes(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// packText packs text[i:i+n], without copying if 16 bytes can be read there.
func packText(text string, i, n int) packed {
	s := text[i:]
	if len(s) < 16 {
		return packString(s[:n])
	}
	lo := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	if n < 8 {
		return packed{lo & (1<<(8*n) - 1), uint64(n) << 56}
	}
	hi := uint64(s[8]) | uint64(s[9])<<8 | uint64(s[10])<<16 | uint64(s[11])<<24 |
		uint64(s[12])<<32 | uint64(s[13])<<40 | uint64(s[14])<<48 | uint64(s[15])<<56
	return packed{lo, hi&(1<<(8*(n-8))-1) | uint64(n)<<56}
}

// lower lower-cases ASCII letters; all bytes must be below 0x80.
func (k packed) lower() packed { return packed{lowerWord(k.lo), lowerWord(k.hi)} }

func lowerWord(x uint64) uint64 {
	const ones = 0x0101010101010101
	// The first sum sets the high bit of bytes from A on, the second that of bytes beyond Z.
	upper := (x + (0x80-'A')*ones) &^ (x + (0x80-'Z'-1)*ones) & (0x80 * ones)
	return x | upper>>2
}

// wordTable is a hash table of packed words with open addressing, at most half full.
type wordTable struct {
	slots []wordSlot
	shift uint
}

type wordSlot struct {
	key packed
	id  int32 // the id plus 1; 0 in an empty slot
}

func newWordTable(n int) wordTable {
	size := bits.Len(uint(2*n + 1))
	return wordTable{make([]wordSlot, 1<<size), uint(64 - size)}
}

// slot returns the index at which the search for k begins.
func (t *wordTable) slot(k packed) uint64 {
	hi, lo := bits.Mul64(k.lo^0x9E3779B97F4A7C15, k.hi^0xD6E8FEB86659FD93)
	return (hi ^ lo) * 0x9E3779B97F4A7C15 >> t.shift
}

func (t *wordTable) put(k packed, id int32) {
	i := t.slot(k)
	for t.slots[i].id != 0 && t.slots[i].key != k {
		i = (i + 1) & uint64(len(t.slots)-1)
	}
	t.slots[i] = wordSlot{k, id + 1}
}

func (t *wordTable) get(k packed) int32 {
	slots := t.slots
	for i := t.slot(k); ; i++ {
		s := &slots[i&uint64(len(slots)-1)]
		if s.id == 0 || s.key == k {
			return s.id - 1
		}
	}
}

// trie is a byte trie whose edges are in one hash table, so that following an edge takes one lookup. A slot is
// from<<36 | byte<<28 | to, or 0 if it is empty; at most half of the slots are used.
type trie struct {
	slots []uint64
	shift uint
	edges int
	ids   []int32 // by node: the id of the piece that ends there, or -1
}

const (
	rootInitial    = 1
	rootContinuing = 2
	firstNode      = 3
	nodeBits       = 28
	nodeMask       = 1<<nodeBits - 1
	// maxNodes limits the memory of a trie. LaBSE's vocabulary, the largest published one, has 5 MB in all.
	maxNodes = 1 << 23
)

// newTrie makes room for pieces of total bytes; the table grows if that does not suffice.
func newTrie(total int) trie {
	size := max(4, bits.Len(uint(min(total, maxNodes))))
	return trie{slots: make([]uint64, 1<<size), shift: uint(64 - size), ids: []int32{-1, -1, -1}}
}

var errVocabularySize = errors.New("the vocabulary has too many bytes for its index")

func (t *trie) put(root int, s string, id int32) error {
	node := uint64(root)
	for i := range len(s) {
		key := node<<8 | uint64(s[i])
		at, found := t.find(key)
		if found {
			node = t.slots[at] & nodeMask
			continue
		}
		if t.edges*2 >= len(t.slots) {
			t.enlarge()
			at, _ = t.find(key)
		}
		node = uint64(len(t.ids))
		if node >= maxNodes {
			return errVocabularySize
		}
		t.ids = append(t.ids, -1)
		t.slots[at] = key<<nodeBits | node
		t.edges++
	}
	t.ids[node] = id
	return nil
}

// edge is the edge in a slot.
func (t *trie) edge(slot uint64) (from int32, b byte, to int32) {
	key := slot >> nodeBits
	return int32(key >> 8), byte(key), int32(slot & nodeMask)
}

// find returns the slot of an edge, or the empty slot where it belongs.
func (t *trie) find(key uint64) (at uint64, found bool) {
	mask := uint64(len(t.slots) - 1)
	for i := key * 0x9E3779B97F4A7C15 >> t.shift; ; i = (i + 1) & mask {
		if s := t.slots[i]; s == 0 || s>>nodeBits == key {
			return i, s != 0
		}
	}
}

func (t *trie) enlarge() {
	old := t.slots
	t.slots, t.shift = make([]uint64, 2*len(old)), t.shift-1
	for _, s := range old {
		if s != 0 {
			at, _ := t.find(s >> nodeBits)
			t.slots[at] = s
		}
	}
}

// longest returns the longest piece under root that is a prefix of s, and its length, which is 0 if there is none.
func (t *trie) longest(root int, s []byte) (id int32, n int) {
	node := uint64(root)
	slots := t.slots
	mask := uint64(len(slots) - 1)
	for i, c := range s {
		key := node<<8 | uint64(c)
		at := key * 0x9E3779B97F4A7C15 >> t.shift
		for slots[at&mask]>>nodeBits != key {
			if slots[at&mask] == 0 {
				return id, n
			}
			at++
		}
		node = slots[at&mask] & nodeMask
		if e := t.ids[node]; e >= 0 {
			id, n = e, i+1
		}
	}
	return id, n
}

// longestString is longest for a string.
func (t *trie) longestString(root int, s string) (id int32, n int) {
	node := uint64(root)
	for i := range len(s) {
		at, found := t.find(node<<8 | uint64(s[i]))
		if !found {
			break
		}
		node = t.slots[at] & nodeMask
		if e := t.ids[node]; e >= 0 {
			id, n = e, i+1
		}
	}
	return id, n
}

// checkToken rejects a token that no text can match.
func checkToken(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("token %q is not valid UTF-8", clip(s))
	}
	return nil
}
