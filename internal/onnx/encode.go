package onnx

import (
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxSize is the maximal length of a protobuf message, and so of a model in one file.
const MaxSize = math.MaxInt32

// Write writes m. Tensors are written one at a time; the Write function of a tensor is called when its elements are due.
func Write(w io.Writer, m *Model) error {
	g := &m.Graph
	var front, back message // of the graph, before and after the initializers
	for i := range g.Nodes {
		front.message(graphNode, g.Nodes[i].encode())
	}
	front.string(graphName, g.Name)
	for i := range g.Inputs {
		back.message(graphInput, g.Inputs[i].encode())
	}
	for i := range g.Outputs {
		back.message(graphOutput, g.Outputs[i].encode())
	}

	// The length of a message precedes it. It can be computed without the elements: their size follows from the shape.
	var (
		heads  = make([]message, len(g.Initializers)) // each tensor without its elements
		sizes  = make([]int64, len(g.Initializers))
		length = int64(len(front) + len(back))
	)
	for i := range g.Initializers {
		t := &g.Initializers[i]
		size, ok := byteSize(t.Type, t.Shape)
		if !ok || t.Type.Size() == 0 || t.External != nil {
			return fmt.Errorf("tensor %q: type %d with shape %v can't be written", t.Name, t.Type, t.Shape)
		}
		sizes[i] = size
		content := t.encodeHead()
		heads[i].tag(graphInitializer, protowire.BytesType)
		heads[i] = protowire.AppendVarint(heads[i], uint64(len(content))+uint64(size))
		heads[i] = append(heads[i], content...)
		length += int64(len(heads[i])) + size
	}
	var start, opset message
	start.int(modelIRVersion, m.IRVersion)
	start.string(modelProducerName, m.ProducerName)
	start.tag(modelGraph, protowire.BytesType)
	start = protowire.AppendVarint(start, uint64(length))
	opset.int(opsetVersion, m.Opset) // the domain "" is omitted, like any empty string
	back.message(modelOpsetImport, opset)
	if total := int64(len(start)+len(opset)) + length; total > MaxSize {
		return fmt.Errorf("the model needs %d bytes, but an ONNX file holds at most %d", total, int64(MaxSize))
	}
	if _, err := w.Write(append(start, front...)); err != nil {
		return err
	}
	for i := range g.Initializers {
		t := &g.Initializers[i]
		raw := t.Raw
		if t.Write != nil {
			var err error
			if raw, err = t.Write(); err != nil {
				return fmt.Errorf("tensor %q: %w", t.Name, err)
			}
		}
		if int64(len(raw)) != sizes[i] {
			return fmt.Errorf("tensor %q: %d bytes of data, want %d for shape %v", t.Name, len(raw), sizes[i], t.Shape)
		}
		if _, err := w.Write(heads[i]); err != nil {
			return err
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	_, err := w.Write(back)
	return err
}

// message is an encoded protobuf message.
type message []byte

func (m *message) tag(field protowire.Number, t protowire.Type) {
	*m = protowire.AppendTag(*m, field, t)
}

func (m *message) int(field protowire.Number, v int64) {
	m.tag(field, protowire.VarintType)
	*m = protowire.AppendVarint(*m, uint64(v))
}

// string appends a string field. An empty string is omitted: it is the default value.
func (m *message) string(field protowire.Number, s string) {
	if s != "" {
		m.tag(field, protowire.BytesType)
		*m = protowire.AppendString(*m, s)
	}
}

// element appends an element of a list of strings. It may be empty: an optional input that is not given.
func (m *message) element(field protowire.Number, s string) {
	m.tag(field, protowire.BytesType)
	*m = protowire.AppendString(*m, s)
}

func (m *message) message(field protowire.Number, v message) {
	m.tag(field, protowire.BytesType)
	*m = protowire.AppendBytes(*m, v)
}

func (n *Node) encode() message {
	var m message
	for _, name := range n.Inputs {
		m.element(nodeInput, name)
	}
	for _, name := range n.Outputs {
		m.element(nodeOutput, name)
	}
	m.string(nodeName, n.Name)
	m.string(nodeOpType, n.OpType)
	for i := range n.Attributes {
		m.message(nodeAttribute, n.Attributes[i].encode())
	}
	m.string(nodeDomain, n.Domain)
	return m
}

func (a *Attribute) encode() message {
	var m message
	m.string(attributeName, a.Name)
	switch a.Type {
	case FloatAttribute:
		m.tag(attributeFloat, protowire.Fixed32Type)
		m = protowire.AppendFixed32(m, math.Float32bits(a.Float))
	case IntAttribute:
		m.int(attributeInt, a.Int)
	case IntsAttribute:
		for _, v := range a.Ints {
			m.int(attributeInts, v)
		}
	}
	m.int(attributeType, int64(a.Type))
	return m
}

// encodeHead encodes the tensor up to its elements; it ends with the tag and the length of raw_data.
func (t *Tensor) encodeHead() message {
	var m message
	for _, d := range t.Shape {
		m.int(tensorDims, d)
	}
	m.int(tensorDataType, int64(t.Type))
	m.string(tensorName, t.Name)
	size, _ := byteSize(t.Type, t.Shape)
	m.tag(tensorRawData, protowire.BytesType)
	return protowire.AppendVarint(m, uint64(size))
}

func (v *ValueInfo) encode() message {
	var shape message
	for _, d := range v.Shape {
		var dim message
		if d.Param != "" {
			dim.string(dimParam, d.Param)
		} else {
			dim.int(dimValue, d.Value)
		}
		shape.message(shapeDim, dim)
	}
	var tensorType, valueType, m message
	tensorType.int(tensorTypeElem, int64(v.Type))
	tensorType.message(tensorTypeShape, shape)
	valueType.message(typeTensor, tensorType)
	m.string(valueInfoName, v.Name)
	m.message(valueInfoType, valueType)
	return m
}
