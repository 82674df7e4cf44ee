package pretrain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"sync"

	"github.com/go-bert/bert/internal/mmap"
	"github.com/go-bert/bert/internal/random"
	"github.com/go-bert/bert/tokenizer"
)

// Info is what training needs to know of a set.
type Info struct {
	// Options are those that the set was made with. Of Google's files only MaxSeqLength, MaxPredictions, NextSentence and
	// Format are known.
	Options    Options
	Vocabulary Vocabulary
	Instances  int
	Tokens     int64 // of all instances, special ones included
	// MaskedTokens are those of an epoch; in a dynamic set at most so many.
	MaskedTokens int64
	Files        int
}

// Set is a set of instances: a Source whose files are mapped, not read, where the system can. They must not be written
// into while it is open; Job replaces files by renaming, which is safe.
type Set struct {
	info      Info
	tokenizer *tokenizer.Tokenizer
	files     []file
	starts    []int     // the number of the first instance of each file
	maskers   sync.Pool // of *masker, in a dynamic set
}

var _ Source = (*Set)(nil)

// file is a file of instances that has been checked.
type file interface {
	len() int
	length(i int) int
	instance(i int, to *Instance) error
	close() error
}

// Open opens the set in a folder, and checks every file: checksums, sizes, that all belong together, every id.
func Open(dir string) (_ *Set, err error) {
	x, err := readIndex(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if isDir(dir) {
			return nil, fmt.Errorf("%s: no instances in it: want a folder that bert instances made", dir)
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if !x.Complete {
		return nil, fmt.Errorf("%s: the instances are not complete: run the bert instances command that makes them with --resume", dir)
	}
	t, err := tokenizer.Load(dir)
	if err != nil {
		return nil, err
	}
	if v := VocabularyOf(t); v != x.Vocabulary {
		return nil, fmt.Errorf("%s: its vocabulary has %d tokens, SHA-256 %.8s…; its instances were made with one of %d, %.8s…",
			dir, v.Size, v.SHA256, x.Vocabulary.Size, x.Vocabulary.SHA256)
	}
	s := &Set{tokenizer: t, files: make([]file, len(x.Files)), info: Info{Options: x.Options, Vocabulary: x.Vocabulary, Files: len(x.Files)}}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	failures := make([]error, len(x.Files))
	var (
		group sync.WaitGroup
		slots = make(chan struct{}, runtime.GOMAXPROCS(0))
	)
	for i := range x.Files {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			s.files[i], failures[i] = openFile(dir, x, i)
		})
	}
	group.Wait()
	for _, err := range failures {
		if err != nil {
			return nil, err
		}
	}
	for i, f := range s.files {
		s.starts = append(s.starts, s.info.Instances)
		s.info.Instances += f.len()
		s.info.Tokens += x.Files[i].Stats.Tokens
		s.info.MaskedTokens += x.Files[i].Stats.MaskedTokens
	}
	if s.info.Instances == 0 {
		return nil, fmt.Errorf("%s: no instances", dir)
	}
	s.maskers.New = func() any { m := newMasker(&s.info.Options, t); return &m }
	return s, nil
}

// openFile opens file number i of a set.
func openFile(dir string, x *index, i int) (file, error) {
	r := x.Files[i]
	path := filepath.Join(dir, r.File)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: file %d of %d of the set", pathError(err), i+1, len(x.Files))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, pathError(err)
	}
	if info.Size() != r.Bytes {
		return nil, fmt.Errorf("%s: %d bytes, want %d: damaged or not copied whole", path, info.Size(), r.Bytes)
	}
	data, release, err := mmap.Map(f, int(info.Size()))
	if err != nil {
		return nil, err
	}
	s, err := parseShard(data)
	if err == nil {
		if err = s.agrees(&x.Options, x.Vocabulary, i); err == nil && int64(s.instances) != r.Stats.Instances {
			err = fmt.Errorf("%d instances, the index says %d", s.instances, r.Stats.Instances)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), release())
	}
	s.release = release
	return s, nil
}

// Close lets go of the files. What Instance filled in stays good.
func (s *Set) Close() error {
	var err error
	for _, f := range s.files {
		if f != nil {
			err = errors.Join(err, f.close())
		}
	}
	s.files = nil
	return err
}

// Info says what the set is.
func (s *Set) Info() Info { return s.info }

// Tokenizer is the one that the set was made with.
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
