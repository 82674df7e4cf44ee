package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-bert/bert/internal/files"
)

// A large file comes in pieces, of which several are asked for at once.
const (
	pieceSize   = 8 << 20
	connections = 4
	// maxPieces is how many pieces may be in memory: those that come, and those that wait for one before them.
	maxPieces = connections + 2
)

// A transfer fetches a file, in as many attempts as that takes. What has come is always a beginning of the file: pieces are
// written in their order, so that the cut file of a killed process means the same to Hugging Face's tools, which share it and go
// on from its length.
//
// Parts may come at different times and from different servers; only the checksum shows that they belong together. If-Range
// would not help: the servers that a hub redirects to have ETags of their own.
type transfer struct {
	hub      *Hub
	ref      Ref
	commit   string
	blob     *blob
	path     string // of the unfinished file
	progress func(file string, done, size int64)
	// atOnce is the number of requests at once. It is halved after each failure, so that a line that is too slow for several
	// is left to one.
	atOnce   int
	noRanges bool // the server does not give pieces

	file *os.File // open during an attempt
	done int64    // its length

	pieces []*piece // what comes after done; others begin after the last
	spare  [][]byte // memory of pieces that were written

	mu   sync.Mutex // guards what follows, and calls of progress
	at   *url.URL   // where a piece was found; nil: ask the hub
	came int64      // bytes of pieces
}

// A piece is a part of a file that one request asks for.
type piece struct {
	from, to int64
	data     []byte // what has come of it, from its beginning
	busy     bool   // it is being fetched
}

func (p *piece) whole() bool { return p.from+int64(len(p.data)) == p.to }

// errNoRanges says that a server sends the whole file where a part is asked for.
var errNoRanges = errors.New("the server gives no parts of files")

// attempt fetches what is missing of the file. done is how far all attempts got, in bytes; without an error the file is whole.
func (t *transfer) attempt(ctx context.Context) (done int64, err error) {
	if t.file, err = files.OpenPart(t.path); err != nil {
		return 0, err
	}
	defer func() {
		if e := t.file.Close(); err == nil {
			err = e
		}
	}()
	if t.done, err = t.file.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	size := t.blob.size
	if size >= 0 && t.done > size {
		if err := t.restart(); err != nil {
			return 0, err
		}
	}
	if len(t.pieces) > 0 && t.pieces[0].from != t.done {
		t.drop()
	}
	t.report(0)
	if t.done == size {
		return t.done, nil
	}
	err = errNoRanges
	if size >= 0 && !t.noRanges && (len(t.pieces) > 0 || size-t.done >= 2*t.hub.piece) {
		if err = t.inPieces(ctx); err == errNoRanges {
			t.noRanges = true
		}
	}
	if err == errNoRanges {
		t.drop()
		err = t.inOne(ctx)
	}
	if err != nil {
		t.atOnce = max(1, t.atOnce/2)
		return t.done + t.came, err
	}
	return t.done, t.file.Sync()
}

// restart throws away what has come.
func (t *transfer) restart() error {
	t.done = 0
	t.drop()
	if err := t.file.Truncate(0); err != nil {
		return err
	}
	_, err := t.file.Seek(0, io.SeekStart)
	return err
}

// drop throws away the pieces that are not written.
func (t *transfer) drop() { t.pieces, t.came = nil, 0 }

// report counts n more bytes of pieces and tells how much has come.
func (t *transfer) report(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.came += int64(n)
	t.progress(t.blob.name, t.done+t.came, t.blob.size)
}

func (t *transfer) what() string { return "file " + t.blob.name + " of " + t.ref.String() }

// request asks for the file from a byte to another; to is the length for all of the rest, or -1 where that is not known.
func (t *transfer) request(ctx context.Context, u *url.URL, from, to int64, limit time.Duration) (*http.Response, error) {
	header := http.Header{}
	switch {
	case to >= 0 && to < t.blob.size:
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	case from > 0:
		header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	return t.hub.do(ctx, http.MethodGet, u, header, limit, nil)
}

// checkRange reports an answer that is another part of the file than the one that was asked for.
func (t *transfer) checkRange(resp *http.Response, from, to int64) error {
	got, want := resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", from, to-1, t.blob.size)
	if got == want {
		return nil
	}
	return &temporaryError{error: fmt.Errorf("%s sends the range %q of %s, want %q", resp.Request.URL.Host, got, t.blob.name, want)}
}

// inOne fetches the rest of the file by one request.
func (t *transfer) inOne(ctx context.Context) error {
	b := t.blob
	limit := time.Duration(0)
	if b.size >= 0 && b.size <= maxSmall || b.size < 0 && isSmall(b.name) {
		limit = smallTime * t.hub.answer
	}
	resp, err := t.request(ctx, t.hub.fileAddress(t.ref, t.commit, b.name), t.done, b.size, limit)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	host := resp.Request.URL.Host
	switch resp.StatusCode {
	case http.StatusOK: // the whole file, even if a range was requested
		if err := t.restart(); err != nil {
			return err
		}
		if b.size < 0 {
			b.size = resp.ContentLength // -1 where it ends when it ends
		}
	case http.StatusPartialContent:
		if b.size < 0 {
			b.size = totalLength(resp)
		}
		if err := t.checkRange(resp, t.done, b.size); err != nil {
			return errors.Join(t.restart(), err)
		}
	case http.StatusRequestedRangeNotSatisfiable:
		if b.size < 0 && totalLength(resp) == t.done { // it was whole
			b.size = t.done
			return nil
		}
		return errors.Join(t.restart(), &temporaryError{error: fmt.Errorf("%s gives a different length of %s", host, b.name)})
	default:
		return t.hub.statusError(t.ref, t.what(), resp)
	}
	if err := b.plausible(host); err != nil {
		return err
	}
	// The limit is one byte too many, to notice a longer file.
	most := int64(math.MaxInt64)
	switch {
	case b.size >= 0:
		most = min(b.size-t.done, math.MaxInt64-1) + 1
	case isSmall(b.name):
		most = maxJSON + 1
	}
	_, err = io.Copy(counter{t}, io.LimitReader(resp.Body, most))
	var local *os.PathError
	switch {
	case errors.As(err, &local): // writing failed
		return err
	case err != nil:
		return networkError(resp.Request.URL, err)
	case b.size < 0:
		b.size = t.done
		return b.plausible(host)
	case t.done > b.size:
		return errors.Join(t.restart(), fmt.Errorf("%s sends more than the %d bytes that %s has", host, b.size, b.name))
	case t.done < b.size:
		return networkError(resp.Request.URL, fmt.Errorf("the connection ended after %d of %d bytes of %s", t.done, b.size, b.name))
	}
	return nil
}

// totalLength is the length of the whole file that an answer about a part of it gives, or -1.
func totalLength(resp *http.Response) int64 {
	_, total, _ := strings.Cut(resp.Header.Get("Content-Range"), "/")
	if n, err := strconv.ParseInt(total, 10, 64); err == nil && n >= 0 {
		return n
	}
	return -1
}

// A counter writes to the file of a transfer and tells how much has come.
type counter struct{ t *transfer }

func (c counter) Write(p []byte) (int, error) {
	n, err := c.t.file.Write(p)
	c.t.done += int64(n)
	c.t.report(0)
	return n, err
}

// inPieces fetches the rest of the file by several requests at once. The first shows whether the server gives parts of files,
// and where.
func (t *transfer) inPieces(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		piece *piece
		err   error
	}
	var (
		results = make(chan result)
		found   = make(chan struct{}) // closed by the first answer
		once    sync.Once
		running = 0
		allowed = 1
	)
	for {
		for err == nil && running < allowed {
			p := t.pick()
			if p == nil {
				break
			}
			p.busy = true
			running++
			go func() { results <- result{p, t.fetch(ctx, p, func() { once.Do(func() { close(found) }) })} }()
		}
		if running == 0 {
			break
		}
		select {
		case <-found:
			found, allowed = nil, t.atOnce
		case r := <-results:
			running--
			r.piece.busy = false
			if r.err == nil {
				r.err = t.write()
			}
			if r.err != nil && err == nil {
				err = r.err // those of the others come of it
				cancel()
			}
		}
	}
	if err != nil && err != errNoRanges {
		return errors.Join(err, t.keep())
	}
	return err
}

// pick is the next piece to fetch; nil if there is none, or no room for one.
func (t *transfer) pick() *piece {
	next := t.done
	for _, p := range t.pieces {
		if !p.busy && !p.whole() {
			return p
		}
		next = p.to
	}
	if len(t.pieces) >= maxPieces || next >= t.blob.size {
		return nil
	}
	p := &piece{from: next, to: min(next+t.hub.piece, t.blob.size)}
	if n := len(t.spare); n > 0 {
		p.data, t.spare = t.spare[n-1], t.spare[:n-1]
	} else {
		p.data = make([]byte, 0, t.hub.piece)
	}
	t.pieces = append(t.pieces, p)
	return p
}

// write writes the pieces that are whole and have nothing missing before them.
func (t *transfer) write() error {
	for len(t.pieces) > 0 && !t.pieces[0].busy && t.pieces[0].whole() {
		p := t.pieces[0]
		if err := t.put(p); err != nil {
			return err
		}
		t.spare = append(t.spare, p.data[:0])
		t.pieces = t.pieces[1:]
	}
	return nil
}

// keep writes what has come without a gap, before an attempt ends. What came after a gap waits for the next one.
func (t *transfer) keep() error {
	if err := t.write(); err != nil || len(t.pieces) == 0 {
		return err
	}
	return t.put(t.pieces[0])
}

// put writes what has come of a piece at the end of the file.
func (t *transfer) put(p *piece) error {
	n, err := t.file.Write(p.data)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done += int64(n)
	t.came -= int64(n)
	p.from += int64(n)
	p.data = p.data[:copy(p.data, p.data[n:])]
	return err
}

// fetch fetches what is missing of a piece. answered is called when the server gives it.
func (t *transfer) fetch(ctx context.Context, p *piece, answered func()) error {
	t.mu.Lock()
	u := t.at
	t.mu.Unlock()
	if u == nil {
		u = t.hub.fileAddress(t.ref, t.commit, t.blob.name)
	}
	from := p.from + int64(len(p.data))
	resp, err := t.request(ctx, u, from, p.to, 0)
	if err != nil {
		t.foundAt(nil)
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusPartialContent:
		if t.checkRange(resp, from, p.to) != nil {
			return errNoRanges // which are of use: one request says what is wrong
		}
	case http.StatusOK, http.StatusRequestedRangeNotSatisfiable:
		return errNoRanges
	default:
		t.foundAt(nil) // a signed address may have expired
		return t.hub.statusError(t.ref, t.what(), resp)
	}
	t.foundAt(resp.Request.URL)
	answered()
	missing := int(p.to - from)
	for missing > 0 {
		n, err := resp.Body.Read(p.data[len(p.data) : len(p.data)+missing])
		p.data = p.data[:len(p.data)+n]
		missing -= n
		t.report(n)
		switch {
		case err == nil || missing == 0:
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return networkError(resp.Request.URL, fmt.Errorf("the connection ended %d bytes before the end of a part of %s", missing, t.blob.name))
		default:
			return networkError(resp.Request.URL, err)
		}
	}
	return nil
}

// foundAt notes where the server gives the file.
func (t *transfer) foundAt(u *url.URL) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = u
}
