package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/lazyregexp"
)

// A blob is the server's description of a file.
type blob struct {
	name     string // of the file
	checksum string // hexadecimal: SHA-256 for a file in Git LFS, git's blob id for any other
	size     int64  // -1: not known until the file comes
}

var checksumForm = lazyregexp.New(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

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
	t := &transfer{hub: h, ref: r, commit: commit, blob: &b, path: path + incomplete, progress: o.Progress, atOnce: connections}
	retried := false
	err = h.retry(ctx, o.Note, func() (int64, error) {
		done, err := t.attempt(ctx)
		if err != nil {
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
			what := name
			if b.size >= 0 {
				what += fmt.Sprintf(" (%d bytes)", b.size)
			}
			return "", fmt.Errorf("%s: no space left for %s: free some space and pull again; the part already fetched is kept", filepath.Dir(path), what)
		}
		return "", err
	}
	if err := os.Rename(path+incomplete, path); err != nil {
		return "", err
	}
	if err := files.SyncDir(filepath.Dir(path)); err != nil {
		return "", err
	}
	// It was verified just now, and nobody else writes to it while the lock is held.
	if stamp, err := files.Settled(path); err == nil {
		h.remember(r, b.checksum, b.checksum, stamp)
	}
	return path, nil
}

// head asks for a file's checksum and length. For a file in Git LFS the hub's own answer has the checksum; the server that it
// redirects to may use another ETag, or answer no HEAD. The length may remain unknown.
func (h *Hub) head(ctx context.Context, r Ref, commit, name string) (blob, error) {
	b := blob{name: name, size: -1}
	resp, err := h.do(ctx, http.MethodHead, h.fileAddress(r, commit, name), nil, h.answer, func(resp *http.Response) bool {
		sums := []string{resp.Header.Get("X-Linked-Etag")}
		if resp.StatusCode != http.StatusOK && resp.Request.URL.Host == h.Endpoint.Host {
			sums = append(sums, resp.Header.Get("Etag")) // of a redirect to the file
		}
		for _, sum := range sums {
			if sum = checksum(sum); b.checksum == "" && checksumForm().MatchString(sum) {
				b.checksum = sum
			}
		}
		if n, err := strconv.ParseInt(resp.Header.Get("X-Linked-Size"), 10, 64); err == nil && b.size < 0 {
			b.size = n
		}
		return b.checksum != "" && b.size >= 0
	})
	switch {
	case err != nil && (b.checksum == "" || ctx.Err() != nil):
		return blob{}, err
	case err != nil: // a GET may do better
		return b, nil
	}
	resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
		if b.checksum == "" {
			b.checksum = checksum(resp.Header.Get("Etag"))
		}
		if b.size < 0 {
			b.size = resp.ContentLength
		}
	case b.checksum == "":
		return blob{}, h.statusError(r, "file "+name+" of "+r.String(), resp)
	}
	if !checksumForm().MatchString(b.checksum) {
		return blob{}, fmt.Errorf("%s gives no checksum of %s: it does not implement the API of Hugging Face's hub", resp.Request.URL.Host, name)
	}
	return b, b.plausible(resp.Request.URL.Host)
}

// plausible reports a length that no such file has.
func (b *blob) plausible(host string) error {
	if b.size > maxJSON && isSmall(b.name) {
		return fmt.Errorf("%s says that %s has %d bytes, which no such file has", host, b.name, b.size)
	}
	return nil
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
