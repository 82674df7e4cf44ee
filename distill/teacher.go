package distill

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/checkpoint"
)

// teacher answers batches, one step after the other, ahead of the student and on threads of its own.
//
// Legend: B sequences, T tokens, H the teacher's width, V vocabulary.
type teacher struct {
	model   *bert.Model
	session *bert.Session
	need    need
	pieces  *pieces // its ids of the student's; nil: the same
	cache   *cache  // nil: none
	id      [sha256.Size]byte

	ctx    context.Context // ends with the run
	cancel context.CancelFunc
	asked  chan *question
	ended  sync.WaitGroup

	batch bert.Batch // of the session
}

// question is the batches of a step, and what the teacher said of them once answered is closed.
type question struct {
	step     int
	batches  []*bert.Batch
	answers  []*said
	err      error
	answered chan struct{}
}

// lead is the number of steps that the teacher is ahead of the student: enough that neither waits for the other where their times
// vary from step to step, and few enough that what waits for the student is little memory.
const lead = 2

// newTeacher starts the teacher's goroutine.
func newTeacher(m *bert.Model, n need, p *pieces, c *cache, id [sha256.Size]byte) *teacher {
	t := &teacher{model: m, session: m.NewSession(), need: n, pieces: p, cache: c, id: id, asked: make(chan *question, lead+1)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.ended.Go(func() {
		for q := range t.asked {
			q.answers, q.err = t.answers(q.batches)
			close(q.answered)
		}
	})
	return t
}

// close ends the goroutine, after the batch that it is at.
func (t *teacher) close() {
	t.cancel()
	close(t.asked)
	t.ended.Wait()
}

// ask begins to answer the batches of a step, which stay as they are.
func (t *teacher) ask(step int, batches []*bert.Batch) *question {
	q := &question{step: step, batches: slices.Clone(batches), answered: make(chan struct{})}
	t.asked <- q
	return q
}

// answers is what the teacher says of batches.
func (t *teacher) answers(batches []*bert.Batch) ([]*said, error) {
	list := make([]*said, len(batches))
	for i, b := range batches {
		if err := context.Cause(t.ctx); err != nil {
			return nil, err
		}
		var err error
		if list[i], err = t.answer(b); err != nil {
			return nil, fmt.Errorf("the teacher: %w", err)
		}
	}
	return list, nil
}

// answer is what the teacher says of a batch: of sequences that are in the cache, what it said then. What it says of a sequence has
// the same bits whatever is beside it.
func (t *teacher) answer(b *bert.Batch) (*said, error) {
	shape := t.shape(b)
	if t.cache == nil {
		out := t.room(b, shape)
		return out, t.compute(b, nil, shape, out)
	}
	var (
		out     = t.room(b, shape)
		keys    = make([]cacheKey, b.Len())
		unknown []int
	)
	for i := range b.Len() {
		keys[i] = t.key(b, i)
		if !t.cache.read(keys[i], shape.views(out, i)) {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) == 0 {
		return out, nil
	}
	if err := t.compute(b, unknown, shape, out); err != nil {
		return nil, err
	}
	entries := make([]cacheEntry, len(unknown))
	for k, i := range unknown {
		entries[k] = cacheEntry{keys[i], shape.views(out, i)}
	}
	return out, t.cache.write(entries)
}

// shape is where what the teacher says of each sequence of a batch is.
type shape struct {
	need   *need
	hidden int
	// logits are the bounds of each sequence's logits, [B+1]; starts those of its tokens.
	logits, starts []int
}

func (t *teacher) shape(b *bert.Batch) *shape {
	c := t.model.Config()
	s := &shape{need: &t.need, hidden: c.HiddenSize, starts: b.Starts}
	if !t.need.Logits {
		return s
	}
	masked := 0
	for i := range b.Len() + 1 {
		at := 0
		switch t.model.Head() {
		case bert.TokenClassification:
			at = b.Starts[i] * len(c.Labels)
		case bert.QuestionAnswering:
			at = b.Starts[i] * 2
		case bert.MultipleChoice:
			at = i
		case bert.MaskedLM:
			for masked < len(b.MaskedPositions) && int(b.MaskedPositions[masked]) < b.Starts[i] {
				masked++
			}
			at = masked * c.VocabSize
		default:
			at = i * len(c.Labels)
		}
		s.logits = append(s.logits, at)
	}
	return s
}

// room is memory for what the teacher says of a batch.
func (t *teacher) room(b *bert.Batch, s *shape) *said {
	out := new(said)
	if s.logits != nil {
		out.logits = make([]float32, s.logits[b.Len()])
	}
	out.makeRoom(&t.need, b.Tokens(), s.hidden)
	return out
}

// makeRoom makes memory for hidden states and for queries, keys and values.
func (s *said) makeRoom(n *need, tokens, width int) {
	s.hidden, s.qkv = make(map[int][]float32, len(n.Hidden)), make(map[int][]float32, len(n.QKV))
	for _, layer := range n.Hidden {
		s.hidden[layer] = make([]float32, tokens*width)
	}
	for _, layer := range n.QKV {
		s.qkv[layer] = make([]float32, 3*tokens*width)
	}
}

// views are the parts of out that belong to sequence i, in an order that is always the same.
func (s *shape) views(out *said, i int) [][]float32 {
	var list [][]float32
	if s.logits != nil {
		list = append(list, out.logits[s.logits[i]:s.logits[i+1]])
	}
	from, to := s.starts[i], s.starts[i+1]
	for _, layer := range s.need.Hidden {
		list = append(list, out.hidden[layer][from*s.hidden:to*s.hidden])
	}
	for _, layer := range s.need.QKV {
		list = append(list, out.qkv[layer][3*from*s.hidden:3*to*s.hidden])
	}
	return list
}

// compute runs the model over sequences of a batch, nil for all of them, and puts what it says into out.
func (t *teacher) compute(b *bert.Batch, sequences []int, s *shape, out *said) error {
	asked := b
	if sequences != nil || t.pieces != nil {
		if sequences == nil {
			for i := range b.Len() {
				sequences = append(sequences, i)
			}
		}
		asked = &t.batch
		if err := t.pick(asked, b, sequences); err != nil {
			return err
		}
	}
	said, err := t.forward(asked)
	if err != nil {
		return err
	}
	if sequences == nil {
		copyViews(out, said, s, s, b.Len(), func(i int) int { return i })
		return nil
	}
	copyViews(out, said, s, t.shape(asked), len(sequences), func(i int) int { return sequences[i] })
	return nil
}

// copyViews copies what was said of each of n sequences to its place.
func copyViews(to, from *said, toShape, fromShape *shape, n int, place func(int) int) {
	for i := range n {
		dst, src := toShape.views(to, place(i)), fromShape.views(from, i)
		for k := range src {
			copy(dst[k], src[k])
		}
	}
}

// pick makes a batch of sequences of another, with the teacher's ids.
func (t *teacher) pick(to, from *bert.Batch, sequences []int) error {
	to.Reset()
	to.Choices = 1 // what a choice gets depends on its sequence alone
	masked := 0
	for _, i := range sequences {
		begin, end := from.Sequence(i)
		at := to.Tokens()
		to.Add(from.IDs[begin:end], from.TypeIDs[begin:end])
		if t.pieces != nil {
			if err := t.pieces.translate(to.IDs[at:]); err != nil {
				return err
			}
		}
		for masked < len(from.MaskedPositions) && int(from.MaskedPositions[masked]) < begin {
			masked++
		}
		for ; masked < len(from.MaskedPositions) && int(from.MaskedPositions[masked]) < end; masked++ {
			to.MaskedPositions = append(to.MaskedPositions, from.MaskedPositions[masked]-int32(begin-at))
		}
	}
	return nil
}

// forward is a pass, whose results are good until the next.
func (t *teacher) forward(b *bert.Batch) (*said, error) {
	got, err := t.session.Forward(b, bert.Outputs{Hidden: len(t.need.Hidden) > 0, QKV: len(t.need.QKV) > 0})
	if err != nil {
		return nil, err
	}
	return saidBy(got, &t.need), nil
}

// saidBy is the outputs of a session, as far as they are asked for.
func saidBy(got *bert.Output, n *need) *said {
	s := &said{logits: got.Logits, hidden: make(map[int][]float32), qkv: make(map[int][]float32)}
	for _, layer := range n.Hidden {
		s.hidden[layer] = got.Hidden[layer]
	}
	for _, layer := range n.QKV {
		s.qkv[layer] = got.QKV[layer]
	}
	return s
}

// key is the digest of the teacher, of what it is asked, and of sequence i.
func (t *teacher) key(b *bert.Batch, i int) cacheKey {
	from, to := b.Sequence(i)
	h := sha256.New()
	h.Write(t.id[:])
	buffer := binary.LittleEndian.AppendUint64(nil, uint64(to-from))
	for j := from; j < to; j++ {
		buffer = binary.LittleEndian.AppendUint32(buffer, uint32(b.IDs[j]))
		buffer = binary.LittleEndian.AppendUint32(buffer, uint32(b.TypeIDs[j]))
	}
	if t.need.Logits && t.model.Head() == bert.MaskedLM {
		for _, p := range b.MaskedPositions {
			if int(p) >= from && int(p) < to {
				buffer = binary.LittleEndian.AppendUint32(buffer, uint32(int(p)-from))
			}
		}
	}
	h.Write(buffer)
	return cacheKey(h.Sum(nil))
}

// digest identifies a model by its configuration, its numbers and what they are computed with.
func digest(m *bert.Model) (id [sha256.Size]byte, err error) {
	h := sha256.New()
	c := m.Config()
	config, err := json.Marshal(&c)
	if err != nil {
		return id, err
	}
	precision, _ := m.Precision()
	fmt.Fprintf(h, "%s\n%v\n%v\n%s\n", config, m.Head(), precision, m.Kernels())
	for _, p := range m.Params() {
		values, err := m.Values(p.Name)
		if err != nil {
			return id, err
		}
		data, err := checkpoint.FromFloat32(checkpoint.F32, values)
		if err != nil {
			return id, err
		}
		fmt.Fprintf(h, "%s %v\n", p.Name, p.Shape)
		h.Write(data)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
