// Package archive packs a model directory for embedding: a ZIP archive compressed with Zstandard. In bfloat16 weights, the bytes
// with sign and exponent compress well and those with the mantissa do not compress at all, so the two kinds are stored
// separately, which saves an eighth. Matrices may be stored as integers instead, which takes half of that or less: see Rounding. An archive may
// have another as its base, such as that of the model from which its own was fine-tuned, and holds only what differs from it: see Storage.
package archive

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

const (
	// methodPlanes is a compression method of our own, with a number that section 4.4.5 of PKWARE's APPNOTE.TXT does not
	// assign: Zstandard over the bytes at even positions of the file followed by those at odd positions.
	methodPlanes = 0xbf16
	// methodRounded is another, of files of weights that are stored as segments: see rounding.go.
	methodRounded = 0xbf08
	// methodSame is that of files that the base has too. Nothing is stored but the file's name.
	methodSame = 0xbf00
	// methodDifference is methodRounded with segments that refer to the base.
	methodDifference = 0xbf0d
	// weightsExt is the extension of files that use methodPlanes, methodRounded or methodDifference.
	weightsExt = ".safetensors"
	// maxSize limits the unpacked size of a file.
	maxSize = 1 << 28
)

// Storage says how weights are stored. The zero value stores all bits.
type Storage struct {
	// Matrices is how matrices are rounded, and Embeddings those among them whose name has "embeddings" in it.
	Matrices, Embeddings Rounding
	// Base, if not nil, is an archive that a reader of the new one has. Files that it has too are not stored, and a matrix of
	// weights is stored as its difference to the base's of the same name, rounded as Differences says. It is for weights that are close to
	// the base's: then few bits lose little.
	Base        *Reader
	Differences Rounding
}

// check reports what is wrong with the roundings.
func (s *Storage) check() error {
	for _, r := range []Rounding{s.Matrices, s.Embeddings, s.Differences} {
		if err := r.check(); err != nil {
			return err
		}
	}
	if s.Base == nil && s.Differences != (Rounding{}) {
		return errors.New("differences are rounded, but there is no base")
	}
	return nil
}

// segments cuts a file of weights, unless all of it is stored with all bits. With a base the method is methodDifference.
func (s *Storage) segments(name string, data []byte) (segments []byte, method uint16, err error) {
	if s.Base != nil {
		base, err := s.Base.contents(name)
		if err != nil {
			return nil, 0, err
		}
		segments, err := cut(data, s, base)
		if err != nil {
			return nil, 0, err
		}
		return append(append(binary.AppendUvarint(nil, uint64(len(name))), name...), segments...), methodDifference, nil
	}
	if s.Matrices.Bits == 0 && s.Embeddings.Bits == 0 {
		return nil, methodPlanes, nil
	}
	segments, err = cut(data, s, nil)
	return segments, methodRounded, err
}

// Write packs files of a folder in the given order. The same files give the same bytes. Weights are rounded as s says, so that the archive's
// are other numbers than the folder's; its digest is that of what comes out of it.
func Write(w io.Writer, dir fs.FS, names []string, s Storage) error {
	if err := s.check(); err != nil {
		return err
	}
	z := zip.NewWriter(w)
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	for method, transform := range map[uint16]func([]byte) []byte{
		zstd.ZipMethodWinZip: func(data []byte) []byte { return data },
		methodPlanes:         split,
	} {
		z.RegisterCompressor(method, func(w io.Writer) (io.WriteCloser, error) {
			return &compressor{w: w, encoder: encoder, transform: transform}, nil
		})
	}
	sum := sha256.New()
	for _, name := range names {
		data, err := fs.ReadFile(dir, name)
		if err != nil {
			return err
		}
		if len(data) > maxSize {
			return fmt.Errorf("%s: %d bytes, want at most %d", name, len(data), maxSize)
		}
		var (
			method = uint16(zstd.ZipMethodWinZip)
			packed []byte // of the methods that begin with a segment or with a name
		)
		switch {
		case s.Base.has(name, data):
			method, packed = methodSame, encoder.EncodeAll([]byte(name), nil)
		case filepath.Ext(name) == weightsExt:
			var segments []byte
			if segments, method, err = s.segments(name, data); err == nil && segments != nil {
				packed = encoder.EncodeAll(segments, nil)
				data, err = s.Base.expand(segments, method)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		fmt.Fprintf(sum, "%s %d\n", name, len(data))
		sum.Write(data)
		if packed != nil {
			f, err := z.CreateRaw(&zip.FileHeader{
				Name: name, Method: method, CRC32: crc32.ChecksumIEEE(data), CompressedSize64: uint64(len(packed)), UncompressedSize64: uint64(len(data)),
			})
			if err != nil {
				return err
			}
			if _, err := f.Write(packed); err != nil {
				return err
			}
			continue
		}
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			return err
		}
		if _, err := f.Write(data); err != nil {
			return err
		}
	}
	if err := z.SetComment(hex.EncodeToString(sum.Sum(nil))); err != nil {
		return err
	}
	return z.Close()
}

// A compressor collects the data written to it and compresses them on Close.
type compressor struct {
	w         io.Writer
	encoder   *zstd.Encoder
	transform func([]byte) []byte
	data      bytes.Buffer
}

func (c *compressor) Write(p []byte) (int, error) { return c.data.Write(p) }

func (c *compressor) Close() error {
	_, err := c.w.Write(c.encoder.EncodeAll(c.transform(c.data.Bytes()), nil))
	return err
}

// split puts the bytes at even positions before those at odd positions; join undoes it.
func split(data []byte) []byte {
	out := make([]byte, len(data))
	even, odd := out[:(len(out)+1)/2], out[(len(out)+1)/2:]
	for i := range odd {
		even[i], odd[i] = data[2*i], data[2*i+1]
	}
	if len(even) > len(odd) {
		even[len(odd)] = data[len(data)-1]
	}
	return out
}

func join(data []byte) []byte {
	out := make([]byte, len(data))
	even, odd := data[:(len(data)+1)/2], data[(len(data)+1)/2:]
	for i := range odd {
		out[2*i], out[2*i+1] = even[i], odd[i]
	}
	if len(even) > len(odd) {
		out[len(out)-1] = even[len(odd)]
	}
	return out
}

// Reader reads an archive.
type Reader struct{ zip *zip.Reader }

// Open reads the directory of an archive of size bytes. It does not read the files. base is the archive that was its base, nil for none.
func Open(r io.ReaderAt, size int64, base *Reader) (*Reader, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	if len(z.Comment) != 2*sha256.Size {
		return nil, errors.New("not a model archive: its comment is not a SHA-256")
	}
	for _, f := range z.File {
		if !fs.ValidPath(f.Name) || !filepath.IsLocal(filepath.FromSlash(f.Name)) || f.Name == "." {
			return nil, fmt.Errorf("%q is not the name of a file", f.Name)
		}
		if f.UncompressedSize64 > maxSize {
			return nil, fmt.Errorf("%s claims %d bytes, want at most %d", f.Name, f.UncompressedSize64, maxSize)
		}
	}
	z.RegisterDecompressor(zstd.ZipMethodWinZip, decompressor(func(data []byte) ([]byte, error) { return data, nil }))
	z.RegisterDecompressor(methodPlanes, decompressor(func(data []byte) ([]byte, error) { return join(data), nil }))
	z.RegisterDecompressor(methodSame, decompressor(func(name []byte) ([]byte, error) { return base.contents(string(name)) }))
	for _, method := range []uint16{methodRounded, methodDifference} {
		z.RegisterDecompressor(method, decompressor(func(data []byte) ([]byte, error) { return base.expand(data, method) }))
	}
	return &Reader{z}, nil
}

// contents are those of a file; of a Reader that is nil there is none.
func (r *Reader) contents(name string) ([]byte, error) {
	if r == nil {
		return nil, fmt.Errorf("the archive has no base, which would have %s", name)
	}
	for _, f := range r.Files() {
		if f.Name() == name {
			var b bytes.Buffer
			b.Grow(int(f.Size()))
			_, err := f.WriteTo(&b)
			return b.Bytes(), err
		}
	}
	return nil, fmt.Errorf("the base has no file %s", name)
}

// has reports whether a file has contents.
func (r *Reader) has(name string, data []byte) bool {
	if r == nil {
		return false
	}
	for _, f := range r.Files() {
		if f.Name() == name && f.Size() == int64(len(data)) && f.CRC32() == crc32.ChecksumIEEE(data) {
			own, err := r.contents(name)
			return err == nil && bytes.Equal(own, data)
		}
	}
	return false
}

// expand makes a file of weights of its segments, where r is the base.
func (r *Reader) expand(segments []byte, method uint16) ([]byte, error) {
	if method != methodDifference {
		return expand(segments, nil)
	}
	n, size := binary.Uvarint(segments)
	if size <= 0 || n > uint64(len(segments)-size) {
		return nil, errSegments
	}
	base, err := r.contents(string(segments[size : size+int(n)]))
	if err != nil {
		return nil, err
	}
	return expand(segments[size+int(n):], base)
}

// Digest returns the hexadecimal SHA-256 of the names, sizes and contents of all files.
func (r *Reader) Digest() string { return r.zip.Comment }

// File is a file of an archive.
type File struct{ zip *zip.File }

// Files returns the files of the archive.
func (r *Reader) Files() []File {
	files := make([]File, len(r.zip.File))
	for i, f := range r.zip.File {
		files[i].zip = f
	}
	return files
}

// Name returns the file's path in the folder, with slashes.
func (f File) Name() string { return f.zip.Name }

// Size returns the size of the file's contents in bytes.
func (f File) Size() int64 { return int64(f.zip.UncompressedSize64) }

// CRC32 returns the CRC-32 (IEEE) of the file's contents.
func (f File) CRC32() uint32 { return f.zip.CRC32 }

// WriteTo unpacks the file to w. It fails if the size or checksum differs from the archive's; part of the file may have been
// written then.
func (f File) WriteTo(w io.Writer) (int64, error) {
	r, err := f.zip.Open()
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, r)
	if err != nil {
		return n, fmt.Errorf("unpack %s: %w", f.Name(), err)
	}
	return n, r.Close()
}

// decompressor returns a decompressor for Zstandard in one piece, followed by transform.
func decompressor(transform func([]byte) ([]byte, error)) zip.Decompressor {
	return func(r io.Reader) io.ReadCloser { return &unpacked{from: r, transform: transform} }
}

// unpacked unpacks all of from at the first Read.
type unpacked struct {
	from      io.Reader
	transform func([]byte) ([]byte, error)
	data      *bytes.Reader
}

func (u *unpacked) Read(p []byte) (int, error) {
	if u.data == nil {
		packed, err := io.ReadAll(u.from)
		if err != nil {
			return 0, err
		}
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSize))
		if err != nil {
			return 0, err
		}
		defer d.Close()
		data, err := d.DecodeAll(packed, nil)
		if err != nil {
			return 0, err
		}
		if data, err = u.transform(data); err != nil {
			return 0, err
		}
		u.data = bytes.NewReader(data)
	}
	return u.data.Read(p)
}

func (u *unpacked) Close() error { return nil }
