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
	maxEntries = 1 << 20 // of nodes, of initializers, and of the parts of nodes
	maxRank    = 64
	// maxMemory is what all parts of a model may take in memory, in bytes beside the size of the file. A node of two bytes is
	// 120 in memory, but the elements of a real model's tensors outweigh its nodes, and those are not copied.
	maxMemory = 12 << 20
)

// The sizes of the parts in memory, in bytes.
const (
	nodeSize      = 120
	tensorSize    = 88
	attributeSize = 72
	valueInfoSize = 48
	stringSize    = 16
)

// A budget is what the parts of a model may still take.
type budget struct {
	bytes   int
	entries int
}

var errTooMuch = errors.New("the graph has more parts than that of any model of its size")

// spend takes an entry of n bytes off the budget.
func (b *budget) spend(n int) error {
	b.entries--
	if b.bytes -= n; b.bytes < 0 || b.entries < 0 {
		return errTooMuch
	}
	return nil
}

// text reads a string, and takes it off the budget.
func (b *budget) text(f proto.Field) (string, error) {
	if err := b.spend(stringSize + len(f.Data)); err != nil {
		return "", err
	}
	return f.Text()
}

// Read reads a model from the bytes of its file. The tensors alias these bytes, so the model must not outlive them. Each
// tensor that holds its elements has as many as its type and shape say; elements of types without a Size are left out. An
// error names the part of the model that is wrong.
func Read(file []byte) (*Model, error) {
	m := &Model{}
	b := &budget{bytes: maxMemory + len(file), entries: maxEntries}
	graphs := 0
	err := proto.Fields(file, func(f proto.Field) (err error) {
		switch f.Number {
		case modelIRVersion:
			m.IRVersion, err = integer(f)
		case modelProducerName:
			m.ProducerName, err = b.text(f)
		case modelOpsetImport:
			err = within("opset_import", f.Message(m.readOpset))
		case modelGraph:
			// A protobuf library would merge a second graph into the first; no exporter writes one.
			if graphs++; graphs > 1 {
				return errors.New("more than one graph")
			}
			err = within("graph", f.Message(func(file []byte) error { return m.Graph.read(file, b) }))
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

func (g *Graph) read(file []byte, b *budget) error {
	return proto.Fields(file, func(f proto.Field) (err error) {
		switch f.Number {
		case graphName:
			g.Name, err = b.text(f)
		case graphNode:
			var n Node
			if err := b.spend(2 * nodeSize); err != nil { // with what a growing slice leaves free
				return err
			}
			if err := f.Message(func(file []byte) error { return n.read(file, b) }); err != nil {
				return fmt.Errorf("node %d: %w", len(g.Nodes), err)
			}
			g.Nodes = append(g.Nodes, n)
		case graphInput, graphOutput:
			var v ValueInfo
			if err := b.spend(2 * valueInfoSize); err != nil {
				return err
			}
			if err := f.Message(func(file []byte) error { return v.read(file, b) }); err != nil {
				return within("inputs and outputs", err)
			}
			if f.Number == graphInput {
				g.Inputs = append(g.Inputs, v)
			} else {
				g.Outputs = append(g.Outputs, v)
			}
		case graphInitializer:
			var t Tensor
			if err := b.spend(2 * tensorSize); err != nil {
				return err
			}
			if err := f.Message(func(file []byte) error { return t.read(file, b) }); err != nil {
				return fmt.Errorf("tensor %d %q: %w", len(g.Initializers), clip(t.Name), err)
			}
			g.Initializers = append(g.Initializers, t)
		}
		return err
	})
}

// read reads the name: types and shapes are not needed to find the weights.
func (v *ValueInfo) read(file []byte, b *budget) error {
	return proto.Fields(file, func(f proto.Field) (err error) {
		if f.Number == valueInfoName {
			v.Name, err = b.text(f)
		}
		return err
	})
}

func (n *Node) read(file []byte, b *budget) error {
	err := proto.Fields(file, func(f proto.Field) (err error) {
		var s string
		switch f.Number {
		case nodeInput:
			s, err = b.text(f)
			n.Inputs = append(n.Inputs, s)
		case nodeOutput:
			s, err = b.text(f)
			n.Outputs = append(n.Outputs, s)
		case nodeName:
			n.Name, err = b.text(f)
		case nodeOpType:
			n.OpType, err = b.text(f)
		case nodeDomain:
			n.Domain, err = b.text(f)
		case nodeAttribute:
			var a Attribute
			if err := b.spend(2 * attributeSize); err != nil {
				return err
			}
			err = within("attribute", f.Message(func(file []byte) error { return a.read(file, b) }))
			n.Attributes = append(n.Attributes, a)
		}
		return err
	})
	if err == nil && n.OpType == "" {
		err = errors.New("no op_type")
	}
	return err
}

func (a *Attribute) read(file []byte, b *budget) error {
	return proto.Fields(file, func(f proto.Field) (err error) {
		switch f.Number {
		case attributeName:
			a.Name, err = b.text(f)
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
			err = ints(f, func(v uint64) error {
				a.Ints = append(a.Ints, int64(v))
				return b.spend(2 * 8)
			})
		case attributeTensor:
			if err := b.spend(tensorSize); err != nil {
				return err
			}
			a.Tensor = &Tensor{}
			err = within("tensor", f.Message(func(file []byte) error { return a.Tensor.read(file, b) }))
		}
		return err
	})
}

func (t *Tensor) read(file []byte, b *budget) error {
	// The fields that may hold the elements. A packed list is its elements end to end, so lists in several pieces, or not
	// packed, can be joined as bytes.
	var (
		raw                                      []byte
		floats, doubles, int32s, int64s, uint64s numberList
		hasRaw                                   bool
		location                                 int64
		external                                 External
	)
	external.Length = -1
	err := proto.Fields(file, func(f proto.Field) (err error) {
		switch f.Number {
		case tensorName:
			t.Name, err = b.text(f)
		case tensorDataType:
			var v int64
			v, err = integer(f)
			t.Type = ElementType(v)
		case tensorDims:
			err = ints(f, func(v uint64) error {
				if len(t.Shape) == maxRank {
					return fmt.Errorf("more than %d dimensions", maxRank)
				}
				t.Shape = append(t.Shape, int64(v))
				return b.spend(8)
			})
		case tensorSegment:
			err = errors.New("is split into segments, which are not supported")
		case tensorRawData:
			hasRaw = true
			raw, err = f.Bytes()
		case tensorFloatData:
			err = floats.add(f, protowire.Fixed32Type, b)
		case tensorDoubleData:
			err = doubles.add(f, protowire.Fixed64Type, b)
		case tensorInt32Data:
			err = int32s.add(f, protowire.VarintType, b)
		case tensorInt64Data:
			err = int64s.add(f, protowire.VarintType, b)
		case tensorUint64Data:
			err = uint64s.add(f, protowire.VarintType, b)
		case tensorExternalData:
			err = within("external_data", f.Message(func(file []byte) error { return external.read(file, b) }))
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
		return fmt.Errorf("shape %s is negative or too large", shapeText(t.Shape))
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
		t.Raw = floats.bytes
	case t.Type == Double:
		t.Raw = doubles.bytes
	case t.Type == Int64:
		t.Raw, err = b.widen(int64s.bytes, width, size)
	case t.Type == Uint64 || t.Type == Uint32:
		t.Raw, err = b.widen(uint64s.bytes, width, size)
	default:
		t.Raw, err = b.widen(int32s.bytes, width, size)
	}
	if err == nil && int64(len(t.Raw)) != size {
		err = fmt.Errorf("%d bytes of data, want %d for type %d with shape %s", len(t.Raw), size, t.Type, shapeText(t.Shape))
	}
	return err
}

// widen turns varints into little-endian elements of width bytes, size bytes in all.
func (b *budget) widen(varints []byte, width, size int64) ([]byte, error) {
	if int64(len(varints)) < size/width { // each takes at least a byte
		return nil, fmt.Errorf("%d bytes can't hold %d numbers", len(varints), size/width)
	}
	if err := b.spend(int(size)); err != nil {
		return nil, err
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

func (e *External) read(file []byte, b *budget) error {
	var key, value string
	err := proto.Fields(file, func(f proto.Field) (err error) {
		switch f.Number {
		case entryKey:
			key, err = b.text(f)
		case entryValue:
			value, err = b.text(f)
		}
		return err
	})
	if err != nil {
		return err
	}
	number := func(n *int64) error {
		v, err := strconv.ParseInt(value, 10, 64)
		if err != nil || v < 0 {
			return fmt.Errorf("%s is %q, want a number of bytes", key, clip(value))
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

// ints calls visit with each number of a list, packed or not, until a call returns an error.
func ints(f proto.Field, visit func(uint64) error) error {
	switch f.Type {
	case protowire.VarintType:
		return visit(f.Value)
	case protowire.BytesType:
		for list := f.Data; len(list) > 0; {
			v, n := protowire.ConsumeVarint(list)
			if n < 0 {
				return fmt.Errorf("field %d: %w", f.Number, protowire.ParseError(n))
			}
			if err := visit(v); err != nil {
				return err
			}
			list = list[n:]
		}
		return nil
	}
	return f.Wrong()
}

// A numberList is a list of numbers in one or more pieces.
type numberList struct {
	bytes  []byte
	joined bool // bytes is no part of the file, but memory of its own
}

// add appends the field's bytes to the list. The field is a packed list, or one element with wire type wire.
func (l *numberList) add(f proto.Field, wire protowire.Type, b *budget) error {
	if f.Type != wire && f.Type != protowire.BytesType {
		return f.Wrong()
	}
	if l.bytes == nil {
		l.bytes = f.Data
		return nil
	}
	size := len(f.Data)
	if !l.joined {
		size += len(l.bytes)
		l.joined = true
	}
	if b.bytes -= size; b.bytes < 0 {
		return errTooMuch
	}
	l.bytes = append(l.bytes, f.Data...)
	return nil
}

func within(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// clip shortens a string from a file, for an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// shapeText is a shape for an error: its first dimensions.
func shapeText(shape []int64) string {
	const most = 8
	if len(shape) <= most {
		return fmt.Sprint(shape)
	}
	return fmt.Sprintf("%v and %d more dimensions", shape[:most], len(shape)-most)
}
