package pretrain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/tokenizer"
)

// The folder of a set is written by several processes, one for each part. What they share (the index, the summary, the
// tokenizer, and the list of who is at work) changes only under the lock indexLock, for moments. A part holds a lock of its
// own for as long as it runs, so that nobody removes its files.

// indexLock is the lock of what all parts share.
const indexLock = ".index.lock"

// tokenizerFiles are what a tokenizer is saved as.
var tokenizerFiles = []string{"vocab.txt", "tokenizer_config.json", "tokenizer.json"}

// PartBusyError says that another process makes the same part of a set, or one that has files in common with it.
type PartBusyError struct {
	Dir string
	// Shard and Shards are those of the other process.
	Shard, Shards int
	PID           int // 0: not known
	// Lock is the file to remove where the other process was killed, on systems whose locks outlive their process; else "".
	Lock string
}

func (e *PartBusyError) Error() string {
	who, advice := "another process", "wait for it to end"
	if e.PID > 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	if e.Lock != "" {
		advice += ", or remove " + e.Lock + " if it was killed"
	}
	what := "instances"
	if e.Shards > 1 {
		what = fmt.Sprintf("part %d of %d of the instances", e.Shard, e.Shards)
	}
	return fmt.Sprintf("%s: %s is making %s in this folder: %s", e.Dir, who, what, advice)
}

// DamagedError says that a file of a set holds something else than what was written there.
type DamagedError struct {
	Path string
	Err  error // what is wrong with it
	// Remove says that the file has to be removed before the job is resumed.
	Remove bool
}

func (e *DamagedError) Error() string {
	advice := "resume the job that makes the instances, which makes this file again"
	if e.Remove {
		advice = "remove it and " + advice
	}
	return fmt.Sprintf("%s: %v: the file is damaged: %s", e.Path, e.Err, advice)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// partLock is the name of the lock of a part.
func partLock(shard, shards int) string { return fmt.Sprintf(".part-%d-of-%d.lock", shard, shards) }

// partOf is the reverse of partLock.
func partOf(name string) (shard, shards int, ok bool) {
	if n, err := fmt.Sscanf(name, ".part-%d-of-%d.lock", &shard, &shards); n != 2 || err != nil || shards < 1 {
		return 0, 0, false
	}
	return shard, shards, name == partLock(shard, shards)
}

// overlap reports whether some group belongs to both parts: g ≡ a mod n and g ≡ b mod m has a solution if and only if a and
// b are congruent modulo the greatest common divisor of n and m.
func overlap(a, n, b, m int) bool {
	for m != 0 {
		n, m = m, n%m
	}
	return (a-b)%n == 0
}

// lockPart takes the lock of the job's part, and removes those that killed processes left. The caller holds indexLock.
func (j *InstanceJob) lockPart(shards int) (release func() error, err error) {
	entries, err := os.ReadDir(j.Dir)
	if err != nil {
		return nil, files.PathError(err)
	}
	try := func(shard, shards int) (func() error, error) {
		return files.LockFile(filepath.Join(j.Dir, partLock(shard, shards)), j.Dir)
	}
	for _, e := range entries {
		shard, of, ok := partOf(e.Name())
		if !ok || shard == j.Shard && of == shards {
			continue
		}
		free, err := try(shard, of)
		var busy *files.BusyError
		switch {
		case err == nil:
			if err := free(); err != nil {
				return nil, files.PathError(err)
			}
		case !errors.As(err, &busy):
			return nil, err
		case overlap(j.Shard, shards, shard, of):
			return nil, &PartBusyError{j.Dir, shard, of, busy.PID, busy.Lock}
		}
	}
	release, err = try(j.Shard, shards)
	var busy *files.BusyError
	if errors.As(err, &busy) {
		err = &PartBusyError{j.Dir, j.Shard, shards, busy.PID, busy.Lock}
	}
	return release, err
}

// lockIndex takes the lock of what all parts share.
func (j *InstanceJob) lockIndex(ctx context.Context) (release func() error, err error) {
	return files.WaitLock(ctx, filepath.Join(j.Dir, indexLock), j.Dir)
}

// begun is what a job finds in its folder.
type begun struct {
	release func() error   // gives back the lock of the part
	known   map[int]record // what is done already, by group
	lost    bool           // there are instances, but no index that says how they were made
}

// begin makes the folder ready, or checks that it holds the beginning of this very job.
func (j *InstanceJob) begin(ctx context.Context, x *index, shards int) (b begun, err error) {
	if err := os.MkdirAll(j.Dir, 0o777); err != nil {
		return b, files.PathError(err)
	}
	unlock, err := j.lockIndex(ctx)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	there, err := readIndex(j.Dir)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case missing:
		if b.lost, err = j.checkUnindexed(); err != nil {
			return b, err
		}
	case err != nil:
		return b, err
	default:
		if difference := x.differs(there); difference != "" {
			return b, fmt.Errorf("%s: holds instances made with other settings: %s; choose another folder", j.Dir, difference)
		}
	}
	if b.release, err = j.lockPart(shards); err != nil {
		return b, err
	}
	defer func() {
		if err != nil {
			b.release()
		}
	}()
	if err := j.clean(shards); err != nil {
		return b, err
	}
	if missing {
		there = x
		if err := jsonobject.Save(filepath.Join(j.Dir, indexName), x); err != nil {
			return b, err
		}
	}
	// Also in a complete set: one of the files may have been lost.
	if err := j.Tokenizer.Save(j.Dir, tokenizer.SaveOptions{}); err != nil {
		return b, err
	}
	if !b.lost {
		b.known, err = records(j.Dir, there)
	}
	return b, err
}

// checkUnindexed checks a folder without an index: it has to be empty, or to hold nothing but a set whose index was lost.
func (j *InstanceJob) checkUnindexed() (lost bool, err error) {
	entries, err := os.ReadDir(j.Dir)
	if err != nil {
		return false, files.PathError(err)
	}
	other := ""
	for _, e := range entries {
		_, instances := groupOf(e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case instances:
			lost = true
		case e.Name() == summaryName || slices.Contains(tokenizerFiles, e.Name()):
			if other == "" {
				other = e.Name()
			}
		default:
			return false, fmt.Errorf("%s: holds %s but no instances: want a new or empty folder", j.Dir, e.Name())
		}
	}
	switch {
	case !lost && other != "":
		return false, fmt.Errorf("%s: holds %s but no instances: want a new or empty folder", j.Dir, other)
	case lost && !j.Resume:
		return false, &ExistsError{j.Dir}
	}
	return lost, nil
}

// clean removes what killed processes left: unfinished files of this part, whose lock is held, and of what all parts share.
// Those of other parts may be in use.
func (j *InstanceJob) clean(shards int) error {
	entries, err := os.ReadDir(j.Dir)
	if err != nil {
		return files.PathError(err)
	}
	for _, e := range entries {
		group, instances := groupOf(e.Name())
		mine := instances && group%shards == j.Shard
		switch {
		case files.IsTemp(e.Name()) && (mine || !instances):
			if err := os.Remove(filepath.Join(j.Dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return files.PathError(err)
			}
		case mine && !files.IsTemp(e.Name()) && !j.Resume:
			return &ExistsError{j.Dir}
		}
	}
	return nil
}

// finish makes the set complete if all parts are there.
func (j *InstanceJob) finish(ctx context.Context, x *index, total int, result *InstanceResult) (err error) {
	unlock, err := j.lockIndex(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	there, err := readIndex(j.Dir)
	if err != nil {
		return err
	}
	known, err := records(j.Dir, there)
	if err != nil {
		return err
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
	switch {
	case len(known) > 0:
		group := total // records are of groups from 0 on, so that one beyond the last is left
		for g := range known {
			group = g
		}
		return fmt.Errorf("%s: has instances of group %d of the corpus, which now has only %d groups: the corpus has changed; choose another folder", j.Dir, group, total)
	case result.Missing > 0 && there.Complete:
		return fmt.Errorf("%s: has instances of %d groups of the corpus, which now has %d: the corpus has changed; choose another folder", j.Dir, total-result.Missing, total)
	case result.Missing > 0:
		return nil
	case all.Instances == 0:
		return fmt.Errorf("%s: no tokens in the corpus", j.Corpus.names())
	}
	result.Summary = summarise(all, total, j.Options.MaxSeqLength)
	x.Complete = true
	// The index comes last: it is what makes the folder a set. Of a complete set it stays as it is.
	if err := jsonobject.Save(filepath.Join(j.Dir, summaryName), result.Summary); err != nil {
		return err
	}
	if !there.Complete {
		if err := jsonobject.Save(filepath.Join(j.Dir, indexName), x); err != nil {
			return err
		}
	}
	for g := range total {
		if err := os.Remove(filepath.Join(j.Dir, recordName(g))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return files.PathError(err)
		}
	}
	return nil
}
