package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/files"
)

// A file of the cache is believed once its checksum was computed. The folder .checked beside blobs, which Hugging Face's tools
// ignore, remembers that: for each checksum the stamp (size, times) that the file had then. Where a file has another stamp,
// its checksum is computed again.
const checkedName = ".checked"

// DamagedError says that a file in the cache is not what the hub has under its checksum.
type DamagedError struct {
	Ref  Ref
	Name string // of the file
	Path string // in the cache
	Err  error  // what is wrong; nil where the file is missing
}

func (e *DamagedError) Error() string {
	what := "is missing in the cache"
	if e.Err != nil {
		what = fmt.Sprintf("is damaged in the cache (%v)", e.Err)
	}
	return fmt.Sprintf("%s: %s %s: pull the model again while the hub can be reached, which fetches that file anew; it is %s", e.Ref, e.Name, what, e.Path)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// errUnknown says that nothing in the cache tells what a file should hold: it is a copy that other tools made.
var errUnknown = errors.New("its checksum is not known")

// checkSnapshot checks what a program reads of a snapshot. Where the results can't be remembered, since the cache is somebody
// else's, only always checks.
func (h *Hub) checkSnapshot(ctx context.Context, r Ref, commit string, always bool) error {
	if !always && h.mkdir(filepath.Join(h.folder(r), checkedName)) != nil {
		return nil
	}
	for _, name := range readNames(h.snapshot(r, commit)) {
		if err := h.checkFile(ctx, r, commit, name); err != nil && err != errUnknown {
			return err
		}
	}
	return nil
}

// readNames are the files that are read of a model in dir.
func readNames(dir string) []string {
	has := func(name string) bool { _, err := os.Lstat(filepath.Join(dir, name)); return err == nil }
	var names []string
	for _, name := range slices.Concat(configNames, companions) {
		if has(name) {
			names = append(names, name)
		}
	}
	names = append(names, pipelineIn(dir)...)
	if i := slices.IndexFunc(weights, has); i >= 0 {
		names = append(names, weights[i])
		if strings.HasSuffix(weights[i], shardIndex) {
			shards, _ := readShards(filepath.Join(dir, weights[i])) // whoever loads the model says what is wrong with it
			for _, shard := range shards {
				if isFileName(shard) {
					names = append(names, shard)
				}
			}
		}
		return names
	}
	small := len(names)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if _, after, ok := strings.Cut(e.Name(), ".data-"); strings.HasSuffix(e.Name(), bundleIndex) || ok && bundleData().MatchString(".data-"+after) {
			names = append(names, e.Name())
		}
	}
	if len(names) > small {
		return names
	}
	// Graphs, and the files of data beside them.
	for _, folder := range []string{"", "onnx"} {
		entries, _ := os.ReadDir(filepath.Join(dir, folder))
		for _, e := range entries {
			if strings.Contains(e.Name(), ".onnx") && !e.IsDir() {
				names = append(names, path.Join(folder, e.Name()))
			}
		}
	}
	return names
}

// checkFile checks a file of a snapshot. The error is a *DamagedError, or errUnknown.
func (h *Hub) checkFile(ctx context.Context, r Ref, commit, name string) error {
	path := filepath.Join(h.snapshot(r, commit), filepath.FromSlash(name))
	key := copyKey(commit, name)
	if sum := linkedBlob(path); sum != "" {
		key = sum
	}
	err := h.check(ctx, r, key, blob{name: name, checksum: linkedBlob(path)}, path)
	switch {
	case err == nil || err == errUnknown:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, fs.ErrNotExist):
		return &DamagedError{Ref: r, Name: name, Path: path}
	}
	return &DamagedError{Ref: r, Name: name, Path: path, Err: err}
}

// linkedBlob is the checksum of the blob to which a file of a snapshot is a link; "" if it is none.
func linkedBlob(path string) string {
	target, err := os.Readlink(path)
	if err != nil || filepath.Base(filepath.Dir(target)) != "blobs" || !checksumForm().MatchString(filepath.Base(target)) {
		return ""
	}
	return filepath.Base(target)
}

// copyKey is the key of a file of a snapshot that is no link.
func copyKey(commit, name string) string { return commit + "-" + strings.ReplaceAll(name, "/", "--") }

// check checks that the file at path has the checksum of b, or if that is "" the one that is remembered under key.
func (h *Hub) check(ctx context.Context, r Ref, key string, b blob, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return files.PathError(err)
	}
	if !info.Mode().IsRegular() {
		return &files.KindError{Path: path, Mode: info.Mode()}
	}
	sum, stamp := h.remembered(r, key)
	if b.checksum == "" {
		b.checksum = sum
	}
	switch {
	case b.checksum == "":
		return errUnknown
	case b.checksum == sum && stamp == files.Stamp(info):
		return nil
	}
	stamp, err = files.Settled(path)
	if err != nil {
		return err
	}
	if err := b.verify(ctx, path); err != nil {
		return err
	}
	h.remember(r, key, b.checksum, stamp)
	return nil
}

// remembered is what remember was last told.
func (h *Hub) remembered(r Ref, key string) (checksum, stamp string) {
	data, err := files.ReadFile(filepath.Join(h.folder(r), checkedName, key), 1<<10)
	if err != nil {
		return "", ""
	}
	checksum, stamp, _ = strings.Cut(strings.TrimSuffix(string(data), "\n"), " ")
	if !checksumForm().MatchString(checksum) {
		return "", ""
	}
	return checksum, stamp
}

// remember notes that a file has a checksum, as long as it has a stamp. It does nothing in a cache that can't be written to.
func (h *Hub) remember(r Ref, key, checksum, stamp string) {
	dir := filepath.Join(h.folder(r), checkedName)
	if h.mkdir(dir) == nil {
		_ = writeFile(filepath.Join(dir, key), strings.NewReader(checksum+" "+stamp+"\n"))
	}
}

// mkdir makes a folder in the cache. Below the cache's own folder it follows no symbolic link.
func (h *Hub) mkdir(dir string) error {
	if err := os.MkdirAll(h.Cache, 0o777); err != nil {
		return err
	}
	rest, err := filepath.Rel(h.Cache, dir)
	if err != nil {
		return err
	}
	path := h.Cache
	for part := range strings.SplitSeq(rest, string(filepath.Separator)) {
		path = filepath.Join(path, part)
		if err := os.Mkdir(path, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		info, err := os.Lstat(path)
		switch {
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			return fmt.Errorf("%s: a symbolic link in the model cache, and nothing is written through one: remove it", path)
		case !info.IsDir():
			return fmt.Errorf("%s: not a directory", path)
		}
	}
	return nil
}

// lock takes the lock of a blob, as Hugging Face's tools do, or of a commit's snapshot. waiting, if not nil, is called before
// it waits for another process.
func (h *Hub) lock(ctx context.Context, r Ref, name string, waiting func()) (unlock func(), err error) {
	path := filepath.Join(h.Cache, ".locks", repoName(r), name+".lock")
	if err := h.mkdir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return files.Acquire(ctx, path, waiting)
}

// removeTemporary removes what killed processes left of files in a folder whose lock is held: of all, or of the one of a name,
// which may be in a folder below.
func removeTemporary(dir, name string) error {
	if name == "" {
		return files.RemoveTemporary(dir, "")
	}
	dir, name = filepath.Split(filepath.Join(dir, filepath.FromSlash(name)))
	return files.RemoveTemporary(dir, files.TempName(name))
}

// A checksumError reports a file whose checksum differs from the server's.
type checksumError struct{ name, got, want string }

func (e *checksumError) Error() string {
	return fmt.Sprintf("%s has the checksum %s, the hub says %s", e.name, e.got, e.want)
}

// verify checks that the file at path has the blob's checksum.
func (b *blob) verify(ctx context.Context, path string) error {
	f, err := files.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var sum hash.Hash = sha256.New()
	if len(b.checksum) == 2*sha1.Size {
		info, err := f.Stat()
		if err != nil {
			return files.PathError(err)
		}
		sum = sha1.New()
		fmt.Fprintf(sum, "blob %d\x00", info.Size()) // as git hash-object does
	}
	if _, err := io.Copy(sum, untilDone{ctx, f}); err != nil {
		return files.PathError(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != b.checksum {
		return &checksumError{b.name, got, b.checksum}
	}
	return nil
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}
