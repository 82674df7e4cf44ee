package parts

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/go-bert/bert/internal/files"
)

// The names of a folder's files.
const (
	jobName    = "job.json"
	jobLock    = ".job.lock"
	doneSuffix = ".done.json"
)

// maxJob and maxRecord are more bytes than such files have.
const (
	maxJob    = 16 << 20
	maxRecord = 1 << 20
)

// base is how the names of a part's files begin.
func (p Part) base() string { return fmt.Sprintf("part-%05d-of-%05d", p.Index, p.Count) }

// lock is the name of the file by which a process says that it does the part.
func (p Part) lock() string { return fmt.Sprintf(".part-%d-of-%d.lock", p.Index, p.Count) }

// Record says how a part was done.
type Record struct {
	Version int `json:"version"`
	Part    int `json:"part"` // of Job.Parts, from 0
	// File is the name of what the part made, with its size and its hash.
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Done is what was done.
	Done
}

// Done is what a part did, as whoever did it says.
type Done struct {
	// From and To are what the part took of the input: bytes of its content, or examples.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Input is the hash of that, in hexadecimal digits; "" where Job.Input has one of all.
	Input  string `json:"input_sha256,omitempty"`
	Counts Counts `json:"counts"`
	// Kernels names the instructions that computed, where others would give other bits, and Program the release.
	Kernels string `json:"kernels,omitempty"`
	Program string `json:"program,omitempty"`
}

// Counts are what is reported at the end of the work. Those of all parts add up.
type Counts struct {
	Results int `json:"results"`
	// Truncated results lost tokens, Dropped of them all together, because they were longer than Longest tokens.
	Truncated int `json:"truncated,omitempty"`
	Dropped   int `json:"dropped_tokens,omitempty"`
	Longest   int `json:"max_seq_length,omitempty"`
	// Skipped inputs were bad and left out, of which FirstSkipped says what was wrong with the first.
	Skipped      int    `json:"skipped,omitempty"`
	FirstSkipped string `json:"first_skipped,omitempty"`
}

// Add adds the counts of the next part.
func (c *Counts) Add(d Counts) {
	if c.FirstSkipped == "" {
		c.FirstSkipped = d.FirstSkipped
	}
	c.Results += d.Results
	c.Truncated += d.Truncated
	c.Dropped += d.Dropped
	c.Skipped += d.Skipped
	c.Longest = max(c.Longest, d.Longest)
}

// DamagedError says that a file of a folder of parts holds something else than what was written there.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s: %v: the file is damaged: remove it and do the part again", e.Path, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// readJob reads the job of a folder. Where there is none the error is an fs.ErrNotExist.
func readJob(dir string) (*Job, error) {
	path := filepath.Join(dir, jobName)
	data, err := files.ReadFile(path, maxJob)
	if err != nil {
		return nil, err
	}
	j, err := parseJob(data)
	if err != nil {
		return nil, &DamagedError{path, err}
	}
	return j, nil
}

func parseJob(data []byte) (*Job, error) {
	j := new(Job)
	if err := decode(data, j); err != nil {
		return nil, err
	}
	return j, j.check()
}

// readRecord reads the record of a part. Where there is none the error is an fs.ErrNotExist.
func readRecord(dir string, p Part) (*Record, error) {
	path := filepath.Join(dir, p.base()+doneSuffix)
	data, err := files.ReadFile(path, maxRecord)
	if err != nil {
		return nil, err
	}
	r, err := parseRecord(data, p)
	if err != nil {
		return nil, &DamagedError{path, err}
	}
	return r, nil
}

func parseRecord(data []byte, p Part) (*Record, error) {
	r := new(Record)
	if err := decode(data, r); err != nil {
		return nil, err
	}
	extension := filepath.Ext(r.File)
	switch hash, err := hex.DecodeString(r.SHA256); {
	case r.Version != jobVersion:
		return nil, fmt.Errorf("version %d, want %d: made by another release of bert", r.Version, jobVersion)
	case r.Part != p.Index:
		return nil, fmt.Errorf("it is the record of part %d, want %d", r.Part, p.Index)
	case r.File != p.base()+extension || len(extension) < 2:
		return nil, fmt.Errorf("the name of its file is %q, want %s and an extension", r.File, p.base())
	case err != nil || len(hash) != sha256.Size || r.Bytes < 0:
		return nil, errors.New("it has no size or no hash of its file")
	case r.From < 0 || r.To < r.From:
		return nil, fmt.Errorf("it is of %d to %d of the input", r.From, r.To)
	case min(r.Counts.Results, r.Counts.Truncated, r.Counts.Dropped, r.Counts.Skipped, r.Counts.Longest) < 0:
		return nil, errors.New("it has a count below 0")
	}
	return r, nil
}
