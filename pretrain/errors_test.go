package pretrain

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestErrors checks that callers can distinguish the errors to which they may want to add advice.
func TestErrors(t *testing.T) {
	job := func(text string, change func(*Job)) error {
		j := testJob(t, text, t.TempDir(), testOptions())
		change(j)
		_, err := j.Run(context.Background())
		return err
	}
	opened := func(dir string) error {
		s, err := Open(dir)
		if err == nil {
			s.Close()
		}
		return err
	}
	made := t.TempDir()
	run(t, testJob(t, testText(60), made, testOptions()))
	unfinished := t.TempDir()
	index, err := os.ReadFile(filepath.Join(made, indexName))
	if err != nil {
		t.Fatal(err)
	}
	index = []byte(strings.Replace(string(index), `"complete": true`, `"complete": false`, 1))
	if err := os.WriteFile(filepath.Join(unfinished, indexName), index, 0o666); err != nil {
		t.Fatal(err)
	}
	for want, got := range map[error]error{
		ErrMemory:      job(testText(60), func(j *Job) { j.Memory = 1 << 20 }),
		ErrOneDocument: job("one film .\nthe film .\n", func(*Job) {}),
		ErrExists:      job(testText(60), func(j *Job) { j.Dir, j.Resume = made, false }),
		ErrIncomplete:  opened(unfinished),
		ErrNoInstances: opened(t.TempDir()),
	} {
		if !errors.Is(got, want) {
			t.Errorf("error %v, want one that is %q", got, want)
		}
		if got != nil && strings.Contains(got.Error(), "--") {
			t.Errorf("error %v names a flag", got)
		}
	}
	var option *OptionError
	if err := job("a\n\nb\n", func(j *Job) { j.Options.DupeFactor = 0 }); !errors.As(err, &option) || option.Option != "dupe_factor" {
		t.Errorf("error %v, want an OptionError of dupe_factor", err)
	}
}
