package train

import (
	"bufio"
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

// A record holds the options and the result of a run, from the first and last lines of its events.
type record struct {
	options map[string]string
	result  *Result // nil if the run has not ended
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

// parseRecord reads the first and the last line. It ignores an incomplete last line, which a killed run may leave. An error comes
// from the reader.
func parseRecord(r io.Reader) (*record, error) {
	var first, last []byte
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
	}
	rec := &record{}
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
	if json.Unmarshal(last, &end) == nil && end.Event == endLine {
		rec.result = &end.Result
	}
	return rec, nil
}
