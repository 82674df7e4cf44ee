package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/go-bert/bert/internal/message"
)

// firstBody is how much of a body is read before there is memory for more of it.
const firstBody = 4 << 10

// body reads the whole body, in bounded time and memory. What it returns is good until the call ends.
func (c *call) body() ([]byte, error) {
	if c.read != nil {
		return c.read, nil
	}
	o := &c.s.options
	if c.r.ContentLength > o.MaxBody {
		return nil, c.tooLarge(c.r.ContentLength)
	}
	// Who says that much will come, but sends nothing, takes little.
	buffer := make([]byte, 0, min(max(c.r.ContentLength+1, 512), firstBody))
	if err := c.hold(int64(cap(buffer))); err != nil {
		return nil, err
	}
	for {
		if len(buffer) == cap(buffer) {
			more := int64(cap(buffer))
			if rest := c.r.ContentLength + 1 - more; rest > 0 {
				more = min(rest, 4*more)
			}
			more = min(more, o.MaxBody+1-int64(cap(buffer)))
			if more <= 0 {
				return nil, c.tooLarge(-1)
			}
			if err := c.hold(more); err != nil {
				return nil, err
			}
			grown := make([]byte, len(buffer), int64(cap(buffer))+more)
			copy(grown, buffer)
			buffer = grown
		}
		n, err := c.r.Body.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		if int64(len(buffer)) > o.MaxBody {
			return nil, c.tooLarge(-1)
		}
		// A read that fails also cancels the context, as if the client were gone.
		if cause := context.Cause(c.ctx); err != nil && err != io.EOF && (errors.Is(cause, errDraining) || errors.Is(cause, errDeadline)) {
			return nil, cause
		}
		switch {
		case err == io.EOF:
			c.bodyRead()
			if err := c.admit(); err != nil {
				return nil, err
			}
			if buffer, err = c.decompressed(buffer); err != nil {
				return nil, err
			}
			c.read = buffer
			return buffer, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.w.Header().Set("Connection", "close")
			return nil, &Error{Kind: SlowBody, Message: "the body did not come within " + o.BodyTimeout.String(), Index: -1, Cause: err}
		case err != nil:
			return nil, &Error{Kind: BadRequest, Message: "the body could not be read: " + err.Error(), Index: -1, Cause: err}
		}
	}
}

// boundBody bounds the time that the body may take to come, from now on: also that of a body that nobody reads, which the server reads
// the rest of after the call.
func (c *call) boundBody() {
	if c.r.ContentLength != 0 {
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(c.s.options.BodyTimeout)) // not every writer has deadlines
	}
}

// bodyRead lets the next read take as long as it will: it is that by which the server notices that the client has gone.
func (c *call) bodyRead() { _ = http.NewResponseController(c.w).SetReadDeadline(time.Time{}) }

// admit counts a request whose body has come, so that one whose client is slow takes nobody's place.
func (c *call) admit() error {
	if c.admitted {
		return nil
	}
	if most := int64(c.s.options.MaxRequests); c.s.admitted.Add(1) > most {
		c.s.admitted.Add(-1)
		return &Error{Kind: Overloaded, Index: -1, RetryAfter: time.Second, Message: message.Thousands(int(most)) + " requests are answered already"}
	}
	c.admitted = true
	return nil
}

func (c *call) tooLarge(n int64) *Error {
	c.w.Header().Set("Connection", "close") // the rest is not read
	most := message.Thousands(int(c.s.options.MaxBody))
	if n > 0 {
		return errorf(BodyTooLarge, "the body has %s bytes, want at most %s", message.Thousands(int(n)), most)
	}
	return errorf(BodyTooLarge, "the body has more than %s bytes", most)
}

// hold takes n bytes of those that all bodies may have.
func (c *call) hold(n int64) error {
	if c.s.bodies.Add(n) > c.s.options.MaxBodies {
		c.s.bodies.Add(-n)
		c.w.Header().Set("Connection", "close")
		return &Error{Kind: Overloaded, Message: "too many large requests at once", Index: -1, RetryAfter: time.Second}
	}
	c.held += n
	return nil
}

// decode reads the body as JSON into v, a pointer. Unknown fields are ignored; anything after the value is an error.
func (c *call) decode(v any) error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	return decodeJSON(raw, v)
}

// decodeJSON reads JSON into v, a pointer, with errors for clients.
func decodeJSON(raw []byte, v any) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return errorf(BadRequest, "the body is empty, want JSON")
	}
	err := json.Unmarshal(raw, v)
	var (
		own    *Error
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.As(err, &syntax):
		return errorf(BadRequest, "the body is not JSON: %v, at byte %d", syntax, syntax.Offset)
	case errors.As(err, &kind):
		return errorf(BadRequest, "%s is a %s of JSON, want %v", kind.Field, kind.Value, kind.Type).param(kind.Field)
	}
	return errorf(BadRequest, "the body is not JSON: %v", err)
}
