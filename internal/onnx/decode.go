package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/go-bert/bert/internal/proto"
)

// Limits on a file, far beyond any BERT, so that it can't make Read allocate more than a small multiple of its size.
const (
	maxEntries = 1 << 20 // of nodes, and of initializers
	maxRank    = 64
)

// Read reads a model from the bytes of its file. The tensors alias these bytes, so the model must not outlive them. Each
// tensor that holds its elements has as many as its type and shape say; elements of types without a Size are left out. An
// error names the part of the model that is wrong.
func Read(file []byte) (*Model, error) {
	m := &Model{}
	graphs := 0
	err := proto.Fields(file, func(f proto.Field) (err error) {
		switch f.Number {
		case modelIRVersion:
			m.IRVersion, err = integer(f)
		case modelProducerName:
			m.ProducerName, err = f.Text()
		case modelOpsetImport:
			err = within("opset_import", f.Message(m.readOpset))
		case modelGraph:
			// A protobuf library would merge a second graph into the first; no exporter writes one.
			if graphs++; graphs > 1 {
				return errors.New("more than one graph")
			}
			err = within("graph", f.Message(m.Graph.read))
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
	err := proto.Fields(file, func(f proto.Field) (err error) {
		switch f.Number {
		case opsetDomain:
			domain, err = f.Text()
		case opsetVersion:
			version, err = integer(f)
		}
		return err
	})
	if domain == "" || domain == "ai.onnx" {
		m.Opset = version
	}
	return err
}

func (g *Graph) read(file []byte) error {
	return proto.Fields(file, func(f proto.Field) (err error) {
		switch f.Number {
		case graphName:
			g.Name, err = f.Text()
		case graphNode:
			var n Node
			if err := f.Message(n.read); err != nil {
				return fmt.Errorf("node %d: %w", len(g.Nodes), err)
			}
			if len(g.Nodes) == maxEntries {
				return fmt.Errorf("more than %d nodes", maxEntries)
			}
			g.Nodes = append(g.Nodes, n)
		case graphInitializer:
			var t Tensor
			if err := f.Message(t.read); err != nil {
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
	err := proto.Fields(file, func(f proto.Field) (err error) {
		var s string
		switch f.Number {
		case nodeInput:
			s, err = f.Text()
			n.Inputs = append(n.Inputs, s)
		case nodeOutput:
			s, err = f.Text()
			n.Outputs = append(n.Outputs, s)
		case nodeName:
			n.Name, err = f.Text()
		case nodeOpType:
			n.OpType, err = f.Text()
		case nodeDomain:
			n.Domain, err = f.Text()
		case nodeAttribute:
			var a Attribute
			err = within("attribute", f.Message(a.read))
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
	return proto.Fields(file, func(f proto.Field) (err error) {
		switch f.Number {
		case attributeName:
			a.Name, err = f.Text()
		case attributeType:
			var v int64
			v, err = integer(f)
			a.Type = AttributeType(v)
		case attributeInt:
			a.Int, err = integer(f)
		case attributeFloat:
			var v uint32
			v, err = f.Fixed32()
			a.Float = math.Float32frombits(v)
		case attributeInts:
			err = ints(f, func(v uint64) { a.Ints = append(a.Ints, int64(v)) })
		case attributeTensor:
			a.Tensor = &Tensor{}
			err = within("tensor", f.Message(a.Tensor.read))
		}
		return err
	})
}

func (t *Tensor) read(file []byte) error {
	// The fields that may hold the elements. A packed list is its elements end to end, so lists in several pieces, or not
	// packed, can be joined as bytes.
	var (
		raw, floats, doubles, int32s, int64s, uint64s []byte
		hasRaw                                        bool
		location                                      int64
		external                                      External
	)
	external.Length = -1
	err := proto.Fields(file, func(f proto.Field) (err error) {
		switch f.Number {
		case tensorName:
			t.Name, err = f.Text()
		case tensorDataType:
			var v int64
			v, err = integer(f)
			t.Type = ElementType(v)
		case tensorDims:
			err = ints(f, func(v uint64) {
				if len(t.Shape) <= maxRank {
					t.Shape = append(t.Shape, int64(v))
				}
			})
			if len(t.Shape) > maxRank {
				err = fmt.Errorf("more than %d dimensions", maxRank)
			}
		case tensorSegment:
			err = errors.New("is split into segments, which are not supported")
		case tensorRawData:
			hasRaw = true
			raw, err = f.Bytes()
		case tensorFloatData:
			floats, err = list(f, floats, protowire.Fixed32Type)
		case tensorDoubleData:
			doubles, err = list(f, doubles, protowire.Fixed64Type)
		case tensorInt32Data:
			int32s, err = list(f, int32s, protowire.VarintType)
		case tensorInt64Data:
			int64s, err = list(f, int64s, protowire.VarintType)
		case tensorUint64Data:
			uint64s, err = list(f, uint64s, protowire.VarintType)
		case tensorExternalData:
			err = within("external_data", f.Message(external.read))
		case tensorDataLocation:
			location, err = integer(f)
		}
		return err
	})
	if err != nil {
		return err
	}
	size, ok := byteSize(t.Type, t.Shape)
	if !ok {
		return fmt.Errorf("shape %v is negative or too large", t.Shape)
	}
	width := t.Type.Size()
	switch {
	case location == locationExternal:
		if external.Location == "" {
			return errors.New("is in another file, which is not named")
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
		err = fmt.Errorf("%d bytes of data, want %d for type %d with shape %v", len(t.Raw), size, t.Type, t.Shape)
	}
	return err
}

// widen turns varints into little-endian elements of width bytes, size bytes in all.
func widen(varints []byte, width, size int64) ([]byte, error) {
	if int64(len(varints)) < size/width { // each takes at least a byte
		return nil, fmt.Errorf("%d bytes can't hold %d numbers", len(varints), size/width)
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
	err := proto.Fields(file, func(f proto.Field) (err error) {
		switch f.Number {
		case entryKey:
			key, err = f.Text()
		case entryValue:
			value, err = f.Text()
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
	return nil // checksum, and keys of later versions
}

func integer(f proto.Field) (int64, error) {
	v, err := f.Varint()
	return int64(v), err
}

// ints calls visit with each number of a list, packed or not.
func ints(f proto.Field, visit func(uint64)) error {
	switch f.Type {
	case protowire.VarintType:
		visit(f.Value)
		return nil
	case protowire.BytesType:
		for list := f.Data; len(list) > 0; {
			v, n := protowire.ConsumeVarint(list)
			if n < 0 {
				return fmt.Errorf("field %d: %w", f.Number, protowire.ParseError(n))
			}
			visit(v)
			list = list[n:]
		}
		return nil
	}
	return f.Wrong()
}

// list appends the field's bytes to those of the list so far. The field is a packed list, or one element with wire type wire.
func list(f proto.Field, before []byte, wire protowire.Type) ([]byte, error) {
	if f.Type != wire && f.Type != protowire.BytesType {
		return nil, f.Wrong()
	}
	if before == nil {
		return f.Data, nil
	}
	return append(before, f.Data...), nil
}

func within(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
