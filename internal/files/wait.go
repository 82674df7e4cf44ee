package files

import (
	"context"
	"errors"
	"time"
)

// LockFile takes the lock whose file is at path, as Lock does, for a part of the work in the folder dir.
func LockFile(path, dir string) (release func() error, err error) { return lockFile(path, dir) }

// staleAfter is how long WaitLock waits for a lock that may outlive its process.
const staleAfter = time.Minute

// WaitLock is LockFile for work that takes moments: it waits while another process has the lock. Where locks may outlive
// their process it waits for a minute, and the error is then a *BusyError.
func WaitLock(ctx context.Context, path, dir string) (release func() error, err error) {
	begun, pause := time.Now(), time.Millisecond
	for {
		release, err := lockFile(path, dir)
		var busy *BusyError
		if !errors.As(err, &busy) || busy.Lock != "" && time.Since(begun) > staleAfter {
			return release, err
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, 50*time.Millisecond)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
