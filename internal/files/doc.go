// Package files is what the other packages need of a file system: files and folders that appear whole or not at all, locks,
// reading that is bounded by what can sensibly be there, scratch files that leave nothing, and what the os package's
// errors say.
package files
