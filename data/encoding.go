package data

import "github.com/go-bert/bert/internal/textfile"

// EncodingError says that text is not in the encoding in which it was read.
type EncodingError = textfile.EncodingError

// NotTextError says that a file holds something other than text in the encoding in which it was read. Undecoded says that it may be
// text in another one.
type NotTextError = textfile.NotTextError

// UnknownEncodingError is a name that no encoding has.
type UnknownEncodingError = textfile.UnknownEncodingError

// CheckEncoding reports a name that no encoding has, as an *UnknownEncodingError. Names are those of the WHATWG's Encoding Standard,
// as in web pages, of DOS's code pages, such as cp437, and Python's, such as latin-1. Case doesn't matter. As in the standard,
// latin-1 means windows-1252, and utf-16 means utf-16le without a mark that says otherwise.
func CheckEncoding(name string) error {
	_, err := textfile.FindEncoding(name)
	return err
}
