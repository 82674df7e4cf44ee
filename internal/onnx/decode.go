package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of what is read, far beyond any BERT, so that a file can't ask for more memory than a small multiple of its size.
const (
	maxEntries = 1 << 20 // nodes, and initializers
	maxRank    = 64
)

// Read reads a model from the bytes of its file, which it must not outlive: tensors lie in them. Every tensor that holds its
// elements has as many as type and shape say, but for types that have no Size, whose elements are left out. An error says in
// which part of the model something is wrong.
func Read(file []byte) (*Model, error) {
	m := &Model{}
	graphs := 0
	err := fields(file, func(f field) (err error) {
		switch f.number {
		case modelIRVersion:
			m.IRVersion, err = f.int()
		case modelProducerName:
			m.ProducerName, err = f.string()
		case modelOpsetImport:
			err = within("opset_import", f.message(m.readOpset))
		case modelGraph:
			// A second one would be merged into the first by a protobuf library; nobody writes that.
			if graphs++; graphs > 1 {
				return errors.New("graph comes twice")
			}
			err = within("graph", f.message(m.Graph.read))
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case graphs == 0:
		return nil, errors.New("no graph")
	}
	return m, nil
}

func (m *Model) readOpset(file []byte) error {
	var (
		domain  string
		version int64
	)
	err := fields(file, func(f field) (err error) {
		switch f.number {
		case opsetDomain:
			domain, err = f.string()
		case opsetVersion:
			version, err = f.int()
		}
		return err
	})
	if domain == "" || domain == "ai.onnx" {
		m.Opset = version
	}
	return err
}

func (g *Graph) read(file []byte) error {
	return fields(file, func(f field) (err error) {
		switch f.number {
		case graphName:
			g.Name, err = f.string()
		case graphNode:
			var n Node
			if err := f.message(n.read); err != nil {
				return fmt.Errorf("node %d: %w", len(g.Nodes), err)
			}
			if len(g.Nodes) == maxEntries {
				return fmt.Errorf("more than %d nodes", maxEntries)
			}
			g.Nodes = append(g.Nodes, n)
		case graphInitializer:
			var t Tensor
			if err := f.message(t.read); err != nil {
				return fmt.Errorf("tensor %d %q: %w", len(g.Initializers), t.Name, err)
			}
			if len(g.Initializers) == maxEntries {
				return fmt.Errorf("more than %d tensors", maxEntries)
			}
			g.Initializers = append(g.Initializers, t)
		}
		return err
	})
}

func (n *Node) read(file []byte) error {
	err := fields(file, func(f field) (err error) {
		var s string
		switch f.number {
		case nodeInput:
			s, err = f.string()
			n.Inputs = append(n.Inputs, s)
		case nodeOutput:
			s, err = f.string()
			n.Outputs = append(n.Outputs, s)
		case nodeName:
			n.Name, err = f.string()
		case nodeOpType:
			n.OpType, err = f.string()
		case nodeDomain:
			n.Domain, err = f.string()
		case nodeAttribute:
			var a Attribute
			err = within("attribute", f.message(a.read))
			n.Attributes = append(n.Attributes, a)
		}
		return err
	})
	if err == nil && n.OpType == "" {
		err = errors.New("no op_type")
	}
	return err
}

func (a *Attribute) read(file []byte) error {
	return fields(file, func(f field) (err error) {
		switch f.number {
		case attributeName:
			a.Name, err = f.string()
		case attributeType:
			var v int64
			v, err = f.int()
			a.Type = AttributeType(v)
		case attributeInt:
			a.Int, err = f.int()
		case attributeFloat:
			if f.wire != protowire.Fixed32Type {
				return f.wrong()
			}
			a.Float = math.Float32frombits(uint32(f.value))
		case attributeInts:
			err = f.ints(func(v uint64) { a.Ints = append(a.Ints, int64(v)) })
		case attributeTensor:
			a.Tensor = &Tensor{}
			err = within("tensor", f.message(a.Tensor.read))
		}
		return err
	})
}

func (t *Tensor) read(file []byte) error {
	// The fields that elements may stand in. A packed list is the elements one after the other, so that lists in several
	// pieces, or not packed, are joined as bytes.
	var (
		raw, floats, doubles, int32s, int64s, uint64s []byte
		hasRaw                                        bool
		location                                      int64
		external                                      External
	)
	external.Length = -1
	err := fields(file, func(f field) (err error) {
		switch f.number {
		case tensorName:
			t.Name, err = f.string()
		case tensorDataType:
			var v int64
			v, err = f.int()
			t.Type = ElementType(v)
		case tensorDims:
			err = f.ints(func(v uint64) {
				if len(t.Shape) <= maxRank {
					t.Shape = append(t.Shape, int64(v))
				}
			})
			if len(t.Shape) > maxRank {
				err = fmt.Errorf("more than %d dimensions", maxRank)
			}
		case tensorSegment:
			err = errors.New("is one of several segments, which are not supported")
		case tensorRawData:
			hasRaw = true
			raw, err = f.bytes()
		case tensorFloatData:
			floats, err = f.list(floats, protowire.Fixed32Type)
		case tensorDoubleData:
			doubles, err = f.list(doubles, protowire.Fixed64Type)
		case tensorInt32Data:
			int32s, err = f.list(int32s, protowire.VarintType)
		case tensorInt64Data:
			int64s, err = f.list(int64s, protowire.VarintType)
		case tensorUint64Data:
			uint64s, err = f.list(uint64s, protowire.VarintType)
		case tensorExternalData:
			err = within("external_data", f.message(external.read))
		case tensorDataLocation:
			location, err = f.int()
		}
		return err
	})
	if err != nil {
		return err
	}
	size, ok := byteSize(t.Type, t.Shape)
	if !ok {
		return fmt.Errorf("shape %v is not that of anything in memory", t.Shape)
	}
	width := t.Type.Size()
	switch {
	case location == locationExternal:
		if external.Location == "" {
			return errors.New("is in another file, but not said in which")
		}
		t.External = &external
		return nil
	case width == 0:
		return nil
	case hasRaw:
		t.Raw = raw
	case t.Type == Float:
		t.Raw = floats
	case t.Type == Double:
		t.Raw = doubles
	case t.Type == Int64:
		t.Raw, err = widen(int64s, width, size)
	case t.Type == Uint64 || t.Type == Uint32:
		t.Raw, err = widen(uint64s, width, size)
	default:
		t.Raw, err = widen(int32s, width, size)
	}
	if err == nil && int64(len(t.Raw)) != size {
		err = fmt.Errorf("%d bytes of data, type %d with shape %v has %d", len(t.Raw), t.Type, t.Shape, size)
	}
	return err
}

// widen turns varints into little-endian elements of width bytes, size bytes in all.
func widen(varints []byte, width, size int64) ([]byte, error) {
	if int64(len(varints)) < size/width { // each takes a byte at least
		return nil, fmt.Errorf("%d bytes of numbers, want %d numbers", len(varints), size/width)
	}
	elements := make([]byte, 0, size)
	for len(varints) > 0 {
		v, n := protowire.ConsumeVarint(varints)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		if int64(len(elements)) == size {
			return nil, fmt.Errorf("more than %d numbers", size/width)
		}
		varints = varints[n:]
		var le [8]byte
		binary.LittleEndian.PutUint64(le[:], v)
		elements = append(elements, le[:width]...)
	}
	return elements, nil
}

func (e *External) read(file []byte) error {
	var key, value string
	err := fields(file, func(f field) (err error) {
		switch f.number {
		case entryKey:
			key, err = f.string()
		case entryValue:
			value, err = f.string()
		}
		return err
	})
	if err != nil {
		return err
	}
	number := func(n *int64) error {
		v, err := strconv.ParseInt(value, 10, 64)
		if err != nil || v < 0 {
			return fmt.Errorf("%s is %q, want a number of bytes", key, value)
		}
		*n = v
		return nil
	}
	switch key {
	case "location":
		e.Location = value
	case "offset":
		return number(&e.Offset)
	case "length":
		return number(&e.Length)
	}
	return nil // checksum, and what a later version adds
}

// A field is one field of a message.
type field struct {
	number protowire.Number
	wire   protowire.Type
	value  uint64 // of a number
	data   []byte // of bytes, a text or a message; of a varint its bytes
}

// fields calls visit for each field of a message, in the order of the file.
func fields(m []byte, visit func(field) error) error {
	for len(m) > 0 {
		number, wire, n := protowire.ConsumeTag(m)
		if n < 0 {
			return protowire.ParseError(n)
		}
		m = m[n:]
		f := field{number: number, wire: wire}
		switch wire {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(m)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(m)
			f.value = uint64(v)
		case protowire.Fixed64Type:
			f.value, n = protowire.ConsumeFixed64(m)
		case protowire.BytesType:
			f.data, n = protowire.ConsumeBytes(m)
		default:
			return fmt.Errorf("field %d has the wire type %d, which ONNX does not use", number, wire)
		}
		if n < 0 {
			return fmt.Errorf("field %d: %w", number, protowire.ParseError(n))
		}
		if wire != protowire.BytesType {
			f.data = m[:n:n]
		}
		m = m[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

func (f field) wrong() error {
	return fmt.Errorf("field %d has the wrong wire type %d", f.number, f.wire)
}

func (f field) int() (int64, error) {
	if f.wire != protowire.VarintType {
		return 0, f.wrong()
	}
	return int64(f.value), nil
}

func (f field) bytes() ([]byte, error) {
	if f.wire != protowire.BytesType {
		return nil, f.wrong()
	}
	return f.data[:len(f.data):len(f.data)], nil
}

func (f field) string() (string, error) {
	data, err := f.bytes()
	return string(data), err
}

func (f field) message(read func([]byte) error) error {
	data, err := f.bytes()
	if err != nil {
		return err
	}
	return read(data)
}

// ints calls visit with the numbers of a list, packed or not.
func (f field) ints(visit func(uint64)) error {
	switch f.wire {
	case protowire.VarintType:
		visit(f.value)
		return nil
	case protowire.BytesType:
		for list := f.data; len(list) > 0; {
			v, n := protowire.ConsumeVarint(list)
			if n < 0 {
				return fmt.Errorf("field %d: %w", f.number, protowire.ParseError(n))
			}
			visit(v)
			list = list[n:]
		}
		return nil
	}
	return f.wrong()
}

// list adds the field's bytes to those of the list before it: a packed list, or one element that is encoded as wire.
func (f field) list(before []byte, wire protowire.Type) ([]byte, error) {
	if f.wire != wire && f.wire != protowire.BytesType {
		return nil, f.wrong()
	}
	if before == nil {
		return f.data[:len(f.data):len(f.data)], nil
	}
	return append(before, f.data...), nil
}

func within(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
