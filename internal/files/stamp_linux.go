package files

import (
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// systemStamp has the time of the last change of any kind, which no program can set.
func systemStamp(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf(" %d %d", s.Ctim.Nano(), s.Ino)
}

// changed is when a file was last changed.
func changed(info fs.FileInfo) time.Time {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(0, s.Ctim.Nano())
	}
	return info.ModTime()
}
