package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-bert/bert/internal/imdb"
	"github.com/go-bert/bert/internal/textfile"
)

// IMDB is the layout of the Large Movie Review Dataset (Maas et al. 2011), whose labels are neg and pos.
var IMDB = Layout{ReadPart: ReadIMDB, Archive: true}

// imdbPart is a folder of a split with the label of its reviews.
type imdbPart struct{ folder, label string }

// imdbParts are the folders of each split, in the order of their labels.
var imdbParts = map[Split][]imdbPart{
	Train:        {{imdb.TrainNeg, "neg"}, {imdb.TrainPos, "pos"}},
	Test:         {{imdb.TestNeg, "neg"}, {imdb.TestPos, "pos"}},
	Unsupervised: {{imdb.TrainUnsup, ""}},
}

// ReadIMDB reads the reviews of a split (Train, Test or Unsupervised) from the folder aclImdb, the folder that contains it, or
// the archive aclImdb_v1.tar.gz, which is read as a stream and not unpacked. The order is by label and file name,
// whatever the archive's. The text is the file's as it is, with its <br /> tags, as the reference run and most published
// figures have it. Of o, Encoding and SkipBad matter.
func ReadIMDB(ctx context.Context, path string, split Split, o TableOptions) (*Set, error) {
	f, path, err := o.open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !f.IsDir() {
		return readIMDBArchive(f, path, split, o)
	}
	c, err := newReviewCollector(path, split, o)
	if err != nil {
		return nil, err
	}
	root, ok := imdb.Root(path)
	if !ok {
		return nil, fmt.Errorf("%s: neither train, test nor aclImdb in it: want the folder aclImdb or its .tar.gz", path)
	}
	if err := imdb.ReadFolder(ctx, root, c.part, c.visit); err != nil {
		return nil, err
	}
	set := c.set()
	return set, set.check(path, "review", fmt.Sprintf("no reviews in its %s", split))
}

// reviewCollector makes examples of the reviews of a split.
type reviewCollector struct {
	part   imdb.Part
	labels map[string]string     // by folder
	hold   func(bytes int) error // see textfile.Reader.Hold; nil of a folder
	list   exampleList
	bad    badRecords
}

func newReviewCollector(path string, split Split, o TableOptions) (*reviewCollector, error) {
	parts, ok := imdbParts[split]
	if !ok {
		return nil, fmt.Errorf("%s: IMDB has no split %q: want %s, %s or %s", path, split, Train, Test, Unsupervised)
	}
	c := &reviewCollector{labels: make(map[string]string), bad: badRecords{skip: o.SkipBad}}
	c.part.Encoding = o.Encoding
	for _, p := range parts {
		c.part.Folders = append(c.part.Folders, p.folder)
		c.labels[p.folder] = p.label
	}
	return c, nil
}

// set is what was collected.
func (c *reviewCollector) set() *Set {
	return &Set{Examples: c.list.all(), Skipped: c.bad.count, FirstSkipped: c.bad.first}
}

func (c *reviewCollector) visit(r imdb.Review) error {
	if r.Err != nil {
		err := &SourceError{Source: Source{File: r.File, Member: r.Member}, Err: r.Err}
		var coding *textfile.EncodingError
		if errors.As(r.Err, &coding) {
			err.Source.Line = coding.Line
		}
		return c.bad.add(err)
	}
	x := Example{Input: Input{Text: string(r.Text)}, Label: c.labels[r.Folder], Source: Source{File: r.File, Member: r.Member}}
	c.list.add(x)
	if c.hold == nil {
		return nil
	}
	if err := c.hold(x.size()); err != nil {
		return fmt.Errorf("%s: %w", r.File, err)
	}
	return nil
}

// readIMDBArchive reads a tar stream, compressed or not, in one pass. Errors call r name.
func readIMDBArchive(r io.Reader, name string, split Split, o TableOptions) (*Set, error) {
	c, err := newReviewCollector(name, split, o)
	if err != nil {
		return nil, err
	}
	plain, err := textfile.Decompress(r, name)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	c.hold = plain.Hold
	if err := imdb.ReadArchive(plain, name, c.part, c.visit); err != nil {
		var bad *imdb.MemberError
		if errors.As(err, &bad) {
			return nil, &SourceError{Source: Source{File: bad.Archive, Member: bad.Member}, Err: bad.Err}
		}
		return nil, err
	}
	set := c.set()
	if err := set.check(name, "review", fmt.Sprintf("no reviews of %s in it: want %s/*.txt", split, c.part.Folders[0])); err != nil {
		return nil, err
	}
	// neg sorts before pos, so the order of the members is that of the folders.
	examples := set.Examples
	slices.SortFunc(examples, func(a, b Example) int { return cmp.Compare(a.Source.Member, b.Source.Member) })
	for i := range examples[1:] {
		if a, b := examples[i].Source, examples[i+1].Source; a == b {
			return nil, &SourceError{Source: b, Err: errors.New("twice in the archive")}
		}
	}
	return set, nil
}
