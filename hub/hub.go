// Package hub fetches models from Hugging Face's hub, or a server that speaks its API, into the cache that Hugging Face's
// own tools share.
//
// What is asked of a server (https://huggingface.co/docs/hub/api; src/huggingface_hub/file_download.py of
// huggingface/huggingface_hub is the reference):
//
//	GET  /api/models/NAME/revision/REVISION    JSON: "sha", the commit, and "siblings", the names of its files
//	HEAD /NAME/resolve/COMMIT/FILE             ETag or X-Linked-ETag: the file's checksum; X-Linked-Size or Content-Length
//	GET  /NAME/resolve/COMMIT/FILE             the file, often from another host after a redirect
//
// The cache (https://huggingface.co/docs/huggingface_hub/guides/manage-cache):
//
//	models--ORG--NAME/blobs/CHECKSUM             a file's content; CHECKSUM.incomplete while it comes
//	models--ORG--NAME/snapshots/COMMIT/FILE      a symbolic link to its blob; a copy where there are none
//	models--ORG--NAME/refs/REVISION              the commit that a branch or a tag was at when it was last fetched
//	.locks/models--ORG--NAME/CHECKSUM.lock       held by the process that fetches the blob
//
// A file enters the cache when its checksum is right, a snapshot when all its files are there.
package hub

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A Hub is a server and the cache of what came from it. Its fields are not changed while it is in use.
type Hub struct {
	Endpoint *url.URL // https://huggingface.co
	// Token is sent to Endpoint, never to another host. "" for none. It is sent by https only, but to this machine.
	Token string
	Cache string // folder
	// Offline says that nothing may be asked of the server.
	Offline bool

	client *http.Client
	// What a server is waited for: a sign of life, and a second try. Fields, so that tests need not wait as long.
	stall, pause time.Duration
}

// New makes a Hub of its three settings.
func New(endpoint, token, cache string) (*Hub, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" {
		return nil, fmt.Errorf("the endpoint %q is no address like https://huggingface.co", endpoint)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone() // with the proxies of the environment
	transport.ResponseHeaderTimeout = time.Minute
	return &Hub{
		Endpoint: u, Token: token, Cache: cache, stall: time.Minute, pause: time.Second,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// FromEnvironment makes the Hub that the variables of Hugging Face's tools ask for: HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE,
// HF_HOME, XDG_CACHE_HOME and HF_HUB_OFFLINE, as getenv, which is os.Getenv, gives them.
func FromEnvironment(getenv func(string) string) (*Hub, error) {
	endpoint := getenv("HF_ENDPOINT")
	if endpoint == "" {
		endpoint = "https://huggingface.co"
	}
	cache, home := getenv("HF_HUB_CACHE"), getenv("HF_HOME")
	if cache == "" && home == "" {
		caches := getenv("XDG_CACHE_HOME")
		if caches == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return nil, fmt.Errorf("no folder for the cache of models: %w: set HF_HOME", err)
			}
			caches = filepath.Join(user, ".cache")
		}
		home = filepath.Join(caches, "huggingface")
	}
	if cache == "" {
		cache = filepath.Join(home, "hub")
	}
	h, err := New(endpoint, strings.TrimSpace(getenv("HF_TOKEN")), cache)
	if err != nil {
		return nil, fmt.Errorf("HF_ENDPOINT: %w", err)
	}
	switch strings.ToUpper(getenv("HF_HUB_OFFLINE")) {
	case "1", "ON", "YES", "TRUE":
		h.Offline = true
	}
	return h, nil
}

// A Ref names a model at a revision.
type Ref struct {
	Name     string // "google-bert/bert-base-uncased", or of old models "bert-base-uncased"
	Revision string // a branch, a tag or a commit
}

// String is NAME@REVISION; NAME alone for the main branch.
func (r Ref) String() string {
	if r.Revision == mainRevision {
		return r.Name
	}
	return r.Name + "@" + r.Revision
}

const mainRevision = "main"

var (
	// namePart is a part of a name: letters, digits, "-", "_" and ".", but not these two at its ends
	// (huggingface_hub/utils/_validators.py, validate_repo_id).
	namePart = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
	// revisionPart is a part of a branch's name: git allows more, but nobody needs it here.
	revisionPart = regexp.MustCompile(`^[A-Za-z0-9_+][A-Za-z0-9_.+-]*$`)
	commitID     = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// ParseRef reads NAME or NAME@REVISION. Neither can name a place outside the cache.
func ParseRef(s string) (Ref, error) {
	name, revision, given := strings.Cut(s, "@")
	r := Ref{Name: name, Revision: mainRevision}
	if given {
		r.Revision = revision
	}
	parts := strings.Split(name, "/")
	ok := len(parts) <= 2 && len(name) <= 96 && !strings.Contains(name, "--") && !strings.Contains(name, "..")
	for _, part := range parts {
		ok = ok && namePart.MatchString(part)
	}
	if !ok {
		return Ref{}, fmt.Errorf("%q is no name of a model: want NAME or ORGANISATION/NAME, of letters, digits, dots, hyphens and underscores", name)
	}
	ok = len(r.Revision) <= 200 && !strings.Contains(r.Revision, "..")
	for part := range strings.SplitSeq(r.Revision, "/") {
		ok = ok && revisionPart.MatchString(part) && !strings.HasSuffix(part, ".lock")
	}
	if !ok {
		return Ref{}, fmt.Errorf("%q is no name of a revision: want a branch, a tag or a commit", r.Revision)
	}
	return r, nil
}

// folder is the model's folder in the cache.
func (h *Hub) folder(r Ref) string { return filepath.Join(h.Cache, repoName(r)) }

func repoName(r Ref) string { return "models--" + strings.ReplaceAll(r.Name, "/", "--") }

// refFile holds the commit of a branch or tag.
func (h *Hub) refFile(r Ref) string {
	return filepath.Join(h.folder(r), "refs", filepath.FromSlash(r.Revision))
}

func (h *Hub) snapshot(r Ref, commit string) string {
	return filepath.Join(h.folder(r), "snapshots", commit)
}

// ErrNotCached says that the cache has no such model.
var ErrNotCached = errors.New("not in the cache of models")

// Lookup returns the folder of a model in the cache. It asks nothing of the server: a branch is where it was when it was
// last pulled. Where there is no such model, the error is ErrNotCached.
func (h *Hub) Lookup(r Ref) (dir string, err error) {
	commit := r.Revision
	if !commitID.MatchString(commit) {
		data, err := os.ReadFile(h.refFile(r))
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return "", ErrNotCached
			}
			return "", err
		}
		if commit = strings.TrimSpace(string(data)); !commitID.MatchString(commit) {
			return "", fmt.Errorf("%s: %.50q is no commit: remove the file and pull %s again", h.refFile(r), commit, r)
		}
	}
	dir = h.snapshot(r, commit)
	for _, name := range configNames {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return dir, nil
		}
	}
	return "", ErrNotCached
}

// mayHaveToken reports whether the token may be sent to u: to the endpoint, where nobody listens on the way.
func (h *Hub) mayHaveToken(u *url.URL) bool {
	if h.Token == "" || u.Scheme != h.Endpoint.Scheme || u.Host != h.Endpoint.Host {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
