package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/lazyregexp"
)

// isIndex reports whether file is the index of a sharded checkpoint: JSON, where safetensors has a header length.
func isIndex(file []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(file[:min(len(file), sampleHead)], " \t\r\n"), []byte("{")) && !safetensorsStart(file)
}

// addShards adds the files that the index at path names. Index and shards must agree tensor by tensor; if they don't, the folder
// mixes files of different checkpoints.
func (f *File) addShards(path string, index []byte, load loader) error {
	shardOf, err := parseIndex(index)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, shard := range slices.Compact(slices.Sorted(maps.Values(shardOf))) {
		shardPath := filepath.Join(filepath.Dir(path), shard)
		data, err := f.load(shardPath, load)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: shard %q is missing", path, shard)
		}
		if err != nil {
			return err
		}
		before := len(f.tensors)
		if err := f.add(shardPath, data); err != nil {
			return err
		}
		for _, t := range f.tensors[before:] {
			if shardOf[t.Name] != shard {
				return fmt.Errorf("%s: tensor %s is not in this shard according to the index %s", shardPath, quoted(t.Name), filepath.Base(path))
			}
			delete(shardOf, t.Name)
		}
	}
	if len(shardOf) > 0 {
		name := slices.Min(slices.Collect(maps.Keys(shardOf)))
		return fmt.Errorf("%s: tensor %s is missing, but the index %s places it here", filepath.Join(filepath.Dir(path), shardOf[name]), quoted(name), filepath.Base(path))
	}
	return nil
}

// maxFileName is the longest name that file systems allow.
const maxFileName = 255

// parseIndex reads the index of a sharded checkpoint: the shard of each tensor. It does not check metadata.total_size against
// the shards, because some published indexes count tied weights twice.
func parseIndex(index []byte) (map[string]string, error) {
	var (
		r       = &jsonReader{text: index}
		used    ledger
		shardOf map[string]string
		shards  = map[string]string{} // each name once, however many tensors are in the shard
	)
	err := r.object(nil, func(key string) error {
		if err := used.name(key, false); err != nil {
			return err
		}
		if key != "weight_map" {
			return inside(quoted(key), r.skip())
		}
		shardOf = map[string]string{}
		return inside(key, r.object(func(name string) bool { _, ok := shardOf[name]; return !ok }, func(name string) error {
			if err := used.name(name, true); err != nil {
				return err
			}
			shard, err := r.string("a file name")
			if err == nil && (!filepath.IsLocal(shard) || strings.ContainsAny(shard, "/\\\x00") || len(shard) > maxFileName) {
				err = fmt.Errorf("shard %s is not a file name in the index's folder", quoted(shard))
			}
			if _, ok := shards[shard]; !ok {
				shards[shard] = shard
			}
			shardOf[name] = shards[shard]
			return inside("tensor "+quoted(name), err)
		}))
	})
	if err == nil {
		err = r.end()
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("index: %w", err)
	case shardOf == nil:
		return nil, errors.New("JSON without a weight_map: not the index of a sharded checkpoint")
	}
	return shardOf, nil
}

// WriteSharded writes tensors into the folder dir as Hugging Face's libraries do: base-00001-of-00003.safetensors and so on,
// none with more than maxShardBytes bytes of data unless a single tensor has more, and base.safetensors.index.json, which
// says where each tensor is. Shards are filled in the order of tensors; each has the metadata. If everything fits in one
// shard, WriteSharded writes base.safetensors without an index.
//
// Existing files of those names are replaced, and left-over shards of base are removed, so that dir holds one checkpoint. All
// files are on disk under temporary names before that begins: a full disk leaves the old checkpoint. A crash while they are
// renamed leaves the old checkpoint, the new one, or no index, never a mixture.
func WriteSharded(dir, base string, tensors []Tensor, metadata map[string]string, maxShardBytes int64) error {
	// The header of the whole is encoded only for its checks: no name may occur twice, even in different shards.
	_, _, err := encodeHeader(tensors, metadata)
	if err == nil {
		err = checkData(tensors)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, base+".safetensors"), err)
	}
	s := sharding{dir: dir, base: base, suffix: ".safetensors", limit: maxShardBytes}
	return s.write(tensors, func(path string, tensors []Tensor) error { return WriteSafetensors(path, tensors, metadata) })
}

// WriteTorchSharded is like WriteSharded, but writes files of [WriteTorch]: base.bin, or base-00001-of-00003.bin and so on with
// base.bin.index.json.
func WriteTorchSharded(dir, base string, tensors []Tensor, maxShardBytes int64) error {
	if _, err := sortByName(tensors); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, base+".bin"), err)
	}
	s := sharding{dir: dir, base: base, suffix: ".bin", limit: maxShardBytes}
	return s.write(tensors, WriteTorch)
}

// A sharding holds the folder, the names and the size limit of the shards of a checkpoint.
type sharding struct {
	dir, base, suffix string
	limit             int64 // bytes of data in a shard
}

func (s *sharding) write(tensors []Tensor, write func(path string, tensors []Tensor) error) error {
	if !filepath.IsLocal(s.base) || strings.ContainsAny(s.base, "/\\\x00") {
		return fmt.Errorf("%q is not a file name", s.base)
	}
	if s.limit <= 0 {
		return fmt.Errorf("the limit of a shard is %d bytes, want at least 1", s.limit)
	}
	s.dir = filepath.Clean(s.dir)
	dir := s.dir
	single := filepath.Join(dir, s.base+s.suffix)
	index := single + ".index.json"
	shards := split(tensors, s.limit)
	if len(shards) == 1 {
		if err := write(single, tensors); err != nil {
			return err
		}
		return s.removeOthers(nil, index)
	}
	staging := files.TempName(single)
	if err := os.Mkdir(staging, 0o777); err != nil {
		return withPath(err, dir)
	}
	defer os.RemoveAll(staging)
	var total int64
	var names []string
	shardOf := map[string]string{}
	for i, shard := range shards {
		name := fmt.Sprintf("%s-%05d-of-%05d%s", s.base, i+1, len(shards), s.suffix)
		if err := write(filepath.Join(staging, name), shard); err != nil {
			return withPath(err, filepath.Join(dir, name))
		}
		for _, t := range shard {
			total += int64(len(t.Data))
			shardOf[t.Name] = name
		}
		names = append(names, name)
	}
	if err := writeIndex(filepath.Join(staging, filepath.Base(index)), total, shardOf); err != nil {
		return withPath(err, index)
	}
	// An existing single file, which Open prefers, stays valid until the end.
	if err := publish(staging, dir, names, index); err != nil {
		return err
	}
	return s.removeOthers(names, single)
}

// publish moves the complete files in staging into dir, the index last. Each state of dir is on disk before the next: a new file
// must never appear with an old index, nor the new index with an old file.
func publish(staging, dir string, names []string, index string) error {
	if err := remove(index); err != nil {
		return err
	}
	if err := files.SyncDir(dir); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Rename(filepath.Join(staging, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := files.SyncDir(dir); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(staging, filepath.Base(index)), index); err != nil {
		return err
	}
	return files.SyncDir(dir)
}

func writeIndex(path string, totalSize int64, shardOf map[string]string) error {
	return files.WriteFile(path, 0o666, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"metadata": map[string]int64{"total_size": totalSize}, "weight_map": shardOf})
	})
}

// withPath replaces the temporary path in an error by the final one.
func withPath(err error, path string) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		pathErr.Path = path
	}
	return err
}

// split fills shards of at most limit bytes of data in the order of tensors. A larger tensor is a shard of its own. There is
// at least one shard.
func split(tensors []Tensor, limit int64) [][]Tensor {
	var shards [][]Tensor
	var shard []Tensor
	var size int64
	for _, t := range tensors {
		n := int64(len(t.Data))
		if n > limit {
			shards = append(shards, []Tensor{t})
			continue
		}
		if n > limit-size {
			shards = append(shards, shard)
			shard, size = nil, 0
		}
		shard = append(shard, t)
		size += n
	}
	if len(shard) > 0 || len(shards) == 0 {
		shards = append(shards, shard)
	}
	return shards
}

// shardNumbers matches the part of a shard's name between the base name and the suffix.
var shardNumbers = lazyregexp.New(`^-\d{5,}-of-\d{5,}$`)

// removeOthers removes the file other, and all shards in the folder except those in keep.
func (s *sharding) removeOthers(keep []string, other string) error {
	if err := remove(other); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), s.base)
		numbers, isShard := strings.CutSuffix(rest, s.suffix)
		if ok && isShard && shardNumbers().MatchString(numbers) && !slices.Contains(keep, e.Name()) {
			if err := remove(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return files.SyncDir(s.dir)
}

// remove removes a file, if it exists.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
