package textfile

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestFindEncoding(t *testing.T) {
	for name, want := range map[string]string{
		"": "UTF-8", "utf-8": "UTF-8", "UTF8": "UTF-8", "utf_8": "UTF-8", "utf-8-sig": "UTF-8", " Utf-8 ": "UTF-8", "unicode-1-1-utf-8": "UTF-8",
		"latin-1": "windows-1252", "latin1": "windows-1252", "Latin_1": "windows-1252", "L1": "windows-1252", "iso-8859-1": "windows-1252", "ISO8859_1": "windows-1252",
		"cp1252": "windows-1252", "ascii": "windows-1252", "iso-8859-15": "iso-8859-15", "windows-1251": "windows-1251", "cp1251": "windows-1251", "koi8_r": "koi8-r",
		"shift_jis": "shift_jis", "sjis": "shift_jis", "cp932": "shift_jis", "euc_jp": "euc-jp", "iso-2022-jp": "iso-2022-jp",
		"gbk": "gbk", "gb2312": "gbk", "cp936": "gbk", "gb18030": "gb18030", "big5": "big5", "cp950": "big5", "euc-kr": "euc-kr", "cp949": "euc-kr",
		"utf-16": "utf-16le", "UTF16": "utf-16le", "utf_16_be": "utf-16be", "utf-16le": "utf-16le", "cp437": "cp437", "IBM850": "ibm850", "mac_roman": "macintosh",
	} {
		if e, err := FindEncoding(name); err != nil || e.String() != want {
			t.Errorf("%q is %v, %v; want %s", name, e, err, want)
		}
	}
	for _, name := range []string{"utf-9", "hz-gb-2312", "iso-2022-kr", "utf-7", "latin", "-"} {
		var unknown *UnknownEncodingError
		if e, err := FindEncoding(name); !errors.As(err, &unknown) {
			t.Errorf("%q is %v, %v", name, e, err)
		}
	}
}

// Texts in encodings, as Python writes them.
var encoded = []struct{ encoding, bytes, text string }{
	{"", "caf\xc3\xa9\n", "café\n"}, {"", "\xef\xbb\xbfcaf\xc3\xa9\n", "café\n"},
	{"latin-1", "caf\xe9 good\tgood\n", "café good\tgood\n"}, {"cp1252", "\x93na\xefve\x94 \x80\n", "“naïve” €\n"}, {"iso-8859-15", "\xa4\n", "€\n"},
	{"cp437", "caf\x82\n", "café\n"}, {"mac_roman", "caf\x8e\n", "café\n"},
	{"windows-1251", "\xea\xee\xf2\n", "кот\n"}, {"koi8-r", "\xcb\xcf\xd4\n", "кот\n"},
	{"shift_jis", "\x93\xfa\x96\x7b\n", "日本\n"}, {"euc-jp", "\xc6\xfc\xcb\xdc\n", "日本\n"}, {"iso-2022-jp", "\x1b$BF|K\\\x1b(B\n", "日本\n"},
	{"gbk", "\xd6\xd0\xb9\xfa\n", "中国\n"}, {"gb18030", "\xd6\xd0\x94\x39\xda\x33\n", "中💩\n"}, {"big5", "\xa4\xa4\xb0\xea\n", "中國\n"},
	{"euc-kr", "\xc7\xd1\xb1\xdb\n", "한글\n"},
	{"utf-16", "\xff\xfea\x00\xe9\x00\n\x00", "aé\n"}, {"utf-16", "\xfe\xff\x00a\x00\xe9\x00\n", "aé\n"}, {"utf-16", "a\x00\n\x00", "a\n"},
	{"utf-16be", "\x00a\xd8\x3d\xdc\xa9\x00\n", "a💩\n"}, {"utf-16", "\xff\xfe\xfd\xff\n\x00", "\ufffd\n"},
	// A mark decides, whatever the encoding.
	{"latin-1", "\xef\xbb\xbfcaf\xc3\xa9\n", "café\n"}, {"utf-16", "\xef\xbb\xbfcaf\xc3\xa9\n", "café\n"}, {"latin-1", "\xff\xfea\x00\n\x00", "a\n"},
}

func TestEncodings(t *testing.T) {
	for _, c := range encoded {
		e, err := FindEncoding(c.encoding)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.Decode([]byte(c.bytes)); err != nil || string(got) != c.text {
			t.Errorf("Decode, %s: %q, %v; want %q", c.encoding, got, err, c.text)
		}
		for name, content := range map[string][]byte{"plain": []byte(c.bytes), "gzip": gzipped(t, c.bytes), "xz": []byte(xzText)} {
			want := c.text
			if name == "xz" {
				if want = "one\ntwo\n"; strings.HasPrefix(c.encoding, "utf-16") {
					continue
				}
			}
			for _, r := range []io.Reader{bytes.NewReader(content), iotest.OneByteReader(bytes.NewReader(content))} {
				text, err := New(r, "f", c.encoding)
				if err != nil {
					t.Fatalf("%s, %s: %v", c.encoding, name, err)
				}
				got, err := io.ReadAll(text.Whole())
				text.Close()
				if err != nil || string(got) != want {
					t.Errorf("%s, %s: %q, %v; want %q", c.encoding, name, got, err, want)
				}
			}
		}
	}
}

// What is no character is an error with line and byte, whoever reads, and the lines after it are read.
func TestEncodingError(t *testing.T) {
	for _, c := range []struct {
		encoding, bytes string
		line, at        int
		want            string
	}{
		{"", "one\ncaf\xe9 good\nlast", 2, 3, "not valid UTF-8 at byte 3: say which encoding the text has"},
		{"", "one\n\xe6\x97\nlast", 2, 0, "not valid UTF-8"}, {"", "one\r\ntwo\nab\xe6", 3, 2, "not valid UTF-8"}, {"", "one\n\xed\xa0\x80", 2, 0, "not valid UTF-8"},
		{"shift_jis", "one\na\x93\xfa\xff\nlast", 2, 4, "not valid shift_jis"}, {"euc-kr", "one\na\xfe\xfe\nlast", 2, 1, "not valid euc-kr"},
		{"utf-16", "\xff\xfea\x00\n\x00\x00\xd8\n\x00", 2, 0, "not valid utf-16le"}, {"utf-16", "\xff\xfea\x00\n\x00a", 2, 0, "not valid utf-16le"},
		{"windows-1253", "a\n\xaa\n", 2, 0, "not valid windows-1253"}, {"latin-1", "\xef\xbb\xbfa\n\xe9", 2, 0, "not valid UTF-8"},
	} {
		e, err := FindEncoding(c.encoding)
		if err != nil {
			t.Fatal(err)
		}
		check := func(how string, line int, err error) {
			t.Helper()
			var coding *EncodingError
			if !errors.As(err, &coding) || line != c.line || coding.Offset != c.at || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%s, %q: line %d, %v; want line %d, byte %d", how, c.bytes, line, err, c.line, c.at)
			}
		}
		_, err = e.Decode([]byte(c.bytes))
		var coding *EncodingError
		if errors.As(err, &coding) {
			check("Decode", coding.Line, err)
		} else {
			t.Errorf("Decode: %v", err)
		}
		for how, r := range map[string]io.Reader{"at once": strings.NewReader(c.bytes), "byte by byte": iotest.OneByteReader(strings.NewReader(c.bytes))} {
			text, err := New(r, "f", c.encoding)
			if err != nil {
				t.Fatal(err)
			}
			lines, n := NewLines(text), 0
			for {
				line, err := lines.Next()
				if err == io.EOF {
					break
				}
				if n++; n == c.line {
					check(how, lines.Number(), err)
				} else if err != nil || !utf8.Valid(line) {
					t.Errorf("%s, %q, line %d: %q, %v", how, c.bytes, n, line, err)
				}
			}
			if want := strings.Count(strings.ReplaceAll(strings.TrimSuffix(c.bytes, "\n"), "\n\x00", "\n"), "\n") + 1; n < c.line || c.encoding != "utf-16" && n != want {
				t.Errorf("%s, %q: %d lines", how, c.bytes, n)
			}
		}
		for how, r := range map[string]io.Reader{"whole": strings.NewReader(c.bytes), "whole, byte by byte": iotest.OneByteReader(strings.NewReader(c.bytes))} {
			text, err := New(r, "f", c.encoding)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(text.Whole())
			var coding *EncodingError
			if errors.As(err, &coding) {
				check(how, coding.Line, err)
			} else {
				t.Errorf("%s: %v", how, err)
			}
		}
	}
}

// Text of another kind of bytes is refused as a whole, in the encoding that was named too.
func TestUndecoded(t *testing.T) {
	for encoding, content := range map[string]string{
		"": strings.Repeat("\xcb\xcf\xd4 ", 30), "utf-16": strings.Repeat("\x01\x00", 50), "shift_jis": strings.Repeat("\xff\xfd", 50), "latin-1": strings.Repeat("\x00\x01", 50),
	} {
		text, err := New(strings.NewReader(content), "f", encoding)
		if err == nil {
			_, err = io.ReadAll(text)
		}
		var not *NotTextError
		if !errors.As(err, &not) || !not.Undecoded {
			t.Errorf("%s: %v", encoding, err)
		}
	}
	if _, err := New(strings.NewReader("a"), "f", "utf-9"); !errors.As(err, new(*UnknownEncodingError)) || !strings.HasPrefix(err.Error(), `f: encoding "utf-9": want a name such as `) {
		t.Errorf("an unknown encoding: %v", err)
	}
}

// However text comes it is the same, and what is read is UTF-8.
func FuzzEncoding(f *testing.F) {
	for _, c := range encoded {
		f.Add(c.encoding, []byte(c.bytes))
	}
	f.Add("utf-16", []byte("\xff\xfe\x00\xd8\x00"))
	f.Add("iso-2022-jp", []byte("\x1b$B\x1b(\n\x0e\x0f"))
	f.Add("gb18030", []byte("\x84\x31\xa4\x37\x81\x30"))
	f.Fuzz(func(t *testing.T, encoding string, content []byte) {
		e, err := FindEncoding(encoding)
		if err != nil || len(content) > 1<<16 {
			return
		}
		read := func(r io.Reader) (lines []string, bad int, err error) {
			text, err := New(r, "f", encoding)
			if err != nil {
				return nil, 0, err
			}
			defer text.Close()
			for l := NewLines(text); ; {
				line, err := l.Next()
				switch {
				case err == io.EOF:
					return lines, bad, nil
				case BadLine(err):
					bad++
				case err != nil:
					return nil, 0, err
				case !utf8.Valid(line):
					t.Fatalf("line %d: %q", l.Number(), line)
				}
				lines = append(lines, string(line))
			}
		}
		lines, bad, err := read(bytes.NewReader(content))
		again, badAgain, errAgain := read(iotest.OneByteReader(bytes.NewReader(content)))
		if err == nil && errAgain == nil && (bad != badAgain || bad == 0 && strings.Join(lines, "\n") != strings.Join(again, "\n")) {
			t.Fatalf("%q (%d bad), byte by byte %q (%d bad)", lines, bad, again, badAgain)
		}
		whole, errWhole := e.Decode(content)
		if err == nil && errWhole == nil && bad > 0 || errWhole == nil && !utf8.Valid(whole) {
			t.Fatalf("%d bad lines, decoded %q", bad, whole)
		}
	})
}
