// Package vectors reads vectors that any program may have written: a table of numbers, NumPy's .npy, or a safetensors file.
package vectors

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/message"
)

// Set is vectors of the same length.
//
// Legend: N vectors, D dimensions.
type Set struct {
	Rows, Columns int       // N, D
	Values        []float64 // [N,D]
	// Records are the columns of a table that are no numbers, and those that were asked for, with a row for each vector; nil of
	// other files.
	Records *data.Records
}

// Options say how vectors are read. The zero value is good.
type Options struct {
	// Tensor is the name of a tensor [N,D] of a safetensors file; "": its only one of two dimensions.
	Tensor string
	// Table says how a table is read: data.ReadRecords has what of it counts.
	Table data.TableOptions
	// Keep are columns of a table that are no dimensions, even if they hold numbers.
	Keep []string
}

// Read reads the vectors in a file: .npy; .safetensors; or a table that data.ReadRecords reads, of which each column of numbers
// is a dimension. A table needs no header where its first line has numbers alone.
func Read(ctx context.Context, path string, o Options) (*Set, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".npy":
		return readNPY(path)
	case ".safetensors":
		return readTensor(path, o.Tensor)
	}
	r, err := data.ReadRecords(ctx, path, o.Table)
	if err != nil {
		return nil, err
	}
	return fromRecords(path, r, o.Keep)
}

// fromRecords takes the columns of numbers for dimensions.
func fromRecords(path string, r *data.Records, keep []string) (*Set, error) {
	for _, k := range keep {
		if r.Column(k) < 0 {
			return nil, fmt.Errorf("%s: no column %s; the columns are %s", path, message.Quote(k), message.QuoteAll(r.Columns[:min(len(r.Columns), 20)]))
		}
	}
	// A first line of numbers is no header, unless it counts the columns, as pandas does.
	if !slices.ContainsFunc(r.Columns, func(c string) bool { _, ok := number(c); return !ok }) && !counts(r.Columns) {
		r.Rows = append([][]string{slices.Clone(r.Columns)}, r.Rows...)
		r.Lines = append([]int{1}, r.Lines...)
		for i := range r.Columns {
			r.Columns[i] = strconv.Itoa(i + 1)
		}
	}
	var dimensions, rest []int
	for c, name := range r.Columns {
		// A column without a name is pandas' index.
		if _, ok := number(r.Rows[0][c]); ok && name != "" && !slices.Contains(keep, name) {
			dimensions = append(dimensions, c)
		} else {
			rest = append(rest, c)
		}
	}
	if len(dimensions) == 0 {
		return nil, fmt.Errorf("%s: no column of numbers in the first record", path)
	}
	s := &Set{Rows: len(r.Rows), Columns: len(dimensions), Values: make([]float64, 0, len(r.Rows)*len(dimensions))}
	kept := &data.Records{Lines: r.Lines}
	for _, c := range rest {
		kept.Columns = append(kept.Columns, r.Columns[c])
	}
	for i, row := range r.Rows {
		for _, c := range dimensions {
			v, ok := number(row[c])
			if !ok {
				return nil, fmt.Errorf("%s:%d: %s in column %s, which has a number in the first record", path, r.Lines[i], message.Quote(row[c]), message.Quote(r.Columns[c]))
			}
			s.Values = append(s.Values, v)
		}
		fields := make([]string, len(rest))
		for j, c := range rest {
			fields[j] = row[c]
		}
		kept.Rows = append(kept.Rows, fields)
	}
	if len(rest) > 0 {
		s.Records = kept
	}
	return s, nil
}

// counts reports whether names are 0, 1, 2, …
func counts(names []string) bool {
	for i, name := range names {
		if name != strconv.Itoa(i) {
			return false
		}
	}
	return true
}

// number parses a finite number.
func number(text string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return v, err == nil && !math.IsInf(v, 0) && !math.IsNaN(v)
}

// readTensor reads a tensor of a safetensors file.
func readTensor(path, name string) (_ *Set, err error) {
	f, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, f.Close()) }()
	var found *checkpoint.Tensor
	if name != "" {
		t, ok := f.Lookup(name)
		if !ok {
			return nil, fmt.Errorf("%s: no tensor %s", path, message.Quote(name))
		}
		if len(t.Shape) != 2 {
			return nil, fmt.Errorf("%s: tensor %s has the shape %v, want two dimensions: vectors, and their numbers", path, message.Quote(name), t.Shape)
		}
		found = t
	} else {
		var names []string
		all := f.Tensors()
		for i := range all {
			if len(all[i].Shape) == 2 {
				found = &all[i]
				names = append(names, all[i].Name)
			}
		}
		switch {
		case len(names) == 0:
			return nil, fmt.Errorf("%s: no tensor of two dimensions: vectors, and their numbers", path)
		case len(names) > 1:
			return nil, fmt.Errorf("%s: %d tensors of two dimensions, like %s: name the one to take", path, len(names), message.QuoteAll(names[:min(len(names), 3)]))
		}
	}
	values := make([]float32, found.Len())
	if err := found.Float32(values); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &Set{Rows: found.Shape[0], Columns: found.Shape[1], Values: make([]float64, len(values))}
	for i, v := range values {
		s.Values[i] = float64(v)
	}
	return s, nil
}
