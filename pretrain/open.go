package pretrain

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/go-bert/bert/internal/mmap"
	"github.com/go-bert/bert/internal/tfrecord"
	"github.com/go-bert/bert/tokenizer"
)

// Open opens a set: a folder made by a Job, or a TFRecord file of create_pretraining_data.py or a folder of such files. It checks
// every file: checksums, sizes, every instance, and that all files belong together. It returns ErrNoInstances for a folder
// without instances, and ErrIncomplete for a set that is not finished.
func Open(path string) (*Set, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, pathError(err)
	}
	if !info.IsDir() {
		return openForeign(path, []string{path})
	}
	x, err := readIndex(path)
	if errors.Is(err, fs.ErrNotExist) {
		files, err := tfRecordFiles(path)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s: %w: want a folder with a set of instances, or TFRecord files", path, ErrNoInstances)
		}
		return openForeign(path, files)
	}
	if err != nil {
		return nil, err
	}
	return openSet(path, x)
}

// openSet opens a set made by a Job.
func openSet(dir string, x *index) (*Set, error) {
	if !x.Complete {
		return nil, fmt.Errorf("%s: %w: resume the job that makes them", dir, ErrIncomplete)
	}
	t, err := tokenizer.Load(dir)
	if err != nil {
		return nil, err
	}
	if v := VocabularyOf(t); v != x.Vocabulary {
		return nil, fmt.Errorf("%s: its vocabulary has %d tokens and SHA-256 %.8s…, but its instances were made with one of %d and %.8s…",
			dir, v.Size, v.SHA256, x.Vocabulary.Size, x.Vocabulary.SHA256)
	}
	s := &Set{tokenizer: t, info: Info{Options: x.Options, Vocabulary: x.Vocabulary}}
	s.maskers.New = func() any { m := newMasker(&s.info.Options, t); return &m }
	digest := sha256.New()
	fmt.Fprintf(digest, "%+v\n", x.Options)
	var paths []string
	for _, r := range x.Files {
		fmt.Fprintln(digest, r.SHA256)
		paths = append(paths, filepath.Join(dir, r.File))
	}
	s.info.SHA256 = hex.EncodeToString(digest.Sum(nil))
	err = s.open(paths, func(i int, f file, size int64) error {
		r := x.Files[i]
		if size != r.Bytes {
			return fmt.Errorf("%d bytes, want %d: damaged, or not copied completely", size, r.Bytes)
		}
		if own, ok := f.(*shard); ok {
			if err := own.agrees(&x.Options, x.Vocabulary, i); err != nil {
				return err
			}
		}
		d := f.describe()
		if int64(d.instances) != r.Stats.Instances || d.tokens != r.Stats.Tokens || !x.Options.Dynamic && d.masked != r.Stats.MaskedTokens {
			return fmt.Errorf("%d instances with %d tokens, the index says %d with %d", d.instances, d.tokens, r.Stats.Instances, r.Stats.Tokens)
		}
		if o := &x.Options; d.instances > 0 && (d.maxSeqLength != o.MaxSeqLength || d.maxPredictions != o.MaxPredictions || int(d.highestID) >= x.Vocabulary.Size) {
			return fmt.Errorf("at most %d tokens, %d predictions and ids up to %d; the set has %d, %d and ids below %d",
				d.maxSeqLength, d.maxPredictions, d.highestID, o.MaxSeqLength, o.MaxPredictions, x.Vocabulary.Size)
		}
		s.info.MaskedTokens += r.Stats.MaskedTokens
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// tfRecordFiles returns the files in a folder that begin like TFRecord files, sorted by name.
func tfRecordFiles(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, pathError(err)
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, pathError(err)
		}
		head := make([]byte, 16)
		n, err := io.ReadFull(f, head)
		f.Close()
		if err == nil && tfrecord.Sniff(head[:n]) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// openForeign opens TFRecord files of other programs.
func openForeign(path string, files []string) (*Set, error) {
	s := &Set{info: Info{Options: Options{Format: TFRecord}}}
	dir := path
	if !isDir(path) {
		dir = filepath.Dir(path)
	}
	for _, name := range []string{"tokenizer.json", "vocab.txt"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			continue
		}
		t, err := tokenizer.Load(dir)
		if err != nil {
			return nil, err
		}
		s.tokenizer, s.info.Vocabulary = t, VocabularyOf(t)
		break
	}
	sums := make([][sha256.Size]byte, len(files))
	err := s.open(files, func(i int, f file, _ int64) error {
		r, ok := f.(*tfRecords)
		if !ok {
			return errors.New("a file of a set: give the path of its folder")
		}
		sums[i] = sha256.Sum256(r.data)
		d := f.describe()
		if i == 0 {
			s.info.Options.MaxSeqLength, s.info.Options.MaxPredictions = d.maxSeqLength, d.maxPredictions
		}
		o := &s.info.Options
		if d.maxSeqLength != o.MaxSeqLength || d.maxPredictions != o.MaxPredictions {
			return fmt.Errorf("%d tokens and %d predictions, the previous files have %d and %d", d.maxSeqLength, d.maxPredictions, o.MaxSeqLength, o.MaxPredictions)
		}
		if size := s.info.Vocabulary.Size; size > 0 && int(d.highestID) >= size {
			return fmt.Errorf("it contains the id %d, but the vocabulary in its folder has %d tokens", d.highestID, size)
		}
		o.NextSentence = o.NextSentence || d.paired
		s.info.MaskedTokens += d.masked
		return nil
	})
	if err != nil {
		return nil, err
	}
	digest := sha256.New()
	for _, sum := range sums {
		digest.Write(sum[:])
	}
	s.info.SHA256 = hex.EncodeToString(digest.Sum(nil))
	return s, nil
}

// open opens all files of the set, several at once, and closes the set again if one of them is invalid. It calls check for each file
// in order.
func (s *Set) open(paths []string, check func(i int, f file, size int64) error) (err error) {
	type opened struct {
		file    file
		size    int64
		release func() error
		err     error
	}
	var (
		all   = make([]opened, len(paths))
		group sync.WaitGroup
		slots = make(chan struct{}, runtime.GOMAXPROCS(0))
	)
	for i, path := range paths {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			o := &all[i]
			if o.file, o.size, o.release, o.err = openFile(path); o.err != nil && errors.Is(o.err, fs.ErrNotExist) {
				o.err = fmt.Errorf("%w: file %d of %d of its set", o.err, i+1, len(paths))
			}
		})
	}
	group.Wait()
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	for i := range all {
		o := &all[i]
		if o.err != nil {
			if err == nil { // report only the first
				err = o.err
			}
			continue
		}
		s.release = append(s.release, o.release)
		s.files = append(s.files, o.file)
	}
	if err != nil {
		return err
	}
	for i, f := range s.files {
		if err := check(i, f, all[i].size); err != nil {
			return fmt.Errorf("%s: %w", paths[i], err)
		}
		d := f.describe()
		s.starts = append(s.starts, s.info.Instances)
		s.info.Instances += d.instances
		s.info.Tokens += d.tokens
		for k := range d.instances {
			s.info.Longest = max(s.info.Longest, f.length(k))
		}
	}
	if s.info.Instances == 0 {
		return fmt.Errorf("%s: no instances", filepath.Dir(paths[0]))
	}
	return nil
}

// openFile opens a file, whose format is recognised by its content.
func openFile(path string) (_ file, size int64, release func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, nil, pathError(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, nil, pathError(err)
	}
	data, release, err := mmap.Map(f, int(info.Size()))
	if err != nil {
		return nil, 0, nil, err
	}
	var opened file
	if len(data) == 0 || tfrecord.Sniff(data) { // a TFRecord file without records is empty
		opened, err = parseTFRecords(data)
	} else {
		opened, err = parseShard(data)
	}
	if err != nil {
		return nil, 0, nil, errors.Join(fmt.Errorf("%s: %w", path, err), release())
	}
	return opened, info.Size(), release, nil
}
