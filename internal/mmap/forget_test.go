package mmap

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// resident is the memory of this process that is of files, or false where that is not known.
func resident(t *testing.T) (size int, ok bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "RssFile:"); found {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return n << 10, true
		}
	}
	return 0, false
}

// TestForget asserts that forgotten values are still there, that on Linux they take no memory, and that other memory is left alone.
func TestForget(t *testing.T) {
	const size = 32 << 20
	want := bytes.Repeat([]byte("forgotten"), size/9)
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, release, err := Map(f, len(want))
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if !bytes.Equal(data, want) { // which touches all pages
		t.Fatal("the mapped file differs")
	}
	before, known := resident(t)
	Forget(data[5 : len(data)-5])
	if after, _ := resident(t); known && runtime.GOOS == "linux" && before-after < size/2 {
		t.Errorf("%d bytes of files before, %d afterwards", before, after)
	}
	if !bytes.Equal(data, want) {
		t.Error("the file differs afterwards")
	}
	own := bytes.Clone(want)
	Forget(own)
	Forget(data[:7]) // no whole page
	Forget(nil)
	if !bytes.Equal(own, want) {
		t.Error("memory that is not mapped has changed")
	}
}
