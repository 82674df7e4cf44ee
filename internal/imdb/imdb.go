// Package imdb finds the reviews of the Large Movie Review Dataset v1.0 (Maas et al. 2011) in its folder, aclImdb, and in its
// archive, aclImdb_v1.tar.gz.
package imdb

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/internal/textfile"
)

// The folders of the reviews.
const (
	TrainNeg   = "train/neg"
	TrainPos   = "train/pos"
	TrainUnsup = "train/unsup" // without a label
	TestNeg    = "test/neg"
	TestPos    = "test/pos"
)

// Review is a review and where it is.
type Review struct {
	Text   []byte // in UTF-8
	Folder string // one of those asked for
	File   string // path of the review, or of the archive
	Member string // name in the archive
	// Err says why there is no Text: the file holds something else, or text in another encoding.
	Err error
}

// Part says which reviews are read and how.
type Part struct {
	Folders  []string
	Encoding string // a name for textfile.FindEncoding
}

// take is a review of the text in a file.
func (r *Review) take(text []byte, e textfile.Encoding) { r.Text, r.Err = e.Decode(text) }

// Root is the folder aclImdb where dir is that folder or contains it.
func Root(dir string) (root string, ok bool) {
	for _, root := range []string{dir, filepath.Join(dir, "aclImdb")} {
		if textfile.IsDir(filepath.Join(root, "train")) || textfile.IsDir(filepath.Join(root, "test")) {
			return root, true
		}
	}
	return "", false
}

// isReview leaves out other tools' hidden files (._0_3.txt) and the lists of addresses.
func isReview(name string) bool {
	return strings.HasSuffix(name, ".txt") && !strings.HasPrefix(name, ".")
}

// ReadFolder calls visit with the reviews in a part's folders of root, in the order of the folders and of the files' names, until
// visit returns an error.
func ReadFolder(ctx context.Context, root string, part Part, visit func(Review) error) error {
	encoding, err := textfile.FindEncoding(part.Encoding)
	if err != nil {
		return err
	}
	for _, folder := range part.Folders {
		dir := filepath.Join(root, filepath.FromSlash(folder))
		entries, err := os.ReadDir(dir)
		if err != nil {
			return files.PathError(err)
		}
		for _, entry := range entries {
			if !isReview(entry.Name()) {
				continue
			}
			file := filepath.Join(dir, entry.Name())
			text, err := textfile.ReadAll(ctx, file)
			if err != nil {
				return err
			}
			r := Review{Folder: folder, File: file}
			r.take(text, encoding)
			if err := visit(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// MemberError is what is wrong with a member of an archive.
type MemberError struct {
	Archive, Member string
	Err             error
}

func (e *MemberError) Error() string {
	return e.Archive + ":" + message.Cut(e.Member) + ": " + e.Err.Error()
}
func (e *MemberError) Unwrap() error { return e.Err }

// Failed is Err with the review's place.
func (r *Review) Failed() error {
	if r.Member != "" {
		return &MemberError{r.File, r.Member, r.Err}
	}
	return fmt.Errorf("%s: %w", r.File, r.Err)
}

// ReadArchive calls visit with the reviews in a part's folders of the tar stream r, in the order of the archive, until visit returns
// an error. Errors call r name; one about a member is a *MemberError.
func ReadArchive(r io.Reader, name string, part Part, visit func(Review) error) error {
	folders := part.Folders
	encoding, err := textfile.FindEncoding(part.Encoding)
	if err != nil {
		return err
	}
	var (
		root  string
		found bool
	)
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: no whole tar archive: %w", name, textfile.CutOff(err))
		}
		member := path.Clean(h.Name)
		folder, file := path.Split(member)
		i := slices.IndexFunc(folders, func(f string) bool { return inFolder(folder, f) })
		if i < 0 || !isReview(file) {
			continue
		}
		bad := func(err error) error { return &MemberError{name, member, err} }
		if h.Typeflag != tar.TypeReg {
			return bad(errors.New("a link or special file, want a review"))
		}
		if isSparse(h) {
			return bad(errors.New("a file with holes, want a review"))
		}
		if h.Size > textfile.MaxRecord {
			return bad(fmt.Errorf("a text of %s bytes, want at most %s", message.Thousands(h.Size), message.Thousands(textfile.MaxRecord)))
		}
		above := strings.TrimSuffix(folder, folders[i]+"/")
		if found && above != root {
			return bad(fmt.Errorf("a second data set in the archive, beside %q", root))
		}
		root, found = above, true
		text := make([]byte, h.Size)
		if _, err := io.ReadFull(archive, text); err != nil {
			return bad(fmt.Errorf("no whole tar archive: %w", textfile.CutOff(err)))
		}
		review := Review{Folder: folders[i], File: name, Member: member}
		review.take(text, encoding)
		if err := visit(review); err != nil {
			return err
		}
	}
}

// isSparse reports whether a member is stored without its zeros, as GNU tar does: a few bytes of the archive can then be any size.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// inFolder reports whether folder, which ends in a slash, is want or ends in it.
func inFolder(folder, want string) bool {
	above, ok := strings.CutSuffix(folder, want+"/")
	return ok && (above == "" || strings.HasSuffix(above, "/"))
}
