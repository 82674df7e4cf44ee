package serve

import "net/http"

// dialect is the way in which some clients speak: its routes, its words for errors, and what it takes for granted. Each is in a file
// of its own.
type dialect struct {
	name   string // in metrics and Options.Dialects
	routes []route
	// writeError answers a call with an error. Status and headers that all dialects share, such as X-Request-Id, Retry-After and
	// WWW-Authenticate, are there already; call.reply writes the rest.
	writeError func(c *call, e *Error)

	truncate  Truncate   // where neither a request nor Options say; TruncateRight is then the end that the model says
	offsets   OffsetUnit // of places in texts, where a request doesn't say
	normalize bool       // vectors are divided by their length, where a request doesn't say
}

// route is a path of a dialect.
type route struct {
	method  string // GET also means HEAD
	pattern string // of http.ServeMux, without a method: "/v2/models/{m}/infer"; {m} is org/name where that is escaped as org%2Fname
	use     Use    // what it does, in metrics; NoUse of routes that run no model. A handler may set call.use
	handle  func(c *call) error
	open    bool // needs no key, and is answered while the server drains: probes
}

// dialects is the table of dialects. Of two routes with the same method and pattern the first dialect's is served: New reports that as
// an error.
var dialects = []*dialect{
	&probes,
	&native,
	&tei,
	&openAI,
	&rerank,
	&hf,
	&kserve,
	&ollama,
	&bertService,
	&weaviate,
	&openAPI,
}

// writeJSONError is the error of routes that belong to no dialect, and of ours.
func writeJSONError(c *call, e *Error) {
	b := append(c.buffer(), `{"error":{"kind":`...)
	b = appendString(b, e.Kind.String())
	b = append(b, `,"message":`...)
	b = appendString(b, e.Message)
	if e.Param != "" {
		b = append(b, `,"param":`...)
		b = appendString(b, e.Param)
	}
	if e.Index >= 0 {
		b = append(b, `,"input":`...)
		b = appendInt(b, e.Index)
	}
	b = append(b, `,"request_id":`...)
	b = appendString(b, c.id)
	b = append(b, `}}`...)
	c.reply(e.Kind.Status(), contentJSON, b)
}

var _ http.Handler = (*Server)(nil)
