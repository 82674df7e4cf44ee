package data

import (
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-bert/bert/internal/textfile"
)

// checkCSV reads a file as encoding/csv does, record by record, up to a record that goes over several lines and is wrong.
func checkCSV(t *testing.T, file string) {
	t.Helper()
	b, err := textfile.New(strings.NewReader(file), "f", "")
	if err != nil {
		return // no text
	}
	plain, err := io.ReadAll(b) // of a compressed file
	b.Close()
	if err != nil {
		return
	}
	file = string(plain)
	if b, err = textfile.New(io.MultiReader(strings.NewReader("\ufeff"), strings.NewReader(file)), "f", ""); err != nil {
		return
	}
	got, want := newCSVFormat(b), csv.NewReader(strings.NewReader(file))
	want.FieldsPerRecord = -1
	for {
		fields, line, err := got.next()
		wantFields, wantErr := want.Read()
		var (
			bad   *badRecord
			parse *csv.ParseError
		)
		switch {
		case wantErr == nil && errors.As(err, &bad) && errors.As(bad.err, new(*EncodingError)):
			if !slices.ContainsFunc(wantFields, func(s string) bool { return !utf8.ValidString(s) }) {
				t.Fatalf("%q: %v; want %q", file, err, wantFields)
			}
		case wantErr == io.EOF:
			if err != io.EOF {
				t.Fatalf("%q: %q, %v; want the end", file, fields, err)
			}
			return
		case errors.As(wantErr, &parse):
			if err == nil || line != parse.StartLine || errors.As(err, &bad) != (parse.Line == parse.StartLine) {
				t.Fatalf("%q: %q in line %d, %v; want %v", file, fields, line, err, wantErr)
			}
			if bad == nil {
				return
			}
		default:
			if at, _ := want.FieldPos(0); err != nil || line != at || !slices.Equal(fields, wantFields) {
				t.Fatalf("%q: %q in line %d, %v; want %q in line %d", file, fields, line, err, wantFields, at)
			}
		}
	}
}

var csvFiles = []string{
	"", "\n", "a", "a,b\n", "a,b\r\n\r\nc,d\r", "\"a\",\"b\"\n", "\"a,\nb\"\"\r\n\",c\n,\n", "a\"b,c\nd,e", "\"a\"b,c\nd,e\n", "\"a\nb\"c\nd", "\"a", "\"a\n", "\"", "\"\"", "\"\"\"", ",\"\"\r",
	"\xcb\nb", "\"a\n\xff\",b\nc",
	"a,\"\n\n\",\"\r\"\n\n\nb", "\ufeff\"a\",b\n", "a,b\r\r\nc", "\r", "\r\n", "\"\r\n\"", "\"a\"\r", "\"a\"\r\n\"b\r",
}

func TestCSV(t *testing.T) {
	for _, file := range csvFiles {
		checkCSV(t, file)
	}
}

func FuzzCSVFormat(f *testing.F) {
	for _, file := range csvFiles {
		f.Add(file)
	}
	for _, h := range hostileFiles {
		if strings.HasSuffix(h.name, ".csv") && h.size > 1000 {
			f.Add(h.content(300))
		}
	}
	f.Fuzz(func(t *testing.T, file string) {
		checkCSV(t, file)
	})
}
