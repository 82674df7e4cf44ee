package pretrain

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-bert/bert/internal/imdb"
	"github.com/go-bert/bert/internal/textfile"
)

// imdbSplits are the splits of the Large Movie Review Dataset that may be read, and their folders.
var imdbSplits = []imdbSplit{
	{"train", []string{imdb.TrainNeg, imdb.TrainPos}},
	{"unsup", []string{imdb.TrainUnsup}},
}

type imdbSplit struct {
	name    string
	folders []string
}

// imdbFolders returns the folders of the requested splits.
func (c *Corpus) imdbFolders() (folders []string, err error) {
	for _, asked := range c.IMDBSplits {
		if !slices.ContainsFunc(imdbSplits, func(s imdbSplit) bool { return s.name == asked }) {
			return nil, fmt.Errorf("IMDB split %q: want train, unsup or both; test reviews must not be used for training", asked)
		}
	}
	for _, s := range imdbSplits {
		if c.IMDBSplits == nil || slices.Contains(c.IMDBSplits, s.name) {
			folders = append(folders, s.folders...)
		}
	}
	return folders, nil
}

// splits returns the names of the requested splits, in order.
func (c *Corpus) splits() (names []string) {
	for _, s := range imdbSplits {
		if c.IMDBSplits == nil || slices.Contains(c.IMDBSplits, s.name) {
			names = append(names, s.name)
		}
	}
	return names
}

// review gives a review as a document, its <br /> tags taken for the ends of lines. The error is errEnough where line wants no more.
func review(r *imdb.Review, line func([]byte) bool) error {
	if r.Err != nil {
		return r.Failed()
	}
	for part := range bytes.SplitSeq(r.Text, []byte("<br />")) {
		// A review is one line; should one have more, white space keeps it one document.
		if part = bytes.TrimFunc(bytes.ReplaceAll(part, []byte("\n"), []byte(" ")), textfile.IsPythonSpace); len(part) > 0 && !line(part) {
			return errEnough
		}
	}
	if !line(nil) {
		return errEnough
	}
	return nil
}

// errEnough ends the reading of reviews where the loop over lines ends.
var errEnough = errors.New("enough lines")

// imdbFolder reads the reviews in the folder dir, ordered by folder and name.
func (c *Corpus) imdbFolder(dir string, line func([]byte) bool) (more bool, err error) {
	root, ok := imdb.Root(dir)
	if !ok {
		return false, fmt.Errorf("%s: a folder, but not that of the Large Movie Review Dataset, aclImdb: want files", dir)
	}
	folders, err := c.imdbFolders()
	if err != nil {
		return false, err
	}
	err = imdb.ReadFolder(context.Background(), root, imdb.Part{Folders: folders, Encoding: c.Encoding}, func(r imdb.Review) error {
		c.read.Add(int64(len(r.Text)))
		return review(&r, line)
	})
	if errors.Is(err, errEnough) {
		return false, nil
	}
	return err == nil, err
}

// isTar reports whether a stream begins with a tar header.
func isTar(r *bufio.Reader) bool {
	head, _ := r.Peek(262)
	return len(head) == 262 && string(head[257:]) == "ustar"
}

// imdbArchive reads the reviews in an archive in one pass, and so in the archive's order.
func (c *Corpus) imdbArchive(r io.Reader, name string, line func([]byte) bool) (more bool, err error) {
	folders, err := c.imdbFolders()
	if err != nil {
		return false, err
	}
	found := false
	err = imdb.ReadArchive(r, name, imdb.Part{Folders: folders, Encoding: c.Encoding}, func(r imdb.Review) error {
		found = true
		return review(&r, line)
	})
	switch {
	case errors.Is(err, errEnough):
		return false, nil
	case err != nil:
		return false, err
	case !found:
		return false, fmt.Errorf("%s: an archive without reviews of the Large Movie Review Dataset: want aclImdb_v1.tar.gz, or text", name)
	}
	return true, nil
}
