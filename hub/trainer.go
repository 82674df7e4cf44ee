package hub

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/lazyregexp"
)

// checkpointName matches the folders in which the Trainer of Hugging Face's transformers saves the model, each after a number of
// steps (PREFIX_CHECKPOINT_DIR of trainer_utils.py).
var checkpointName = lazyregexp.New(`^checkpoint-([0-9]{1,18})$`)

// adapterConfig and adapterWeights are the files of an adapter, which a Trainer saves without the model.
const adapterConfig = "adapter_config.json"

var adapterWeights = []string{"adapter_model.safetensors", "adapter_model.bin"}

// newestCheckpoint is the newest whole checkpoint in the output folder of a Trainer, by its number of steps, and names the newer
// ones that are not whole. A folder that is none, or has a model beside the checkpoints, has none. The Trainer writes a checkpoint
// file by file, so a process that was killed leaves one that is not whole.
func newestCheckpoint(dir string) (name string, damaged []string, err error) {
	if holdsModel(dir) || slices.ContainsFunc(slices.Concat(weights, adapterWeights), func(name string) bool { return exists(filepath.Join(dir, name)) }) {
		return "", nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", nil, nil // a file
	}
	type checkpoint struct {
		name string
		step int64
	}
	var all []checkpoint
	for _, e := range entries {
		if m := checkpointName().FindStringSubmatch(e.Name()); m != nil && e.IsDir() {
			step, _ := strconv.ParseInt(m[1], 10, 64) // of few enough digits
			all = append(all, checkpoint{e.Name(), step})
		}
	}
	slices.SortFunc(all, func(a, b checkpoint) int { return cmp.Compare(b.step, a.step) })
	var reason error
	for _, c := range all {
		err := whole(filepath.Join(dir, c.name))
		if err == nil {
			return c.name, damaged, nil
		}
		damaged = append(damaged, c.name)
		reason = cmp.Or(reason, err)
	}
	if reason != nil {
		return "", nil, fmt.Errorf("%s: no checkpoint in this folder is whole; of the newest: %w", dir, reason)
	}
	return "", nil, nil
}

// whole reports what a checkpoint lacks.
func whole(dir string) error {
	config, kinds := "", weights
	for _, name := range append([]string{adapterConfig}, configNames...) {
		if config == "" && exists(filepath.Join(dir, name)) {
			config = name
		}
	}
	switch config {
	case "":
		return fmt.Errorf("%s: no %s", dir, strings.Join(configNames, " and no "))
	case adapterConfig:
		kinds = adapterWeights
	}
	if data, err := files.ReadFile(filepath.Join(dir, config), maxJSON); err != nil {
		return err
	} else if !json.Valid(data) {
		return fmt.Errorf("%s: it is cut short, or no JSON", filepath.Join(dir, config))
	}
	i := slices.IndexFunc(kinds, func(name string) bool { return exists(filepath.Join(dir, name)) })
	if i < 0 {
		return fmt.Errorf("%s: no file of weights (%s)", dir, strings.Join(kinds, ", "))
	}
	parts := []string{kinds[i]}
	if strings.HasSuffix(kinds[i], shardIndex) {
		index := filepath.Join(dir, kinds[i])
		var err error
		if parts, err = readShards(index); err != nil {
			return fmt.Errorf("%s: %w", index, err)
		}
		for _, part := range parts {
			if !isFileName(part) {
				return fmt.Errorf("%s: it names the file %.60q, which is no plain name", index, part)
			}
		}
	}
	for _, part := range parts {
		if err := wholeWeights(filepath.Join(dir, part)); err != nil {
			return err
		}
	}
	return nil
}

// wholeWeights reports a file of weights that is missing or cut short, by what its format says of its end.
func wholeWeights(path string) error {
	f, err := files.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return files.PathError(err)
	}
	size := info.Size()
	short := fmt.Errorf("%s: it is cut short at %d bytes", path, size)
	if size == 0 {
		return short
	}
	if filepath.Ext(path) != ".safetensors" {
		// An archive of PyTorch ends with its directory, of which the end has 22 bytes. The older format is a row of pickles,
		// which only says at its end that it ends.
		var head [4]byte
		var tail [22]byte
		if _, err := f.ReadAt(head[:], 0); err != nil || string(head[:]) != "PK\x03\x04" {
			return nil
		}
		if _, err := f.ReadAt(tail[:], max(0, size-int64(len(tail)))); err != nil || string(tail[:4]) != "PK\x05\x06" {
			return short
		}
		return nil
	}
	var length [8]byte
	if _, err := f.ReadAt(length[:], 0); err != nil {
		return short
	}
	n := binary.LittleEndian.Uint64(length[:])
	const most = 100_000_000 // of a header, as the format says
	if n > most {
		return fmt.Errorf("%s: its header has %d bytes, want at most %d", path, n, most)
	}
	if int64(n) > size-int64(len(length)) {
		return short
	}
	end, err := lastByte(io.NewSectionReader(f, int64(len(length)), int64(n)))
	switch {
	case err != nil:
		return fmt.Errorf("%s: its header is damaged", path)
	case end > size-int64(len(length))-int64(n):
		return short
	}
	return nil
}

// lastByte is where the tensors of a safetensors header end, from where they begin. It reads one after another.
func lastByte(header io.Reader) (end int64, err error) {
	d := json.NewDecoder(header)
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return 0, errors.Join(errors.New("no object"), err)
	}
	for d.More() {
		if _, err := d.Token(); err != nil { // its name
			return 0, err
		}
		var tensor struct {
			Offsets []int64 `json:"data_offsets"`
		}
		if err := d.Decode(&tensor); err != nil {
			return 0, err
		}
		if len(tensor.Offsets) == 2 {
			end = max(end, tensor.Offsets[1])
		}
	}
	_, err = d.Token()
	return end, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
