package starter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestMends damages each file of an unpacked model in each way: the next call mends it without a word, and nothing else.
func TestMends(t *testing.T) {
	if testing.Short() {
		t.Skip("unpacks models, one after the other")
	}
	withWeights(t)
	cache(t)
	dir := mustDir(t, Sentiment)
	want := contents(t, dir)
	victim := filepath.Join(t.TempDir(), "victim")
	for name, damage := range map[string]func(path, content string) error{
		"zeros": func(path, content string) error {
			return os.WriteFile(path, make([]byte, len(content)), 0o666)
		},
		"zeros, with the old time": func(path, content string) error {
			info, err := os.Stat(path)
			return errors.Join(err, os.WriteFile(path, make([]byte, len(content)), 0o666), os.Chtimes(path, info.ModTime(), info.ModTime()))
		},
		"a flipped bit": func(path, content string) error {
			data := []byte(content)
			data[len(data)/2] ^= 4
			return os.WriteFile(path, data, 0o666)
		},
		"another file in its place": func(path, content string) error {
			return errors.Join(os.WriteFile(path+"2", make([]byte, len(content)), 0o666), os.Rename(path+"2", path))
		},
		"garbage": func(path, content string) error { return os.WriteFile(path, []byte("garbage"), 0o666) },
		"removed": func(path, _ string) error { return os.Remove(path) },
		"a folder": func(path, _ string) error {
			return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "sub"), 0o777))
		},
		"a link": func(path, content string) error {
			return errors.Join(os.WriteFile(victim, make([]byte, len(content)), 0o666), os.Remove(path), os.Symlink(victim, path))
		},
		"writable by all": func(path, _ string) error { return os.Chmod(path, 0o666) },
	} {
		for file, content := range want {
			if err := damage(filepath.Join(dir, file), content); err != nil {
				t.Fatal(name, err)
			}
			if again := mustDir(t, Sentiment); again != dir {
				t.Errorf("%s: %s, then %s", name, dir, again)
			}
			now := contents(t, dir)
			for other, content := range want {
				if now[other] != content {
					t.Errorf("%s of %s: %s is wrong", name, file, other)
				}
			}
			if info, err := os.Lstat(filepath.Join(dir, file)); err != nil || !own(info) {
				t.Errorf("%s of %s: %v, %v", name, file, info, err)
			}
		}
	}
	if data, err := os.ReadFile(victim); err != nil || strings.Trim(string(data), "\x00") != "" {
		t.Errorf("the victim of the link was written to: %v", err)
	}
}

// TestMendsFolders: something else in the place of a folder of the model's gives way to it.
func TestMendsFolders(t *testing.T) {
	withWeights(t)
	cache(t)
	dir := mustDir(t, Pretrained)
	want := contents(t, dir)
	elsewhere := t.TempDir()
	if err := os.WriteFile(filepath.Join(elsewhere, ".config.json.tmp-ABCDEFGHIJKLMNOPQRSTUVWXYZ"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(path string) error{
		"removed": func(string) error { return nil },
		"a file":  func(path string) error { return os.WriteFile(path, []byte("garbage"), 0o666) },
		"a link":  func(path string) error { return os.Symlink(elsewhere, path) },
	} {
		path := filepath.Join(dir, "1_Pooling")
		if err := errors.Join(os.RemoveAll(path), damage(path)); err != nil {
			t.Fatal(name, err)
		}
		if again := mustDir(t, Pretrained); again != dir || !maps.Equal(contents(t, dir), want) {
			t.Errorf("%s: the folder was not mended", name)
		}
		if info, err := os.Lstat(path); err != nil || !info.IsDir() {
			t.Errorf("%s: %v, %v, want a folder", name, info, err)
		}
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) != 1 {
		t.Errorf("the folder that the link leads to holds %v, %v", left, err)
	}
}

// TestLeftovers: what killed processes left is gone after the next call that unpacks.
func TestLeftovers(t *testing.T) {
	withWeights(t)
	root := cache(t)
	dir := mustDir(t, Pretrained)
	const mark = ".tmp-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	name := filepath.Base(dir)
	for _, path := range []string{filepath.Join(dir, ".model.safetensors"+mark), filepath.Join(root, ".."+name+".verified"+mark), filepath.Join(root, "."+name+".lock")} {
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(filepath.Join(dir, "vocab.txt"))
	mustDir(t, Pretrained)
	var left []string
	filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(path, ".tmp-") || strings.HasSuffix(path, ".lock") {
			left = append(left, path)
		}
		return err
	})
	if len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	lock := filepath.Join(root, "."+name+".lock") // of a process that was killed when all was done
	if err := os.WriteFile(lock, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	mustDir(t, Pretrained)
	if _, err := os.Lstat(lock); err == nil {
		t.Errorf("left: %s", lock)
	}
}

// TestOthersFolder: a folder of another user, or to which others may write, is not used.
func TestOthersFolder(t *testing.T) {
	withWeights(t)
	if runtime.GOOS != "linux" {
		t.Skip("owners and the variables of folders are Linux's here")
	}
	const nobody = 65534
	hostile := map[string]func(dir string) error{
		"writable by all":      func(dir string) error { return os.Chmod(dir, 0o777) },
		"writable by a group":  func(dir string) error { return os.Chmod(dir, 0o775) },
		"another user's":       func(dir string) error { return errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, nobody, nobody)) },
		"another's, open":      func(dir string) error { return errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, nobody, nobody)) },
		"another's, by a link": func(dir string) error { return link(dir, nobody) },
	}
	for name, change := range hostile {
		if os.Getuid() != 0 && strings.HasPrefix(name, "another") {
			continue // only root can give folders away
		}
		t.Run(name, func(t *testing.T) {
			// As BERT_CACHE.
			dir := filepath.Join(t.TempDir(), "cache")
			if err := errors.Join(os.Mkdir(dir, 0o700), change(dir)); err != nil {
				t.Fatal(err)
			}
			t.Setenv(CacheVariable, dir)
			if got, err := Dir(t.Context(), Sentiment); err == nil || !strings.Contains(err.Error(), "set BERT_CACHE") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s is used: %q, %v", name, got, err)
			}
			// In the folder for temporary files, where there is no user's cache.
			temp := t.TempDir()
			t.Setenv(CacheVariable, "")
			t.Setenv("HOME", "")
			t.Setenv("XDG_CACHE_HOME", "")
			t.Setenv("TMPDIR", temp)
			dir = filepath.Join(temp, fmt.Sprintf("bert-%d", os.Getuid()))
			if err := errors.Join(os.Mkdir(dir, 0o700), change(dir)); err != nil {
				t.Fatal(err)
			}
			if got, err := Dir(t.Context(), Sentiment); err == nil {
				t.Errorf("%s is used: %s", name, got)
			}
			// As the user's cache: then another folder is taken.
			caches := t.TempDir()
			t.Setenv("XDG_CACHE_HOME", caches)
			t.Setenv("TMPDIR", t.TempDir())
			dir = filepath.Join(caches, "bert")
			if err := errors.Join(os.Mkdir(dir, 0o700), change(dir)); err != nil {
				t.Fatal(err)
			}
			if got, err := Dir(t.Context(), Sentiment); err != nil || strings.HasPrefix(got, caches) {
				t.Errorf("%s is used: %q, %v", name, got, err)
			}
		})
	}
}

// link puts a link to a folder of another user in the place of dir.
func link(dir string, user int) error {
	other := dir + "-other"
	return errors.Join(os.Remove(dir), os.Mkdir(other, 0o700), os.Chown(other, user, user), os.Symlink(other, dir))
}

// TestReadOnly: a folder that was filled before can be used where nothing can be written.
func TestReadOnly(t *testing.T) {
	withWeights(t)
	if os.Getuid() == 0 {
		t.Skip("root may write anywhere")
	}
	root := cache(t)
	dir := mustDir(t, Sentiment)
	os.Remove(filepath.Join(root, "."+filepath.Base(dir)+".verified"))
	if err := errors.Join(os.Chmod(dir, 0o555), os.Chmod(root, 0o555)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o755)
	defer os.Chmod(root, 0o755)
	if got, err := Dir(t.Context(), Sentiment); got != dir || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestMendsAtOnce: several callers mend the same damage, and all get a folder that is right.
func TestMendsAtOnce(t *testing.T) {
	withWeights(t)
	cache(t)
	dir := mustDir(t, Sentiment)
	weights := filepath.Join(dir, "model.safetensors")
	want, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(weights, make([]byte, len(want)), 0o644); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			if _, err := Dir(context.Background(), Sentiment); err != nil {
				t.Error(err)
			}
			if got, err := os.ReadFile(weights); err != nil || string(got) != string(want) {
				t.Errorf("wrong weights: %v", err)
			}
		})
	}
	group.Wait()
}

// BenchmarkDir is what a start costs once a model was unpacked.
func BenchmarkDir(b *testing.B) {
	b.Setenv(CacheVariable, b.TempDir())
	for b.Loop() {
		if _, err := Dir(b.Context(), Sentiment); err != nil {
			b.Fatal(err)
		}
	}
}
