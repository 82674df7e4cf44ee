package starter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/starter/internal/archive"
)

// A folder is believed once all of its files were read and had the archive's digest. The file .NAME.verified beside it then
// holds that digest and, for each file, its stamp (size, times). As long as the stamps are the same, nothing is read.

const cardName = "README.md"

// unpack makes the folder name in root hold the files of an archive, and the card, and nothing else of them.
func unpack(ctx context.Context, a *archive.Reader, root, name string) (dir string, err error) {
	if root, err = ownFolder(root); err != nil {
		return "", err
	}
	u := unpacking{a: a, dir: filepath.Join(root, name), memory: filepath.Join(root, "."+name+".verified")}
	lock := filepath.Join(root, "."+name+files.LockName)
	if u.remembered() {
		// A process that was killed at the very end leaves its lock. One that is at work keeps it.
		if _, err := os.Lstat(lock); err == nil {
			if release, err := files.LockFile(lock, u.dir); err == nil {
				_ = release() // in a folder that can only be read it stays
			}
		}
		return u.dir, nil
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	release, err := files.WaitLock(ctx, lock, u.dir)
	var busy *files.BusyError
	switch {
	case errors.As(err, &busy):
		// The lock may be that of a process that was killed. Files appear whole without it too.
	case err != nil:
		// A folder that is there to be read alone.
		if _, e := u.stamps(false); e == nil {
			if right, e := u.verify(ctx); right && e == nil {
				return u.dir, nil
			}
		}
		return "", err
	default:
		defer func() { err = errors.Join(err, release()) }()
		if u.remembered() { // the process that had the lock did it
			return u.dir, nil
		}
		for _, dir := range u.folders() {
			if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
				continue
			}
			if err := files.RemoveTemporary(dir, ""); err != nil {
				return "", err
			}
		}
		if err := files.RemoveTemporary(root, filepath.Base(files.TempName(u.memory))); err != nil {
			return "", err
		}
	}
	return u.dir, u.mend(ctx)
}

// unpacking is the work on a folder.
type unpacking struct {
	a           *archive.Reader
	dir, memory string
}

// names are the files that the folder has to have, in the order of the digest; the card is the last.
func (u *unpacking) names() []string {
	var names []string
	for _, f := range u.a.Files() {
		names = append(names, f.Name())
	}
	return append(names, cardName)
}

// path is where a file of an archive belongs.
func (u *unpacking) path(name string) string { return filepath.Join(u.dir, filepath.FromSlash(name)) }

// folders are those that the files are in, each after the one that it is in.
func (u *unpacking) folders() []string {
	all := []string{u.dir}
	for _, name := range u.names() {
		for i, c := range name {
			if dir := u.path(name[:i]); c == '/' && !slices.Contains(all, dir) {
				all = append(all, dir)
			}
		}
	}
	return all
}

// remembered reports whether the files are those that were verified before.
func (u *unpacking) remembered() bool {
	was, err := files.ReadFile(u.memory, 1<<16)
	if err != nil {
		return false
	}
	now, err := u.stamps(false)
	return err == nil && now == string(was)
}

// stamps is what is remembered of the files as they are now. With settled, a later change is sure to give other stamps.
func (u *unpacking) stamps(settled bool) (string, error) {
	var b strings.Builder
	fmt.Fprintln(&b, u.a.Digest())
	for _, dir := range u.folders() {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !files.Ours(info) {
			return "", fmt.Errorf("%s: not a folder of this user alone", dir)
		}
	}
	for _, name := range u.names() {
		path := u.path(name)
		info, err := os.Lstat(path)
		if err != nil {
			return "", err
		}
		if !own(info) {
			return "", fmt.Errorf("%s: not a file of this user alone", path)
		}
		stamp := files.Stamp(info)
		if settled {
			if stamp, err = files.Settled(path); err != nil {
				return "", err
			}
		}
		fmt.Fprintln(&b, name, stamp)
	}
	return b.String(), nil
}

// own reports whether a file is regular, this user's, and nobody else may write to it.
func own(info fs.FileInfo) bool { return info.Mode().IsRegular() && files.Ours(info) }

// mend writes the files that are missing or wrong, and remembers that all are right.
func (u *unpacking) mend(ctx context.Context) error {
	for i, want := range u.folders() {
		if info, err := os.Lstat(want); i > 0 && err == nil && !info.IsDir() {
			if err := os.Remove(want); err != nil {
				return err
			}
		}
		if err := os.Mkdir(want, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if dir, err := ownFolder(want); err != nil {
			return err
		} else if dir != want {
			return fmt.Errorf("%s: a symbolic link", want)
		}
	}
	// CRC-32 says which files are wrong. That all are right is for SHA-256 to say; where it doesn't, all are written.
	for _, all := range []bool{false, true} {
		if err := u.write(ctx, all); err != nil {
			return err
		}
		stamps, err := u.stamps(true)
		if err != nil {
			return err
		}
		switch right, err := u.verify(ctx); {
		case err != nil:
			return err
		case right:
			// Without the memory they are verified again the next time.
			_ = files.WriteFile(u.memory, 0o644, func(w io.Writer) error { _, err := io.WriteString(w, stamps); return err })
			return nil
		}
	}
	return fmt.Errorf("%s: what was written there is not what is read", u.dir)
}

// write writes the files that are missing or wrong, or all.
func (u *unpacking) write(ctx context.Context, all bool) error {
	put := func(name string, size int64, sum uint32, write func(io.Writer) error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !all && u.has(name, size, sum) {
			return nil
		}
		path := u.path(name)
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
		return files.WriteFile(path, 0o644, func(w io.Writer) error { return write(untilDone{ctx, w}) })
	}
	for _, f := range u.a.Files() {
		if err := put(f.Name(), f.Size(), f.CRC32(), func(w io.Writer) error { _, err := f.WriteTo(w); return err }); err != nil {
			return err
		}
	}
	return put(cardName, int64(len(Card)), crc32.ChecksumIEEE([]byte(Card)), func(w io.Writer) error { _, err := io.WriteString(w, Card); return err })
}

// has reports whether a file has a size and a checksum.
func (u *unpacking) has(name string, size int64, sum uint32) bool {
	path := u.path(name)
	info, err := os.Lstat(path)
	if err != nil || !own(info) || info.Size() != size {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	crc := crc32.NewIEEE()
	_, err = io.Copy(crc, f)
	return err == nil && crc.Sum32() == sum
}

// verify reports whether the files have the archive's digest, and the card is the card.
func (u *unpacking) verify(ctx context.Context) (bool, error) {
	sum := sha256.New()
	for _, f := range u.a.Files() {
		file, err := os.Open(u.path(f.Name()))
		if err != nil {
			return false, err
		}
		fmt.Fprintf(sum, "%s %d\n", f.Name(), f.Size())
		_, err = io.Copy(untilDone{ctx, sum}, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return false, err
		}
	}
	card, err := files.ReadFile(u.path(cardName), int64(len(Card)))
	if err != nil {
		return false, err
	}
	return hex.EncodeToString(sum.Sum(nil)) == u.a.Digest() && string(card) == Card, nil
}

// ownFolder makes a folder, unless it is there, in which nobody else can have put anything or can put it, and returns its
// path without links.
func ownFolder(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return "", err
	case !info.IsDir():
		return "", fmt.Errorf("%s: not a directory", dir)
	case !files.Ours(info):
		return "", fmt.Errorf("%s: the folder belongs to another user, or others may write to it", dir)
	}
	return dir, nil
}

// untilDone is a writer that fails once its context has ended.
type untilDone struct {
	ctx context.Context
	w   io.Writer
}

func (u untilDone) Write(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.w.Write(p)
}
