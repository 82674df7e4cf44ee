package serve

import (
	"container/list"
	"crypto/sha256"

	"github.com/go-bert/bert/task"
)

// cacheKey is the digest of a model, its options, and the ids of an input.
type cacheKey [sha256.Size]byte

// cache keeps answers, the last used longest. It is guarded by the scheduler's mutex; nil is one that keeps nothing.
type cache struct {
	most, size int64
	byKey      map[cacheKey]*list.Element // of *cached
	recent     list.List                  // the last used first
}

type cached struct {
	key   cacheKey
	value any
	size  int64
}

func newCache(most int64) *cache {
	if most <= 0 {
		return nil
	}
	return &cache{most: most, byKey: make(map[cacheKey]*list.Element)}
}

func (c *cache) has(key cacheKey) bool { return c != nil && c.byKey[key] != nil }

func (c *cache) get(key cacheKey) (any, bool) {
	if c == nil {
		return nil, false
	}
	at := c.byKey[key]
	if at == nil {
		return nil, false
	}
	c.recent.MoveToFront(at)
	return at.Value.(*cached).value, true
}

// put keeps an answer, unless it alone would take a large part of the memory.
func (c *cache) put(key cacheKey, value any) {
	if c == nil || c.byKey[key] != nil {
		return
	}
	one := &cached{key, value, sizeOf(value)}
	if one.size > c.most/16 {
		return
	}
	c.byKey[key] = c.recent.PushFront(one)
	for c.size += one.size; c.size > c.most; {
		last := c.recent.Remove(c.recent.Back()).(*cached)
		delete(c.byKey, last.key)
		c.size -= last.size
	}
}

// sizeOf is about how many bytes an answer takes, with its place in the cache.
func sizeOf(value any) int64 {
	const (
		place  = 300
		header = 24 // of a slice; a little more than of a string
	)
	n := place
	scores := func(s task.Scores) { n += len(s) * 2 * header } // labels are the model's
	texts := func(list []string) {
		for _, s := range list {
			n += header + len(s)
		}
	}
	switch v := value.(type) {
	case task.Encoded:
		n += 4*len(v.Pooled) + header*len(v.Tokens)
		for _, l := range v.Layers {
			for _, row := range l.Values {
				n += header + 4*len(row)
			}
		}
	case task.Prediction:
		scores(v.Probabilities)
		scores(v.LogProbabilities)
		scores(v.Values)
		n += 4*len(v.Logits) + len(v.Label)
		texts(v.Labels)
		for _, s := range v.Probabilities {
			n += len(s.Label) // of choices, the request's
		}
		for _, e := range v.Entities {
			n += 4*header + len(e.Text)
		}
		for _, a := range v.NBest {
			n += 3*header + len(a.Text)
		}
	case []task.Mask:
		for _, m := range v {
			n += header + 2*header*len(m.Candidates)
		}
	case []float32:
		n += 4 * len(v)
	case []task.SparseWeight:
		n += 8 * len(v)
	}
	return int64(n)
}
