package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxRedirects = 10
	tries        = 5
	maxPause     = time.Minute
)

// A temporaryError is an error after which the same request may succeed.
type temporaryError struct {
	error
	after time.Duration // the pause that the server asks for
}

func (e *temporaryError) Unwrap() error { return e.error }

// retry calls f until it succeeds, fails permanently, or fails too many times without progress. f returns how far it got, in
// bytes.
func (h *Hub) retry(ctx context.Context, note func(string), f func() (progress int64, err error)) error {
	failed, best := 0, int64(0)
	for {
		progress, err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var temporary *temporaryError
		if !errors.As(err, &temporary) {
			return err
		}
		// A server that gives a few bytes at a time does not count as one that makes progress.
		if progress-best >= max(h.least, 1) {
			failed, best = 0, progress
		}
		if failed++; failed == tries {
			return fmt.Errorf("%w (tried %d times)", err, tries)
		}
		pause := max(temporary.after, h.pause<<(failed-1))
		pause = min(pause, maxPause) + rand.N(h.pause/4+1)
		note(fmt.Sprintf("%v; trying again in %s", err, pause.Round(time.Millisecond)))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// do sends a request and follows redirects until it gets another answer, or until visit reports that the answer is enough. visit
// may be nil. The request ends with an error when its body does not keep coming or, where limit is not 0, when all of it takes
// longer than that; the body has to be closed.
func (h *Hub) do(ctx context.Context, method string, u *url.URL, header http.Header, limit time.Duration, visit func(*http.Response) (enough bool)) (*http.Response, error) {
	w := h.watch(ctx, limit)
	resp, err := h.follow(w.ctx, method, u, header, visit)
	if err != nil {
		if cause := context.Cause(w.ctx); isSlow(cause) {
			err = networkError(u, cause)
		}
		w.stop()
		return nil, err
	}
	w.body = resp.Body
	resp.Body = w
	w.start()
	return resp, nil
}

// follow is do without a watch.
func (h *Hub) follow(ctx context.Context, method string, u *url.URL, header http.Header, visit func(*http.Response) (enough bool)) (*http.Response, error) {
	for range maxRedirects {
		req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
		if err != nil {
			return nil, err
		}
		for key, values := range header {
			req.Header[key] = values
		}
		req.Header.Set("User-Agent", "bert")
		req.Header.Set("Accept-Encoding", "identity") // lengths and ranges are those of the file
		if h.mayHaveToken(u) {
			req.Header.Set("Authorization", "Bearer "+h.Token)
		}
		resp, err := h.client.Do(req)
		if err != nil {
			return nil, networkError(u, err)
		}
		if visit != nil && visit(resp) {
			return resp, nil
		}
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return resp, nil
		}
		resp.Body.Close()
		next, err := u.Parse(resp.Header.Get("Location"))
		if err != nil || next.Scheme != "https" && next.Scheme != "http" {
			return nil, fmt.Errorf("%s: redirects to an invalid address", u.Host)
		}
		if u.Scheme == "https" && next.Scheme == "http" {
			return nil, fmt.Errorf("%s: refusing its redirect from https to http on %s", u.Host, next.Host)
		}
		u = next
	}
	return nil, fmt.Errorf("%s: more than %d redirects", u.Host, maxRedirects)
}

// networkError names the host but not the rest of the address, which may be a signed URL and so a secret.
func networkError(u *url.URL, err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return &temporaryError{error: fmt.Errorf("%s: %w", u.Host, err)}
}

// statusError explains an answer that is not a success.
func (h *Hub) statusError(r Ref, what string, resp *http.Response) error {
	var (
		code  = resp.Header.Get("X-Error-Code")
		host  = resp.Request.URL.Host
		away  = host != h.Endpoint.Host
		token = "log in with Hugging Face's tools, or set HF_TOKEN to a token that may read it"
	)
	switch {
	case h.Token != "" && away:
		token = h.Endpoint.Host + " sends on to " + host + ", which is not given the token"
	case h.Token != "":
		token = "the token may not read it, or has expired"
		if h.TokenFrom != "" {
			token = fmt.Sprintf("the token in %s may not read it, or has expired", h.TokenFrom)
		}
	}
	switch status := resp.StatusCode; {
	case status == http.StatusForbidden && away && code == "": // a signed address that has expired
		return &temporaryError{error: fmt.Errorf("%s answers %q for %s", host, resp.Status, what)}
	case code == "RevisionNotFound":
		return fmt.Errorf("%s has no revision %q", r.Name, r.Revision)
	case code == "GatedRepo" || status == http.StatusForbidden:
		return fmt.Errorf("%s refuses access to %s: accept the model's terms at %s/%s if it has any, and %s",
			h.Endpoint.Host, r.Name, h.Endpoint, r.Name, token)
	case code == "RepoNotFound" || status == http.StatusUnauthorized:
		// The hub does not distinguish the two.
		return fmt.Errorf("%s has no model %q, or it is private: check the name (most are ORGANISATION/NAME); if it is private, %s",
			h.Endpoint.Host, r.Name, token)
	case code == "EntryNotFound" || status == http.StatusNotFound:
		return fmt.Errorf("%s has no %s: check the name (most are ORGANISATION/NAME) and the revision", h.Endpoint.Host, what)
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return &temporaryError{
			error: fmt.Errorf("%s answers %q for %s", host, resp.Status, what),
			after: time.Duration(max(0, min(seconds, 3600))) * time.Second,
		}
	default:
		return fmt.Errorf("%s answers %q for %s", host, resp.Status, what)
	}
}

// address returns an address below the endpoint. The parts are escaped, including slashes in them.
func (h *Hub) address(parts ...string) *url.URL {
	u := *h.Endpoint
	escaped := make([]string, len(parts))
	for i, part := range parts {
		escaped[i] = url.PathEscape(part)
	}
	u.RawPath = u.EscapedPath() + "/" + strings.Join(escaped, "/")
	u.Path += "/" + strings.Join(parts, "/")
	return &u
}

// modelAddress returns an address below the endpoint that contains the model's name. The slash in the name is not escaped.
func (h *Hub) modelAddress(before []string, r Ref, after ...string) *url.URL {
	parts := append(append([]string(nil), before...), strings.Split(r.Name, "/")...)
	return h.address(append(parts, after...)...)
}

// A slowError says that an answer did not come in time.
type slowError struct{ text string }

func (e *slowError) Error() string { return e.text }

func isSlow(err error) bool {
	var slow *slowError
	return errors.As(err, &slow)
}

// A watchedBody is a body that has to keep coming: it ends with an error where less than some bytes come within some time, or
// where all of it takes too long.
type watchedBody struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	body   io.ReadCloser
	came   atomic.Int64 // bytes since the clock was last looked at
	last   atomic.Int64 // when some came last, as time.Time.UnixNano
	pace   *time.Timer
	limit  *time.Timer // nil: none
	stall  time.Duration
	least  int64
}

// watch begins a request, all of which may take limit; 0: any time.
func (h *Hub) watch(ctx context.Context, limit time.Duration) *watchedBody {
	w := &watchedBody{stall: h.stall, least: h.least}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	if limit > 0 {
		w.limit = time.AfterFunc(limit, func() { w.cancel(&slowError{fmt.Sprintf("the answer takes more than %v", limit)}) })
	}
	return w
}

// start is called when the body begins.
func (w *watchedBody) start() {
	w.last.Store(time.Now().UnixNano())
	const later = time.Hour // the timer is set below, once w.pace is there
	w.pace = time.AfterFunc(later, func() {
		quiet := time.Since(time.Unix(0, w.last.Load()))
		switch n := w.came.Swap(0); {
		case n < w.least && quiet >= w.stall/2:
			w.cancel(&slowError{fmt.Sprintf("no data for %v", quiet.Round(time.Millisecond))})
		case n < w.least:
			w.cancel(&slowError{fmt.Sprintf("only %d bytes in %v", n, w.stall)})
		default:
			w.pace.Reset(w.stall)
		}
	})
	w.pace.Reset(w.stall)
}

func (w *watchedBody) Read(p []byte) (int, error) {
	n, err := w.body.Read(p)
	if n > 0 {
		w.came.Add(int64(n))
		w.last.Store(time.Now().UnixNano())
	}
	if err != nil && err != io.EOF {
		if cause := context.Cause(w.ctx); isSlow(cause) {
			err = cause
		}
	}
	return n, err
}

func (w *watchedBody) Close() error {
	err := w.body.Close()
	w.stop()
	return err
}

func (w *watchedBody) stop() {
	if w.pace != nil {
		w.pace.Stop()
	}
	if w.limit != nil {
		w.limit.Stop()
	}
	w.cancel(nil)
}
