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

// retry calls f until it succeeds, fails permanently, or fails too many times without progress. f returns how far it got.
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
		if progress > best {
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
// may be nil.
func (h *Hub) do(ctx context.Context, method string, u *url.URL, header http.Header, visit func(*http.Response) (enough bool)) (*http.Response, error) {
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
	code := resp.Header.Get("X-Error-Code")
	token := "set HF_TOKEN to a token that may read it"
	if h.Token != "" {
		token = "the token in HF_TOKEN may not read it"
	}
	switch status := resp.StatusCode; {
	case status == http.StatusForbidden && resp.Request.URL.Host != h.Endpoint.Host: // a signed address that has expired
		return &temporaryError{error: fmt.Errorf("%s answers %q for %s", resp.Request.URL.Host, resp.Status, what)}
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
			error: fmt.Errorf("%s answers %q for %s", resp.Request.URL.Host, resp.Status, what),
			after: time.Duration(max(0, min(seconds, 3600))) * time.Second,
		}
	default:
		return fmt.Errorf("%s answers %q for %s", resp.Request.URL.Host, resp.Status, what)
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

// A watchedBody is a body whose timer ends the request when no data arrive for some time.
type watchedBody struct {
	io.Reader
	timer *time.Timer
	stall time.Duration
}

func (w *watchedBody) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.timer.Reset(w.stall)
	return n, err
}

var errStalled = errors.New("no data for a minute")
