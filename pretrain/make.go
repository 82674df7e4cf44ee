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
	"sync"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/tokenizer"
)

// InstanceJob makes a set of instances of a corpus. What it makes depends on the corpus, the vocabulary and the options alone: not
// on the number of workers, nor on which machine of several made which part, nor on whether it was interrupted.
type InstanceJob struct {
	Corpus    *Corpus
	Tokenizer *tokenizer.Tokenizer
	// Dir is the folder of the set. The tokenizer's files are written there too, so that training needs nothing else.
	Dir     string
	Options InstanceOptions
	// Shard of Shards says which part of the work is done: the groups g with g mod Shards = Shard. All parts go into one
	// folder, at once or one after the other; what is last makes the set complete. Shards 0 is 1.
	Shard, Shards int
	// Workers is the number of groups that are made at once; 0 means the number of processors. Each needs memory for a group.
	Workers int
	// Memory bounds, roughly, the bytes that the process takes, whatever the corpus: no more groups are made at once than fit
	// (see InstanceOptions.groupMemory), which changes no byte of the set. What the garbage collector has not freed yet comes on top,
	// unless runtime/debug.SetMemoryLimit says the same. 0: no bound.
	Memory int64
	// Resume continues an earlier run in the same folder. Of a complete set, it makes again what is missing or damaged.
	Resume bool
	// Report, if not nil, is told how far the work is, by one goroutine at a time.
	Report func(InstanceProgress)
}

// InstanceProgress is how far a job is.
type InstanceProgress struct {
	Read, Size int64 // bytes of the corpus, as its files have them; Size 0: not known
	Groups     int   // that are done
	Kept       int   // of them, those that an earlier run made
	Stats      Stats
}

// InstanceResult is what a job made.
type InstanceResult struct {
	// InstanceProgress counts what this job made or found made of its own part.
	InstanceProgress
	// Summary is of the whole set; nil if other parts of it are missing yet, Missing of them.
	Summary *Summary
	Missing int
}

// Run makes the set, or its part. When ctx ends, it ends with an error; what is done is kept. Parts may be started at once.
// While another process makes the same part, or one with files of it, the error is a *PartBusyError; for a file that holds
// something else than what was written there, it is a *DamagedError.
func (j *InstanceJob) Run(ctx context.Context) (result *InstanceResult, err error) {
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
			return nil, &MemoryError{Memory: j.Memory, Least: least, GroupBytes: j.Options.GroupBytes}
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
		Version: indexVersion, Options: j.Options, IMDBSplits: j.Corpus.splits(), Encoding: j.Corpus.Encoding, Vocabulary: vocabulary,
		Files: []record{},
	}
	before, err := j.begin(ctx, x, shards)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := before.release(); err == nil && e != nil {
			result, err = nil, files.PathError(e)
		}
	}()

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
		for g, err := range groups(j.Corpus.Lines(ctx), j.Options.GroupBytes) {
			if err != nil {
				cancel(err)
				return
			}
			if g.number == 0 && g.documents == 1 && j.Options.NextSentence {
				cancel(&OneDocumentError{})
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
			w.lost = before.lost
			for g := range todo {
				f := finished{group: g.number}
				r, ok := before.known[g.number]
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
	result = &InstanceResult{InstanceProgress: InstanceProgress{Size: j.Corpus.Size()}}
	for f := range done {
		result.Groups++
		if f.kept {
			result.Kept++
		}
		result.Stats.add(&f.record.Stats)
		if result.Read = j.Corpus.Read(); j.Report != nil {
			j.Report(result.InstanceProgress)
		}
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	result.Read = j.Corpus.Read() // with what followed the last group of this part
	if total == 0 {
		return nil, fmt.Errorf("%s: no text in the corpus", j.Corpus.names())
	}
	if err := j.finish(ctx, x, total, result); err != nil {
		return nil, err
	}
	return result, nil
}

// MemoryError says that InstanceJob.Memory has no room for a group.
type MemoryError struct {
	Memory, Least int64 // bytes: those there are, and those that one group at a time takes
	GroupBytes    int
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("a memory of %d MiB: groups of %d KiB take about %d MiB: want more memory, or smaller groups",
		e.Memory>>20, e.GroupBytes>>10, (e.Least+1<<20-1)>>20)
}

// OneDocumentError says that the corpus, or a group of it, has one document only, and so none to take a random second segment
// from for next-sentence prediction.
type OneDocumentError struct {
	Group int // 0: the corpus, or its first group
}

func (e *OneDocumentError) Error() string {
	if e.Group == 0 {
		return "the corpus has one document only, so there is none to take a random next sentence from: " +
			"put blank lines between documents, or make instances without next-sentence prediction"
	}
	return fmt.Sprintf("group %d of the corpus has one document of which anything is left as tokens, want two for next-sentence prediction: "+
		"make the groups larger, or make instances without next-sentence prediction", e.Group)
}

// ExistsError says that a folder holds instances already.
type ExistsError struct{ Dir string }

func (e *ExistsError) Error() string {
	return e.Dir + ": holds instances: resume the job that makes them, or choose another folder"
}

// finished is a group whose file is finished.
type finished struct {
	group  int
	record record
	kept   bool // whether it is from an earlier run
}

// A worker makes files of instances, one group after another.
type worker struct {
	job       *InstanceJob
	index     *index
	tokenizer *tokenizer.Tokenizer
	text      text
	maker     maker
	out       instances
	lost      bool // as begun.lost
}

func (j *InstanceJob) newWorker(x *index, plain *tokenizer.Tokenizer) *worker {
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
	if err := w.instances(g, &r.Stats); err != nil {
		return r, false, err
	}
	write := func(to io.Writer) error {
		sum := sha256.New()
		count := &countingWriter{w: io.MultiWriter(to, sum)}
		if err := w.write(count, g, digest); err != nil {
			return err
		}
		r.Bytes, r.SHA256 = count.n, hex.EncodeToString(sum.Sum(nil))
		return nil
	}
	switch {
	case ok:
		// The file was lost or damaged. It is replaced only by what it was.
		if err := write(io.Discard); err != nil {
			return r, false, err
		}
		if r != known {
			return r, false, fmt.Errorf("%s: is lost or damaged, and what would replace it is not what its record says: "+
				"the record is damaged, or was made by a different release of bert; choose another folder", path)
		}
	case w.lost:
		// Nothing but the file itself says how it was made.
		if err := write(io.Discard); err != nil {
			return r, false, err
		}
		if same, err := isFile(path, &r); err != nil {
			return r, false, err
		} else if _, err := os.Lstat(path); err == nil && !same {
			return r, false, fmt.Errorf("%s: made with other settings than these, or damaged, and there is no %s to tell: "+
				"remove it if it is damaged, or choose another folder", path, indexName)
		}
	}
	if err := files.WriteFile(path, 0o666, write); err != nil {
		return r, false, files.PathError(err)
	}
	return r, false, jsonobject.Save(filepath.Join(w.job.Dir, recordName(g.number)), &r)
}

// instances makes the instances of a group.
func (w *worker) instances(g *group, stats *Stats) error {
	w.tokenize(g, stats)
	if w.job.Options.NextSentence && w.text.numDocuments() == 1 {
		return &OneDocumentError{g.number}
	}
	w.out.reset()
	if w.text.numDocuments() > 0 {
		w.maker.make(&w.text, g.number, &w.out, stats)
	}
	return nil
}

// write writes the instances of a group, in the format of the set.
func (w *worker) write(to io.Writer, g *group, text [sha256.Size]byte) error {
	if w.job.Options.Format == TFRecord {
		return w.out.writeTFRecord(to, &w.job.Options)
	}
	h := shardHeader{
		group: uint32(g.number), maxSeqLength: uint32(w.job.Options.MaxSeqLength), maxPredictions: uint32(w.job.Options.MaxPredictions),
		vocabSize: uint32(w.index.Vocabulary.Size), text: text,
	}
	if w.job.Options.NextSentence {
		h.flags |= flagPaired
	}
	if _, err := hex.Decode(h.vocabulary[:], []byte(w.index.Vocabulary.SHA256)); err != nil {
		return err
	}
	return w.out.write(to, h)
}

// isFile reports whether the file at path matches a record.
func isFile(path string, r *record) (bool, error) {
	f, err := files.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return false, files.PathError(err)
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
