package data

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/textfile"
)

func TestParseInput(t *testing.T) {
	for line, want := range map[string]Input{
		"A plain text":                      {Text: "A plain text"},
		"":                                  {},
		`"quoted"`:                          {Text: `"quoted"`},
		"[1, 2]":                            {Text: "[1, 2]"},
		`{"text": "a"}`:                     {Text: "a"},
		` {"text_pair": "b", "text": "a"} `: {Text: "a", TextPair: "b"},
		`{"text": "", "text_pair": null}`:   {},
		`{"ids": [2, 7, 3]}`:                {IDs: []int32{2, 7, 3}},
		`{"type_ids": [0, 1], "ids":[2,3]}`: {IDs: []int32{2, 3}, TypeIDs: []int32{0, 1}},
	} {
		got, err := ParseInput([]byte(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got.Text != want.Text || got.TextPair != want.TextPair || !slices.Equal(got.IDs, want.IDs) || !slices.Equal(got.TypeIDs, want.TypeIDs) {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
	for line, want := range map[string]string{
		`{"text": "a"`:                               "not JSON: it ends too early",
		`{"text": 1}`:                                `text is "1", want a string`,
		`{"text": null}`:                             `want a string`,
		`{"txt": "a"}`:                               `key "txt": want text and text_pair, question and context, text and choices, words, or ids and type_ids`,
		`{"text": "a", "label": "b"}`:                `key "label"`,
		`{}`:                                         "neither text nor ids",
		`{"text_pair": "b"}`:                         "neither text nor ids",
		`{"text": "a", "ids": [1]}`:                  "both text and ids",
		`{"text_pair": "a", "ids": [1]}`:             "text_pair beside ids",
		`{"text": "a", "type_ids": [1]}`:             "type_ids without ids",
		`{"ids": []}`:                                "ids is empty",
		`{"ids": null}`:                              "want a list of whole numbers",
		`{"ids": [1, null]}`:                         "want a list of whole numbers",
		`{"ids": [1.5]}`:                             "want a list of whole numbers",
		`{"ids": [-1]}`:                              "want a list of whole numbers",
		`{"ids": [2147483648]}`:                      "want a list of whole numbers",
		`{"ids": [1, 2], "type_ids": [0]}`:           "1 type_ids for 2 ids",
		`{"ids": [1], "type_ids": [0], "ids": [1]}`:  `key "ids" twice`,
		`{"text": "` + strings.Repeat("a", 99) + `}`: "not JSON",
	} {
		_, err := ParseInput([]byte(line))
		wantError(t, err, want)
	}
}

func TestInputReader(t *testing.T) {
	content := "\ufeffone\r\n\n{\"text\": \"three\"}\n{bad}\nlast"
	for _, data := range [][]byte{[]byte(content), gzipped(t, []byte(content))} {
		r := NewInputReader(bytes.NewReader(data), "lines", InputOptions{SkipBad: true})
		var got []string
		for {
			in, source, err := r.Read(t.Context())
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, source.String()+" "+in.Text)
		}
		if want := []string{"lines:1 one", "lines:2 ", "lines:3 three", "lines:5 last"}; !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
		n, first := r.Skipped()
		if n != 1 {
			t.Errorf("skipped %d, want 1", n)
		}
		wantError(t, first, "lines:4: not JSON")
	}
}

// A line is there as soon as its end is, whoever still writes.
func TestInputReaderWaitsForNothing(t *testing.T) {
	r, w := io.Pipe()
	in := NewInputReader(r, "pipe", InputOptions{})
	for _, line := range []string{"", "a", "bc", "{\"text\": \"d\"}"} {
		go io.WriteString(w, line+"\n")
		if _, _, err := in.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if _, _, err := in.Read(t.Context()); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func FuzzInputReader(f *testing.F) {
	f.Add([]byte("a\n\n{\"text\": \"b\"}\r\n{\"ids\": [1, 2], \"type_ids\": [0, 1]}"))
	f.Add([]byte("\ufeff{\"text\"\n"))
	f.Add([]byte("\x1f\x8b\x08"))
	addHostile(f, ".input")
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		r := NewInputReader(bytes.NewReader(data), "fuzz", InputOptions{SkipBad: true})
		n := 0
		for {
			in, _, err := r.Read(t.Context())
			if err != nil {
				break
			}
			n++
			if in.IDs != nil && (in.Text != "" || in.TextPair != "" || in.TypeIDs != nil && len(in.TypeIDs) != len(in.IDs)) {
				t.Fatalf("%+v", in)
			}
			// What can be written as JSON is read back.
			if in.IDs != nil {
				line, err := json.Marshal(map[string]any{"ids": in.IDs})
				if err != nil {
					t.Fatal(err)
				}
				again, err := ParseInput(line)
				if err != nil || !slices.Equal(again.IDs, in.IDs) {
					t.Fatalf("%s: %v, %v", line, again, err)
				}
			}
		}
		skipped, _ := r.Skipped()
		plain, err := textfile.New(bytes.NewReader(data), "fuzz", "")
		if err != nil {
			return
		}
		text, _ := io.ReadAll(plain) // as far as it goes: of a file that is cut, more lines than were read
		plain.Close()
		lines := bytes.Count(text, []byte("\n")) + 1
		if n+skipped > lines {
			t.Fatalf("%d inputs of %d lines", n+skipped, lines)
		}
	})
}
