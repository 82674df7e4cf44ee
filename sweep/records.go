package sweep

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-bert/bert/internal/files"
)

const (
	// maxRecord bounds run.json, whose longest part are the evaluations.
	maxRecord = 64 << 20
	// maxRuns bounds the folders of a sweep.
	maxRuns = 100_000
)

// ReadRecords reads the records of the runs of a sweep from its folder, by the names of their folders. The sweep may be under way.
// Where there is no run the error is an fs.ErrNotExist.
func ReadRecords(dir string) ([]Record, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, files.PathError(err)
	}
	if len(entries) > maxRuns {
		return nil, fmt.Errorf("%s: more than %d files, which no sweep has", dir, maxRuns)
	}
	var records []Record
	for _, e := range entries {
		path := filepath.Join(dir, e.Name(), RunFile)
		if !e.IsDir() {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			continue
		}
		content, err := files.ReadFile(path, maxRecord)
		if err != nil {
			return nil, err
		}
		var r Record
		if err := json.Unmarshal(content, &r); err != nil {
			return nil, fmt.Errorf("%s: not the record of a run of a sweep", path)
		}
		records = append(records, r)
	}
	if records == nil {
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(dir, "*", RunFile), Err: fs.ErrNotExist}
	}
	return records, nil
}
