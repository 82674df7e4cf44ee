//go:build !unix

package files

import "io/fs"

// Ours reports whether a file or folder belongs to this user and no other one may write to it. Here the system's lists of
// rights decide that, which protect a user's own folders.
func Ours(fs.FileInfo) bool { return true }

// Links is the number of names of a file.
func Links(fs.FileInfo) int { return 1 }
