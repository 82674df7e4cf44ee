package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"

	"github.com/go-bert/bert/internal/files"
)

// keyring is the keys that clients may have.
type keyring struct {
	keys atomic.Pointer[[]key] // nil: none is needed
	file os.FileInfo           // of the file, when it was read; of the goroutine that reads it
}

// key is one of them. Its digest is compared, which has the same length for all.
type key struct {
	name   string // for the log
	digest [sha256.Size]byte
}

// maxKeyFile bounds the file of keys.
const maxKeyFile = 1 << 20

// read takes the keys given and those of a file: a line each, with a name before the key if one is wanted. Lines that begin with # are
// left out.
func (k *keyring) read(given []string, path string) error {
	if len(given) == 0 && path == "" {
		return nil
	}
	var keys []key
	add := func(name, value string) { keys = append(keys, key{name, sha256.Sum256([]byte(value))}) }
	for i, value := range given {
		if value == "" {
			return errors.New("serve: a key is empty")
		}
		add(fmt.Sprintf("key %d", i+1), value)
	}
	if path != "" {
		info, err := os.Stat(path)
		if err != nil {
			return files.PathError(err)
		}
		content, err := files.ReadFile(path, maxKeyFile)
		if err != nil {
			return err
		}
		line := 0
		for text := range strings.SplitSeq(string(content), "\n") {
			line++
			fields := strings.Fields(text)
			switch {
			case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
			case len(fields) == 1:
				add(fmt.Sprintf("line %d", line), fields[0])
			case len(fields) == 2:
				add(fields[0], fields[1])
			default:
				return fmt.Errorf("%s:%d: %d words, want a key, or a name and a key", path, line, len(fields))
			}
		}
		k.file = info
	}
	if len(keys) == 0 {
		return fmt.Errorf("%s: there is no key in it: nobody could use the server", path)
	}
	k.keys.Store(&keys)
	return nil
}

// changed reports whether the file is another than the one that was read.
func (k *keyring) changed(path string) bool {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false // it is about to be replaced, or the keys stay as they are
	}
	return err == nil && (k.file == nil || !os.SameFile(info, k.file) || info.Size() != k.file.Size() || !info.ModTime().Equal(k.file.ModTime()))
}

// authorize checks the key of a call, as Authorization has it, or X-Api-Key or Api-Key. How long that takes depends on no key.
func (c *call) authorize() error {
	keys := c.s.keys.keys.Load()
	if keys == nil {
		return nil
	}
	h := c.r.Header
	given := ""
	if scheme, value, ok := strings.Cut(h.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		given = strings.TrimSpace(value)
	}
	for _, name := range []string{"X-Api-Key", "Api-Key"} {
		if given == "" {
			given = h.Get(name)
		}
	}
	digest := sha256.Sum256([]byte(given))
	found := -1
	for i := range *keys {
		equal := subtle.ConstantTimeCompare(digest[:], (*keys)[i].digest[:])
		found = subtle.ConstantTimeSelect(equal, i, found)
	}
	switch {
	case given == "":
		return errorf(Unauthorized, "there is no key: want the header Authorization: Bearer KEY")
	case found < 0:
		return errorf(Unauthorized, "the key is not known")
	}
	c.key = (*keys)[found].name
	return nil
}
