package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-bert/bert/internal/files"
)

// WriteSafetensors writes tensors and metadata as one safetensors file. The file replaces the one at path atomically, once it is
// on disk: after an error the old file is unchanged.
//
// The same tensors and metadata give the same bytes, whatever their order: as in the reference implementation, tensors are
// sorted by type, the largest elements first, then by name. Since the header is padded to a multiple of 8 bytes, the elements
// of every tensor are aligned.
func WriteSafetensors(path string, tensors []Tensor, metadata map[string]string) error {
	sorted, header, err := encodeHeader(tensors, metadata)
	if err == nil {
		err = checkData(tensors)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return files.WriteFile(path, 0o666, func(w io.Writer) error {
		if _, err := w.Write(header); err != nil {
			return err
		}
		for _, t := range sorted {
			if _, err := w.Write(t.Data); err != nil {
				return err
			}
		}
		return nil
	})
}

// WriteSafetensorsFrom is WriteSafetensors for tensors without Data, which write writes instead when it is their turn in the file: in
// the order of their types and names. i is the place of the tensor in tensors. A tensor that gets another number of bytes than its
// shape says is an error.
func WriteSafetensorsFrom(path string, tensors []Tensor, metadata map[string]string, write func(i int, w io.Writer) error) error {
	sorted, header, err := encodeHeader(tensors, metadata)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	places := make(map[string]int, len(tensors))
	for i := range tensors {
		places[tensors[i].Name] = i
	}
	return files.WriteFile(path, 0o666, func(w io.Writer) error {
		if _, err := w.Write(header); err != nil {
			return err
		}
		for _, t := range sorted {
			counted := &counter{w: w}
			if err := write(places[t.Name], counted); err != nil {
				return err
			}
			if want, _ := byteSize(t.DType, t.Shape); counted.n != want {
				return fmt.Errorf("tensor %s: %d bytes of data, want %d", quoted(t.Name), counted.n, want)
			}
		}
		return nil
	})
}

// counter counts the bytes that it writes.
type counter struct {
	w io.Writer
	n int
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += n
	return n, err
}

// checkData reports tensors that have not as much data as their shapes say.
func checkData(tensors []Tensor) error {
	for i := range tensors {
		if err := tensors[i].check(); err != nil {
			return fmt.Errorf("tensor %s: %w", quoted(tensors[i].Name), err)
		}
	}
	return nil
}

// encodeHeader returns the tensors in the order of the file, and the bytes before their data, of which they need have none yet.
func encodeHeader(tensors []Tensor, metadata map[string]string) ([]Tensor, []byte, error) {
	sorted := slices.SortedFunc(slices.Values(tensors), func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(b.DType, a.DType), strings.Compare(a.Name, b.Name))
	})
	names := map[string]bool{}
	h := bytes.NewBuffer(make([]byte, 8)) // room for the length, which is set at the end
	h.WriteByte('{')
	if len(metadata) > 0 {
		for _, k := range slices.Sorted(maps.Keys(metadata)) {
			if !utf8.ValidString(k) || !utf8.ValidString(metadata[k]) {
				return nil, nil, fmt.Errorf("metadata %s: not UTF-8", quoted(k))
			}
		}
		fmt.Fprintf(h, "%s:%s", quote(metadataKey), quote(metadata))
	}
	end := 0
	for i := range sorted {
		t := &sorted[i]
		size, err := t.size()
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", quoted(t.Name), err)
		}
		if names[t.Name] {
			return nil, nil, fmt.Errorf("tensor %s appears twice", quoted(t.Name))
		}
		names[t.Name] = true
		if h.Len() > len("12345678{") {
			h.WriteByte(',')
		}
		shape := strings.ReplaceAll(fmt.Sprint(t.Shape), " ", ",")
		fmt.Fprintf(h, `%s:{"dtype":"%v","shape":%s,"data_offsets":[%d,%d]}`, quote(t.Name), t.DType, shape, end, end+size)
		end += size
	}
	h.WriteByte('}')
	for h.Len()%8 != 0 {
		h.WriteByte(' ')
	}
	n := h.Len() - 8
	if n > maxHeader {
		return nil, nil, fmt.Errorf("the header has %d bytes, the format allows at most %d", n, maxHeader)
	}
	binary.LittleEndian.PutUint64(h.Bytes(), uint64(n))
	return sorted, h.Bytes(), nil
}

// size is the number of bytes of data that t has to have, or an error for anything else that would make a written tensor unreadable.
func (t *Tensor) size() (int, error) {
	switch {
	case !t.DType.valid():
		return 0, fmt.Errorf("%v is not an element type", t.DType)
	case t.Name == metadataKey:
		return 0, errors.New("the name is reserved")
	case !utf8.ValidString(t.Name):
		return 0, errors.New("the name is not UTF-8")
	case strings.ContainsRune(t.Name, 0):
		return 0, errors.New("NUL in the name")
	case len(t.Name) > maxKey:
		return 0, fmt.Errorf("the name has %d bytes, want at most %d", len(t.Name), maxKey)
	case len(t.Shape) > maxDims:
		return 0, fmt.Errorf("%d dimensions, want at most %d", len(t.Shape), maxDims)
	}
	return byteSize(t.DType, t.Shape)
}

// check reports anything that would make a written tensor unreadable.
func (t *Tensor) check() error {
	size, err := t.size()
	if err == nil && size != len(t.Data) {
		err = fmt.Errorf("%v with shape %s has %d bytes of data, want %d", t.DType, shapeText(t.Shape), len(t.Data), size)
	}
	return err
}

// sortByName returns the tensors sorted by name, after checking each. Duplicate names are an error.
func sortByName(tensors []Tensor) ([]Tensor, error) {
	sorted := slices.SortedFunc(slices.Values(tensors), func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	for i := range sorted {
		if err := sorted[i].check(); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", quoted(sorted[i].Name), err)
		}
		if i > 0 && sorted[i].Name == sorted[i-1].Name {
			return nil, fmt.Errorf("tensor %s appears twice", quoted(sorted[i].Name))
		}
	}
	return sorted, nil
}

// quote returns the JSON of a string, or of a map of strings with its keys sorted.
func quote[T string | map[string]string](v T) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // strings always encode
	}
	return bytes.TrimSpace(b.Bytes())
}
