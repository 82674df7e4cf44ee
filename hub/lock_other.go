//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package hub

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"
)

// acquire takes the lock at path by creating a file, and waits while the file exists. If the process is killed, the file stays
// and must be removed by hand.
func acquire(ctx context.Context, path string, waiting func()) (release func(), err error) {
	path += ".held" // because Hugging Face's tools never remove their lock files
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err == nil {
			f.Close()
			return func() { os.Remove(path) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
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
