// Package hub fetches models from Hugging Face's hub, or a server with the same API, into the cache that Hugging Face's own
// tools use.
//
// The requests (https://huggingface.co/docs/hub/api; src/huggingface_hub/file_download.py of huggingface/huggingface_hub is
// the reference):
//
//	GET  /api/models/NAME/revision/REVISION    JSON: "sha", the commit, and "siblings", the names of its files
//	HEAD /NAME/resolve/COMMIT/FILE             ETag or X-Linked-ETag: the file's checksum; X-Linked-Size or Content-Length
//	GET  /NAME/resolve/COMMIT/FILE             the file, often by a redirect to another host; large ones in several ranges at once
//
// The cache (https://huggingface.co/docs/huggingface_hub/guides/manage-cache):
//
//	models--ORG--NAME/blobs/CHECKSUM             a file's content; CHECKSUM.incomplete during the download
//	models--ORG--NAME/snapshots/COMMIT/FILE      a symbolic link to its blob; a copy where links are not supported
//	models--ORG--NAME/refs/REVISION              the commit of a branch or a tag when it was last fetched
//	.locks/models--ORG--NAME/CHECKSUM.lock       held by the process that fetches the blob
//	models--ORG--NAME/.checked/CHECKSUM          ours: the size and the times that the blob had when its checksum was computed
//
// A file enters the cache once its checksum is verified, a snapshot once all its files are present. What other programs put
// there, or what changed since, is verified when it is next used. Nothing is written through a symbolic link below the
// cache's own folder.
package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/lazyregexp"
)

const officialEndpoint = "https://huggingface.co"

// A Hub is a server and the cache of its files. Its fields must not be changed while it is in use.
type Hub struct {
	Endpoint *url.URL // https://huggingface.co
	// Token is sent to Endpoint, never to another host, and only over https or to this machine. "" for none.
	Token string
	// TokenFrom says in messages where Token is from: "HF_TOKEN", or a file.
	TokenFrom string
	Cache     string // a folder
	// Offline forbids requests to the server.
	Offline bool

	client *http.Client
	// stall is how long to wait for data, answer how long an answer without a file may take, pause how long to wait before the
	// first retry. Fields, so that tests can shorten them.
	stall, answer, pause time.Duration
	// least is how many bytes of a body have to come within stall, and how many make a retry one after progress.
	least int64
	// piece is how many bytes of a large file are asked for at once.
	piece int64
	// tokenErr says why the token that is there is not used.
	tokenErr error
}

// New makes a Hub with the given endpoint, token and cache.
func New(endpoint, token, cache string) (*Hub, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" {
		return nil, fmt.Errorf("the endpoint %q is not an address like https://huggingface.co", endpoint)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone() // with the proxies of the environment
	transport.ResponseHeaderTimeout = 30 * time.Second
	// Requests at once have connections of their own: those of HTTP/2 would share one, and its speed.
	transport.MaxIdleConnsPerHost = connections
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true)
	return &Hub{
		Endpoint: u, Token: token, Cache: cache, stall: 20 * time.Second, answer: time.Minute, pause: time.Second, least: 16 << 10,
		piece: pieceSize,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// FromEnvironment makes a Hub from the variables of Hugging Face's tools: HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_CACHE,
// HF_HOME, XDG_CACHE_HOME, HF_HUB_OFFLINE and HF_HUB_DISABLE_IMPLICIT_TOKEN. Without HF_TOKEN, the token is that of the file
// HF_TOKEN_PATH or HF_HOME/token, where their login leaves it. getenv returns the value of a variable, as os.Getenv does.
func FromEnvironment(getenv func(string) string) (*Hub, error) {
	endpoint := getenv("HF_ENDPOINT")
	if endpoint == "" {
		endpoint = officialEndpoint
	}
	home, err := homeOf(getenv)
	cache := expand(getenv("HF_HUB_CACHE"), getenv)
	if cache == "" {
		if err != nil {
			return nil, fmt.Errorf("no folder for the model cache: %w: set HF_HOME", err)
		}
		cache = filepath.Join(home, "hub")
	}
	h, err := New(endpoint, "", cache)
	if err != nil {
		return nil, fmt.Errorf("HF_ENDPOINT: %w", err)
	}
	h.Offline = isTrue(getenv("HF_HUB_OFFLINE"))
	if !isTrue(getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		h.Token, h.TokenFrom, h.tokenErr = findToken(getenv, home)
	}
	return h, nil
}

// homeOf is the folder of Hugging Face's tools.
func homeOf(getenv func(string) string) (string, error) {
	if home := expand(getenv("HF_HOME"), getenv); home != "" {
		return home, nil
	}
	caches := expand(getenv("XDG_CACHE_HOME"), getenv)
	if caches == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		caches = filepath.Join(user, ".cache")
	}
	return filepath.Join(caches, "huggingface"), nil
}

// expand replaces variables and a ~ at the beginning of a path, as Hugging Face's tools do. They may stand in a file of
// settings, which no shell has read.
func expand(path string, getenv func(string) string) string {
	path = os.Expand(path, getenv)
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		if user, err := os.UserHomeDir(); err == nil {
			return user + rest
		}
	}
	return path
}

// isTrue reads a switch of Hugging Face's tools.
func isTrue(value string) bool {
	return slices.Contains([]string{"1", "ON", "YES", "TRUE"}, strings.ToUpper(value))
}

// tokenForm is what a header can hold.
var tokenForm = lazyregexp.New(`^[!-~]+$`)

// findToken finds the access token, and says where it is from. home may be "". A file that can't be read is no reason to do
// nothing, as most models need no token.
func findToken(getenv func(string) string, home string) (token, from string, err error) {
	for _, from = range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} { // the second is the name in earlier releases
		if token = strings.TrimSpace(getenv(from)); token != "" {
			break
		}
	}
	if token == "" {
		if from = expand(getenv("HF_TOKEN_PATH"), getenv); from == "" {
			if home == "" {
				return "", "", nil
			}
			from = filepath.Join(home, "token")
		}
		data, err := files.ReadFile(from, 64<<10)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", "", nil
		case err != nil:
			return "", "", fmt.Errorf("the access token is not used: %w", err)
		}
		token = strings.TrimSpace(string(data))
	}
	if token != "" && !tokenForm().MatchString(token) {
		return "", "", fmt.Errorf("the access token is not used: what %s holds is none", from)
	}
	return token, from, nil
}

// A Ref names a model at a revision.
type Ref struct {
	Name     string // "google-bert/bert-base-uncased", or "bert-base-uncased" for some old models
	Revision string // a branch, a tag or a commit
}

// String returns NAME@REVISION, or NAME alone for the main branch.
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
	namePart = lazyregexp.New(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
	// revisionPart is a part of a branch's name. git allows more, but that is not needed here.
	revisionPart = lazyregexp.New(`^[A-Za-z0-9_+][A-Za-z0-9_.+-]*$`)
	commitID     = lazyregexp.New(`^[0-9a-f]{40}$`)
)

// ParseRef parses NAME or NAME@REVISION. Neither part can lead to a path outside the cache.
func ParseRef(s string) (Ref, error) {
	name, revision, given := strings.Cut(s, "@")
	r := Ref{Name: name, Revision: mainRevision}
	if given {
		r.Revision = revision
	}
	parts := strings.Split(name, "/")
	ok := len(parts) <= 2 && len(name) <= 96 && !strings.Contains(name, "--") && !strings.Contains(name, "..")
	for _, part := range parts {
		ok = ok && namePart().MatchString(part)
	}
	if !ok {
		return Ref{}, fmt.Errorf("%q is not the name of a model: want NAME or ORGANISATION/NAME, of letters, digits, dots, hyphens and underscores", name)
	}
	ok = len(r.Revision) <= 200 && !strings.Contains(r.Revision, "..")
	for part := range strings.SplitSeq(r.Revision, "/") {
		ok = ok && revisionPart().MatchString(part) && !strings.HasSuffix(part, ".lock")
	}
	if !ok {
		return Ref{}, fmt.Errorf("%q is not the name of a revision: want a branch, a tag or a commit", r.Revision)
	}
	return r, nil
}

// folder returns the model's folder in the cache.
func (h *Hub) folder(r Ref) string { return filepath.Join(h.Cache, repoName(r)) }

func repoName(r Ref) string { return "models--" + strings.ReplaceAll(r.Name, "/", "--") }

// refFile returns the path of the file that holds the commit of a branch or tag.
func (h *Hub) refFile(r Ref) string {
	return filepath.Join(h.folder(r), "refs", filepath.FromSlash(r.Revision))
}

func (h *Hub) snapshot(r Ref, commit string) string {
	return filepath.Join(h.folder(r), "snapshots", commit)
}

// ErrNotCached is returned for a model that is not in the cache.
var ErrNotCached = errors.New("not in the model cache")

// Lookup returns the folder of a model in the cache. It does not contact the server: a branch means the commit of its last
// pull. If the cache has no such model, the error is ErrNotCached. Resolve also checks that the files are what the hub has.
func (h *Hub) Lookup(r Ref) (dir string, err error) {
	commit := r.Revision
	if !commitID().MatchString(commit) {
		data, err := files.ReadFile(h.refFile(r), 1<<10)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return "", ErrNotCached
			}
			return "", err
		}
		if commit = strings.TrimSpace(string(data)); !commitID().MatchString(commit) {
			return "", fmt.Errorf("%s: %.50q is not a commit: remove the file and pull %s again", h.refFile(r), commit, r)
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

// mayHaveToken reports whether the token may be sent to u: only to the endpoint, over https or on this machine.
func (h *Hub) mayHaveToken(u *url.URL) bool {
	if h.Token == "" || u.Scheme != h.Endpoint.Scheme || u.Host != h.Endpoint.Host {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
