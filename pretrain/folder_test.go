package pretrain

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-bert/bert/internal/files"
)

// TestPartsAtOnce starts all parts of a set at once, many times: the set always becomes complete. One part used to take the
// index that another had just written for a foreign file.
func TestPartsAtOnce(t *testing.T) {
	text, o := testText(20), testOptions()
	o.GroupBytes = 1 << 10
	whole := t.TempDir()
	run(t, testJob(t, text, whole, o))
	want := contents(t, whole)
	for range 20 {
		dir := filepath.Join(t.TempDir(), "set")
		const parts = 4
		var (
			group    sync.WaitGroup
			complete [parts]bool
		)
		for part := range parts {
			group.Go(func() {
				j := testJob(t, text, dir, o)
				j.Shard, j.Shards, j.Workers = part, parts, 1
				r, err := j.Run(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				complete[part] = r.Summary != nil
			})
		}
		group.Wait()
		if complete == [parts]bool{} {
			t.Error("no part completed the set")
		}
		sameFiles(t, "parts at once", contents(t, dir), want)
		if t.Failed() {
			return
		}
	}
}

// TestPartBusy: while a part is made, nobody else makes it, nor one that has files in common with it; others may.
func TestPartBusy(t *testing.T) {
	text, dir := testText(60), t.TempDir()
	// fits says whether a part can be made beside part 1 of 4.
	for part, fits := range map[[2]int]bool{{1, 4}: false, {0, 1}: false, {1, 2}: false, {0, 3}: false, {5, 8}: false, {0, 4}: true, {2, 6}: true, {0, 2}: true} {
		j := testJob(t, text, dir, testOptions())
		j.Shard, j.Shards, j.Resume = 1, 4, true
		tried := false
		j.Report = func(InstanceProgress) {
			if tried {
				return
			}
			tried = true
			left := filepath.Join(dir, "."+fileName(1, Own)+".tmp-ABCDEFGHIJKLMNOPQRSTUVWXYZ")
			if err := os.WriteFile(left, nil, 0o666); err != nil { // as if it were being written
				t.Error(err)
			}
			other := testJob(t, text, dir, testOptions())
			other.Shard, other.Shards, other.Resume = part[0], part[1], true
			_, err := other.Run(t.Context())
			var busy *PartBusyError
			switch {
			case fits && err != nil:
				t.Errorf("part %v beside 1 of 4: %v", part, err)
			case !fits && (!errors.As(err, &busy) || busy.PID != os.Getpid() || busy.Shard != 1 || busy.Shards != 4):
				t.Errorf("part %v beside 1 of 4: %v, want who makes it", part, err)
			}
			if _, err := os.Stat(left); err != nil {
				t.Errorf("part %v removed a file of part 1 of 4: %v", part, err)
			}
		}
		run(t, j)
		if !tried {
			t.Error("nothing was tried")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*.lock")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestOverlap compares overlap with the groups themselves.
func TestOverlap(t *testing.T) {
	for n := 1; n < 7; n++ {
		for m := 1; m < 7; m++ {
			for a := range n {
				for b := range m {
					want := false
					for g := range n * m {
						want = want || g%n == a && g%m == b
					}
					if got := overlap(a, n, b, m); got != want {
						t.Errorf("parts %d of %d and %d of %d: %v, want %v", a, n, b, m, got, want)
					}
				}
			}
		}
	}
}

// TestResumeRestores removes or damages each file of a complete set in turn: resuming puts it back, byte for byte.
func TestResumeRestores(t *testing.T) {
	text, dir := testText(60), t.TempDir()
	run(t, testJob(t, text, dir, testOptions()))
	want := contents(t, dir)
	resume := func() error {
		j := testJob(t, text, dir, testOptions())
		j.Resume = true
		_, err := j.Run(t.Context())
		return err
	}
	for name := range want {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := resume(); err != nil {
			t.Errorf("without %s: %v", name, err)
		}
		sameFiles(t, "without "+name, contents(t, dir), want)
		if name == indexName {
			continue // one that is damaged is below
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("damaged"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := resume(); err != nil {
			t.Errorf("damaged %s: %v", name, err)
		}
		sameFiles(t, "damaged "+name, contents(t, dir), want)
	}

	// Without an index, files that these settings don't make are left alone.
	os.Remove(filepath.Join(dir, indexName))
	j := testJob(t, text, dir, testOptions())
	j.Resume, j.Options.Seed = true, 8
	_, err := j.Run(t.Context())
	wantError(t, err, "made with other settings than these, or damaged")
	delete(want, indexName)
	now := contents(t, dir)
	delete(now, indexName)
	sameFiles(t, "other settings", now, want)
}

// TestDamaged: a damaged index or record is named, with advice.
func TestDamaged(t *testing.T) {
	text := testText(60)
	for _, content := range []string{"", " \n", "{", "{}", "null", "[]", "0", "garbage", "{\"version\": 1}", "{\"version\": 1} {}", strings.Repeat("\x00", 100)} {
		for _, name := range []string{indexName, recordName(0)} {
			dir := t.TempDir()
			j := testJob(t, text, dir, testOptions())
			j.Shards = 2 // the set stays incomplete, with records
			run(t, j)
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
				t.Fatal(err)
			}
			j = testJob(t, text, dir, testOptions())
			j.Shards, j.Resume = 2, true
			_, err := j.Run(t.Context())
			var damaged *DamagedError
			if !errors.As(err, &damaged) || damaged.Path != filepath.Join(dir, name) || !strings.Contains(err.Error(), "remove it and resume") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s is %q: %v, want a line that names it and says what to do", name, content, err)
				continue
			}
			// The advice is right.
			os.Remove(filepath.Join(dir, name))
			if name == indexName {
				os.Remove(filepath.Join(dir, recordName(0))) // and without a record too
			}
			j = testJob(t, text, dir, testOptions())
			j.Resume = true
			if r := run(t, j); r.Summary == nil {
				t.Error("the set is not complete")
			}
		}
	}
}

// TestOpenAdvises: what is missing or damaged in a set is named, with advice.
func TestOpenAdvises(t *testing.T) {
	dir := t.TempDir()
	run(t, testJob(t, testText(60), dir, testOptions()))
	for name := range contents(t, dir) {
		path := filepath.Join(dir, name)
		if name == summaryName || name == indexName {
			continue
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(path)
		_, err = Open(t.Context(), dir)
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "resume the job") || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("without %s: %v", name, err)
		}
		if strings.HasPrefix(name, "instances-") {
			os.WriteFile(path, whole[:len(whole)/2], 0o666)
			_, err = Open(t.Context(), dir)
			var damaged *DamagedError
			if !errors.As(err, &damaged) || damaged.Path != path || !strings.Contains(err.Error(), "resume the job") {
				t.Errorf("half of %s: %v", name, err)
			}
		}
		os.WriteFile(path, whole, 0o666)
	}
}

// TestLeftovers: what killed processes left is gone after the next one.
func TestLeftovers(t *testing.T) {
	text, dir := testText(60), t.TempDir()
	j := testJob(t, text, dir, testOptions())
	j.Shards = 2
	run(t, j)
	const mark = ".tmp-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, name := range []string{"." + indexName + mark, ".vocab.txt" + mark, "." + summaryName + mark, "." + fileName(0, Own) + mark, "." + recordName(1) + mark,
		partLock(0, 1), partLock(0, 2), partLock(1, 2), partLock(3, 7), indexLock} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for part := range 2 {
		j := testJob(t, text, dir, testOptions())
		j.Shard, j.Shards, j.Resume = part, 2, true
		run(t, j)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if s, err := Open(t.Context(), dir); err != nil {
		t.Error(err)
	} else {
		s.Close()
	}
}

// TestNoFollow: a lock that is a symbolic link is not written through.
func TestNoFollow(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, files.LockName)); err != nil {
		t.Skip(err)
	}
	if _, err := files.Lock(dir); err == nil {
		t.Error("the lock was taken through a link")
	}
	if data, err := os.ReadFile(victim); string(data) != "mine" {
		t.Errorf("the victim holds %q, %v", data, err)
	}
}

func ExamplePartBusyError() {
	fmt.Println(&PartBusyError{Dir: "set", Shard: 1, Shards: 4, PID: 321})
	// Output: set: process 321 is making part 1 of 4 of the instances in this folder: wait for it to end
}
