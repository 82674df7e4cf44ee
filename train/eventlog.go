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
)

// eventLog is the file of the events, to be appended to.
type eventLog struct {
	file *os.File
	size int64
	line []byte
}

// openEventLog opens the file of a folder and cuts it to a size, that at the checkpoint which the run goes on from. A
// file that is shorter than that is left as it is, and short says so.
func openEventLog(dir string, size int64) (l *eventLog, short bool, err error) {
	f, err := os.OpenFile(filepath.Join(dir, eventsName), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, false, pathError(err)
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
		return nil, false, pathError(err)
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
	return pathError(err)
}

func (l *eventLog) sync() error { return pathError(l.file.Sync()) }

func (l *eventLog) close() error { return pathError(l.file.Close()) }

// record is what the first and the last line of the events say of a run.
type record struct {
	options map[string]string
	result  *Result // nil if the run has not ended
}

// readRecord reads the events of a folder. It is nil where there are none.
func readRecord(dir string) (*record, error) {
	f, err := os.Open(filepath.Join(dir, eventsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, pathError(err)
	}
	defer f.Close()
	rec, err := parseRecord(f)
	return rec, pathError(err)
}

// parseRecord takes the first and the last line. A run that was killed leaves a line that is not whole: it doesn't count.
// The error is the reader's.
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

// pathError turns the os package's "open x: reason" and "rename x y: reason" into "x: reason" and "y: reason".
func pathError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return fmt.Errorf("%s: %w", l.New, l.Err)
	}
	return err
}
