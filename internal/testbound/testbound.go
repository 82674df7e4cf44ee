// Package testbound holds readers of files to bounds of memory and time. It is for tests only.
//
// What a process used can't be given back to it, so each reading takes place in a process of its own: the test binary is
// started again, and runs the same test up to the call of Read, with the path of the file that the parent made.
package testbound

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A Bound is what a reader may use: a constant, and a part that grows with the bytes of its input. The time is that of a processor
// on which the yardstick takes yardstickTime. See Read.
type Bound struct {
	Memory     int64 // bytes of the peak resident set, the test binary's own 10 to 20 MB included
	PerByte    float64
	Time       time.Duration // of the processor
	PerHundred time.Duration // for 100 MB of input
}

// Default is the bound of every reader for which docs/security.md states no other.
var Default = Bound{Memory: 64 << 20, PerByte: 4, Time: 2 * time.Second, PerHundred: time.Second}

// memory is the bound for an input of size bytes.
func (b Bound) memory(size int64) int64 { return b.Memory + int64(b.PerByte*float64(size)) }

func (b Bound) time(size int64) time.Duration {
	return b.Time + time.Duration(float64(b.PerHundred)*float64(size)/100e6)
}

// Usage is what a reading took.
type Usage struct {
	Size int64         // bytes of the input: of a folder, those of its files
	Peak int64         // bytes of the resident set, at most
	CPU  time.Duration // of the user and the system
	Slow float64       // how many times yardstickTime the yardstick took, at least 1; it is left out, and this 1, where CPU is within the bound
	Err  string        // of the reader; "" for none
}

// The environment of the process that reads: the name of the test, and the path.
const testVariable, pathVariable = "BERT_TESTBOUND_TEST", "BERT_TESTBOUND_PATH"

// maxLine is the longest error, in bytes. It leaves room for the path of a file, and for a few quotations of some dozen
// characters each.
const maxLine = 1000

// giveUp ends a reader that would otherwise wait for ever, as one that opens a pipe.
const giveUp = time.Minute

// attempts is how often a reading that took too long is done again.
const attempts = 3

// Read makes an input, a file or a folder, in a temporary folder and gives its path to read, in a process of its own. The
// test fails if that takes more than the bound allows, or if the error is more than one line of some hundred bytes. make
// returns the path; it runs in this process alone, and so its memory doesn't count.
//
// The bound of time is there to find a reader whose work is out of proportion to its file, not a slow machine. So a reading that is
// over the bound is followed by a yardstick, work of the same kind in the same process, and the bound is multiplied by how much
// slower than yardstickTime that was. If it is still too slow, the file is read again, attempts times at most, since neighbours of a
// processor come and go. Bounds of memory are as they are.
//
// Read has to be the first thing that a test, or a subtest, does with any memory, and is called once in each. It skips the
// test where processes can't be measured, and under the race detector.
func Read(t *testing.T, bound Bound, make func(dir string) (path string, err error), read func(path string) error) Usage {
	t.Helper()
	if os.Getenv(testVariable) == t.Name() {
		child(bound, read)
	}
	if !canMeasure {
		t.Skip("the memory and time of processes are measured on Linux only, and without the race detector")
	}
	if testing.Short() {
		t.Skip("measures a process of its own, which an emulator or a race detector would distort")
	}
	path, err := make(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	u := Usage{Size: sizeOf(path)}
	var steps []string
	for _, s := range strings.Split(t.Name(), "/") {
		steps = append(steps, "^"+regexp.QuoteMeta(s)+"$")
	}
	for attempt := 1; ; attempt++ {
		cmd := exec.Command(os.Args[0], "-test.run="+strings.Join(steps, "/"), "-test.count=1", "-test.timeout="+giveUp.String())
		cmd.Env = append(os.Environ(), testVariable+"="+t.Name(), pathVariable+"="+path)
		out, err := cmd.CombinedOutput()
		_, report, found := bytes.Cut(out, []byte(reportMark))
		if !found || json.Unmarshal(report, &u) != nil {
			t.Fatalf("the process that reads ended without a report (%v): %.2000s", err, out)
		}
		t.Logf("%.1f MB: peak %.1f MB, %v, slow %.1f, error %.200q",
			float64(u.Size)/1e6, float64(u.Peak)/1e6, u.CPU.Round(time.Millisecond), u.Slow, u.Err)
		most := time.Duration(u.Slow * float64(bound.time(u.Size)))
		if u.CPU <= most {
			break
		}
		if attempt == attempts {
			t.Errorf("%d bytes took %v, want at most %v", u.Size, u.CPU, most)
			break
		}
	}
	if most := bound.memory(u.Size); u.Peak > most {
		t.Errorf("%d bytes took %d bytes of memory, want at most %d", u.Size, u.Peak, most)
	}
	if len(u.Err) > maxLine || strings.Contains(u.Err, "\n") {
		t.Errorf("the error has %d bytes, want one line of at most %d: %.300q…", len(u.Err), maxLine, u.Err)
	}
	return u
}

const reportMark = "testbound report: "

// child reads, reports and ends the process.
func child(bound Bound, read func(path string) error) {
	u := Usage{Slow: 1}
	path := os.Getenv(pathVariable)
	if err := read(path); err != nil {
		u.Err = err.Error()
	}
	var err error
	if u.Peak, u.CPU, err = measure(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if u.CPU > bound.time(sizeOf(path)) {
		u.Slow = max(1, yardstick().Seconds()/yardstickTime.Seconds())
	}
	report, err := json.Marshal(map[string]any{"Peak": u.Peak, "CPU": u.CPU, "Slow": u.Slow, "Err": u.Err[:min(len(u.Err), maxLine+1)]})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Printf("%s%s", reportMark, report)
	os.Exit(0)
}

// yardstickTime is what the yardstick takes on the processor that the times of docs/security.md are of. On a core of an AMD EPYC of
// 2021 (Zen 3) it takes twice as long.
const yardstickTime = 100 * time.Millisecond

// yardstick does what readers do: it makes keys, a table of them and its JSON, and reads that again. It returns the time of the
// processor that this took.
func yardstick() time.Duration {
	_, before, err := measure()
	table := make(map[string]int)
	for i := range 100_000 {
		table[fmt.Sprintf("%x", i)] = i
	}
	text, marshalErr := json.Marshal(table)
	clear(table)
	unmarshalErr := json.Unmarshal(text, &table)
	_, after, measureErr := measure()
	if err := errors.Join(err, marshalErr, unmarshalErr, measureErr); err != nil {
		panic(err)
	}
	return after - before
}

// sizeOf is the number of bytes in the regular files of a path.
func sizeOf(path string) (size int64) {
	filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}
