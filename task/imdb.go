package task

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxText bounds a text that comes as a file of its own. The longest review of IMDB has 14 kB.
const maxText = 16 << 20

// imdbLabels are the folders of each split of the Large Movie Review Dataset v1.0 (Maas et al. 2011). The folder is the
// label, but for unsup.
var imdbLabels = map[Split][]string{
	Train:        {"neg", "pos"},
	Test:         {"neg", "pos"},
	Unsupervised: {""},
}

// imdbFolder is where a label of a split lies: train/neg, test/pos, train/unsup.
func imdbFolder(split Split, label string) string {
	if split == Unsupervised {
		return "train/unsup"
	}
	return string(split) + "/" + label
}

// ReadIMDB reads the reviews of a split (Train, Test or Unsupervised) from the folder aclImdb, the folder it lies in, or
// the archive aclImdb_v1.tar.gz, which is read as a stream and not unpacked. The order is by label and file name,
// whatever the archive's. The text is the file's as it is, with its <br /> tags, as the reference run and most published
// figures have it.
func ReadIMDB(name string, split Split) ([]Example, error) {
	if _, ok := imdbLabels[split]; !ok {
		return nil, fmt.Errorf("%s: IMDB has no split %q: want %s, %s or %s", name, split, Train, Test, Unsupervised)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, pathError(err)
	}
	if info.IsDir() {
		return readIMDBFolder(name, split)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, pathError(err)
	}
	defer f.Close()
	return readIMDBArchive(f, name, split)
}

func readIMDBFolder(dir string, split Split) ([]Example, error) {
	root := dir
	if !isDir(filepath.Join(root, "train")) && !isDir(filepath.Join(root, "test")) {
		if root = filepath.Join(dir, "aclImdb"); !isDir(root) {
			return nil, fmt.Errorf("%s: neither train, test nor aclImdb in it: want the folder aclImdb or its .tar.gz", dir)
		}
	}
	var examples []Example
	for _, label := range imdbLabels[split] {
		folder := filepath.Join(root, filepath.FromSlash(imdbFolder(split, label)))
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, pathError(err)
		}
		for _, entry := range entries {
			if !isReview(entry.Name()) {
				continue
			}
			file := filepath.Join(folder, entry.Name())
			text, err := readText(file)
			if err != nil {
				return nil, err
			}
			examples = append(examples, Example{Input: Input{Text: text}, Label: label, Source: Source{File: file}})
		}
	}
	if len(examples) == 0 {
		return nil, fmt.Errorf("%s: no reviews in its %s", dir, split)
	}
	return examples, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// isReview leaves out what is no review: other tools' hidden files (._0_3.txt) and the lists of addresses.
func isReview(name string) bool {
	return strings.HasSuffix(name, ".txt") && !strings.HasPrefix(name, ".")
}

// readText reads a file that is one text.
func readText(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", pathError(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return "", pathError(err)
	}
	if len(text) > maxText {
		return "", fmt.Errorf("%s: a text of more than %s bytes", file, thousands(maxText))
	}
	return string(text), nil
}

// readIMDBArchive reads a tar stream, compressed by gzip or not, in one pass.
func readIMDBArchive(r io.Reader, name string, split Split) ([]Example, error) {
	plain, err := decompress(r, name)
	if err != nil {
		return nil, err
	}
	var (
		examples []Example
		labels   = imdbLabels[split]
		root     string
	)
	for archive := tar.NewReader(plain); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: no whole tar archive: %w", name, cutOff(err))
		}
		member := path.Clean(h.Name)
		folder, file := path.Split(member)
		i := slices.IndexFunc(labels, func(l string) bool { return inFolder(folder, imdbFolder(split, l)) })
		if i < 0 || !isReview(file) {
			continue
		}
		source := Source{File: name, Member: member}
		if h.Typeflag != tar.TypeReg {
			return nil, &SourceError{source, errors.New("a link or special file, want a review")}
		}
		if h.Size > maxText {
			return nil, &SourceError{source, fmt.Errorf("a text of %s bytes, want at most %s", thousands(h.Size), thousands(maxText))}
		}
		above := strings.TrimSuffix(folder, imdbFolder(split, labels[i])+"/")
		if len(examples) > 0 && above != root {
			return nil, &SourceError{source, fmt.Errorf("a second data set in the archive, beside %q", root)}
		}
		root = above
		text := make([]byte, h.Size)
		if _, err := io.ReadFull(archive, text); err != nil {
			return nil, &SourceError{source, fmt.Errorf("no whole tar archive: %w", cutOff(err))}
		}
		examples = append(examples, Example{Input: Input{Text: string(text)}, Label: labels[i], Source: source})
	}
	if len(examples) == 0 {
		return nil, fmt.Errorf("%s: no reviews of %s in it: want %s/*.txt", name, split, imdbFolder(split, labels[0]))
	}
	// neg sorts before pos, so the order of the members is that of the folders.
	slices.SortFunc(examples, func(a, b Example) int { return cmp.Compare(a.Source.Member, b.Source.Member) })
	for i := range examples[1:] {
		if a, b := examples[i].Source, examples[i+1].Source; a == b {
			return nil, &SourceError{b, errors.New("twice in the archive")}
		}
	}
	return examples, nil
}

// inFolder says whether folder, which ends in a slash, is want or ends in it.
func inFolder(folder, want string) bool {
	above, ok := strings.CutSuffix(folder, want+"/")
	return ok && (above == "" || strings.HasSuffix(above, "/"))
}

// cutOff says in words that a file ends too early.
func cutOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file is cut off: %w", err)
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
