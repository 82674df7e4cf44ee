package distill

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-bert/bert/internal/files"
)

// cache keeps on disk what a teacher said of sequences, in a folder of its own for each teacher and question. A file has what a step
// added, and appears whole or not at all; what is damaged is computed again. Once the bytes of all teachers reach the bound, folders of
// other teachers go, those that were used longest ago first; then nothing more is added.
//
// A file is cacheMagic, the number of entries, and for each its key, the number of its values and the CRC-32C of their bytes; then the
// CRC-32C of all that, and the values as float32, end to end. Numbers are little-endian of 4 bytes.
type cache struct {
	dir, own string // of all teachers, and of this one
	bound    int64  // bytes
	size     int64  // of all teachers
	full     bool
	index    map[cacheKey]place
	note     func(string)
	buffer   []byte
}

type cacheKey [sha256.Size]byte

type cacheEntry struct {
	key    cacheKey
	values [][]float32
}

// place is where the values of a key are.
type place struct {
	file   string
	offset int64
	values int
	sum    uint32
}

const (
	cacheMagic  = "bert distill 1\n"
	cacheSuffix = ".said"
	entrySize   = sha256.Size + 4 + 4
	// maxCacheFile bounds what is read of a file at once.
	maxCacheFile = 1 << 31
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openCache opens the folder of a teacher in dir, which is made if it is not there.
func openCache(dir string, teacher [sha256.Size]byte, bound int64, note func(string)) (*cache, error) {
	c := &cache{dir: dir, own: filepath.Join(dir, hex.EncodeToString(teacher[:16])), bound: bound, index: make(map[cacheKey]place), note: note}
	if err := os.MkdirAll(c.own, 0o777); err != nil {
		return nil, files.PathError(err)
	}
	now := time.Now()
	if err := os.Chtimes(c.own, now, now); err != nil {
		return nil, files.PathError(err)
	}
	names, err := filepath.Glob(filepath.Join(c.dir, "*", "*"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case err != nil: // another run has removed it
		case files.IsTemp(filepath.Base(name)) && now.Sub(info.ModTime()) > time.Hour: // a killed process left it
			_ = os.Remove(name)
		case filepath.Ext(name) == cacheSuffix:
			c.size += info.Size()
			if filepath.Dir(name) != c.own {
				continue
			}
			if err := c.open(name); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// open reads which entries a file has. One that is damaged is removed.
func (c *cache) open(name string) error {
	f, err := files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return files.PathError(err)
	}
	places, err := readEntries(f, info.Size())
	if err != nil {
		c.note(fmt.Sprintf("%s is damaged (%v): what was in it is computed again", name, err))
		c.size -= info.Size()
		return files.PathError(os.Remove(name))
	}
	for key, p := range places {
		p.file = name
		c.index[key] = p
	}
	return nil
}

// readEntries reads the beginning of a file of a size.
func readEntries(r io.ReaderAt, size int64) (map[cacheKey]place, error) {
	head := make([]byte, len(cacheMagic)+4)
	if _, err := r.ReadAt(head, 0); err != nil || string(head[:len(cacheMagic)]) != cacheMagic {
		return nil, errors.New("it does not begin as such a file does")
	}
	n := int64(binary.LittleEndian.Uint32(head[len(cacheMagic):]))
	begin := int64(len(head)) + n*entrySize
	if begin+4 > size || size > maxCacheFile {
		return nil, fmt.Errorf("it has %d bytes, which %d entries don't have", size, n)
	}
	table := make([]byte, begin+4)
	if _, err := r.ReadAt(table, 0); err != nil {
		return nil, err
	}
	if crc32.Checksum(table[:begin], castagnoli) != binary.LittleEndian.Uint32(table[begin:]) {
		return nil, errors.New("its contents have changed")
	}
	places := make(map[cacheKey]place, n)
	at := begin + 4
	for e := table[len(head):begin]; len(e) > 0; e = e[entrySize:] {
		p := place{offset: at, values: int(binary.LittleEndian.Uint32(e[sha256.Size:])), sum: binary.LittleEndian.Uint32(e[sha256.Size+4:])}
		places[cacheKey(e[:sha256.Size])] = p
		at += 4 * int64(p.values)
	}
	if at != size {
		return nil, fmt.Errorf("it has %d bytes, want %d", size, at)
	}
	return places, nil
}

// read fills values with what is kept for a key. It reports whether that is there, and whole.
func (c *cache) read(key cacheKey, values [][]float32) bool {
	p, ok := c.index[key]
	if !ok {
		return false
	}
	n := 0
	for _, v := range values {
		n += len(v)
	}
	delete(c.index, key) // unless it is whole
	f, err := os.Open(p.file)
	if errors.Is(err, fs.ErrNotExist) { // another run has made room
		return false
	}
	if err == nil {
		defer f.Close()
		c.buffer = slices.Grow(c.buffer[:0], 4*n)[:4*n]
		_, err = f.ReadAt(c.buffer, p.offset)
	}
	if err != nil || n != p.values || crc32.Checksum(c.buffer, castagnoli) != p.sum {
		c.note(fmt.Sprintf("%s is damaged: what was in it is computed again", p.file))
		return false
	}
	rest := c.buffer
	for _, v := range values {
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(rest[4*i:]))
		}
		rest = rest[4*len(v):]
	}
	c.index[key] = p
	return true
}

// mostWritten bounds the values of a file, so that open takes it, and that little memory is needed for it.
const mostWritten = 64 << 20

// write adds files of entries, if there is room for them.
func (c *cache) write(entries []cacheEntry) error {
	from, values := 0, 0
	for i, e := range entries {
		n := 0
		for _, v := range e.values {
			n += 4 * len(v)
		}
		if values+n > mostWritten && i > from {
			if err := c.writeFile(entries[from:i]); err != nil {
				return err
			}
			from, values = i, 0
		}
		values += n
	}
	return c.writeFile(entries[from:])
}

// writeFile adds a file of entries, if there is room for it.
func (c *cache) writeFile(entries []cacheEntry) error {
	if c.full {
		return nil
	}
	head := append([]byte(cacheMagic), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(head[len(cacheMagic):], uint32(len(entries)))
	var data []byte
	for _, e := range entries {
		from := len(data)
		for _, v := range e.values {
			for _, x := range v {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
			}
		}
		head = append(head, e.key[:]...)
		head = binary.LittleEndian.AppendUint32(head, uint32((len(data)-from)/4))
		head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(data[from:], castagnoli))
	}
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	size := int64(len(head) + len(data))
	if err := c.makeRoom(size); err != nil || c.full {
		return err
	}
	// The same entries have the same name: what replaces a file is as good.
	id := sha256.Sum256(head)
	name := filepath.Join(c.own, hex.EncodeToString(id[:16])+cacheSuffix)
	err := files.WriteFile(name, 0o666, func(w io.Writer) error {
		_, err := io.Copy(w, io.MultiReader(bytes.NewReader(head), bytes.NewReader(data)))
		return err
	})
	if err != nil {
		return files.PathError(err)
	}
	c.size += size
	return c.open(name)
}

// makeRoom removes what other teachers said until there is room for size more bytes; where that doesn't help, the cache is full.
func (c *cache) makeRoom(size int64) error {
	if c.size+size <= c.bound {
		return nil
	}
	folders, err := c.others()
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if c.size+size <= c.bound {
			return nil
		}
		names, err := filepath.Glob(filepath.Join(folder, "*"+cacheSuffix))
		if err != nil {
			return err
		}
		for _, name := range names {
			if info, err := os.Stat(name); err == nil && os.Remove(name) == nil {
				c.size -= info.Size()
			}
		}
		// A folder that has something else in it stays.
		_ = os.Remove(folder)
	}
	if c.size+size > c.bound {
		c.full = true
		c.note(fmt.Sprintf("%s has reached its bound of %d MB: what the teacher says from here on is not kept", c.dir, c.bound>>20))
	}
	return nil
}

// others are the folders of other teachers, those first that were opened longest ago.
func (c *cache) others() ([]string, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, files.PathError(err)
	}
	type folder struct {
		path string
		used time.Time
	}
	var list []folder
	for _, e := range entries {
		path := filepath.Join(c.dir, e.Name())
		if _, err := hex.DecodeString(e.Name()); err != nil || !e.IsDir() || path == c.own {
			continue
		}
		if info, err := e.Info(); err == nil {
			list = append(list, folder{path, info.ModTime()})
		}
	}
	slices.SortFunc(list, func(a, b folder) int {
		if by := a.used.Compare(b.used); by != 0 {
			return by
		}
		return strings.Compare(a.path, b.path)
	})
	paths := make([]string, len(list))
	for i, f := range list {
		paths[i] = f.path
	}
	return paths, nil
}
