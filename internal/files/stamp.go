package files

import (
	"fmt"
	"io/fs"
	"os"
	"time"
)

// racy is the longest that two changes of a file may be apart and have the same time, with room to spare: file systems take
// times from a clock that ticks every 1 to 10 milliseconds.
const racy = 20 * time.Millisecond

// Stamp is a text that changes when the content of a file does: its size, its times and its number in the file system. It
// is how a file that was checked once is known to be the same later on.
func Stamp(info fs.FileInfo) string {
	return fmt.Sprintf("%d %d%s", info.Size(), info.ModTime().UnixNano(), systemStamp(info))
}

// Settled is the Stamp of the file at path, once a later change is sure to give another: it waits a few milliseconds for a
// file that has just been written. Call it before the file is checked.
func Settled(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", PathError(err)
	}
	if age := time.Since(changed(info)); age >= 0 && age < racy {
		time.Sleep(racy - age)
	}
	return Stamp(info), nil
}
