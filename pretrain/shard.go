package pretrain

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/go-bert/bert/internal/random"
)

// A file of instances in the package's own format, all numbers little-endian:
//
//	header       [headerSize]byte, as in shardHeader
//	ends         [N]uint32      the end of each instance in ids
//	maskEnds     [N]uint32      the end of each instance in positions and masked; static sets only
//	firsts       [N]uint16      the length of the first segment, including [CLS] and [SEP]
//	nexts        [N]int8        Next
//	ids          [T]id          the tokens as the model sees them: masked in a static set
//	positions    [M]uint16      the masked positions, increasing in each instance; static sets only
//	masked       [M]id          the original ids there; static sets only
//	checksum     uint32         CRC-32C of everything before it
//
// Each array and the checksum begin at a multiple of 8, after padding with zeros. An id is a uint16, or a uint32 if the vocabulary
// has more than 65,536 tokens.
//
// Legend: N instances, T tokens, M masked tokens.
const (
	shardMagic   = "BERTINST"
	shardVersion = 1
	headerSize   = 128
)

// Flags of the header.
const (
	flagWide   = 1 << iota // ids are uint32
	flagStatic             // masks are stored
	flagPaired             // made for next-sentence prediction
)

// shardHeader is the header of a file.
type shardHeader struct {
	flags                        uint32
	group                        uint32
	maxSeqLength, maxPredictions uint32
	vocabSize                    uint32
	instances, tokens, masks     uint64   // N, T, M
	vocabulary                   [32]byte // Vocabulary.SHA256
	text                         [32]byte // SHA-256 of the group's text
}

func (h *shardHeader) idSize() uint64 {
	if h.flags&flagWide != 0 {
		return 4
	}
	return 2
}

func (h *shardHeader) append(b []byte) []byte {
	b = append(b, shardMagic...)
	for _, v := range []uint32{shardVersion, h.flags, h.group, h.maxSeqLength, h.maxPredictions, h.vocabSize} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, v := range []uint64{h.instances, h.tokens, h.masks} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(append(b, h.vocabulary[:]...), h.text[:]...)
	return append(b, make([]byte, headerSize-len(b)%headerSize)...)
}

// arrays returns the sizes of the arrays in bytes, in order.
func (h *shardHeader) arrays() [7]uint64 {
	a := [7]uint64{4 * h.instances, 0, 2 * h.instances, h.instances, h.idSize() * h.tokens, 0, 0}
	if h.flags&flagStatic != 0 {
		a[1], a[5], a[6] = 4*h.instances, 2*h.masks, h.idSize()*h.masks
	}
	return a
}

// align rounds up to the next multiple of 8.
func align(n uint64) uint64 { return (n + 7) &^ 7 }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// instances are the instances of a group in the making: the segments of each in the text, and its masks. Their ids, which need ten
// times the memory, are assembled when they are written.
//
// Legend: N instances, M masked tokens.
type instances struct {
	wide, static bool
	cls, sep     int32
	text         *text

	compositions []composition // [N]
	tokens       uint64        // of all instances
	positions    []uint16      // [M], rising in each instance
	shown        []int32       // [M]: the ids that the model sees there

	packed []byte // the text's ids, encoded as in the file
	masked []byte // the original ids at positions, encoded as in the file
}

// composition is what an instance is made of: [CLS] a [SEP] b [SEP], or [CLS] a [SEP] if next is NotPaired.
type composition struct {
	a, b      span
	firstMask uint64
	masks     uint16
	next      Next
}

// first is the length of the first segment, [CLS] and [SEP] included.
func (r *composition) first() int { return r.a.len() + 2 }

func (r *composition) len() int {
	if r.next == NotPaired {
		return r.first()
	}
	return r.first() + r.b.len() + 1
}

// reset removes all instances and keeps the memory.
func (s *instances) reset() {
	s.compositions, s.tokens, s.positions, s.shown = s.compositions[:0], 0, s.positions[:0], s.shown[:0]
}

// grow makes room for about so many tokens of text, so that what is there is not moved about as it becomes more.
func (s *instances) grow(o *InstanceOptions, tokens int) {
	tokens += tokens / 4 // special tokens, and those that several instances have
	s.compositions = slices.Grow(s.compositions, tokens/o.MaxSeqLength)
	if s.static {
		masked := int(float64(tokens) * o.MaskedLMProb)
		s.positions = slices.Grow(s.positions, masked)
		s.shown = slices.Grow(s.shown, masked)
	}
}

// add adds an instance, whose ids are masked at the positions.
func (s *instances) add(r composition, positions, ids []int32) {
	r.firstMask, r.masks = uint64(len(s.positions)), uint16(len(positions))
	s.compositions = append(s.compositions, r)
	s.tokens += uint64(r.len())
	for _, p := range positions {
		s.positions = append(s.positions, uint16(p))
		s.shown = append(s.shown, ids[p])
	}
}

// appendUnmasked appends the ids of an instance before they are masked.
func (s *instances) appendUnmasked(ids []int32, r *composition) []int32 {
	ids = append(append(append(ids, s.cls), s.text.ids[r.a.start:r.a.end]...), s.sep)
	if r.next != NotPaired {
		ids = append(append(ids, s.text.ids[r.b.start:r.b.end]...), s.sep)
	}
	return ids
}

// masksOf are the masked positions of an instance and what is shown there.
func (s *instances) masksOf(r *composition) (positions []uint16, shown []int32) {
	from, to := r.firstMask, r.firstMask+uint64(r.masks)
	return s.positions[from:to], s.shown[from:to]
}

func appendIDs(b []byte, ids []int32, wide bool) []byte {
	if wide {
		for _, id := range ids {
			b = appendID(b, id, wide)
		}
		return b
	}
	at := len(b)
	b = slices.Grow(b, 2*len(ids))[:at+2*len(ids)]
	for i, id := range ids {
		binary.LittleEndian.PutUint16(b[at+2*i:], uint16(id))
	}
	return b
}

func appendID(b []byte, id int32, wide bool) []byte {
	if wide {
		return binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return binary.LittleEndian.AppendUint16(b, uint16(id))
}

func putID(b []byte, id int32, wide bool) {
	if wide {
		binary.LittleEndian.PutUint32(b, uint32(id))
	} else {
		binary.LittleEndian.PutUint16(b, uint16(id))
	}
}

func readID(b []byte, i uint64, wide bool) int32 {
	if wide {
		return int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return int32(binary.LittleEndian.Uint16(b[2*i:]))
}

func (s *instances) idSize() uint64 {
	if s.wide {
		return 4
	}
	return 2
}

func (s *instances) shuffle(rng *random.Stream) {
	rng.Shuffle(len(s.compositions), func(i, j int) { s.compositions[i], s.compositions[j] = s.compositions[j], s.compositions[i] })
}

// write writes the file.
func (s *instances) write(w io.Writer, h shardHeader) error {
	h.instances, h.tokens, h.masks = uint64(len(s.compositions)), s.tokens, uint64(len(s.positions))
	if h.tokens > math.MaxUint32 {
		return fmt.Errorf("one group of documents gives %d tokens, want at most %d: make the groups smaller", h.tokens, uint32(math.MaxUint32))
	}
	if s.wide {
		h.flags |= flagWide
	}
	if s.static {
		h.flags |= flagStatic
	}
	c := &checkedWriter{w: w}
	c.write(h.append(nil))

	array := func(appendOne func(b []byte, r *composition) []byte) {
		b := make([]byte, 0, 1<<17)
		for i := range s.compositions {
			if b = appendOne(b, &s.compositions[i]); len(b) >= 1<<16 {
				c.write(b)
				b = b[:0]
			}
		}
		c.write(b)
		c.align()
	}
	ends := func(size func(r *composition) int) {
		total := uint32(0)
		array(func(b []byte, r *composition) []byte {
			total += uint32(size(r))
			return binary.LittleEndian.AppendUint32(b, total)
		})
	}
	ends((*composition).len)
	if s.static {
		ends(func(r *composition) int { return int(r.masks) })
	}
	array(func(b []byte, r *composition) []byte { return binary.LittleEndian.AppendUint16(b, uint16(r.first())) })
	array(func(b []byte, r *composition) []byte { return append(b, byte(r.next)) })
	s.packed, s.masked = appendIDs(s.packed[:0], s.text.ids, s.wide), s.masked[:0]
	array(s.appendMasked)
	if s.static {
		array(func(b []byte, r *composition) []byte {
			positions, _ := s.masksOf(r)
			at := len(b)
			b = slices.Grow(b, 2*len(positions))[:at+2*len(positions)]
			for i, p := range positions {
				binary.LittleEndian.PutUint16(b[at+2*i:], p)
			}
			return b
		})
		c.write(s.masked)
		c.align()
	}
	c.write(binary.LittleEndian.AppendUint32(nil, c.sum))
	return c.err
}

// appendMasked appends the ids of an instance to b, as the model sees them, and what stood where they are masked to
// s.masked.
func (s *instances) appendMasked(b []byte, r *composition) []byte {
	size := int(s.idSize())
	start := len(b)
	b = appendID(b, s.cls, s.wide)
	b = append(b, s.packed[size*int(r.a.start):size*int(r.a.end)]...)
	b = appendID(b, s.sep, s.wide)
	if r.next != NotPaired {
		b = append(b, s.packed[size*int(r.b.start):size*int(r.b.end)]...)
		b = appendID(b, s.sep, s.wide)
	}
	positions, shown := s.masksOf(r)
	instance, masked := b[start:], s.masked
	for i, p := range positions {
		masked = appendID(masked, readID(instance, uint64(p), s.wide), s.wide)
		putID(instance[size*int(p):], shown[i], s.wide)
	}
	s.masked = masked
	return b
}

// A checkedWriter computes the checksum of the bytes written, and keeps the first error.
type checkedWriter struct {
	w   io.Writer
	n   uint64
	sum uint32
	err error
}

func (c *checkedWriter) write(b []byte) {
	if c.err != nil {
		return
	}
	c.sum = crc32.Update(c.sum, castagnoli, b)
	c.n += uint64(len(b))
	_, c.err = c.w.Write(b)
}

func (c *checkedWriter) align() { c.write(make([]byte, align(c.n)-c.n)) }

// A shard is a file of instances in the package's own format, in memory.
type shard struct {
	shardHeader
	ends, maskEnds, firsts, nexts, ids, positions, masked []byte
}

var errTruncated = errors.New("the file is truncated")

// parseShard checks a whole file, so that all instances read later are valid. It allocates no memory of a size that the file
// claims.
func parseShard(data []byte) (*shard, error) {
	if len(data) < len(shardMagic) || string(data[:len(shardMagic)]) != shardMagic {
		return nil, errors.New("not a file of instances")
	}
	if len(data) < headerSize+4 {
		return nil, fmt.Errorf("%w: %d bytes, want a header of %d", errTruncated, len(data), headerSize)
	}
	u32 := func(i int) uint32 { return binary.LittleEndian.Uint32(data[8+4*i:]) }
	u64 := func(i int) uint64 { return binary.LittleEndian.Uint64(data[32+8*i:]) }
	if v := u32(0); v != shardVersion {
		return nil, fmt.Errorf("version %d of the format, want %d: made by a different release of bert", v, shardVersion)
	}
	s := &shard{shardHeader: shardHeader{
		flags: u32(1), group: u32(2), maxSeqLength: u32(3), maxPredictions: u32(4), vocabSize: u32(5),
		instances: u64(0), tokens: u64(1), masks: u64(2),
	}}
	copy(s.vocabulary[:], data[56:])
	copy(s.text[:], data[88:])
	// Within these bounds no size overflows.
	if s.instances > math.MaxUint32 || s.tokens > math.MaxUint32 || s.masks > math.MaxUint32 || s.flags >= 8 ||
		s.vocabSize > math.MaxInt32 || s.maxSeqLength > math.MaxUint16 {
		return nil, errors.New("the header is damaged")
	}
	sizes := s.arrays()
	want := uint64(headerSize)
	for _, n := range sizes {
		want += align(n)
	}
	want += 4
	switch {
	case uint64(len(data)) < want:
		return nil, fmt.Errorf("%w: %d bytes, want %d", errTruncated, len(data), want)
	case uint64(len(data)) > want:
		return nil, fmt.Errorf("%d bytes, but the header says %d", len(data), want)
	}
	body := data[:want-4]
	if got, want := crc32.Checksum(body, castagnoli), binary.LittleEndian.Uint32(data[want-4:]); got != want {
		return nil, fmt.Errorf("damaged: checksum %08x, want %08x", got, want)
	}
	at := uint64(headerSize)
	for i, array := range []*[]byte{&s.ends, &s.maskEnds, &s.firsts, &s.nexts, &s.ids, &s.positions, &s.masked} {
		*array = data[at : at+sizes[i] : at+sizes[i]]
		at += align(sizes[i])
	}
	return s, s.check()
}

// check checks every instance.
func (s *shard) check() error {
	static, wide := s.flags&flagStatic != 0, s.flags&flagWide != 0
	known := func(ids []byte, from, to uint64) bool {
		ok := true
		for i := from; i < to; i++ {
			ok = ok && uint32(readID(ids, i, wide)) < s.vocabSize
		}
		return ok
	}
	var end, maskEnd uint64
	for i := range s.instances {
		start, maskStart := end, maskEnd
		end = uint64(binary.LittleEndian.Uint32(s.ends[4*i:]))
		first := uint64(binary.LittleEndian.Uint16(s.firsts[2*i:]))
		next := Next(s.nexts[i])
		bad := func(what string) error { return fmt.Errorf("instance %d: %s", i, what) }
		switch {
		case end <= start || end > s.tokens || end-start > uint64(s.maxSeqLength):
			return bad("its length is out of range")
		case first < 2 || first > end-start || next < NotPaired || next > RandomNext || (next == NotPaired) != (first == end-start):
			return bad("its segments are out of range")
		case !known(s.ids, start, end):
			return bad("an id is not in the vocabulary")
		}
		if !static {
			continue
		}
		maskEnd = uint64(binary.LittleEndian.Uint32(s.maskEnds[4*i:]))
		if maskEnd < maskStart || maskEnd > s.masks || maskEnd-maskStart > uint64(s.maxPredictions) {
			return bad("the number of its masked tokens is out of range")
		}
		before := uint64(0) // [CLS] is never masked
		for m := maskStart; m < maskEnd; m++ {
			p := uint64(binary.LittleEndian.Uint16(s.positions[2*m:]))
			if p <= before || p >= end-start {
				return bad("a masked position is out of range")
			}
			before = p
		}
		if !known(s.masked, maskStart, maskEnd) {
			return bad("a masked id is not in the vocabulary")
		}
	}
	if end != s.tokens || static && maskEnd != s.masks {
		return errors.New("its instances have fewer tokens than its header says")
	}
	return nil
}

// agrees says where a file differs from the set that it is in.
func (s *shard) agrees(o *InstanceOptions, v Vocabulary, group int) error {
	switch {
	case hex.EncodeToString(s.vocabulary[:]) != v.SHA256 || int(s.vocabSize) != v.Size:
		return fmt.Errorf("made with another vocabulary (%d tokens, SHA-256 %x…) than the set (%d, %.8s…)", s.vocabSize, s.vocabulary[:4], v.Size, v.SHA256)
	case int(s.group) != group:
		return fmt.Errorf("file number %d of its set, want %d", s.group, group)
	case (s.flags&flagStatic == 0) != o.Dynamic || (s.flags&flagPaired != 0) != o.NextSentence || (s.flags&flagWide != 0) != v.wide():
		return errors.New("made with other options than its set")
	}
	return nil
}

func (s *shard) describe() fileInfo {
	return fileInfo{
		instances: int(s.instances), tokens: int64(s.tokens), masked: int64(s.masks), maxSeqLength: int(s.maxSeqLength),
		maxPredictions: int(s.maxPredictions), paired: s.flags&flagPaired != 0, highestID: int32(s.vocabSize) - 1,
	}
}

func span64(ends []byte, i int) (start, end uint64) {
	if i > 0 {
		start = uint64(binary.LittleEndian.Uint32(ends[4*(i-1):]))
	}
	return start, uint64(binary.LittleEndian.Uint32(ends[4*i:]))
}

func (s *shard) length(i int) int {
	start, end := span64(s.ends, i)
	return int(end - start)
}

func (s *shard) instance(i int, to *Instance) error {
	wide := s.flags&flagWide != 0
	start, end := span64(s.ends, i)
	first := uint64(binary.LittleEndian.Uint16(s.firsts[2*i:]))
	to.IDs, to.TypeIDs = to.IDs[:0], to.TypeIDs[:0]
	for k := start; k < end; k++ {
		to.IDs = append(to.IDs, readID(s.ids, k, wide))
		to.TypeIDs = append(to.TypeIDs, typeID(k-start, first))
	}
	to.Positions, to.MaskedIDs = to.Positions[:0], to.MaskedIDs[:0]
	if s.flags&flagStatic != 0 {
		start, end := span64(s.maskEnds, i)
		for k := start; k < end; k++ {
			to.Positions = append(to.Positions, int32(binary.LittleEndian.Uint16(s.positions[2*k:])))
			to.MaskedIDs = append(to.MaskedIDs, readID(s.masked, k, wide))
		}
	}
	to.Next = Next(s.nexts[i])
	return nil
}

// typeID returns the type id of the token at a position, where first is the length of the first segment.
func typeID(position, first uint64) int32 {
	if position < first {
		return 0
	}
	return 1
}
