package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-bert/bert/internal/atomicfile"
	"github.com/go-bert/bert/internal/files"
)

// A blob is the server's description of a file.
type blob struct {
	name     string // of the file
	checksum string // hexadecimal: SHA-256 for a file in Git LFS, git's blob id for any other
	size     int64
}

var checksumForm = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// fetchBlob fetches a file of a commit into the cache, unless it is there already, and returns its path. have is a file that
// may already hold it, in the place of a link; "" for none.
func (h *Hub) fetchBlob(ctx context.Context, r Ref, commit, name, have string, o PullOptions) (path string, err error) {
	var b blob
	err = h.retry(ctx, o.Note, func() (int64, error) {
		var err error
		b, err = h.head(ctx, r, commit, name)
		return 0, err
	})
	if err != nil {
		return "", err
	}
	if have != "" && h.check(ctx, r, copyKey(commit, name), b, have) == nil {
		return have, nil
	}
	path = filepath.Join(h.folder(r), "blobs", b.checksum)
	if err := h.mkdir(filepath.Dir(path)); err != nil {
		return "", err
	}
	unlock, err := h.lock(ctx, r, b.checksum, func() { o.Note("another process is fetching " + name + ": waiting for it") })
	if err != nil {
		return "", err
	}
	defer unlock()
	// The previous holder of the lock may have fetched it.
	switch err := h.check(ctx, r, b.checksum, b, path); {
	case err == nil:
		return path, nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case !errors.Is(err, fs.ErrNotExist):
		o.Note(fmt.Sprintf("%s is damaged in the cache: fetching it again", name))
	}
	retried := false
	err = h.retry(ctx, o.Note, func() (int64, error) {
		done, err := h.download(ctx, r, commit, b, path, o.Progress)
		if err != nil || done < b.size {
			return done, err
		}
		err = b.verify(ctx, path+incomplete)
		var wrong *checksumError
		if errors.As(err, &wrong) {
			err = fmt.Errorf("%w: it was changed in transit, or the server is broken", err)
			// After an interrupted download one part may be bad, so fetch it once more. A second failure is final.
			if err := os.Remove(path + incomplete); err != nil {
				return 0, err
			}
			if !retried {
				retried = true
				return 0, &temporaryError{error: err}
			}
		}
		return done, err
	})
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			return "", fmt.Errorf("%s: no space left for %s (%d bytes): free some space and pull again; the part already fetched is kept", filepath.Dir(path), name, b.size)
		}
		return "", err
	}
	if err := os.Rename(path+incomplete, path); err != nil {
		return "", err
	}
	if err := atomicfile.SyncDir(filepath.Dir(path)); err != nil {
		return "", err
	}
	// It was verified just now, and nobody else writes to it while the lock is held.
	if stamp, err := files.Settled(path); err == nil {
		h.remember(r, b.checksum, b.checksum, stamp)
	}
	return path, nil
}

// head asks for a file's checksum and length.
func (h *Hub) head(ctx context.Context, r Ref, commit, name string) (blob, error) {
	b := blob{name: name, size: -1}
	resp, err := h.do(ctx, http.MethodHead, h.fileAddress(r, commit, name), nil, h.answer, func(resp *http.Response) bool {
		// For a file in Git LFS, the hub's own answer has the checksum; the server it redirects to may use another ETag.
		b.checksum = checksum(resp.Header.Get("X-Linked-Etag"))
		if n, err := strconv.ParseInt(resp.Header.Get("X-Linked-Size"), 10, 64); err == nil {
			b.size = n
		}
		return b.checksum != "" && b.size >= 0
	})
	if err != nil {
		return blob{}, err
	}
	resp.Body.Close()
	if b.checksum == "" {
		if resp.StatusCode != http.StatusOK {
			return blob{}, h.statusError(r, "file "+name+" of "+r.String(), resp)
		}
		b.checksum, b.size = checksum(resp.Header.Get("Etag")), resp.ContentLength
	}
	if b.size < 0 {
		b.size = resp.ContentLength
	}
	switch {
	case !checksumForm.MatchString(b.checksum):
		return blob{}, fmt.Errorf("%s gives no checksum of %s: it does not implement the API of Hugging Face's hub", resp.Request.URL.Host, name)
	case b.size < 0:
		return blob{}, fmt.Errorf("%s does not give the length of %s", resp.Request.URL.Host, name)
	case b.size > maxJSON && isSmall(name):
		return blob{}, fmt.Errorf("%s says that %s has %d bytes, which no such file has", resp.Request.URL.Host, name, b.size)
	}
	return b, nil
}

// checksum returns the checksum in an ETag.
func checksum(etag string) string { return strings.Trim(strings.TrimPrefix(etag, "W/"), `"`) }

func (h *Hub) fileAddress(r Ref, commit, name string) *url.URL {
	return h.modelAddress(nil, r, "resolve", commit, name)
}

const (
	// maxSmall is the size up to which a file has to come within a time, which is smallTime times that of an answer without
	// a file. A larger one has to keep coming.
	maxSmall  = 1 << 20
	smallTime = 5
)

// isSmall reports whether a file is one of those that hold no weights.
func isSmall(name string) bool {
	return slices.Contains(configNames, name) || slices.Contains(companions, name) || strings.HasSuffix(name, shardIndex)
}

// incomplete is the suffix of a blob that is not fetched completely.
const incomplete = ".incomplete"

// download fetches the missing part of the file path.incomplete and returns its new length. Parts may come at different times
// and from different servers; only the checksum shows that they belong together. If-Range would not help: the servers that a
// hub redirects to have ETags of their own.
func (h *Hub) download(ctx context.Context, r Ref, commit string, b blob, path string, progress func(string, int64, int64)) (done int64, err error) {
	f, err := files.OpenPart(path + incomplete)
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	if done, err = f.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	restart := func() error {
		done = 0
		if err := f.Truncate(0); err != nil {
			return err
		}
		_, err := f.Seek(0, io.SeekStart)
		return err
	}
	if done > b.size {
		if err := restart(); err != nil {
			return 0, err
		}
	}
	progress(b.name, done, b.size)
	if done == b.size {
		return done, nil
	}

	header := http.Header{}
	if done > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", done))
	}
	limit := time.Duration(0)
	if b.size <= maxSmall {
		limit = smallTime * h.answer
	}
	resp, err := h.do(ctx, http.MethodGet, h.fileAddress(r, commit, b.name), header, limit, nil)
	if err != nil {
		return done, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK: // the whole file, even if a range was requested
		if err := restart(); err != nil {
			return 0, err
		}
	case http.StatusPartialContent:
		if got, want := resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", done, b.size-1, b.size); got != want {
			return 0, errors.Join(restart(), &temporaryError{error: fmt.Errorf("%s sends the range %q of %s, want %q", resp.Request.URL.Host, got, b.name, want)})
		}
	case http.StatusRequestedRangeNotSatisfiable:
		return 0, errors.Join(restart(), &temporaryError{error: fmt.Errorf("%s gives a different length of %s", resp.Request.URL.Host, b.name)})
	default:
		return done, h.statusError(r, "file "+b.name+" of "+r.String(), resp)
	}
	// The limit is one byte too many, to notice a longer file.
	n, err := io.Copy(&counter{f, done, func(at int64) { progress(b.name, at, b.size) }}, io.LimitReader(resp.Body, min(b.size-done, math.MaxInt64-1)+1))
	done += n
	var local *os.PathError
	switch {
	case errors.As(err, &local): // writing failed
		return done, err
	case err != nil:
		return done, networkError(resp.Request.URL, err)
	case done > b.size:
		return 0, errors.Join(restart(), fmt.Errorf("%s sends more than the %d bytes that %s has", resp.Request.URL.Host, b.size, b.name))
	case done < b.size:
		return done, networkError(resp.Request.URL, fmt.Errorf("the connection ended after %d of %d bytes of %s", done, b.size, b.name))
	}
	return done, f.Sync()
}

// A counter reports how much has been written.
type counter struct {
	w      io.Writer
	at     int64
	report func(int64)
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.at += int64(n)
	c.report(c.at)
	return n, err
}
