package pretrain

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert/tokenizer"
)

func vocabularyJob(text, dir string) *VocabularyJob {
	o := tokenizer.DefaultLearnOptions()
	o.Size, o.MinFrequency, o.Threads = 60, 1, 1
	return &VocabularyJob{
		Corpus: &Corpus{Paths: []string{"-"}, Stdin: strings.NewReader(text)}, Config: tokenizer.DefaultConfig(), Dir: dir, Options: o,
	}
}

// TestVocabularyJob: the folder has the whole tokenizer, and nothing is beside it, whatever a killed job left.
func TestVocabularyJob(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "vocab")
	left := filepath.Join(parent, ".vocab.tmp-ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if err := errors.Join(os.Mkdir(left, 0o777), os.WriteFile(filepath.Join(left, "vocab.txt"), nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	j := vocabularyJob(testText(50), dir)
	learned := false
	j.Learned = func(r *VocabularyResult) {
		learned = true
		if entries, err := os.ReadDir(dir); err == nil {
			t.Errorf("the folder is there before its files: %v", entries)
		}
		// Another job can't take the folder.
		var busy *FolderBusyError
		if _, err := vocabularyJob("another text", dir).Run(t.Context()); !errors.As(err, &busy) || busy.PID != os.Getpid() || busy.Dir != dir {
			t.Errorf("a second job: %v, want who holds the folder", err)
		}
	}
	r, err := j.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !learned || r.Tokenizer.VocabSize() != 60 || r.Stats.Size != 60 {
		t.Errorf("%+v", r)
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
		t.Errorf("beside the folder: %v, %v", entries, err)
	}
	if got := contents(t, dir); len(got) != len(tokenizerFiles) {
		t.Errorf("%d files, want %v", len(got), tokenizerFiles)
	}
	loaded, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if VocabularyOf(loaded) != VocabularyOf(r.Tokenizer) {
		t.Error("another vocabulary is loaded")
	}
	before := contents(t, dir)
	if _, err := vocabularyJob(testText(60), dir).Run(t.Context()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a folder that is full: %v", err)
	}
	sameFiles(t, "after a refusal", contents(t, dir), before)
}

// TestVocabularyJobFails: nothing is left of a job that fails, and its result has the statistics.
func TestVocabularyJobFails(t *testing.T) {
	parent := t.TempDir()
	j := vocabularyJob("too few words", filepath.Join(parent, "vocab"))
	r, err := j.Run(t.Context())
	var size *tokenizer.LearnSizeError
	if !errors.As(err, &size) || r.Stats.Words != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}
