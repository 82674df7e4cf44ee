package checkpoint

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxHeader is the limit of the reference implementation, safetensors/src/tensor.rs, MAX_HEADER_SIZE.
const maxHeader = 100_000_000

// metadataKey is the one member of a header that is not a tensor.
const metadataKey = "__metadata__"

// parseSafetensors reads a whole safetensors file. The Data of the tensors alias file.
func parseSafetensors(file []byte) ([]Tensor, map[string]string, error) {
	if len(file) < 8 {
		return nil, nil, fmt.Errorf("%d bytes are too few for any weight file: truncated?", len(file))
	}
	n := binary.LittleEndian.Uint64(file)
	// Checked first: n may be any number.
	if fits := n <= uint64(len(file)-8); !fits || n < 2 || file[8] != '{' {
		switch {
		case len(file) > 8 && file[8] != '{':
			return nil, nil, errors.New("not a weight file: it does not begin like any known format (the ninth byte of safetensors is a {)")
		case !fits:
			return nil, nil, fmt.Errorf("the header claims %d bytes, the file has %d: truncated?", n, len(file))
		default:
			return nil, nil, fmt.Errorf("the header claims %d bytes, too few for a JSON object", n)
		}
	}
	if n > maxHeader {
		return nil, nil, fmt.Errorf("the header claims %d bytes, the format allows at most %d", n, maxHeader)
	}
	tensors, metadata, err := parseHeader(file[8:8+n], file[8+n:])
	if err != nil {
		return nil, nil, err
	}
	return tensors, metadata, nil
}

// parseHeader reads the header of a safetensors file whose data is data, and checks that the tensors fill data.
func parseHeader(header, data []byte) ([]Tensor, map[string]string, error) {
	if !utf8.Valid(header) {
		return nil, nil, errors.New("the header is not UTF-8")
	}
	var (
		r        = &jsonReader{text: header}
		entries  []entry
		used     ledger
		metadata = map[string]string{}
	)
	err := r.object(nil, func(key string) error {
		if key == metadataKey {
			if r.null() { // some writers of an optional map
				return nil
			}
			return inside(metadataKey, r.object(func(key string) bool { _, ok := metadata[key]; return !ok }, func(key string) error {
				if err := used.name(key, false); err != nil {
					return err
				}
				value, err := r.string("a string")
				metadata[key] = value
				return inside(quoted(key), err)
			}))
		}
		if err := used.name(key, true); err != nil {
			return err
		}
		e := entry{name: key}
		if err := e.parse(r); err != nil {
			return fmt.Errorf("tensor %s: %w", quoted(key), err)
		}
		entries = append(entries, e)
		return nil
	})
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	tensors, err := place(entries, data)
	if err != nil {
		return nil, nil, err
	}
	return tensors, metadata, nil
}

// An entry is the header's entry of one tensor.
type entry struct {
	name       string
	dtype      DType
	shape      []int
	begin, end int // in the data
}

func (e *entry) parse(r *jsonReader) error {
	var hasShape, hasOffsets bool
	err := r.object(nil, func(key string) error {
		switch key {
		case "dtype":
			name, err := r.string("a string")
			if err != nil {
				return inside("dtype", err)
			}
			var ok bool
			if e.dtype, ok = parseDType(name); !ok {
				return fmt.Errorf("dtype %s is not supported, want one of %s", quoted(name), dtypeNames())
			}
			return nil
		case "shape":
			hasShape = true
			var err error
			e.shape, err = r.ints(maxDims)
			return inside("shape", err)
		case "data_offsets":
			hasOffsets = true
			offsets, err := r.ints(maxDims)
			if err == nil && len(offsets) != 2 {
				err = fmt.Errorf("%d numbers, want 2", len(offsets))
			}
			if err != nil {
				return inside("data_offsets", err)
			}
			e.begin, e.end = offsets[0], offsets[1]
			return nil
		default:
			return fmt.Errorf("unknown key %s", quoted(key))
		}
	})
	switch {
	case err != nil:
		return err
	case e.dtype == 0:
		return errors.New("no dtype")
	case !hasShape:
		return errors.New("no shape")
	case !hasOffsets:
		return errors.New("no data_offsets")
	case strings.ContainsRune(e.name, 0):
		return errors.New("NUL in the name")
	}
	size, err := byteSize(e.dtype, e.shape)
	switch {
	case err != nil:
		return err
	case e.begin < 0 || e.end < e.begin:
		return fmt.Errorf("data_offsets [%d, %d] are not a range", e.begin, e.end)
	case e.end-e.begin != size:
		return fmt.Errorf("data_offsets [%d, %d] hold %d bytes, want %d for %v with shape %s", e.begin, e.end, e.end-e.begin, size, e.dtype, shapeText(e.shape))
	}
	return nil
}

// place assigns the tensors their data, which they must fill without gaps or overlaps.
func place(entries []entry, data []byte) ([]Tensor, error) {
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), strings.Compare(a.name, b.name))
	})
	tensors := make([]Tensor, len(entries))
	at, before := 0, ""
	for i, e := range entries {
		switch {
		case e.end > len(data):
			return nil, fmt.Errorf("tensor %s: data_offsets [%d, %d] go beyond the %d bytes of data in the file: truncated?", quoted(e.name), e.begin, e.end, len(data))
		case e.begin < at:
			return nil, fmt.Errorf("tensor %s: data_offsets [%d, %d] overlap tensor %s, which ends at %d", quoted(e.name), e.begin, e.end, quoted(before), at)
		case e.begin > at:
			return nil, fmt.Errorf("tensor %s: data_offsets [%d, %d] leave a hole after byte %d of the data", quoted(e.name), e.begin, e.end, at)
		}
		tensors[i] = Tensor{Name: e.name, DType: e.dtype, Shape: e.shape, Data: data[e.begin:e.end:e.end]}
		at, before = e.end, e.name
	}
	if at != len(data) {
		return nil, fmt.Errorf("%d bytes of data after the end of the last tensor", len(data)-at)
	}
	return tensors, nil
}

func dtypeNames() string {
	var names []string
	for d := Bool; d.valid(); d++ {
		names = append(names, d.String())
	}
	return strings.Join(names, " ")
}

// inside prefixes an error with the place where it was found.
func inside(where string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", where, err)
}
