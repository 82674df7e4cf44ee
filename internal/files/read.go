package files

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// KindError says that a path is no regular file: a folder, a pipe, a socket or a device, from which a reader that wants a
// file might wait for ever or never see an end.
type KindError struct {
	Path string
	Mode fs.FileMode
}

func (e *KindError) Error() string {
	kind := "not a regular file"
	switch {
	case e.Mode.IsDir():
		kind = "a folder"
	case e.Mode&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case e.Mode&fs.ModeSocket != 0:
		kind = "a socket"
	case e.Mode&fs.ModeDevice != 0:
		kind = "a device"
	}
	return fmt.Sprintf("%s: %s, want a regular file", e.Path, kind)
}

// SizeError says that a file is larger than what it could sensibly hold.
type SizeError struct {
	Path string
	Most int64 // bytes
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%s: larger than %d bytes, which no such file is", e.Path, e.Most)
}

// Open opens a regular file. Anything else is a *KindError, and is not waited for.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, PathError(err)
	}
	if !info.Mode().IsRegular() {
		return nil, &KindError{path, info.Mode()}
	}
	f, err := os.Open(path)
	return f, PathError(err)
}

// ReadFile reads a regular file of at most so many bytes. A larger one is a *SizeError.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// A file may have no size (as those of /proc) or grow: what counts is what is read.
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, PathError(err)
	}
	if int64(len(data)) > most {
		return nil, &SizeError{path, most}
	}
	return data, nil
}
