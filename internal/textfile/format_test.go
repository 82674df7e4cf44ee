package textfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
)

func zstandard(t *testing.T, text string, o ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, o...)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll([]byte(text), nil)
}

// inUTF16 is text in UTF-16 without a mark.
func inUTF16(order binary.AppendByteOrder, text string) (b []byte) {
	for _, u := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, u)
	}
	return b
}

// The text of a bzip2 file: "one\ntwo\n".
const bzip2Text = "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xa7\x14\x2b\x77\x00\x00\x02\xc1\x80\x00\x10\x02\x01\x84\x80\x20\x00\x21\x80\x0c\x02\x38\xf5\x1b\x8b\xb9\x22\x9c\x28\x48\x53\x8a\x15\xbb\x80"

// The same text in an xz file, of Python's lzma.
const xzText = "\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x07\x6f\x6e\x65\x0a\x74\x77\x6f\x0a\x00\x51\xab\x9e\xaf\x57\x75\x70\x49\x00\x01\x20\x08\xbb\x19\xd9\xbb\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a"

// What is no text is recognised by its content, whatever reads it and however its bytes come.
func TestNotText(t *testing.T) {
	long := strings.Repeat("Der Film ist gut, und sehr lang. ", 20)
	random := make([]byte, 300)
	for i := range random {
		random[i] = byte(i*i*37 + i>>3*101)
	}
	koi8 := bytes.Repeat([]byte("\xc6\xc9\xcc\xd8\xcd \xc8\xcf\xd2\xcf\xdb "), 30)
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"zip": {[]byte("PK\x03\x04\x14\x00"), "f: a ZIP archive: extract the text first"},
		"7z":  {[]byte("7z\xbc\xaf\x27\x1c\x00"), "a 7z archive"}, "lz4": {[]byte("\x04\x22\x4d\x18dp"), "an LZ4 file"}, "lzma": {[]byte("\x5d\x00\x00\x80\x00"), "an LZMA file"},
		"lzip": {[]byte("LZIP\x01"), "an lzip file"}, "compress": {[]byte("\x1f\x9d\x90"), "a file of compress"}, "rar": {[]byte("Rar!\x1a\x07\x01"), "a RAR archive"}, "pdf": {[]byte("%PDF-1.7"), "a PDF document"},
		"tar":           {append(append(make([]byte, 257), "ustar\x0000"...), long...), "a tar archive"},
		"gzip in gzip":  {gzipped(t, string(gzipped(t, long))), "a compressed file in a compressed file"},
		"xz in zstd":    {zstandard(t, "\xfd7zXZ\x00\x00\x04"), "a compressed file in a compressed file"},
		"UTF-16":        {append([]byte{0xff, 0xfe}, inUTF16(binary.LittleEndian, long)...), "f: text in UTF-16: say that its encoding is utf-16"},
		"UTF-16 LE":     {inUTF16(binary.LittleEndian, long), "text in UTF-16"},
		"UTF-16 BE":     {inUTF16(binary.BigEndian, long), "text in UTF-16"},
		"gzip, UTF-16":  {gzipped(t, string(inUTF16(binary.BigEndian, long))), "text in UTF-16"},
		"UTF-16, Greek": {inUTF16(binary.LittleEndian, strings.Repeat("ένα δύο τρία ", 20)), "not text in UTF-8"},
		"UTF-32":        {bytes.ReplaceAll([]byte(long), []byte(""), []byte("\x00\x00\x00")), "not text in UTF-8"},
		"random":        {random, "not text in UTF-8"},
		"zeros":         {make([]byte, 100), "not text in UTF-8"},
		"KOI8-R":        {koi8, "not text in UTF-8"},
	} {
		for way, r := range map[string]io.Reader{"at once": bytes.NewReader(c.content), "byte by byte": iotest.OneByteReader(bytes.NewReader(c.content))} {
			text, err := New(r, "f", "")
			if err == nil {
				_, err = io.ReadAll(text)
				text.Close()
			}
			var not *NotTextError
			if name == "tar" && way == "byte by byte" {
				continue // it is refused as binary where its mark can't be seen at once
			}
			if !errors.As(err, &not) || !strings.Contains("f: "+err.Error(), c.want) {
				t.Errorf("%s %s: %v, want %s", name, way, err, c.want)
			}
		}
		if name != "gzip in gzip" && name != "xz in zstd" && name != "gzip, UTF-16" && name != "tar" && name != "pdf" {
			if err := Check(c.content); err == nil {
				t.Errorf("%s: Check finds nothing", name)
			}
		}
	}
}

// Text is read whatever its letters, and with a few bytes that are not of it; compressed text by any name.
func TestIsText(t *testing.T) {
	skipped := append(binary.LittleEndian.AppendUint32([]byte("\x50\x2a\x4d\x18"), 3), "abc"...)
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"ASCII": {[]byte("one\ntwo\n"), ""}, "empty": {nil, ""}, "short, odd": {[]byte("\x00\x01\xff"), ""},
		"Latin-1":  {bytes.Repeat([]byte("tr\xe8s bon caf\xe9, na\xefve\n"), 300), ""},
		"Japanese": {[]byte(strings.Repeat("東京は明るい。\n", 9000)), ""},
		"emoji":    {[]byte(strings.Repeat("😀", 30_000)), ""},
		"a NUL":    {[]byte(strings.Repeat("a\x00b, a word or two, and more ", 3000)), ""},
		"colours":  {[]byte(strings.Repeat("\x1b[1mbold\x1b[0m\n", 100)), ""},
		"a brace":  {[]byte("BZh9 is how bzip2 begins, PK how zip does\n"), ""},
		"zstd":     {zstandard(t, "one\ntwo\n"), "one\ntwo\n"}, "zstd after a frame to skip": {append(skipped, zstandard(t, "one\ntwo\n")...), "one\ntwo\n"},
		"gzip": {gzipped(t, "one\ntwo\n"), "one\ntwo\n"}, "two of gzip": {append(gzipped(t, "one\n"), gzipped(t, "two\n")...), "one\ntwo\n"},
		"bzip2": {[]byte(bzip2Text), "one\ntwo\n"},
		"xz":    {[]byte(xzText), "one\ntwo\n"}, "two of xz, with padding": {[]byte(xzText + "\x00\x00\x00\x00" + xzText), "one\ntwo\none\ntwo\n"},
	} {
		for _, r := range []io.Reader{bytes.NewReader(c.content), iotest.OneByteReader(bytes.NewReader(c.content))} {
			want := c.want
			if want == "" {
				want = string(c.content)
			}
			text, err := New(r, "f", "")
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got, err := io.ReadAll(text)
			text.Close()
			if err != nil || string(got) != want {
				t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
			}
		}
	}
}

// A compressed file may become as much as text does, and no more.
func TestExpansion(t *testing.T) {
	if testing.Short() {
		t.Skip("expands files, on one goroutine")
	}
	read := func(content []byte) (int, error) {
		r, err := New(bytes.NewReader(content), "f", "")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		n, err := io.Copy(io.Discard, r)
		return int(n), err
	}
	zeros := strings.Repeat("a line\n", 8<<20)
	for name, content := range map[string][]byte{"gzip": gzipped(t, zeros), "zstd": zstandard(t, zeros)} {
		var e *ExpansionError
		if n, err := read(content); !errors.As(err, &e) || n > freeExpansion+maxExpansion*len(content)+bufferSize {
			t.Errorf("%s: %d bytes of %d, %v", name, n, len(content), err)
		}
	}
	if n, err := read(gzipped(t, zeros[:16<<20])); err != nil || n != 16<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := read(zstandard(t, strings.Repeat("a", 40<<20), zstd.WithWindowSize(64<<20))); err == nil || !strings.Contains(err.Error(), "window of more than 16 MiB") {
		t.Errorf("of a large window: %v", err)
	}
}

// xzOfDictionary is xzText with a header that demands a dictionary by the number that the format has for it: 18 is 2 MiB, 40 4 GiB.
func xzOfDictionary(number byte) []byte {
	b := []byte(xzText)
	const header, dictionary, checksum = 12, 16, 20
	b[dictionary] = number
	binary.LittleEndian.PutUint32(b[checksum:], crc32.ChecksumIEEE(b[header:checksum]))
	return b
}

// An xz file is read up to the dictionary of level 9. What is wrong with one is said in a few words.
func TestXZ(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"64 MiB": {string(xzOfDictionary(28)), ""}, "96 MiB": {string(xzOfDictionary(29)), "xz with a dictionary of more than 64 MiB: compress it at level 9 or lower"},
		"4 GiB": {string(xzOfDictionary(40)), "a dictionary of more than 64 MiB"}, "beyond": {string(xzOfDictionary(41)), "no xz file: "},
		"the second stream": {xzText + string(xzOfDictionary(40)), "a dictionary of more than 64 MiB"},
		"cut":               {xzText[:40], "unexpected EOF"}, "cut in its end": {xzText[:len(xzText)-1], "unexpected EOF"},
		"changed": {strings.Replace(xzText, "two", "twa", 1), "no xz file: data is corrupt"}, "padding": {xzText + "\x00\x00", "no xz file: data is corrupt"},
		"something after it": {xzText + "abcdefghijklmnop", "no xz file: "},
	} {
		r, err := New(strings.NewReader(c.content), "f", "")
		if err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A line that is too long is refused when it is, not at its end, and the lines after it are read.
func TestTooLongAtOnce(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("a\n"), &letters{})
	r, err := New(endless, "f", "")
	if err != nil {
		t.Fatal(err)
	}
	l := NewLines(r)
	if _, err := l.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Next(); !errors.Is(err, ErrTooLong) || l.Number() != 2 {
		t.Errorf("%v at line %d", err, l.Number())
	}
}

// letters has no end.
type letters struct{}

func (*letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

func FuzzNew(f *testing.F) {
	f.Add([]byte("a\nb"))
	f.Add([]byte("\xfd7zXZ\x00\x00\x04"))
	f.Add([]byte(bzip2Text))
	f.Add([]byte(xzText))
	f.Add(xzOfDictionary(40))
	f.Add([]byte("\x28\xb5\x2f\xfd\x04\x00\xff\xff\xff\xff"))
	f.Add([]byte("\x5f\x2a\x4d\x18\xff\xff\xff\x7f"))
	f.Add([]byte("\x1f\x8b\x08\x1f\xff"))
	f.Add(bytes.Repeat([]byte("\x00a"), 40))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := New(bytes.NewReader(content), "f", "")
		if err != nil {
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
				t.Errorf("error %q", err)
			}
			return
		}
		defer r.Close()
		for l := NewLines(r); err == nil || errors.Is(err, ErrTooLong); {
			_, err = l.Next()
		}
	})
}
