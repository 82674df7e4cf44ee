//go:build !linux

package files

import (
	"io/fs"
	"time"
)

func systemStamp(fs.FileInfo) string { return "" }

func changed(info fs.FileInfo) time.Time { return info.ModTime() }
