package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/testbound"
	"github.com/go-bert/bert/internal/textfile"
)

// repeat is at least size bytes of a text, again and again.
func repeat(text string, size int) string { return strings.Repeat(text, 1+size/len(text)) }

// zipped is text compressed by gzip.
func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text) // a bytes.Buffer takes it
	_ = w.Close()
	return b.String()
}

// zstandard is text compressed by zstd.
func zstandard(text string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}

// bzip2Lines is 4 MiB of "a,b" and line feeds, compressed by bzip2.
const bzip2Lines = "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\x7e\x33\x91\x02\x03\x6e\xe3\x51\x00\x00\x10\x00\x04\x30\x00\x20\x00\x50\x66\x9a\x09\xaa\x8f\x4c\x54\x21\x13\x52\x84\x22\x7c\xa8\x42\x26\x2a\x10\x89\xc6\x28\x2b\x24\xca\x6b\x30\x23\xae\xd6\x20\x6d\xdc\x6a\x20\x00\x02\x00\x00\x86\x00\x04\x00\x0a\x0c\xd3\x41\x35\x51\xe9\x8a\x84\x22\x62\xa1\x08\x9b\x15\x08\x44\xf1\x50\x84\x4e\x31\x41\x59\x26\x53\x59\x22\x26\x26\x02\x05\x26\x54\xd1\x00\x00\x10\x00\x04\x30\x00\x20\x00\x50\x66\x9a\x09\xaa\x9b\x53\x15\x08\x44\xc5\x42\x11\x38\xa8\x42\x27\x62\xa1\x08\x9f\x31\x41\x59\x26\x53\x59\xb5\xc2\x3e\xc7\x01\xb7\x71\xd1\x00\x00\x10\x00\x04\x30\x00\x20\x00\x50\x66\x9a\x09\xaa\x4f\x53\x15\x08\x44\xec\x54\x21\x13\x8a\x84\x22\x62\xa1\x08\x9f\x31\x41\x59\x26\x53\x59\x8c\xcf\x96\x60\x03\x66\xac\x51\x00\x00\x10\x00\x04\x30\x00\x20\x00\x50\x66\x9a\x05\x2a\x3d\x35\x15\x08\x46\xa2\xa1\x08\xfd\x15\x08\x46\xa2\xa1\x08\xe1\x77\x24\x53\x85\x09\x08\x40\x1d\x64\xc0"

// xzLines is 4 MiB of "a,b" and line feeds, compressed by xz at level 9.
const xzLines = "\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x1c\x00\x00\x00\x10\xcf\x58\xcc\xff\xff\x14\x01\x71\x5d\x00\x30\x8b\x08\x40\xb1\x51\x07\xf4\x7c\x00\xed\x25\x92\x16\x34\xe8\xfd\xe7\x63\x4d\xa7\x65\x9e\x11\xa0\x93\x2e\xed\xd1\xc8\x7f\x08\xf0\xd5\x66\x06\xce\x14\x19\xb7\xa0\xcf\xef\xca\x03\x89\x9a\x93\x8f\xb6\xb1\x39\xb9\xb6\x40\x16\x5a\xf9\x01\x52\xa3\xd5\xd9\x81\x0e\x4d\x54\x0f\xb7\xcc\xd6\x66\x02\x2d\x53\xd1\x9b\x72\xb1\x12\x4b\x42\xe6\x61\x91\x4e\x3e\x81\x27\xd2\xef\x07\x35\x43\x27\xb9\x8e\xda\x66\xe1\x4e\xea\x3d\x99\x49\x16\x2b\x95\xf9\x47\xfa\x4e\xe7\x52\xe2\x92\x06\x56\x19\x9e\x44\x9e\xe2\xd2\xe4\x46\xf6\x54\xf0\x88\x75\x2c\x30\xdb\xc2\x50\x54\x91\x22\x97\x06\x03\x5f\xc9\x70\x3b\x14\xc0\x32\x37\x98\xa5\x15\x01\xa5\xe8\xa3\x09\x2a\xec\xaa\xff\x5a\x26\xac\x72\x0c\x16\x92\xa7\xbe\x39\x8f\x24\xe1\x70\x9e\xa7\x23\x5f\xec\x28\xcb\x85\xd1\x95\x98\x8a\x7e\x2a\x91\xf2\x27\x75\xf7\x19\xc0\x06\x98\x4d\x98\xfd\xd8\xaf\xd5\x90\x0f\xc4\x25\x53\xf8\xf5\x91\x36\x31\x05\xa5\xb0\xee\x6f\xc1\x70\x4d\x47\x0c\xd1\x91\x11\xaa\xad\x60\x1d\xba\xce\xb1\x27\x18\x5c\x59\x86\xe9\x66\x52\x58\xbe\xe9\x76\xac\x59\xe4\xe5\x5b\x05\x08\xf9\xc7\xda\xad\xfc\xfb\x52\x2b\x74\xcd\x1e\x5b\x20\x42\xf9\xdd\x53\x3d\xf8\x29\x64\x09\x3b\x80\xcb\x2a\x6c\xdf\xb5\x3b\xf0\xc4\xbd\x2e\x5f\xaa\x0f\x3e\x4b\x66\x42\x90\x13\x0e\xff\x10\x93\xf8\x71\x78\x59\xf8\x0b\xcd\xff\x95\x28\x46\x0f\xa9\xfc\x7c\xde\xfb\x9a\x30\x2e\x56\xc0\x8f\x85\xf3\x83\x81\xc0\x65\xc4\x25\x53\xf8\xf5\x91\x36\x31\x05\xa5\xb0\xee\x6f\xc1\x70\x4d\x47\x0c\xd1\x91\x11\xaa\xad\x60\x1d\xba\xce\xb1\x27\x18\x5c\x59\x86\xe9\x65\xcc\x6d\x25\xf1\x9f\xff\x10\x01\x2b\x00\xec\x73\x53\xa7\xfd\xbe\xae\x7c\x31\x1a\x9f\xb7\x8d\x31\x6e\x70\x9e\xa7\x23\x5f\xec\x28\xcb\x85\xd1\x95\x98\x8a\x7e\x2a\x91\xf2\x27\x75\xf7\x19\xc0\x06\x98\x4d\x98\xfd\xd8\xaf\xd5\x90\x0f\xc4\x25\x53\xf8\xf5\x91\x36\x31\x05\xa5\xb0\xee\x6f\xc1\x70\x4d\x47\x0c\xd1\x91\x11\xaa\xad\x60\x1d\xba\xce\xb1\x27\x18\x5c\x59\x86\xe9\x66\x52\x58\xbe\xe9\x76\xac\x59\xe4\xe5\x5b\x05\x08\xf9\xc7\xda\xad\xfc\xfb\x52\x2b\x74\xcd\x1e\x5b\x20\x42\xf9\xdd\x53\x3d\xf8\x29\x64\x09\x3b\x80\xcb\x2a\x6c\xdf\xb5\x3b\xf0\xc4\xbd\x2e\x5f\xaa\x0f\x3e\x4b\x66\x42\x90\x13\x0e\xff\x10\x93\xf8\x71\x78\x59\xf8\x0b\xcd\xff\x95\x28\x46\x0f\xa9\xfc\x7c\xde\xfb\x9a\x30\x2e\x56\xc0\x8f\x85\xf3\x83\x81\xc0\x65\xc4\x25\x53\xf8\xf5\x91\x36\x31\x05\xa5\xb0\xee\x6f\xc1\x70\x4d\x47\x0c\xd1\x91\x11\xaa\xad\x60\x1d\xba\xce\xb1\x27\x18\x5c\x59\x86\xe9\x66\x52\x58\xbe\xe9\x76\xac\x59\xe4\xe5\x5b\x05\x08\xf9\xc7\xda\xad\xfc\xfb\x52\x2b\x74\xcd\x1e\x5b\x20\x42\xf9\xdd\x53\x3d\xf8\x29\x64\x09\x3b\x80\xcb\x2a\x6c\xdf\xb5\x3b\xf0\xc4\xbd\x2e\x5f\xaa\x0f\x3e\x4b\x66\x42\x90\x13\x0e\xff\x10\x93\xf8\x71\x78\x59\xf8\x0b\xcd\xff\x95\x28\x46\x0f\xa9\xfc\x7c\xde\xfb\x9a\x30\x2e\x56\xc0\x8f\x85\xf3\x83\x81\xc0\x65\xc4\x25\x51\x0f\x3f\xb2\x80\x01\xd9\x00\x05\x00\x41\xc8\xe4\x15\x00\x00\x00\x00\x00\xda\x1f\xdf\x28\xca\x53\xc4\x59\x00\x01\xc9\x05\x80\x80\x80\x02\x0d\x40\xb3\xe4\xb1\xc4\x67\xfb\x02\x00\x00\x00\x00\x04\x59\x5a"

// xzOfDictionary is an xz file that demands a dictionary of 4 GiB.
func xzOfDictionary() string {
	b := []byte(xzLines)
	b[16] = 40
	binary.LittleEndian.PutUint32(b[20:], crc32.ChecksumIEEE(b[12:20]))
	return string(b)
}

// sparseTar is an archive of n members that have size bytes and no content, as GNU tar's PAX format has them.
func sparseTar(n int, size int64) string {
	var b bytes.Buffer
	for i := range n {
		record := func(key, value string) string {
			s := " " + key + "=" + value + "\n"
			n := len(s)
			for len(fmt.Sprint(n))+len(s) != n {
				n = len(fmt.Sprint(n)) + len(s)
			}
			return fmt.Sprint(n) + s
		}
		pax := record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.name", fmt.Sprintf("aclImdb/train/pos/%d_9.txt", i)) +
			record("GNU.sparse.realsize", fmt.Sprint(size))
		w := tar.NewWriter(&b)
		_ = w.WriteHeader(&tar.Header{Name: "x", Size: int64(len(pax)), Mode: 0o644, Typeflag: tar.TypeReg})
		b.Bytes()[b.Len()-512+156] = 'x'
		head := b.Bytes()[b.Len()-512:]
		checksum(head)
		_, _ = io.WriteString(w, pax)
		_ = w.Flush()
		content := fmt.Sprintf("1\n%d\n0\n", size)
		content += strings.Repeat("\x00", 512-len(content))
		_ = w.WriteHeader(&tar.Header{Name: fmt.Sprintf("aclImdb/train/pos/%d_9.txt", i), Size: int64(len(content)), Mode: 0o644, Typeflag: tar.TypeReg})
		_, _ = io.WriteString(w, content)
		_ = w.Flush()
	}
	b.Write(make([]byte, 1024))
	return b.String()
}

// checksum puts the checksum of a tar header right.
func checksum(head []byte) {
	copy(head[148:], "        ")
	sum := 0
	for _, c := range head {
		sum += int(c)
	}
	copy(head[148:], fmt.Sprintf("%06o\x00 ", sum))
}

// manyReviews is an archive of n reviews of so many bytes.
func manyReviews(n, size int) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	text := strings.Repeat("a ", size/2)
	for i := range n {
		_ = w.WriteHeader(&tar.Header{Name: fmt.Sprintf("aclImdb/train/pos/%d_9.txt", i), Size: int64(len(text)), Mode: 0o644, Typeflag: tar.TypeReg})
		_, _ = io.WriteString(w, text)
	}
	_ = w.Close()
	return b.String()
}

// question is a paragraph of SQuAD with a question by this number.
func question(i int, context string) string {
	return fmt.Sprintf(`{"context":%q,"qas":[{"id":"%d","question":"q","answers":[]}]},`, context, i)
}

func squadOf(paragraphs string) string {
	return `{"data":[{"title":"t","paragraphs":[` + strings.TrimSuffix(paragraphs, ",") + `]}]}`
}

func many(size int, member func(i int) string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		b.WriteString(member(i))
	}
	return b.String()
}

// recordBound is the bound of tables and the like, of which each record is an Example: 264 bytes, twice while the list grows.
func recordBound(bytesOfRecord int) testbound.Bound {
	b := testbound.Default
	b.PerByte += 800 / float64(bytesOfRecord)
	b.PerHundred *= 8
	return b
}

// compressedBound is the bound of compressed files whose content is held: see textfile.Reader.Hold.
var compressedBound = testbound.Bound{Memory: 64 << 20, PerByte: 800, Time: 2 * time.Second, PerHundred: 200 * time.Second}

// hostileFiles are files of about size bytes that ask for far more than that, or that have no end.
var hostileFiles = []struct {
	what, name string
	size       int
	content    func(size int) string
	want       string // in the error; "" for none
	bound      testbound.Bound
}{
	{"columns", "a.csv", 15 << 20, func(size int) string { return "text,label" + repeat(",", size) }, "more than 65,536 columns", testbound.Default},
	{"columns in quotes", "a.csv", 15 << 20, func(size int) string { return repeat(`"",`, size) }, "more than 65,536 columns", testbound.Default},
	{"columns", "a.tsv", 15 << 20, func(size int) string { return repeat("\t", size) }, "more than 65,536 columns", testbound.Default},
	{"columns", "a.conll", 15 << 20, func(size int) string { return repeat("a ", size) }, "more than 65,536 columns", testbound.Default},
	{"a quote without an end", "a.csv", 40 << 20, func(size int) string { return "text,label\n\"" + repeat("word, word\n", size) }, "record of more than 16,777,216 bytes", testbound.Default},
	{"a quote without an end", "b.csv", 8 << 20, func(size int) string { return "text,label\n\"" + repeat("word, word\n", size) }, "no end", testbound.Default},
	{"quotes", "a.csv", 15 << 20, func(size int) string { return `text,label` + "\n" + `"` + repeat(`""`, size) }, "without an end", testbound.Default},
	{"a line without an end", "a.csv", 80 << 20, func(size int) string { return repeat("a", size) }, "more than 16,777,216 bytes", testbound.Default},
	{"a line without an end", "a.tsv", 80 << 20, func(size int) string { return repeat("a", size) }, "more than 16,777,216 bytes", testbound.Default},
	{"a line without an end", "a.jsonl", 80 << 20, func(size int) string { return `{"text":"` + repeat("a", size) }, "more than 16,777,216 bytes", testbound.Default},
	{"a line without an end", "a.conll", 80 << 20, func(size int) string { return repeat("a", size) }, "more than 16,777,216 bytes", testbound.Default},
	{"records", "a.csv", 2 << 20, func(size int) string { return "text,label\n" + repeat("a,b\n", size) }, "", recordBound(4)},

	{"keys", "a.jsonl", 15 << 20, func(size int) string {
		return "{" + many(size, func(i int) string { return fmt.Sprintf(`"%x":0,`, i) }) + `"text":"a","label":"b"}`
	}, "more than 65,536 keys", testbound.Default},
	{"nesting", "a.jsonl", 15 << 20, func(size int) string { return `{"text":` + repeat("[", size) }, "not JSON", testbound.Default},
	{"digits", "a.jsonl", 15 << 20, func(size int) string { return `{"text":"a","label":` + repeat("9", size) + "}" }, "", testbound.Default},
	{"digits for a text", "a.jsonl", 15 << 20, func(size int) string { return `{"label":"a","text":` + repeat("9", size) + "}" }, "want a string", testbound.Default},
	{"a long key", "a.jsonl", 15 << 20, func(size int) string { return `{"` + repeat("é", size) + `":0}` }, `no key "text"`, testbound.Default},
	{"labels", "multi.jsonl", 15 << 20, func(size int) string { return `{"text":"a","label":[` + repeat("0,", size) + "0]}" }, "more than 65,536 labels", testbound.Default},

	{"choices", "choices.input", 15 << 20, func(size int) string { return `{"text":"a","choices":[` + repeat(`"a",`, size) + `"b"]}` }, "", recordBound(100)},
	{"words", "words.input", 15 << 20, func(size int) string { return `{"words":[` + repeat(`"a",`, size) + `null]}` }, "want a list of strings", recordBound(100)},
	{"ids", "ids.input", 15 << 20, func(size int) string { return `{"ids":[` + repeat("1,", size) + "1]}" }, "", testbound.Default},
	{"digits", "digits.input", 15 << 20, func(size int) string { return `{"ids":[` + repeat("9", size) + "]}" }, "want a list of whole numbers", testbound.Default},
	{"keys", "keys.input", 15 << 20, func(size int) string {
		return "{" + many(size, func(i int) string { return fmt.Sprintf(`"%x":0,`, i) }) + `"a":0}`
	}, "want text and text_pair", testbound.Default},
	{"a line without an end", "long.input", 80 << 20, func(size int) string { return repeat("a", size) }, "more than 16,777,216 bytes", testbound.Default},
	{"lines", "lines.input", 15 << 20, func(size int) string { return repeat("a b\n", size) }, "", testbound.Bound{Memory: 64 << 20, PerByte: 0, Time: 2 * time.Second, PerHundred: 10 * time.Second}},

	{"gzip of one line", "a.csv", 80 << 20, func(size int) string { return zipped(repeat("a", size)) }, "more than 16,777,216 bytes", testbound.Default},
	{"gzip of records", "b.csv", 40 << 20, func(size int) string { return zipped("text,label\n" + repeat("a,b\n", size)) }, "no usual text", compressedBound},
	{"gzip of blank lines", "c.csv", 80 << 20, func(size int) string { return zipped("text,label\n" + repeat("\n", size)) }, "no usual text", testbound.Default},
	{"zstd of records", "d.csv", 80 << 20, func(size int) string { return zstandard("text,label\n" + repeat("a,b\n", size)) }, "no usual text", compressedBound},
	{"zstd of inputs", "zstd.input", 40 << 20, func(size int) string { return zstandard(repeat("a,b\n", size)) }, "no usual text", testbound.Default},
	{"bzip2 of records", "e.csv", 160 << 20, func(size int) string { return strings.Repeat(bzip2Lines, size>>22) }, "no column", testbound.Default},
	{"bzip2 of inputs", "bzip2.input", 64 << 20, func(size int) string { return strings.Repeat(bzip2Lines, size>>22) }, "no usual text",
		testbound.Bound{Memory: 64 << 20, PerByte: 4, Time: 4 * time.Second, PerHundred: time.Second}},
	{"xz of records", "g.csv", 160 << 20, func(size int) string { return strings.Repeat(xzLines, size>>22) }, "no column", testbound.Default},
	{"xz of inputs", "xz.input", 64 << 20, func(size int) string { return strings.Repeat(xzLines, size>>22) }, "no usual text",
		testbound.Bound{Memory: 64 << 20, PerByte: 4, Time: 4 * time.Second, PerHundred: time.Second}},
	{"xz of a large dictionary", "h.csv", 1, func(int) string { return xzOfDictionary() }, "a dictionary of more than 64 MiB", testbound.Default},
	{"comments", "a.conll", 20 << 20, func(size int) string { return repeat("# a b\n", size) }, "no sentence in it", testbound.Default},
	{"bad encoding", "j.csv", 20 << 20, func(size int) string { return "text,label\n\"" + repeat("some letters \xe9\n", size) }, "more than 16,777,216 bytes", testbound.Default},
	{"gzip of gzip", "f.csv", 1 << 20, func(size int) string { return zipped(zipped(repeat("text,label\na,b\n", size))) }, "a compressed file in a compressed file", testbound.Default},

	{"sparse members", "a.tar", 200, func(n int) string { return zipped(sparseTar(n, 16<<20)) }, "a file with holes", testbound.Default},
	{"large members", "b.tar", 30, func(n int) string { return zipped(manyReviews(n, 4<<20)) }, "no usual text", testbound.Default},
	{"small members", "c.tar", 40_000, func(n int) string { return zipped(manyReviews(n, 2)) }, "", compressedBound},
	{"a size that is a lie", "d.tar", 15 << 20, func(size int) string { return manyReviews(1, size)[:2048] }, "truncated", testbound.Default},

	{"a string without an end", "a.json", 100 << 20, func(size int) string { return `{"data":[{"title":"` + repeat("a", size) }, "more bytes than is sensible", testbound.Default},
	{"nesting", "a.json", 100 << 20, func(size int) string { return `{"x":` + repeat("[", size) }, "nested more than 1000 deep", testbound.Default},
	{"objects", "a.json", 20 << 20, func(size int) string { return `{"x":` + repeat(`{"a":`, size) }, "nested more than 1000 deep", testbound.Default},
	{"digits", "a.json", 15 << 20, func(size int) string { return `{"version":` + repeat("9", size) + `,"data":[]}` }, "no questions", testbound.Default},
	{"digits for a place", "a.json", 15 << 20, func(size int) string {
		return squadOf(`{"context":"a","qas":[{"id":"1","question":"q","answers":[{"text":"a","answer_start":` + repeat("9", size) + `}]}]}`)
	}, "want a whole number", testbound.Default},
	{"a long title", "a.json", 15 << 20, func(size int) string {
		return `{"data":[{"title":"` + repeat("t\\n", size) + `","paragraphs":[{"context":"","qas":[{}]}]}]}`
	}, "has no id", testbound.Default},
	{"contexts", "a.json", 30 << 20, func(size int) string {
		return squadOf(many(size, func(i int) string { return question(i, repeat("é a ", size/6)) }))
	}, "", testbound.Bound{Memory: 64 << 20, PerByte: 4, Time: 4 * time.Second, PerHundred: 3 * time.Second}},
	{"empty questions", "a.json", 20 << 20, func(size int) string { return squadOf(`{"context":"a","qas":[` + repeat("{},", size) + `{}]}`) }, "has no id", testbound.Default},
	{"empty answers", "a.json", 20 << 20, func(size int) string {
		return squadOf(`{"context":"a","qas":[{"id":"1","question":"q","answers":[` + repeat("{},", size) + `{}]}]}`)
	}, "has no text", testbound.Default},
	{"gzip of a string", "a.json", 80 << 20, func(size int) string { return zipped(`{"data":"` + repeat("a", size)) }, "more bytes than is sensible", testbound.Default},
	{"gzip of questions", "b.json", 10 << 20, func(size int) string {
		return zipped(squadOf(many(size, func(i int) string { return question(i, "") })))
	}, "", compressedBound},
}

// addHostile adds small files of a kind as seeds for a fuzz test.
func addHostile(f *testing.F, extension string) {
	for _, h := range hostileFiles {
		if strings.HasSuffix(h.name, extension) {
			f.Add([]byte(h.content(min(h.size, 300))))
		}
	}
}

// readHostile reads a file by the reader that its name stands for.
func readHostile(path string) (err error) {
	ctx := context.Background()
	switch filepath.Ext(path) {
	case ".tar":
		_, err = ReadIMDB(ctx, path, Train, TableOptions{})
	case ".json":
		_, _, err = ReadSQuAD(ctx, path, TableOptions{})
	case ".conll":
		_, err = ReadCoNLL(ctx, path, TableOptions{})
	case ".input":
		f, err := textfile.Open(ctx, path)
		if err != nil {
			return err
		}
		defer f.Close()
		for r := NewInputReader(f, path, InputOptions{}); err == nil; {
			_, _, err = r.Read(ctx)
			if err != nil && err != io.EOF {
				return err
			}
		}
		return nil
	default:
		_, err = ReadTable(ctx, path, TableOptions{MultiLabel: strings.Contains(path, "multi")})
	}
	return err
}

func TestBound(t *testing.T) {
	for _, h := range hostileFiles {
		t.Run(h.what+" "+h.name, func(t *testing.T) {
			u := testbound.Read(t, h.bound, func(dir string) (string, error) {
				path := filepath.Join(dir, h.name)
				return path, os.WriteFile(path, []byte(h.content(h.size)), 0o666)
			}, readHostile)
			if h.want == "" && u.Err != "" || !strings.Contains(u.Err, h.want) {
				t.Errorf("error %q, want %q", u.Err, h.want)
			}
		})
	}
}

// Devices and sockets are refused, and a pipe is waited for until the context is done.
func TestOnlyFiles(t *testing.T) {
	var kind *files.KindError
	if _, err := ReadTable(t.Context(), os.DevNull, TableOptions{Format: CSV}); !errors.As(err, &kind) {
		t.Errorf("of a device %v", err)
	}
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	pipe := testbound.Pipe(t, t.TempDir(), "a.csv")
	if _, err := ReadTable(ctx, pipe, TableOptions{}); !errors.Is(err, stop) {
		t.Errorf("of a pipe %v", err)
	}
	// It is read like a file where somebody writes to it. The reader that gave up is gone and takes nothing.
	go func() {
		if f, err := os.OpenFile(pipe, os.O_WRONLY, 0); err == nil {
			_, _ = io.WriteString(f, "text,label\na,b\n") // what doesn't arrive fails the test below
			f.Close()
		}
	}()
	if set, err := ReadTable(t.Context(), pipe, TableOptions{}); err != nil || len(set.Examples) != 1 {
		t.Errorf("%v, %v", set, err)
	}
}
