package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-bert/bert/internal/files"
)

// An eventLog appends to the file of the events.
type eventLog struct {
	file *os.File
	size int64
	line []byte
}

// openEventLog opens the events file of a folder and truncates it to size, its size at the checkpoint from which the run is
// resumed. short reports that the file was shorter than that; it is then left unchanged.
func openEventLog(dir string, size int64) (l *eventLog, short bool, err error) {
	f, err := os.OpenFile(filepath.Join(dir, eventsName), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, false, files.PathError(err)
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil && end > size {
		end, err = size, f.Truncate(size)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, false, files.PathError(err)
	}
	return &eventLog{file: f, size: end}, end < size, nil
}

// write appends an event's line, if it has one.
func (l *eventLog) write(e Event, now time.Time) error {
	line, err := appendLine(l.line[:0], e, now)
	if err != nil {
		return fmt.Errorf("%s: %w", l.file.Name(), err)
	}
	l.line = line
	n, err := l.file.Write(line)
	l.size += int64(n)
	return files.PathError(err)
}

func (l *eventLog) sync() error { return files.PathError(l.file.Sync()) }

func (l *eventLog) close() error { return files.PathError(l.file.Close()) }

// A record holds the options, the evaluations and the result of a run, from the lines of its events.
type record struct {
	options     map[string]string
	evaluations []recorded
	result      *Result // nil if the run has not ended
	reached     int     // the step of the last line
}

// recorded is an evaluation, and the size of the events up to the end of its line.
type recorded struct {
	bytes int64
	Evaluated
}

// upTo lists the evaluations in a number of bytes of the events.
func (r *record) upTo(bytes int64) []Evaluated {
	if r == nil {
		return nil
	}
	var list []Evaluated
	for _, e := range r.evaluations {
		if e.bytes <= bytes {
			list = append(list, e.Evaluated)
		}
	}
	return list
}

// readRecord reads the events of a folder. It returns nil if there are none.
func readRecord(dir string) (*record, error) {
	f, err := os.Open(filepath.Join(dir, eventsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, files.PathError(err)
	}
	defer f.Close()
	rec, err := parseRecord(f)
	return rec, files.PathError(err)
}

// evaluationStart is how the line of an evaluation begins.
var evaluationStart = []byte(`{"event":"` + evaluationLine + `"`)

// parseRecord reads the first line, the last, and those of evaluations. It ignores an incomplete last line, which a killed run
// may leave. An error comes from the reader.
func parseRecord(r io.Reader) (*record, error) {
	var (
		rec         = &record{}
		first, last []byte
		size        int64
	)
	for b := bufio.NewReader(r); ; {
		line, err := b.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = line
		}
		last = line
		size += int64(len(line))
		var e struct {
			Step  int     `json:"step"`
			Epoch float64 `json:"epoch"`
			Best  bool    `json:"best"`
			evaluationJSON
		}
		if bytes.HasPrefix(line, evaluationStart) && json.Unmarshal(line, &e) == nil {
			rec.evaluations = append(rec.evaluations, recorded{size, Evaluated{Step: e.Step, Epoch: e.Epoch, Evaluation: e.evaluation(), Best: e.Best}})
		}
	}
	var start struct {
		Event   string            `json:"event"`
		Options map[string]string `json:"options"`
	}
	if json.Unmarshal(first, &start) != nil || start.Event != startLine {
		return rec, nil
	}
	rec.options = start.Options
	var end struct {
		Event string `json:"event"`
		Result
	}
	if json.Unmarshal(last, &end) != nil {
		return rec, nil
	}
	rec.reached = end.Steps // which every line but the first calls step
	if end.Event == endLine {
		rec.result = &end.Result
	}
	return rec, nil
}
