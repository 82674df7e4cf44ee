package textfile

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/therootcompany/xz"
)

// maxXZDictionary is the memory that an xz file can demand, in bytes: that of level 9, the highest. It is taken as the text comes.
const maxXZDictionary = 64 << 20

func openXZ(r io.Reader) (io.Reader, error) { return &xzReader{from: r}, nil }

// xzReader puts an error of xz in our words. It begins with the first read, because xz.NewReader reads.
type xzReader struct {
	from io.Reader
	z    *xz.Reader
}

func (x *xzReader) Read(p []byte) (n int, err error) {
	if x.z == nil {
		x.z, err = xz.NewReader(x.from, maxXZDictionary)
	}
	if err == nil {
		n, err = x.z.Read(p)
	}
	switch {
	case errors.Is(err, xz.ErrMemlimit):
		err = fmt.Errorf("xz with a dictionary of more than %d MiB: compress it at level 9 or lower", maxXZDictionary>>20)
	case errors.Is(err, xz.ErrBuf):
		err = io.ErrUnexpectedEOF
	case err != nil && err != io.EOF:
		err = errors.New("no xz file: " + strings.TrimPrefix(err.Error(), "xz: "))
	}
	return n, err
}
