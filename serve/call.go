package serve

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// call is a request on its way through a handler. It belongs to the goroutine of its handler.
type call struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	ctx     context.Context // ends with the client, the deadline, or the server
	cancel  context.CancelCauseFunc
	dialect *dialect
	route   *route
	use     Use // that of the route; a handler that decides later sets it

	id     string // X-Request-Id
	trace  string // traceparent, as it came; "": none
	key    string // the name of the key, for the log; "": none was needed
	start  time.Time
	models []*model // that are held until the call has ended

	scratch  []byte // of buffer
	read     []byte // of body
	keys     []byte // of request
	held     int64  // bytes of Options.MaxBodies
	admitted bool   // it counts among Options.MaxRequests
	status   int    // that was written; 0: none yet
	facts    totals
	failure  *Error
	abort    bool          // the connection can't be used again
	answered time.Time     // when the last answer was there
	encode   time.Duration // from then until the answer was written
}

// totals are sums over all that a call had answered: for the log, metrics and headers.
type totals struct {
	model      string
	inputs     int
	characters int
	tokens     int
	truncated  int
	cached     int
	tokenize   time.Duration
	queue      time.Duration // until the first input was computed
	compute    time.Duration // from then until the last one was
}

// speak makes the call one of another dialect, where two share a path.
func (c *call) speak(d *dialect) { c.dialect = d }

// pathModel is the model that the path names, {m}.
func (c *call) pathModel() string { return c.r.PathValue("m") }

// query is a parameter of the query.
func (c *call) query(name string) string { return c.r.URL.Query().Get(name) }

// buffer is empty memory for an answer, good until the call ends.
func (c *call) buffer() []byte {
	if c.scratch == nil {
		c.scratch = *buffers.Get().(*[]byte)
	}
	return c.scratch[:0]
}

// buffers are those of calls that have ended, unless they are large.
var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 4<<10)) }}

const largeBuffer = 1 << 20

// freeBuffer lets others have the call's.
func (c *call) freeBuffer() {
	if b := c.scratch; b != nil && cap(b) <= largeBuffer {
		buffers.Put(&b)
	}
	c.scratch = nil
}

// reply writes an answer: the headers that say what became of the inputs, and body. It is called once. An error is that of a client
// that has gone, and needs no handling.
func (c *call) reply(status int, contentType string, body []byte) error {
	if cap(body) > cap(c.scratch) {
		c.scratch = body[:0]
	}
	h := c.w.Header()
	c.factHeaders(h)
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	if status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.writeDeadline(c.s.options.WriteTimeout)
	c.status = status
	c.w.WriteHeader(status)
	if len(body) == 0 || c.r.Method == http.MethodHead {
		return nil
	}
	_, err := c.w.Write(body)
	if !c.answered.IsZero() {
		c.encode = time.Since(c.answered)
	}
	return err
}

// factHeaders says what became of the inputs, where bodies have no room for it. Times are in milliseconds; the names are those of
// text-embeddings-inference.
func (c *call) factHeaders(h http.Header) {
	f := &c.facts
	if f.inputs == 0 {
		return
	}
	milliseconds := func(d time.Duration) string { return strconv.FormatFloat(float64(d)/1e6, 'f', 3, 64) }
	set := func(name, value string) { h[name] = []string{value} } // the names are canonical
	set("X-Compute-Characters", strconv.Itoa(f.characters))
	set("X-Compute-Tokens", strconv.Itoa(f.tokens))
	set("X-Total-Time", milliseconds(time.Since(c.start)))
	set("X-Tokenization-Time", milliseconds(f.tokenize))
	set("X-Queue-Time", milliseconds(f.queue))
	set("X-Inference-Time", milliseconds(f.compute))
	set("X-Bert-Model", headerValue(f.model))
	set("X-Bert-Truncated", strconv.Itoa(f.truncated))
	if f.cached > 0 {
		set("X-Bert-Cached", strconv.Itoa(f.cached))
	}
}

// headerValue is a text without what a header can't have.
func headerValue(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// fail answers with an error, in the words of the dialect, unless an answer has begun.
func (c *call) fail(err error) {
	e := asError(err)
	if cause := context.Cause(c.ctx); e.Kind == ClientGone && cause != nil {
		e = asError(cause) // not the client's doing, but the server's end or the deadline
	}
	c.failure = e
	if c.status != 0 {
		return
	}
	if e.Kind == ClientGone {
		c.status = statusClientGone
		c.abort = true // or who is there after all would get an empty answer
		return
	}
	h := c.w.Header()
	switch e.Kind {
	case Unauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="bert"`)
	case Overloaded, Loading, Draining:
		if e.RetryAfter > 0 {
			h.Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
		}
	}
	write := writeJSONError
	if c.dialect != nil && c.dialect.writeError != nil {
		write = c.dialect.writeError
	}
	write(c, e)
}

// writeDeadline bounds how long the client may take to fetch what is written.
func (c *call) writeDeadline(d time.Duration) {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(d)) // not every writer has deadlines
}
