package serve

import (
	"cmp"
	"container/list"
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/tokenizer"
)

// model is one generation of a loaded model. After a reload the next one has its name, and it lives on until the last call that holds
// it has ended.
type model struct {
	name   string
	spec   ModelSpec
	shared *task.Shared
	loaded time.Time
	digest string // of the files

	users atomic.Int64 // calls and jobs that hold it, and one while it is served
	gone  func()       // is called when the last has let go, and must not wait

	lanes lanes
	meter meter
}

// description says what the model is.
func (m *model) description() *task.Description { return m.shared.Description() }

// tokenizer is nil of a model that takes ids alone.
func (m *model) tokenizer() *tokenizer.Tokenizer { return m.description().Tokenizer }

// hold keeps the model open. It is false of one that has been closed.
func (m *model) hold() bool {
	for {
		n := m.users.Load()
		if n == 0 {
			return false
		}
		if m.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (m *model) release() {
	if m.users.Add(-1) == 0 {
		m.gone()
	}
}

// can reports whether the model can be used so.
func (m *model) can(u Use) *Error { return u.check(m.description()) }

// uses are what the model can do.
func (m *model) uses() []Use { return uses(m.description()) }

// maxTokens is the most tokens of a sequence, for a use: the limit that holds.
func (m *model) maxTokens(u Use) int {
	l, err := m.lanes.get(m, laneKey{use: u, topK: 1, labels: encodeLabels([]string{"a"}), pooling: m.pooling(), maxTokens: m.spec.MaxTokens})
	if err != nil {
		return m.description().Config.MaxPositionEmbeddings
	}
	return l.maxTokens
}

// pooling is how vectors of texts are made.
func (m *model) pooling() task.Pooling {
	if m.spec.Pooling != task.ModelPooling {
		return m.spec.Pooling
	}
	if p := m.description().Pipeline; p != nil && !p.CrossEncoder {
		return task.ModelPooling
	}
	return task.MeanPooling
}

// plainLength is the length that texts are truncated to where vectors are made of a model that says none; else 0.
func (m *model) plainLength() int {
	d := m.description()
	if d.Pipeline != nil && !d.Pipeline.CrossEncoder {
		return 0
	}
	most := d.Config.MaxPositionEmbeddings
	if d.Tokenizer != nil {
		if n := d.Tokenizer.Config().ModelMaxLength; n >= 3 && n < most {
			most = n
		}
	}
	return most
}

// vectors is the key of the lane of vectors, where a request says nothing.
func (m *model) vectors() laneKey {
	return laneKey{use: Embed, pooling: m.pooling(), maxTokens: m.spec.MaxTokens}
}

// similarity is how vectors of the model are compared.
func (m *model) similarity(a, b []float32) float64 {
	if p := m.description().Pipeline; p != nil && m.pooling() == task.ModelPooling {
		return p.Similarity.Of(a, b)
	}
	return sentence.Cosine.Of(a, b)
}

// laneKey says how inputs are answered: those that are can be in a batch. Which fields count depends on the use.
type laneKey struct {
	use        Use
	cut        task.Cut
	maxTokens  int
	pooling    task.Pooling
	prompt     string
	ownPrompt  bool // prompt is one, even if it is ""
	promptName string
	topK       int    // of FillMask
	labels     string // of ZeroShot: see encodeLabels. Of FillMask the ids that may be chosen: see encodeIDs
	raw        bool   // of models with a head: its logits for ready-made ids, in place of an answer
	template   string
	multiLabel bool
	docStride  int
	nullable   int8 // of Answer: 0 as the model says, 1 there may be no answer, −1 there is one
}

// lane answers inputs of one model in one way.
type lane struct {
	model     *model // nil in tests of the scheduler
	key       laneKey
	id        [sha256.Size]byte // of the model and the key, for the cache
	maxTokens int
	meter     *meter
	prepare   func(in *data.Input) (task.Prepared, error)
	// answer answers inputs, each a *task.Prepared.
	answer func(ctx context.Context, inputs []any) ([]any, error)
}

// hold keeps the lane's model open, for who has it open already.
func (l *lane) hold() {
	if l.model != nil {
		l.model.hold()
	}
}

func (l *lane) release() {
	if l.model != nil {
		l.model.release()
	}
}

func newLane[T any](m *model, key laneKey, use task.Use[T]) (*lane, error) {
	o := task.ShareOptions{Cut: key.cut}
	if key.maxTokens > 0 || key.docStride > 0 || key.nullable != 0 {
		o.Spec = func(s *task.Spec) {
			if key.maxTokens > 0 {
				s.MaxSeqLength = min(s.MaxSeqLength, key.maxTokens)
			}
			if key.docStride > 0 {
				s.DocStride = key.docStride
			}
			if key.nullable != 0 {
				s.Unanswerable = key.nullable > 0
			}
		}
	}
	r, err := task.Share(m.shared, use, o)
	if err != nil {
		return nil, err
	}
	return &lane{
		model: m, key: key, id: sha256.Sum256(fmt.Appendf(nil, "%s\x00%+v", m.digest, key)), maxTokens: r.MaxSeqLength(), meter: &m.meter,
		prepare: r.Prepare,
		answer: func(ctx context.Context, inputs []any) ([]any, error) {
			prepared := make([]task.Prepared, len(inputs))
			for i := range inputs {
				prepared[i] = *inputs[i].(*task.Prepared)
			}
			answers, err := r.Answer(ctx, prepared)
			if err != nil {
				return nil, err
			}
			boxed := make([]any, len(answers))
			for i := range answers {
				boxed[i] = answers[i]
			}
			return boxed, nil
		},
	}, nil
}

// openLane makes the lane of a key.
func openLane(m *model, key laneKey) (*lane, error) {
	encode := task.EncodeOptions{MaxLength: cmp.Or(key.maxTokens, m.plainLength()), PromptName: key.promptName}
	if key.ownPrompt {
		encode.Prompt = &key.prompt
	}
	switch key.use {
	case Embed, Compare:
		encode.Pooling = key.pooling
		return newLane(m, key, task.Encode(encode))
	case EmbedTokens:
		encode.Pooling, encode.Layers = task.NoPooling, []int{-1}
		return newLane(m, key, task.Encode(encode))
	case FillMask:
		return newLane(m, key, task.FillMask(key.topK, decodeIDs(key.labels)...))
	case EmbedSparse:
		return newLane(m, key, task.Sparse(task.SparseOptions{MaxLength: key.maxTokens, TruncateLeft: key.cut == task.CutLeft}))
	case ZeroShot:
		return newLane(m, key, task.ZeroShot(task.ZeroShotOptions{Labels: decodeLabels(key.labels), Template: key.template, MultiLabel: key.multiLabel}))
	case Classify, Tag, Answer, Choose, Rerank:
		if key.raw {
			return newLane(m, key, task.Logits())
		}
		return newLane(m, key, task.Predict())
	}
	return nil, errorf(BadRequest, "%v runs no model", key.use)
}

// maxLanes bounds the lanes of a model that are kept. Beyond that, those go that were used longest ago.
const maxLanes = 256

// maxKeptKey is how many bytes of text a key may have that is kept.
const maxKeptKey = 16 << 10

// lanes are those of a model, by key.
type lanes struct {
	mu     sync.Mutex
	byKey  map[laneKey]*list.Element // of *lane
	recent list.List                 // the last used first
}

func (l *lanes) get(m *model, key laneKey) (*lane, error) {
	if len(key.labels)+len(key.template)+len(key.prompt)+len(key.promptName) > maxKeptKey {
		return openLane(m, key)
	}
	l.mu.Lock()
	if at := l.byKey[key]; at != nil {
		l.recent.MoveToFront(at)
		l.mu.Unlock()
		return at.Value.(*lane), nil
	}
	l.mu.Unlock()
	made, err := openLane(m, key)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.byKey[key]; at != nil { // made by another call meanwhile
		return at.Value.(*lane), nil
	}
	if l.byKey == nil {
		l.byKey = make(map[laneKey]*list.Element)
	}
	l.byKey[key] = l.recent.PushFront(made)
	if l.recent.Len() > maxLanes {
		last := l.recent.Back()
		l.recent.Remove(last)
		delete(l.byKey, last.Value.(*lane).key)
	}
	return made, nil
}
