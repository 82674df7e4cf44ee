package pretrain

import (
	"context"
	"iter"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/tokenizer"
)

// VocabularyJob learns a WordPiece vocabulary from a corpus.
type VocabularyJob struct {
	Corpus *Corpus
	// Config says how the tokenizer splits texts; the vocabulary is learnt from the words that it finds.
	Config tokenizer.Config
	// Dir is the folder for the tokenizer's files, which must be new or empty. It appears with all of them or not at all.
	Dir     string
	Options tokenizer.LearnOptions
	// Learned, if not nil, is called before the files are written.
	Learned func(*VocabularyResult)
}

// VocabularyResult is what a VocabularyJob learnt.
type VocabularyResult struct {
	Tokenizer *tokenizer.Tokenizer // nil where learning failed
	Stats     tokenizer.LearnStats // of the text, as far as it was read
}

// Run learns the vocabulary and saves it. The errors are those of tokenizer.Learn and of the corpus, with a result that has
// the Stats; a *FolderBusyError where another process writes into the folder; and an fs.ErrExist for a folder that isn't
// empty, before anything is read.
func (j *VocabularyJob) Run(ctx context.Context) (*VocabularyResult, error) {
	r := new(VocabularyResult)
	err := files.Folder(j.Dir, func(dir string) (err error) {
		if r.Tokenizer, r.Stats, err = tokenizer.Learn(ctx, blocks(j.Corpus.Lines(ctx)), j.Config, j.Options); err != nil {
			return err
		}
		if j.Learned != nil {
			j.Learned(r)
		}
		return r.Tokenizer.Save(dir, tokenizer.SaveOptions{})
	}, tokenizerFiles...)
	return r, err
}

// FolderBusyError says that another process is writing into a folder.
type FolderBusyError = files.BusyError

// blocks puts lines together, so that handing them on costs nothing.
func blocks(lines iter.Seq2[[]byte, error]) iter.Seq2[string, error] {
	const size = 1 << 16
	return func(yield func(string, error) bool) {
		block := make([]byte, 0, 2*size)
		for line, err := range lines {
			if err != nil {
				yield("", err)
				return
			}
			if len(line) > 0 {
				block = append(append(block, line...), '\n')
			}
			if len(block) >= size {
				if !yield(string(block), nil) {
					return
				}
				block = block[:0]
			}
		}
		if len(block) > 0 {
			yield(string(block), nil)
		}
	}
}
