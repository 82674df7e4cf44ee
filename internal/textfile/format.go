package textfile

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/go-bert/bert/internal/message"
)

// Compression is a way in which a file may be compressed.
type Compression struct {
	Name  string
	Magic []byte // how such a file begins
	// Open reads what r has compressed. The reader is closed when it is no longer needed, where it can be closed.
	Open func(r io.Reader) (io.Reader, error)
}

// Gzip is RFC 1952.
var Gzip = Compression{"gzip", []byte{0x1f, 0x8b}, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }}

// maxZstdWindow is the memory that a zstd file can demand. Level 19, the highest that needs no --ultra, demands 8 MiB.
const maxZstdWindow = 16 << 20

func openZstd(r io.Reader) (io.Reader, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		return nil, err
	}
	return &zstdReader{z}, nil
}

// zstdReader puts an error of zstd in our words.
type zstdReader struct{ *zstd.Decoder }

func (z *zstdReader) Read(p []byte) (int, error) {
	n, err := z.Decoder.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = fmt.Errorf("zstd with a window of more than %d MiB: compress it without --long and --ultra", maxZstdWindow>>20)
	}
	return n, err
}

// format is a kind of file that is recognised by its first bytes.
type format struct {
	name   string
	magic  string // '.' is any byte
	open   func(r io.Reader) (io.Reader, error)
	advice string // of one that isn't opened
}

// formats are the compressions that are opened, and the compressed files and archives that are refused.
var formats = []format{
	{name: Gzip.Name, magic: string(Gzip.Magic), open: Gzip.Open},
	{name: "zstd", magic: "\x28\xb5\x2f\xfd", open: openZstd},
	{name: "zstd", magic: ".\x2a\x4d\x18", open: openZstd}, // a frame to skip, as pzstd writes
	{name: "bzip2", magic: "BZh.1AY&SY", open: openBzip2},
	{name: "bzip2", magic: "BZh.\x17rE8P\x90", open: openBzip2}, // of nothing
	{name: "xz", magic: "\xfd7zXZ\x00", open: openXZ},

	{name: "an LZMA file", magic: "\x5d\x00\x00", advice: "decompress it with xz -d first"},
	{name: "an lzip file", magic: "LZIP\x01", advice: "decompress it with lzip -d first"},
	{name: "an LZ4 file", magic: "\x04\x22\x4d\x18", advice: "decompress it with lz4 -d first"},
	{name: "an LZ4 file", magic: "\x02\x21\x4c\x18", advice: "decompress it with lz4 -d first"},
	{name: "a Snappy file", magic: "\xff\x06\x00\x00sNaPpY", advice: "decompress it first"},
	{name: "a file of compress", magic: "\x1f\x9d", advice: "decompress it with gzip -d first"},
	{name: "a ZIP archive", magic: "PK\x03\x04", advice: "extract the text first"},
	{name: "a ZIP archive", magic: "PK\x05\x06", advice: "extract the text first"},
	{name: "a ZIP archive", magic: "PK\x07\x08", advice: "extract the text first"},
	{name: "a 7z archive", magic: "7z\xbc\xaf\x27\x1c", advice: "extract the text first"},
	{name: "a RAR archive", magic: "Rar!\x1a\x07", advice: "extract the text first"},
	{name: "a PDF document", magic: "%PDF-", advice: "extract the text first"},
}

func openBzip2(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }

// formatOf recognises a file. It waits for each byte only after those before it.
func formatOf(b *bufio.Reader) *format {
	for i := range formats {
		if f := &formats[i]; beginsWith(b, []byte(f.magic)) {
			return f
		}
	}
	return nil
}

// beginsWith reports whether b begins with mark, in which '.' is any byte but a control character. It waits for each byte only
// after those before it.
func beginsWith(b *bufio.Reader, mark []byte) bool {
	for i, want := range mark {
		if head, err := b.Peek(i + 1); err != nil || head[i] != want && (want != '.' || head[i] < ' ') {
			return false
		}
	}
	return true
}

// NotTextError says that a file holds something other than text in the encoding in which it was read.
type NotTextError struct {
	File      string // "" where the caller names it
	Is        string // such as "a ZIP archive"
	Advice    string
	Undecoded bool // it may be text in another encoding
}

func (e *NotTextError) Error() string {
	text := e.Is + ": " + e.Advice
	if e.File != "" {
		text = e.File + ": " + text
	}
	return text
}

// These bound the text that a compressed file may hold: plain text shrinks to a third or a tenth, and a file that holds hundreds
// of times its size was made to fill a reader's memory or time.
const (
	freeExpansion = 32 << 20 // bytes
	maxExpansion  = 256      // times the bytes of the compressed file, beyond that
)

// ExpansionError says that a compressed file holds far more than text would.
type ExpansionError struct{ Compressed, Plain int64 } // bytes read so far, and what they became in memory

func (e *ExpansionError) Error() string {
	return fmt.Sprintf("%s compressed bytes become more than %s bytes, which is no usual text: decompress the file first if it is in order",
		message.Thousands(e.Compressed), message.Thousands(e.Plain))
}

// counter counts the bytes that are read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// expanding is the content of a compressed file, up to the bound of its size.
type expanding struct {
	r    io.Reader
	from *counter
	n    int64
}

func (e *expanding) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.n += int64(n)
	if e.n > freeExpansion+maxExpansion*e.from.n {
		return n, &ExpansionError{e.from.n, e.n}
	}
	return n, err
}
