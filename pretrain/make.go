package pretrain

import (
	"bytes"
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
	"slices"
	"strings"
	"sync"

	"github.com/go-bert/bert/internal/atomicfile"
	"github.com/go-bert/bert/tokenizer"
)

// Job makes a set of instances from a corpus. The set depends only on the corpus, the vocabulary and the options: not on the number
// of workers, nor on how the work is divided among machines, nor on interruptions.
type Job struct {
	Corpus    *Corpus
	Tokenizer *tokenizer.Tokenizer
	// Dir is the folder of the set. The tokenizer's files are written there too, so that training needs nothing else.
	Dir     string
	Options Options
	// Shard and Shards select a part of the work: the groups g with g mod Shards = Shard. All parts go into one folder, in any
	// order or at once; the one that ends last completes the set. Shards 0 means 1.
	Shard, Shards int
	// Workers is the number of groups that are made at once; 0 means the number of processors. Each needs memory for a group.
	Workers int
	// Memory is an approximate limit on the memory of the process in bytes, for any corpus; 0 means no limit. It limits the
	// number of groups that are made at once (see Options.groupMemory), and does not affect the set. Memory that the garbage
	// collector has not freed yet is extra, unless the same limit is passed to runtime/debug.SetMemoryLimit.
	Memory int64
	// Resume continues an earlier run in the same folder.
	Resume bool
	// Report, if not nil, is called with the progress, by one goroutine at a time.
	Report func(Progress)
}

// Progress is the progress of a job.
type Progress struct {
	Read, Size int64 // bytes of the corpus, as on disk; Size is 0 if unknown
	Groups     int   // finished groups
	Kept       int   // groups kept from an earlier run, included in Groups
	Stats      Stats
}

// Result is the result of a job.
type Result struct {
	// Progress covers the job's own part, including files kept from earlier runs.
	Progress
	// Summary describes the whole set. It is nil if files of other parts are missing; Missing is their number.
	Summary *Summary
	Missing int
}

// Run makes the set, or its part. If ctx is cancelled, Run returns an error; finished files are kept. Errors to which a caller may
// want to add advice are ErrMemory, ErrOneDocument, ErrExists and *OptionError.
func (j *Job) Run(ctx context.Context) (*Result, error) {
	shards, workers := max(j.Shards, 1), j.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if j.Shard < 0 || j.Shard >= shards {
		return nil, fmt.Errorf("shard %d of %d: want 0 to %d", j.Shard, shards, shards-1)
	}
	if err := j.Options.Validate(); err != nil {
		return nil, err
	}
	vocabulary := VocabularyOf(j.Tokenizer)
	if j.Memory > 0 {
		fit, least := j.Options.workersIn(j.Memory, vocabulary.wide())
		if fit < 1 {
			return nil, fmt.Errorf("%w: a group of %d KiB takes about %d MiB, of which %d are allowed: use more memory or smaller groups",
				ErrMemory, j.Options.GroupBytes>>10, (least+1<<20-1)>>20, j.Memory>>20)
		}
		workers = min(workers, fit)
	}
	if _, err := j.Corpus.imdbFolders(); err != nil {
		return nil, err
	}
	plain, err := textTokenizer(j.Tokenizer)
	if err != nil {
		return nil, err
	}
	x := &index{
		Version: indexVersion, Options: j.Options, IMDBSplits: j.Corpus.splits(), Vocabulary: vocabulary, Files: []record{},
	}
	before, err := j.begin(x, shards)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		todo  = make(chan *group)
		done  = make(chan finished)
		total = 0 // groups of the whole corpus, known when todo is closed
		group sync.WaitGroup
	)
	group.Go(func() {
		defer close(todo)
		for g, err := range groups(j.Corpus.Lines(), j.Options.GroupBytes) {
			if err != nil {
				cancel(err)
				return
			}
			if g.number == 0 && g.documents == 1 && j.Options.NextSentence {
				cancel(errOneDocument())
				return
			}
			total++
			if g.number%shards != j.Shard {
				continue
			}
			select {
			case todo <- g:
			case <-ctx.Done():
				return
			}
		}
	})
	for range workers {
		group.Go(func() {
			w := j.newWorker(x, plain)
			for g := range todo {
				f := finished{group: g.number}
				r, ok := before[g.number]
				var err error
				if f.record, f.kept, err = w.group(g, r, ok); err != nil {
					cancel(err)
					return
				}
				select {
				case done <- f:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	go func() {
		group.Wait()
		close(done)
	}()
	result := &Result{Progress: Progress{Size: j.Corpus.Size()}}
	for f := range done {
		result.Groups++
		if f.kept {
			result.Kept++
		}
		result.Stats.add(&f.record.Stats)
		if result.Read = j.Corpus.Read(); j.Report != nil {
			j.Report(result.Progress)
		}
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if total == 0 {
		return nil, fmt.Errorf("%s: no text in the corpus", j.Corpus.names())
	}
	return result, j.finish(x, total, result)
}

// errOneDocument returns the error for next-sentence prediction from a corpus of one document.
func errOneDocument() error {
	return fmt.Errorf("the corpus has %w: put blank lines between documents, or make instances without next-sentence prediction", ErrOneDocument)
}

// begin prepares the folder, or checks that it contains the beginning of the same job, and returns the records of finished files.
func (j *Job) begin(x *index, shards int) (map[int]record, error) {
	if err := os.MkdirAll(j.Dir, 0o777); err != nil {
		return nil, pathError(err)
	}
	there, err := readIndex(j.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(j.Dir)
		if err != nil {
			return nil, pathError(err)
		}
		for _, entry := range entries {
			if !strings.HasPrefix(entry.Name(), ".") {
				return nil, fmt.Errorf("%s: holds %s but no instances: want a new or empty folder", j.Dir, entry.Name())
			}
		}
		if err := writeJSON(filepath.Join(j.Dir, indexName), x); err != nil {
			return nil, err
		}
		return nil, j.Tokenizer.Save(j.Dir)
	}
	if err != nil {
		return nil, err
	}
	if difference := x.differs(there); difference != "" {
		return nil, fmt.Errorf("%s: holds instances made with other settings: %s; choose another folder", j.Dir, difference)
	}
	// A killed run of this part may have left temporary files. Those of other parts may be in use.
	entries, err := os.ReadDir(j.Dir)
	if err != nil {
		return nil, pathError(err)
	}
	for _, entry := range entries {
		group, ok := groupOf(entry.Name())
		if !ok || group%shards != j.Shard {
			continue
		}
		if !j.Resume {
			return nil, fmt.Errorf("%s: %w: resume the job that made them, or choose another folder", j.Dir, ErrExists)
		}
		if atomicfile.IsTemp(entry.Name()) {
			if err := os.Remove(filepath.Join(j.Dir, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, pathError(err)
			}
		}
	}
	if there.Complete {
		return records(j.Dir, there)
	}
	if err := j.Tokenizer.Save(j.Dir); err != nil {
		return nil, err
	}
	return records(j.Dir, there)
}

// finish completes the set if all files exist.
func (j *Job) finish(x *index, total int, result *Result) error {
	there, err := readIndex(j.Dir)
	if err != nil {
		return err
	}
	known, err := records(j.Dir, there)
	if err != nil {
		return err
	}
	if !there.Complete {
		// Another process may have completed the set in the meantime, and removed the records.
		if there, err = readIndex(j.Dir); err != nil {
			return err
		}
		if there.Complete {
			if known, err = records(j.Dir, there); err != nil {
				return err
			}
		}
	}
	var all Stats
	for g := range total {
		r, ok := known[g]
		if !ok {
			result.Missing++
			continue
		}
		delete(known, g)
		x.Files = append(x.Files, r)
		all.add(&r.Stats)
	}
	for g := range known {
		return fmt.Errorf("%s: has instances of group %d of the corpus, which now has only %d groups: the corpus has changed; choose another folder", j.Dir, g, total)
	}
	if result.Missing > 0 {
		return nil
	}
	if all.Instances == 0 {
		return fmt.Errorf("%s: no tokens in the corpus", j.Corpus.names())
	}
	result.Summary = summarise(all, total, j.Options.MaxSeqLength)
	if !there.Complete {
		x.Complete = true
		if err := writeJSON(filepath.Join(j.Dir, summaryName), result.Summary); err != nil {
			return err
		}
		if err := writeJSON(filepath.Join(j.Dir, indexName), x); err != nil {
			return err
		}
	}
	for g := range total {
		if err := os.Remove(filepath.Join(j.Dir, recordName(g))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return pathError(err)
		}
	}
	return nil
}

// finished is a group whose file is finished.
type finished struct {
	group  int
	record record
	kept   bool // whether it is from an earlier run
}

// A worker makes files of instances, one group after another.
type worker struct {
	job       *Job
	index     *index
	tokenizer *tokenizer.Tokenizer
	text      text
	maker     maker
	out       instances
}

func (j *Job) newWorker(x *index, plain *tokenizer.Tokenizer) *worker {
	w := &worker{job: j, index: x, tokenizer: plain, maker: maker{options: &x.Options, masker: newMasker(&x.Options, plain)}}
	w.out = instances{
		wide: x.Vocabulary.wide(), static: !x.Options.Dynamic, cls: plain.ClassifierID(), sep: plain.SeparatorID(), text: &w.text,
	}
	return w
}

// group writes the file of a group and its record. If ok, known is the group's record from an earlier run; if its file still
// exists, it is kept.
func (w *worker) group(g *group, known record, ok bool) (r record, kept bool, err error) {
	digest := sha256.Sum256(g.text)
	r = record{File: fileName(g.number, w.job.Options.Format), TextSHA256: hex.EncodeToString(digest[:])}
	path := filepath.Join(w.job.Dir, r.File)
	if ok {
		if known.TextSHA256 != r.TextSHA256 {
			return r, false, fmt.Errorf("%s: made from a different text than group %d of the corpus has now: the corpus has changed; choose another folder", path, g.number)
		}
		same, err := isFile(path, &known)
		if err != nil || same {
			return known, same, err
		}
	}
	w.tokenize(g, &r.Stats)
	if w.job.Options.NextSentence && w.text.numDocuments() == 1 {
		if g.number == 0 {
			return r, false, errOneDocument()
		}
		return r, false, fmt.Errorf("group %d of the corpus has, after tokenization, %w: make the groups larger, or make instances without next-sentence prediction",
			g.number, ErrOneDocument)
	}
	w.out.reset()
	if w.text.numDocuments() > 0 {
		w.maker.make(&w.text, g.number, &w.out, &r.Stats)
	}
	sum := sha256.New()
	err = atomicfile.WriteFile(path, 0o666, func(file io.Writer) error {
		count := &countingWriter{w: io.MultiWriter(file, sum)}
		defer func() { r.Bytes = count.n }()
		if w.job.Options.Format == TFRecord {
			return w.out.writeTFRecord(count, &w.job.Options)
		}
		h := shardHeader{
			group: uint32(g.number), maxSeqLength: uint32(w.job.Options.MaxSeqLength), maxPredictions: uint32(w.job.Options.MaxPredictions),
			vocabSize: uint32(w.index.Vocabulary.Size), text: digest,
		}
		if w.job.Options.NextSentence {
			h.flags |= flagPaired
		}
		if _, err := hex.Decode(h.vocabulary[:], []byte(w.index.Vocabulary.SHA256)); err != nil {
			return err
		}
		return w.out.write(count, h)
	})
	if err != nil {
		return r, false, pathError(err)
	}
	r.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if ok && r != known {
		return r, false, fmt.Errorf("%s: was lost or damaged, and the new file differs: the old one was made by a different release of bert; choose another folder", path)
	}
	return r, false, writeJSON(filepath.Join(w.job.Dir, recordName(g.number)), &r)
}

// isFile reports whether the file at path matches a record.
func isFile(path string, r *record) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, pathError(err)
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return false, pathError(err)
	}
	return n == r.Bytes && hex.EncodeToString(sum.Sum(nil)) == r.SHA256, nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// tokenize tokenizes the text of a group.
func (w *worker) tokenize(g *group, stats *Stats) {
	t := &w.text
	// Few languages have fewer than four bytes per token.
	t.ids = slices.Grow(t.ids[:0], len(g.text)/4)
	t.sentences, t.documents = append(t.sentences[:0], 0), append(t.documents[:0], 0)
	unknown := w.tokenizer.UnknownID()
	sentence := func(s string) {
		begin := len(t.ids)
		t.ids, _ = w.tokenizer.AppendIDs(t.ids, s) // fails only for texts longer than MaxLine
		if len(t.ids) == begin {
			return
		}
		for _, id := range t.ids[begin:] {
			if id == unknown {
				stats.UnknownTokens++
			}
		}
		t.sentences = append(t.sentences, int32(len(t.ids)))
	}
	endDocument := func() {
		if end := int32(len(t.sentences) - 1); end > t.documents[len(t.documents)-1] {
			t.documents = append(t.documents, end)
		}
	}
	for line := range bytes.Lines(g.text) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		switch {
		case len(line) == 0:
			endDocument()
		case w.job.Options.SplitSentences:
			for s := range Sentences(string(line)) {
				sentence(s)
			}
		default:
			sentence(string(line))
		}
	}
	endDocument()
	stats.Documents = int64(t.numDocuments())
	stats.Sentences = int64(len(t.sentences) - 1)
	stats.TextBytes = int64(len(g.text))
	stats.TextTokens = int64(len(t.ids))
	stats.CutDocuments = int64(g.cut)
}
