//go:build !race

package pretrain

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
)

// The corpus is several times as large as the memory that the process may use. To save time, only a part of it is made into
// instances.
const (
	boundedShards = 6
	boundedMemory = 64 << 20
	boundedCorpus = 3 * boundedMemory
	boundedChild  = "BERT_TEST_BOUNDED_MEMORY"
)

// TestBoundedMemory makes instances in a separate process and asks the system for its peak memory.
func TestBoundedMemory(t *testing.T) {
	if dir := os.Getenv(boundedChild); dir != "" {
		boundedJob(t, dir)
		return
	}
	if testing.Short() {
		t.Skip("reads 192 MiB of text")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(program, "-test.run=^TestBoundedMemory$", "-test.v")
	child.Env = append(os.Environ(), boundedChild+"="+t.TempDir())
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const mark = "VmHWM:"
	_, rest, ok := strings.Cut(string(out), mark)
	peak := int64(0)
	if _, err := fmt.Sscanf(rest, "%d kB", &peak); !ok || err != nil {
		t.Fatalf("no peak in %q", out)
	}
	// The limit is approximate: pages of the executable count too, and the garbage collector overshoots its limit.
	t.Logf("%d kB at most", peak)
	if peak <<= 10; peak > boundedMemory*5/4 {
		t.Errorf("%d MiB of text took %d MiB, want at most about %d", boundedCorpus>>20, peak>>20, boundedMemory>>20)
	}
}

func boundedJob(t *testing.T, dir string) {
	debug.SetMemoryLimit(boundedMemory)
	o := DefaultInstanceOptions()
	o.Dynamic, o.DupeFactor, o.GroupBytes = true, 1, 2<<20
	block := []byte(testText(200))
	r := &repeated{block: append(block, '\n', '\n'), left: boundedCorpus}
	j := &InstanceJob{Corpus: &Corpus{Paths: []string{"-"}, Stdin: r}, Tokenizer: testTokenizer(t), Dir: dir, Options: o, Memory: boundedMemory, Shards: boundedShards, Workers: 64}
	result, err := j.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if n := result.Stats.TextBytes; result.Read < boundedCorpus || n < boundedCorpus/boundedShards*9/10 {
		t.Fatalf("%d bytes read, instances of %d", result.Read, n)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	for line := range bytes.Lines(status) {
		if bytes.HasPrefix(line, []byte("VmHWM:")) {
			fmt.Printf("%s", line)
		}
	}
}

// repeated is a reader that repeats a block of text.
type repeated struct {
	block    []byte
	at, left int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	r.left -= n
	return n, nil
}

// TestMemoryTooSmall checks the error for a group that does not fit into memory.
func TestMemoryTooSmall(t *testing.T) {
	j := &InstanceJob{Corpus: &Corpus{Paths: []string{"-"}, Stdin: strings.NewReader(testText(4))}, Tokenizer: testTokenizer(t), Dir: t.TempDir(), Options: DefaultInstanceOptions(), Memory: 64 << 20}
	_, err := j.Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "groups of 8192 KiB take about") {
		t.Errorf("%v", err)
	}
}
