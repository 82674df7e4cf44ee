package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-bert/bert/data"
)

// A stream is inputs in and answers out, a line each, in the same order, of any number, in bounded memory:
//
//	POST /bert/v1/stream/embed?model=m
//	a text
//	{"text": "a", "text_pair": "b"}
//	→ {"line":1,"vector":[0.1],"tokens":5}
//	  {"line":2,"error":{"kind":"bad_input","message":"…"}}
//
// A line is what data.ParseInput reads; a text in quotes is one without. Parameters of the query are the fields of a request's body. A bad
// line has an error, and the others are answered. One group of lines is computed while the one before is written and the next is read:
// who doesn't read gets no further. An error that ends the stream is a last line without a number.

const (
	streamLines = 128       // of a group
	streamBytes = 256 << 10 // of text of a group
	maxLine     = 1 << 20   // bytes
)

// lineGroup is lines that are answered together.
type lineGroup struct {
	first  int // the number of the first line
	inputs inputList
	errors []*Error // of lines that are no input; else nil
	last   error    // what ends the stream after them; io.EOF
}

func nativeStream(c *call) error {
	u, err := ParseUse(c.r.PathValue("use"))
	if err != nil || u == Tokenize || u == Rerank || u == Compare {
		return errorf(UnknownRoute, "there is no stream of %.40q", c.r.PathValue("use"))
	}
	q, err := queryRequest(c.r.URL.Query())
	if err != nil {
		return err
	}
	m, err := c.model(q.Model, u)
	if err != nil {
		return err
	}
	o, err := q.inputOptions()
	if err != nil {
		return err
	}
	if f, err := parseVectorFormat(q.Format); err != nil || f != nil {
		return errorf(BadRequest, "a stream's vectors are JSON").param("format")
	}
	o.partial, o.stream = true, true
	control := http.NewResponseController(c.w)
	// HTTP/1 servers otherwise read all of the body before they answer.
	if err := control.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if err := c.admit(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.ctx)
	groups := make(chan lineGroup)
	read := make(chan struct{})
	go func() {
		defer close(read)
		readGroups(ctx, c.r.Body, groups, c.boundBody)
	}()
	defer func() {
		cancel()
		select {
		case <-read:
			c.bodyRead()
		default:
			// A read that is under way ends. What is left of the body must not be taken for the next request.
			c.abort = true
			_ = control.SetReadDeadline(time.Now())
			<-read
		}
	}()
	h := c.w.Header()
	h.Set("Content-Type", contentNDJSON)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Bert-Model", headerValue(m.name))
	c.writeDeadline(c.s.options.WriteTimeout)
	c.status = http.StatusOK
	c.w.WriteHeader(http.StatusOK)
	_ = control.Flush()
	for {
		var g lineGroup
		select {
		case g = <-groups:
		case <-ctx.Done():
			return c.streamEnd(context.Cause(ctx))
		}
		b, err := c.answerGroup(u, m, q, o, &g)
		if len(b) > 0 {
			c.writeDeadline(c.s.options.WriteTimeout)
			if _, err := c.w.Write(b); err != nil {
				return err
			}
			if err := control.Flush(); err != nil {
				return err
			}
		}
		c.scratch = b[:0]
		if err == nil {
			err = g.last
		}
		switch {
		case err == io.EOF:
			<-read
			return nil
		case err != nil:
			return c.streamEnd(err)
		}
	}
}

// streamEnd writes the error that ends a stream.
func (c *call) streamEnd(err error) error {
	e := asError(err)
	b := append(c.buffer(), `{"error":{"kind":`...)
	b = appendString(b, e.Kind.String())
	b = append(b, `,"message":`...)
	b = appendString(b, e.Message)
	b = append(b, "}}\n"...)
	c.writeDeadline(time.Second)
	if _, err := c.w.Write(b); err == nil {
		_ = http.NewResponseController(c.w).Flush()
	}
	return err
}

// answerGroup answers a group of lines.
func (c *call) answerGroup(u Use, m *model, q *nativeRequest, o inputOptions, g *lineGroup) ([]byte, error) {
	one := *q
	var at []int // of the inputs, in the lines
	one.Inputs = nil
	for i := range g.inputs {
		if g.errors[i] == nil {
			one.Inputs, at = append(one.Inputs, g.inputs[i]), append(at, i)
		}
	}
	var a *nativeAnswers
	if len(at) > 0 {
		var err error
		if a, err = nativeAsk(c, u, m, &one, o); err != nil {
			return c.buffer(), err
		}
	}
	b, k := c.buffer(), 0
	for i := range g.inputs {
		b = append(b, `{"line":`...)
		b = appendInt(b, g.first+i)
		b = append(b, ',')
		if e := g.errors[i]; e != nil {
			b = append(b, `"error":{"kind":`...)
			b = appendString(b, e.Kind.String())
			b = append(b, `,"message":`...)
			b = appendString(b, e.Message)
			b = append(b, "}}\n"...)
			continue
		}
		// The answer is an object, whose brace is there already.
		from := len(b)
		var err error
		if b, err = a.append(b, k); err != nil {
			return b[:from], err
		}
		b = append(b[:from], b[from+1:]...)
		b = append(b, '\n')
		k++
	}
	return b, nil
}

// readGroups reads lines and sends them in groups: those that are there when the one before is answered. fresh is called before each read.
func readGroups(ctx context.Context, body io.Reader, groups chan<- lineGroup, fresh func()) {
	lines := make(chan line)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		readLines(ctx, body, lines, fresh)
	}()
	defer func() { <-ended }()
	g := lineGroup{first: 1}
	size := 0
	for {
		var (
			out chan<- lineGroup
			in  = lines
		)
		if n := len(g.inputs); n > 0 || g.last != nil {
			out = groups // it goes as soon as somebody wants it
		}
		if g.last != nil || len(g.inputs) >= streamLines || size >= streamBytes {
			in = nil
		}
		select {
		case l := <-in:
			if l.err != nil {
				g.last = l.err
				continue
			}
			input, e := l.parse()
			g.inputs, g.errors = append(g.inputs, input), append(g.errors, e)
			size += len(l.text)
		case out <- g:
			if g.last != nil {
				return
			}
			g = lineGroup{first: g.first + len(g.inputs)}
			size = 0
		case <-ctx.Done():
			return
		}
	}
}

// line is a line, or what ends them.
type line struct {
	text []byte
	long bool // it was longer, and is cut
	err  error
}

func readLines(ctx context.Context, body io.Reader, lines chan<- line, fresh func()) {
	r := bufio.NewReaderSize(body, 64<<10)
	send := func(l line) bool {
		select {
		case lines <- l:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for {
		var l line
		for {
			if r.Buffered() == 0 {
				fresh()
			}
			part, err := r.ReadSlice('\n')
			if room := maxLine - len(l.text); len(part) > room {
				part, l.long = part[:room], true
			}
			l.text = append(l.text, part...)
			if err == nil {
				break
			}
			if err == bufio.ErrBufferFull {
				continue
			}
			if len(l.text) > 0 && err == io.EOF && !send(l) {
				return
			}
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				err = &Error{Kind: SlowBody, Message: "the next line did not come in time", Index: -1, Cause: err}
			case err != io.EOF:
				err = &Error{Kind: BadRequest, Message: "the body could not be read: " + err.Error(), Index: -1, Cause: err}
			}
			send(line{err: err})
			return
		}
		if !send(l) {
			return
		}
	}
}

// parse reads a line as an input.
func (l *line) parse() (in data.Input, e *Error) {
	if l.long {
		return in, errorf(BadInput, "the line has more than %d bytes", maxLine)
	}
	text := bytes.TrimRight(l.text, "\r\n")
	var err error
	if trimmed := bytes.TrimLeft(text, " \t"); len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '"') {
		in, err = parseInput(trimmed)
	} else {
		in.Text = string(text)
	}
	if err != nil {
		e = asError(err)
		if e.Kind == Failed {
			e = errorf(BadInput, "%v", err)
		}
	}
	return in, e
}

// queryRequest reads the parameters of a query as fields of a request.
func queryRequest(v url.Values) (*nativeRequest, error) {
	q := &nativeRequest{
		Model: v.Get("model"), Truncate: v.Get("truncate"), Priority: v.Get("priority"), Offsets: v.Get("offset_unit"), Template: v.Get("template"),
		PromptID: v.Get("prompt_name"), Format: v.Get("format"), Labels: v["labels"],
	}
	if len(q.Labels) == 1 {
		q.Labels = strings.Split(q.Labels[0], ",")
	}
	if v.Has("prompt") {
		prompt := v.Get("prompt")
		q.Prompt = &prompt
	}
	for name, to := range map[string]*int{"max_tokens": &q.MaxTokens, "top_k": &q.TopK, "dimensions": &q.Dims, "doc_stride": &q.Stride} {
		if text := v.Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				return nil, errorf(BadRequest, "%s is %.40q, want a whole number", name, text).param(name)
			}
			*to = n
		}
	}
	flag := func(name string) (*bool, error) {
		text := v.Get(name)
		if text == "" {
			return nil, nil
		}
		yes, err := strconv.ParseBool(text)
		if err != nil {
			return nil, errorf(BadRequest, "%s is %.40q, want true or false", name, text).param(name)
		}
		return &yes, nil
	}
	var err error
	if q.Normalize, err = flag("normalize"); err != nil {
		return nil, err
	}
	if q.Nullable, err = flag("nullable"); err != nil {
		return nil, err
	}
	multi, err := flag("multi_label")
	if err == nil && multi != nil {
		q.Multi = *multi
	}
	return q, err
}
