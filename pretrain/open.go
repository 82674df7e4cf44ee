package pretrain

import (
	"context"
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

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/mmap"
	"github.com/go-bert/bert/internal/textfile"
	"github.com/go-bert/bert/internal/tfrecord"
	"github.com/go-bert/bert/tokenizer"
)

// Open opens a set: a folder that an InstanceJob made, or TFRecord files of create_pretraining_data.py, a folder of them or one
// alone. Every file is checked: checksums, sizes, every instance, that all belong together. When ctx ends, so does Open, with
// its cause.
func Open(ctx context.Context, path string) (*Set, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, files.PathError(err)
	}
	if !info.IsDir() {
		return openForeign(ctx, path, []string{path})
	}
	x, err := readIndex(path)
	if errors.Is(err, fs.ErrNotExist) {
		files, err := tfRecordFiles(path)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s: no instances in it: want a folder of instances, or TFRecord files", path)
		}
		return openForeign(ctx, path, files)
	}
	if err != nil {
		return nil, err
	}
	return openSet(ctx, path, x)
}

// openSet opens what an InstanceJob made.
func openSet(ctx context.Context, dir string, x *index) (*Set, error) {
	if !x.Complete {
		return nil, &IncompleteError{Dir: dir}
	}
	// Without one of its files a tokenizer might split texts in another way.
	for _, name := range tokenizerFiles {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w: resume the job that makes the instances, which puts it back", path, fs.ErrNotExist)
		}
	}
	t, err := tokenizer.Load(dir)
	if err != nil {
		return nil, err
	}
	if v := VocabularyOf(t); v != x.Vocabulary {
		return nil, fmt.Errorf("%s: its vocabulary has %d tokens and SHA-256 %.8s…, but its instances were made with one of %d and %.8s…",
			dir, v.Size, v.SHA256, x.Vocabulary.Size, x.Vocabulary.SHA256)
	}
	s := &Set{path: dir, tokenizer: t, info: Info{Options: x.Options, Vocabulary: x.Vocabulary}}
	s.maskers.New = func() any { m := newMasker(&s.info.Options, t); return &m }
	digest := sha256.New()
	fmt.Fprintf(digest, "%+v\n", x.Options)
	var paths []string
	for _, r := range x.Files {
		fmt.Fprintln(digest, r.SHA256)
		paths = append(paths, filepath.Join(dir, r.File))
	}
	s.info.SHA256 = hex.EncodeToString(digest.Sum(nil))
	damaged := func(path string, err error) error { return &DamagedError{Path: path, Err: err} }
	err = s.open(ctx, paths, damaged, func(i int, f file, size int64) error {
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

// IncompleteError says that the InstanceJobs that make a set have not all ended.
type IncompleteError struct{ Dir string }

func (e *IncompleteError) Error() string {
	return e.Dir + ": the instances are not complete: resume the job that makes them"
}

// tfRecordFiles are the files in a folder that begin like TFRecords, by name.
func tfRecordFiles(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, files.PathError(err)
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, files.PathError(err)
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

// openForeign opens TFRecord files that others made.
func openForeign(ctx context.Context, path string, files []string) (*Set, error) {
	s := &Set{path: path, info: Info{Options: InstanceOptions{Format: TFRecord}}}
	dir := path
	if !textfile.IsDir(path) {
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
	damaged := func(path string, err error) error { return fmt.Errorf("%s: %w", path, err) }
	err := s.open(ctx, files, damaged, func(i int, f file, _ int64) error {
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

// open opens all files of the set, several at once, and closes the set again if something is wrong with one. check is called
// with each in turn; damaged is the error for a file in which something is wrong.
func (s *Set) open(ctx context.Context, paths []string, damaged func(path string, err error) error, check func(i int, f file, size int64) error) (err error) {
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
			if ctx.Err() != nil {
				o.err = context.Cause(ctx)
				return
			}
			if o.file, o.size, o.release, o.err = openFile(path, damaged); o.err != nil && errors.Is(o.err, fs.ErrNotExist) {
				o.err = fmt.Errorf("%w: file %d of %d of its set: resume the job that makes the instances, which makes it again", o.err, i+1, len(paths))
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
			return damaged(paths[i], err)
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
func openFile(path string, damaged func(path string, err error) error) (_ file, size int64, release func() error, err error) {
	f, err := files.Open(path)
	if err != nil {
		return nil, 0, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, nil, files.PathError(err)
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
		return nil, 0, nil, errors.Join(damaged(path, err), release())
	}
	return opened, info.Size(), release, nil
}
