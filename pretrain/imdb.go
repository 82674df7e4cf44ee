package pretrain

import (
	"archive/tar"
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// imdbSplits are the splits of the Large Movie Review Dataset that may be read, and their folders.
var imdbSplits = []imdbSplit{
	{"train", []string{"train/neg", "train/pos"}},
	{"unsup", []string{"train/unsup"}},
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

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// rootOfIMDB returns the folder aclImdb, which is dir or in dir.
func rootOfIMDB(dir string) (string, error) {
	for _, root := range []string{dir, filepath.Join(dir, "aclImdb")} {
		if isDir(filepath.Join(root, "train", "neg")) || isDir(filepath.Join(root, "train", "unsup")) {
			return root, nil
		}
	}
	return "", fmt.Errorf("%s: a folder, but not that of the Large Movie Review Dataset, aclImdb: want files", dir)
}

// review calls line with the lines of a review, a document of its own, where <br /> tags end lines.
func review(text []byte, line func([]byte) bool) (more bool) {
	for part := range bytes.SplitSeq(text, []byte("<br />")) {
		// A review is one line; if there are more, replacing line feeds by blanks keeps it one document.
		if part = bytes.TrimFunc(bytes.ReplaceAll(part, []byte("\n"), []byte(" ")), isPythonSpace); len(part) > 0 && !line(part) {
			return false
		}
	}
	return line(nil)
}

// isReview excludes files that are not reviews: hidden files of other tools and the lists of addresses.
func isReview(name string) bool {
	return strings.HasSuffix(name, ".txt") && !strings.HasPrefix(name, ".")
}

// imdbFolder reads the reviews in the folder dir, ordered by folder and name.
func (c *Corpus) imdbFolder(dir string, line func([]byte) bool) (more bool, err error) {
	root, err := rootOfIMDB(dir)
	if err != nil {
		return false, err
	}
	folders, err := c.imdbFolders()
	if err != nil {
		return false, err
	}
	for _, folder := range folders {
		entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(folder)))
		if err != nil {
			return false, pathError(err)
		}
		for _, entry := range entries {
			if !isReview(entry.Name()) {
				continue
			}
			text, err := readReview(filepath.Join(root, filepath.FromSlash(folder), entry.Name()))
			if err != nil {
				return false, err
			}
			c.read.Add(int64(len(text)))
			if !review(text, line) {
				return false, nil
			}
		}
	}
	return true, nil
}

func readReview(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, pathError(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxLine+1))
	if err != nil {
		return nil, pathError(err)
	}
	if len(text) > MaxLine {
		return nil, fmt.Errorf("%s: a review of more than %d MiB", name, MaxLine>>20)
	}
	return text, nil
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
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, fmt.Errorf("%s: not a complete tar archive: %w", name, readError(err))
		}
		folder, file := path.Split(path.Clean(h.Name))
		folder = strings.TrimSuffix(folder, "/")
		in := slices.ContainsFunc(folders, func(f string) bool { return folder == f || strings.HasSuffix(folder, "/"+f) })
		if !in || !isReview(file) || h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Size > MaxLine {
			return false, fmt.Errorf("%s: %s: a review of more than %d MiB", name, h.Name, MaxLine>>20)
		}
		text := make([]byte, h.Size)
		if _, err := io.ReadFull(archive, text); err != nil {
			return false, fmt.Errorf("%s: not a complete tar archive: %w", name, readError(err))
		}
		found = true
		if !review(text, line) {
			return false, nil
		}
	}
	if !found {
		return false, fmt.Errorf("%s: the archive has no reviews of the Large Movie Review Dataset: want aclImdb_v1.tar.gz, or text", name)
	}
	return true, nil
}
