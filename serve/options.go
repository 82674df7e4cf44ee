package serve

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/task"
)

// ModelSpec is a model to serve.
type ModelSpec struct {
	// Name is what requests call it; "": the last element of Path. Several specs may have the same path: the model is loaded once.
	Name string
	// Path is a model directory, or what else task.Open takes.
	Path string
	// Precision is how it computes. The zero value is that of its configuration.
	Precision bert.Precision
	// Pooling makes vectors of texts. The zero value is what the folder says or, where it says nothing, the mean.
	Pooling task.Pooling
	// MaxTokens is the most tokens of a sequence, no more than the model takes; 0: what the model takes.
	MaxTokens int
}

// Truncate says what becomes of an input that is longer than the model takes.
type Truncate uint8

const (
	// TruncateDefault leaves it to Options and, where they are silent, to the dialect.
	TruncateDefault Truncate = iota
	// TruncateRight cuts the end.
	TruncateRight
	// TruncateLeft cuts the beginning.
	TruncateLeft
	// TruncateNever makes it an error.
	TruncateNever
)

var truncations = [...]string{TruncateDefault: "default", TruncateRight: "right", TruncateLeft: "left", TruncateNever: "error"}

func (t Truncate) String() string {
	if int(t) >= len(truncations) {
		return fmt.Sprintf("Truncate(%d)", t)
	}
	return truncations[t]
}

// ParseTruncate reads default, right, left or error.
func ParseTruncate(name string) (Truncate, error) {
	if i := slices.Index(truncations[:], strings.ToLower(name)); i >= 0 {
		return Truncate(i), nil
	}
	return 0, errorf(BadRequest, "truncation %q: want right, left or error", name)
}

// Options say what is served and how. Of each field but Models and Manifest the zero value means a default that is good.
type Options struct {
	// Models are those to serve. Where a request names none, it gets the first that was made for what it asks.
	Models []ModelSpec
	// Manifest is a JSON file that lists models, in place of Models: see Server.Reload.
	Manifest string
	// WatchInterval is how often the manifest and the file of keys are looked at; 0: every two seconds; negative: never.
	WatchInterval time.Duration
	// AnyModelName lets a name that no model has mean none. Without it, that is an error.
	AnyModelName bool

	// Dialects are the names of those that are spoken: see Dialects. nil: all.
	Dialects []string
	// URLPrefix is put before all paths, as in "/bert".
	URLPrefix string

	// Threads compute, of all models together; 0: GOMAXPROCS. A program that does nothing else does well to have a GOMAXPROCS above
	// it, so that the network is attended to while all threads compute.
	Threads int
	// Batches may be computed at once; 0: 1. The operations of more take turns on the same threads, and drive one another's data out of
	// the caches.
	Batches int
	// BatchTokens is the most tokens of a batch; 0: 4,096. It is less where that many would take longer than BatchTime; 0: 100 ms.
	BatchTokens int
	BatchTime   time.Duration
	// MaxQueueTokens is the most tokens that wait or are computed; 0: 262,144. What doesn't fit is refused with Overloaded: at once,
	// or when it has waited for MaxQueueWait.
	MaxQueueTokens int
	MaxQueueWait   time.Duration
	// BulkDelay is by how much interactive requests go ahead of bulk ones that came before them; 0: 2 s.
	BulkDelay time.Duration
	// BulkTokens is the number of tokens from which on a request is bulk, where it doesn't say; 0: 8 × BatchTokens.
	BulkTokens int

	// MaxRequests is the most requests at once whose bodies have come; 0: 4,096. The next is refused.
	MaxRequests int
	// MaxInputs is the most inputs of a request, and the most labels or choices of an input; 0: 2,048.
	MaxInputs int
	// MaxBody is the most bytes of a body; 0: 8 MiB. MaxBodies is the most of all that are held at once; 0: 32 × MaxBody.
	MaxBody, MaxBodies int64
	// BodyTimeout is the longest that a body may take to come; 0: 30 s. WriteTimeout is the longest that an answer may take to be
	// fetched; 0: 60 s.
	BodyTimeout, WriteTimeout time.Duration
	// RequestTimeout is the longest that a request may take, and what a request may ask for at most; 0: 5 minutes.
	RequestTimeout time.Duration

	// CacheBytes is how much memory answers are kept in; 0: 64 MiB; negative: none are.
	CacheBytes int64
	// NoSharing computes inputs anew that are being computed for another request.
	NoSharing bool

	// Truncate is what becomes of long inputs where a request doesn't say. The zero value leaves it to the dialect; most cut the end
	// that the model says.
	Truncate Truncate
	// TokenIDs lets the OpenAI dialect take ids in place of texts. They are those of the model's own tokenizer, which OpenAI's
	// clients don't have.
	TokenIDs bool

	// Keys are what clients have to know, as "Authorization: Bearer KEY". KeyFile has more of them, one a line, and is read again
	// when it has changed. Without either, there is no need of one.
	Keys    []string
	KeyFile string
	// AllowOrigins are those of web pages that may ask: "*" for any. nil: none.
	AllowOrigins []string

	// DrainDelay is how long Drain goes on as before but for the probe of readiness, so that load balancers notice.
	DrainDelay time.Duration
	// StuckAfter is how long a batch may be computed before the server says that it is not ready; 0: a minute.
	StuckAfter time.Duration

	// TEIMetrics has metrics also under the names of text-embeddings-inference.
	TEIMetrics bool
	// Profiling serves net/http/pprof under /debug/pprof/, to those that have a key where there are keys.
	Profiling bool
	// Log hears of each request and of each model; nil: nobody does.
	Log *slog.Logger
	// Version is the program's, for metrics and info.
	Version string
}

// withDefaults checks o and fills it in.
func (o Options) withDefaults() (Options, error) {
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"Threads", int64(o.Threads)}, {"Batches", int64(o.Batches)}, {"BatchTokens", int64(o.BatchTokens)}, {"BatchTime", int64(o.BatchTime)},
		{"MaxQueueTokens", int64(o.MaxQueueTokens)}, {"MaxQueueWait", int64(o.MaxQueueWait)}, {"BulkDelay", int64(o.BulkDelay)},
		{"BulkTokens", int64(o.BulkTokens)}, {"MaxRequests", int64(o.MaxRequests)}, {"MaxInputs", int64(o.MaxInputs)}, {"MaxBody", o.MaxBody},
		{"MaxBodies", o.MaxBodies}, {"BodyTimeout", int64(o.BodyTimeout)}, {"WriteTimeout", int64(o.WriteTimeout)},
		{"RequestTimeout", int64(o.RequestTimeout)}, {"DrainDelay", int64(o.DrainDelay)}, {"StuckAfter", int64(o.StuckAfter)},
	} {
		if n.value < 0 {
			return o, fmt.Errorf("serve: %s is %d, want 0 for the default, or more", n.name, n.value)
		}
	}
	if len(o.Models) > 0 && o.Manifest != "" {
		return o, fmt.Errorf("serve: both models and the manifest %s: want one of them", o.Manifest)
	}
	if len(o.Models) == 0 && o.Manifest == "" {
		return o, fmt.Errorf("serve: no models: want at least one, or a manifest")
	}
	if p := o.URLPrefix; p != "" && (!strings.HasPrefix(p, "/") || strings.HasSuffix(p, "/") || strings.ContainsAny(p, "{} ?#")) {
		return o, fmt.Errorf("serve: the prefix of URLs is %q, want it as in /bert", p)
	}
	o.Threads = cmp.Or(o.Threads, runtime.GOMAXPROCS(0))
	o.Batches = cmp.Or(o.Batches, 1)
	o.BatchTokens = cmp.Or(o.BatchTokens, 4096)
	o.BatchTime = cmp.Or(o.BatchTime, 100*time.Millisecond)
	o.MaxQueueTokens = cmp.Or(o.MaxQueueTokens, 1<<18)
	o.BulkDelay = cmp.Or(o.BulkDelay, 2*time.Second)
	o.BulkTokens = cmp.Or(o.BulkTokens, 8*o.BatchTokens)
	o.MaxRequests = cmp.Or(o.MaxRequests, 4096)
	o.MaxInputs = cmp.Or(o.MaxInputs, 2048)
	o.MaxBody = cmp.Or(o.MaxBody, 8<<20)
	o.MaxBodies = cmp.Or(o.MaxBodies, 32*o.MaxBody)
	o.BodyTimeout = cmp.Or(o.BodyTimeout, 30*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, time.Minute)
	o.RequestTimeout = cmp.Or(o.RequestTimeout, 5*time.Minute)
	o.CacheBytes = cmp.Or(o.CacheBytes, 64<<20)
	o.StuckAfter = cmp.Or(o.StuckAfter, time.Minute)
	o.WatchInterval = cmp.Or(o.WatchInterval, 2*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
