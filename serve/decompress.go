package serve

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/internal/message"
)

// decompressed undoes the Content-Encoding of a body, as Triton's clients send it. What comes out is bounded as a body is.
func (c *call) decompressed(body []byte) ([]byte, error) {
	var (
		r   io.Reader
		err error
	)
	switch encoding := strings.ToLower(c.r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return body, nil
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate": // which is zlib's format
		r, err = zlib.NewReader(bytes.NewReader(body))
	default:
		if !utf8.ValidString(encoding) {
			encoding = "?"
		}
		return nil, errorf(BadRequest, "Content-Encoding is %s, want gzip, deflate or none", message.Quote(encoding))
	}
	most := c.s.options.MaxBody
	var out bytes.Buffer
	for err == nil {
		if int64(out.Len()) > most {
			return nil, c.tooLarge(-1)
		}
		const part = 64 << 10
		if err := c.hold(part); err != nil {
			return nil, err
		}
		_, err = io.CopyN(&out, r, min(part, most+1-int64(out.Len())))
	}
	if err != io.EOF {
		return nil, errorf(BadRequest, "the body is not what Content-Encoding says: %v", err)
	}
	if int64(out.Len()) > most {
		return nil, c.tooLarge(-1)
	}
	return out.Bytes(), nil
}
