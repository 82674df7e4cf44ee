package report

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-bert/bert/train"
)

func TestCheck(t *testing.T) {
	dir := folder(t, someRun)
	path := filepath.Join(dir, PageFile)
	again := func() error { return pageOf(t, Options{}, dir).Check(path, FileOptions{}) }
	if err := again(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a page: %v", err)
	}
	// A page alone, as the end of a run leaves it, and with all of its files.
	if err := pageOf(t, Options{}, dir).Save(path); err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
	if err := pageOf(t, Options{}, dir).SaveAll(path, FileOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
	var changed *ChangedError
	for _, name := range []string{SummaryFile, FiguresDir + "/loss.svg", FiguresDir + "/roc.png", FiguresDir + "/loss.csv"} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(content, '\n'), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := again(); !errors.As(err, &changed) || changed.Path != file {
			t.Errorf("with a byte more in %s: %v", name, err)
		}
		if err := os.WriteFile(file, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// A byte of the run's files.
	events := someRun[train.EventsFile]
	if err := os.WriteFile(filepath.Join(dir, train.EventsFile), []byte(events[:len(events)-1]), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := again(); !errors.As(err, &changed) || changed.Path != path || changed.Line < 2 {
		t.Errorf("of other events: %v", err)
	}
}
