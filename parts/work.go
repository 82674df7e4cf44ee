package parts

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
)

// BusyError says that another process does a part.
type BusyError struct {
	Dir  string
	Part Part
	PID  int // 0: not known
	// Lock is the file to remove where the other process was killed, on systems whose locks outlive their process; else "".
	Lock string
}

func (e *BusyError) Error() string {
	who, advice := "another process", "wait for it to end"
	if e.PID > 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	if e.Lock != "" {
		advice += ", or remove " + e.Lock + " if it was killed"
	}
	return fmt.Sprintf("%s: %s is doing part %v: %s", e.Dir, who, e.Part, advice)
}

// DifferentError says that a folder has parts of another job.
type DifferentError struct{ Dir, Difference string }

func (e *DifferentError) Error() string {
	return fmt.Sprintf("%s: has parts of other work: %s: choose another folder, or remove this one", e.Dir, e.Difference)
}

// Work is a part that this process does. It has to be closed.
type Work struct {
	// Record is that of an earlier run, which did the part; nil: it is to be done.
	Record *Record

	dir     string
	part    Part
	release func() error
}

// Begin takes a part of a job in the folder dir, which it makes if it isn't there. Parts may begin at once. A folder of another job is a
// *DifferentError, a part that another process is doing a *BusyError. If the part's file was lost the part is to be done again.
func Begin(ctx context.Context, dir string, job *Job, index int) (_ *Work, err error) {
	j := *job
	j.Version = jobVersion
	w := &Work{dir: dir, part: Part{index, j.Parts}}
	if err := cmp.Or(w.part.Check(), j.check()); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, files.PathError(err)
	}
	if err := share(ctx, dir, &j); err != nil {
		return nil, err
	}
	w.release, err = files.LockFile(filepath.Join(dir, w.part.lock()), dir)
	var busy *files.BusyError
	switch {
	case errors.As(err, &busy):
		return nil, &BusyError{dir, w.part, busy.PID, busy.Lock}
	case err != nil:
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.release())
		}
	}()
	if err := w.clean(); err != nil {
		return nil, err
	}
	w.Record, err = readRecord(dir, w.part)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return w, nil
	case err != nil:
		return nil, err
	}
	if info, err := os.Stat(filepath.Join(dir, w.Record.File)); err != nil || info.Size() != w.Record.Bytes {
		w.Record = nil
	}
	return w, nil
}

// share writes the job of a folder, or compares it with the one that is there.
func share(ctx context.Context, dir string, j *Job) (err error) {
	unlock, err := files.WaitLock(ctx, filepath.Join(dir, jobLock), dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	there, err := readJob(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if d := j.differs(there); d != "" {
			return &DifferentError{dir, d}
		}
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return files.PathError(err)
	}
	for _, e := range entries {
		if e.Name()[0] != '.' {
			return fmt.Errorf("%s: holds %s and no %s: want a new or empty folder", dir, e.Name(), jobName)
		}
	}
	if err := files.RemoveTemporary(dir, files.TempName(jobName)); err != nil {
		return err
	}
	return jsonobject.Save(filepath.Join(dir, jobName), j)
}

// clean removes what a process left that was killed while it did the part.
func (w *Work) clean() error {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return files.PathError(err)
	}
	prefix := "." + w.part.base() + "."
	for _, e := range entries {
		if name := e.Name(); files.IsTemp(name) && len(name) > len(prefix) && name[:len(prefix)] == prefix {
			if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
				return files.PathError(err)
			}
		}
	}
	return nil
}

// Part is the part.
func (w *Work) Part() Part { return w.part }

// Path is that of the file of a part that is done.
func (w *Work) Path() string { return filepath.Join(w.dir, w.Record.File) }

// Finish does the part: it makes the part's file, with this extension, such as .jsonl, of what write writes, and then its record. If write
// fails nothing is left.
func (w *Work) Finish(extension string, write func(w io.Writer) (Done, error)) error {
	r := &Record{Version: jobVersion, Part: w.part.Index, File: w.part.base() + extension}
	path := filepath.Join(w.dir, r.File)
	err := files.WriteFile(path, 0o666, func(to io.Writer) (err error) {
		out := &hashed{w: to, sum: sha256.New()}
		r.Done, err = write(out)
		r.Bytes, r.SHA256 = out.n, hex.EncodeToString(out.sum.Sum(nil))
		return cmp.Or(out.failed, err)
	})
	if err != nil {
		return files.PathError(err)
	}
	if err := jsonobject.Save(filepath.Join(w.dir, w.part.base()+doneSuffix), r); err != nil {
		return err
	}
	w.Record = r
	return nil
}

// Changed is the error of a part that was done with an input of which the part's share was another.
func (w *Work) Changed(name string) error {
	return &DifferentError{w.dir, fmt.Sprintf("the input %s has changed since part %v was done", name, w.part)}
}

// Close gives the part back.
func (w *Work) Close() error { return files.PathError(w.release()) }

// hashed computes the hash of what is written, and keeps the first error.
type hashed struct {
	w      io.Writer
	n      int64
	sum    hash.Hash
	failed error
}

func (h *hashed) Write(b []byte) (int, error) {
	n, err := h.w.Write(b)
	h.n += int64(n)
	h.sum.Write(b[:n])
	if h.failed == nil {
		h.failed = err
	}
	return n, err
}
