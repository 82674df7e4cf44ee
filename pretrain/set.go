package pretrain

import (
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/go-bert/bert/internal/random"
	"github.com/go-bert/bert/tokenizer"
)

// Info is what training needs to know of a set.
type Info struct {
	// Options are those that the set was made with. Of files that others made, only MaxSeqLength, MaxPredictions,
	// NextSentence and Format are known.
	Options InstanceOptions
	// Vocabulary is zero where a folder of files that others made has no tokenizer.
	Vocabulary Vocabulary
	Instances  int
	Tokens     int64 // of all instances, special ones included
	// MaskedTokens are those of an epoch; in a dynamic set at most so many.
	MaskedTokens int64
	Longest      int // instance, in tokens
	// SHA256 identifies the set: the instances, their order and how they are masked.
	SHA256 string
}

// Set is a set of instances: a Source whose files are mapped, not read, where the system can. They must not be written
// into while it is open; InstanceJob replaces files by renaming, which is safe.
type Set struct {
	path      string
	info      Info
	tokenizer *tokenizer.Tokenizer // nil: not known
	files     []file
	starts    []int          // the number of the first instance of each file
	release   []func() error // one for each file
	maskers   sync.Pool      // of *masker, in a dynamic set
}

var _ Source = (*Set)(nil)

// file is a file of instances that has been checked.
type file interface {
	describe() fileInfo
	length(i int) int
	instance(i int, to *Instance) error
}

// fileInfo is what a file says of itself.
type fileInfo struct {
	instances                    int
	tokens, masked               int64
	maxSeqLength, maxPredictions int
	paired                       bool // instances are pairs
	highestID                    int32
}

// Close lets go of the files. What Instance filled in stays good.
func (s *Set) Close() error {
	var err error
	for _, release := range s.release {
		err = errors.Join(err, release())
	}
	s.files, s.release = nil, nil
	return err
}

// Path is the folder or file that Open was given.
func (s *Set) Path() string { return s.path }

// Paired reports whether the instances are pairs of segments, with a label for next-sentence prediction.
func (s *Set) Paired() bool { return s.info.Options.NextSentence }

// Info says what the set is.
func (s *Set) Info() Info { return s.info }

// Tokenizer is the one that the set was made with, nil where Info has no Vocabulary.
func (s *Set) Tokenizer() *tokenizer.Tokenizer { return s.tokenizer }

// Len is the number of instances.
func (s *Set) Len() int { return s.info.Instances }

// find returns the file that instance i is in, and its number there.
func (s *Set) find(i int) (file, int) {
	k := sort.SearchInts(s.starts, i+1) - 1
	return s.files[k], i - s.starts[k]
}

// Length is the number of tokens of instance i, special ones included.
func (s *Set) Length(i int) int {
	f, i := s.find(i)
	return f.length(i)
}

// Instance fills to with instance i, as it is masked in an epoch, from 0.
func (s *Set) Instance(i, epoch int, to *Instance) error {
	if i < 0 || i >= s.info.Instances || epoch < 0 {
		return fmt.Errorf("instance %d of %d, epoch %d: out of range", i, s.info.Instances, epoch)
	}
	f, k := s.find(i)
	if err := f.instance(k, to); err != nil || !s.info.Options.Dynamic {
		return err
	}
	m := s.maskers.Get().(*masker)
	defer s.maskers.Put(m)
	first := len(to.IDs)
	for first > 0 && to.TypeIDs[first-1] == 1 {
		first--
	}
	rng := random.New(s.info.Options.Seed, forMasks, uint64(epoch), uint64(i))
	positions, masked := m.mask(to.IDs, first, &rng)
	to.Positions = append(to.Positions[:0], positions...)
	to.MaskedIDs = append(to.MaskedIDs[:0], masked...)
	return nil
}
