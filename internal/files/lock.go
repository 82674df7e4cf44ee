package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// LockName is the file in a folder by which a process says that it writes there.
const LockName = ".lock"

// BusyError says that another process writes into a folder.
type BusyError struct {
	Dir string
	// PID is the process that holds the lock; 0 where that isn't known, as on another machine.
	PID int
	// Lock is the file to remove where its holder was killed, on systems whose locks outlive their process; else "".
	Lock string
}

func (e *BusyError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	advice := "wait for it to end, or choose another"
	if e.Lock != "" {
		advice = "wait for it to end, or remove " + e.Lock + " if it was killed"
	}
	return fmt.Sprintf("%s: %s is writing into this folder: %s", e.Dir, who, advice)
}

// Lock takes a folder for this process until release is called or, where the system can do that, the process ends. The
// folder has to exist. If another process has it, the error is a *BusyError. The lock's file is removed by release.
func Lock(dir string) (release func() error, err error) {
	return lockFile(filepath.Join(dir, LockName), dir)
}

// Claim makes the folder dir if it isn't there, takes it as Lock does, and removes what a process that was killed left aside
// in it.
func Claim(dir string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, PathError(err)
	}
	if release, err = Lock(dir); err != nil {
		return nil, err
	}
	if err := RemoveTemporary(dir, ""); err != nil {
		return nil, errors.Join(err, release())
	}
	return release, nil
}

// Beside makes the folder dir if it isn't there, and runs write, which makes the files named in it, some among others that are no
// concern of this program. What a process that was killed left aside of these files is removed first, and the folder is taken
// meanwhile. Where another process, or this one, has the folder already, write runs all the same.
func Beside(dir string, names []string, write func() error) (err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return PathError(err)
	}
	var busy *BusyError
	release, err := Lock(dir)
	if errors.As(err, &busy) {
		return write()
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	for _, name := range names {
		if err := RemoveTemporary(dir, TempName(name)); err != nil {
			return err
		}
	}
	return write()
}

// Clean removes from the folder dir, if it is there, what a process that was killed left aside, under the folder's lock.
func Clean(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return PathError(err)
	}
	release, err := Claim(dir)
	if err != nil {
		return err
	}
	return release()
}

// Acquire takes the lock at path, which Hugging Face's tools take in the same way, and waits while another process has it;
// waiting, if not nil, is called once before the first wait. The file stays: removing it would race with those who wait
// for it.
func Acquire(ctx context.Context, path string, waiting func()) (release func(), err error) {
	for {
		release, err := tryAcquire(path)
		if release != nil || err != nil {
			return release, err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// busy is the error for a folder whose lock's file is at path.
func busy(path, dir, remove string) error {
	e := &BusyError{Dir: dir, Lock: remove}
	if text, err := os.ReadFile(path); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			e.PID = pid
		}
	}
	return e
}
