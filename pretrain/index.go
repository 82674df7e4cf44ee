package pretrain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/go-bert/bert/internal/files"
)

// The files of a set, besides those of the tokenizer and the instances.
const (
	indexName   = "index.json"
	summaryName = "summary.json"
)

// index describes a set. It is written twice: at the beginning, so that the job can be resumed or shared, and when all files
// exist.
type index struct {
	Version    int             `json:"version"`
	Complete   bool            `json:"complete"`
	Options    InstanceOptions `json:"options"`
	IMDBSplits []string        `json:"imdb_splits"`
	Encoding   string          `json:"encoding,omitempty"` // of the text; without it UTF-8
	Vocabulary Vocabulary      `json:"vocabulary"`
	Files      []record        `json:"files"` // by group; empty before the set is complete
}

const indexVersion = 1

// A record describes a finished file of instances. It is a file of its own until the set is complete.
type record struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// TextSHA256 is the hash of the group's text: lines ended by line feeds, with an empty line between documents.
	TextSHA256 string `json:"text_sha256"`
	Stats      Stats  `json:"stats"`
}

func fileName(group int, f Format) string {
	if f == TFRecord {
		return fmt.Sprintf("instances-%06d.tfrecord", group)
	}
	return fmt.Sprintf("instances-%06d.bin", group)
}

func recordName(group int) string { return fmt.Sprintf("instances-%06d.json", group) }

// groupOf returns the group to which a file in the folder belongs, even if it is a temporary file.
func groupOf(name string) (group int, ok bool) {
	if files.IsTemp(name) {
		name = name[1:]
	}
	rest, ok := strings.CutPrefix(name, "instances-")
	if !ok {
		return 0, false
	}
	n, err := fmt.Sscanf(rest, "%d.", &group)
	return group, n == 1 && err == nil
}

// maxRecord and maxIndex are more bytes than a record and the index of a million files take.
const (
	maxRecord = 1 << 20
	maxIndex  = 1 << 30
)

// readJSON reads a file of at most so many bytes that this package wrote. fs.ErrNotExist says that there is none; anything
// that wasn't written there is a *DamagedError.
func readJSON(path string, most int64, v any) error {
	data, err := files.ReadFile(path, most)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err = d.Decode(v)
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		err = errors.New("it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("it ends early")
	case err == nil && d.More():
		err = errors.New("something follows its JSON object")
	}
	if err != nil {
		return &DamagedError{Path: path, Err: err, Remove: true}
	}
	return nil
}

// check reports what is wrong with a record of a group.
func (r *record) check(group int, f Format) error {
	hash := func(s string) bool { b, err := hex.DecodeString(s); return err == nil && len(b) == sha256.Size }
	switch {
	case r.File != fileName(group, f):
		return fmt.Errorf("it is the record of %q, want %q", r.File, fileName(group, f))
	case r.Bytes < 0 || !hash(r.SHA256) || !hash(r.TextSHA256):
		return fmt.Errorf("its record of %s has no size or no checksums", r.File)
	}
	return nil
}

// readIndex reads and checks the index of a set.
func readIndex(dir string) (*index, error) {
	path := filepath.Join(dir, indexName)
	x := new(index)
	if err := readJSON(path, maxIndex, x); err != nil {
		return nil, err
	}
	if x.Version == 0 {
		return nil, &DamagedError{Path: path, Err: errors.New("it says no version"), Remove: true}
	}
	if x.Version != indexVersion {
		return nil, fmt.Errorf("%s: version %d, want %d: made by a different release of bert", path, x.Version, indexVersion)
	}
	if err := x.Options.Validate(); err != nil {
		return nil, &DamagedError{Path: path, Err: err, Remove: true}
	}
	if x.Complete && len(x.Files) == 0 {
		return nil, &DamagedError{Path: path, Err: errors.New("it lists no files"), Remove: true}
	}
	for group, r := range x.Files {
		if err := r.check(group, x.Options.Format); err != nil {
			return nil, &DamagedError{Path: path, Err: err, Remove: true}
		}
	}
	return x, nil
}

// differs describes the first setting in which two sets differ, as in "max_seq_length is 512, there it is 128", or returns "".
func (x *index) differs(there *index) string {
	if x.Vocabulary != there.Vocabulary {
		return fmt.Sprintf("the vocabulary has %d tokens and SHA-256 %.8s…, there it has %d and %.8s…",
			x.Vocabulary.Size, x.Vocabulary.SHA256, there.Vocabulary.Size, there.Vocabulary.SHA256)
	}
	here, other := reflect.ValueOf(x.Options), reflect.ValueOf(there.Options)
	for i := range here.NumField() {
		if a, b := here.Field(i).Interface(), other.Field(i).Interface(); a != b {
			return fmt.Sprintf("%s is %v, there it is %v", here.Type().Field(i).Tag.Get("json"), a, b)
		}
	}
	if a, b := fmt.Sprint(x.IMDBSplits), fmt.Sprint(there.IMDBSplits); a != b {
		return fmt.Sprintf("imdb_splits is %s, there it is %s", a, b)
	}
	if x.Encoding != there.Encoding {
		return fmt.Sprintf("encoding is %q, there it is %q", x.Encoding, there.Encoding)
	}
	return ""
}

// records reads the records of the finished files, by group. The caller holds indexLock.
func records(dir string, x *index) (map[int]record, error) {
	known := make(map[int]record)
	if x.Complete {
		for group, r := range x.Files {
			known[group] = r
		}
		return known, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, files.PathError(err)
	}
	for _, entry := range entries {
		group, ok := groupOf(entry.Name())
		if !ok || entry.Name() != recordName(group) {
			continue
		}
		var r record
		path := filepath.Join(dir, entry.Name())
		if err := readJSON(path, maxRecord, &r); err != nil {
			return nil, err
		}
		if err := r.check(group, x.Options.Format); err != nil {
			return nil, &DamagedError{Path: path, Err: err, Remove: true}
		}
		known[group] = r
	}
	return known, nil
}
