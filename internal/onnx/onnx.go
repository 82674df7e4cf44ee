// Package onnx reads and writes ONNX models: graphs of operators with named tensors. It knows the file format, as far as a
// BERT needs it, but not what a graph computes.
//
// The format is the protobuf message ModelProto of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Types and fields
// have the names used there, without "Proto". The message is read and written field by field, without generated code.
package onnx

import "math"

// A Model is a ModelProto.
type Model struct {
	IRVersion    int64
	ProducerName string
	// Opset is the version of the standard operators: that of the opset_import whose domain is "" or "ai.onnx".
	Opset int64
	Graph Graph
}

// A Graph is a GraphProto. Its nodes are in topological order.
type Graph struct {
	Name         string
	Nodes        []Node
	Initializers []Tensor
	// Inputs and Outputs are written whole. Of them only the names are read.
	Inputs, Outputs []ValueInfo
}

// A Node is a NodeProto: an operator with the names of its inputs and outputs.
type Node struct {
	Name, OpType, Domain string
	Inputs, Outputs      []string
	Attributes           []Attribute
}

// An Attribute is an AttributeProto: a constant of an operator. Type says which of the values is set.
type Attribute struct {
	Name   string
	Type   AttributeType
	Int    int64
	Float  float32
	Ints   []int64
	Tensor *Tensor
}

// AttributeType is AttributeProto.AttributeType.
type AttributeType int32

// The attribute types that have a field in [Attribute]. Of other types only Name and Type are read.
const (
	FloatAttribute  AttributeType = 1
	IntAttribute    AttributeType = 2
	TensorAttribute AttributeType = 4
	IntsAttribute   AttributeType = 7
)

// IntAttr returns an integer attribute.
func IntAttr(name string, v int64) Attribute {
	return Attribute{Name: name, Type: IntAttribute, Int: v}
}

// FloatAttr returns a float attribute.
func FloatAttr(name string, v float32) Attribute {
	return Attribute{Name: name, Type: FloatAttribute, Float: v}
}

// IntsAttr returns an attribute that is a list of integers.
func IntsAttr(name string, v ...int64) Attribute {
	return Attribute{Name: name, Type: IntsAttribute, Ints: v}
}

// Attribute returns the attribute with a name, or nil if the node has none.
func (n *Node) Attribute(name string) *Attribute {
	for i := range n.Attributes {
		if n.Attributes[i].Name == name {
			return &n.Attributes[i]
		}
	}
	return nil
}

// A Tensor is a TensorProto: a named array of numbers in row-major order.
type Tensor struct {
	Name  string
	Type  ElementType
	Shape []int64
	// Raw holds the elements, little-endian, without gaps. After Read it may alias the file's bytes.
	Raw []byte
	// Write, if set, supplies the elements instead of Raw when the model is written, so that a large model need not be in
	// memory twice. It must return as many bytes as the type and shape say.
	Write func() ([]byte, error)
	// External says where the elements are if they are in another file; nil if the tensor holds them itself.
	External *External
}

// External is external_data: the place of elements that are not in the model's file.
type External struct {
	Location string // a path relative to the folder of the model's file
	Offset   int64  // in bytes
	Length   int64  // in bytes; −1 if not given: to the end of the file
}

// ElementType is TensorProto.DataType.
type ElementType int32

// The element types.
const (
	Float    ElementType = 1
	Uint8    ElementType = 2
	Int8     ElementType = 3
	Uint16   ElementType = 4
	Int16    ElementType = 5
	Int32    ElementType = 6
	Int64    ElementType = 7
	String   ElementType = 8
	Bool     ElementType = 9
	Float16  ElementType = 10
	Double   ElementType = 11
	Uint32   ElementType = 12
	Uint64   ElementType = 13
	BFloat16 ElementType = 16
)

// Size returns the size of an element in bytes, or 0 for types that have no fixed size or are unknown.
func (t ElementType) Size() int64 {
	switch t {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Float, Int32, Uint32:
		return 4
	case Double, Int64, Uint64:
		return 8
	}
	return 0
}

// byteSize returns the size of the elements in bytes. It returns false if a dimension is negative or the product overflows.
func byteSize(t ElementType, shape []int64) (int64, bool) {
	n, zero := t.Size(), false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, false
		case d == 0:
			zero = true
		case n > math.MaxInt/d:
			return 0, false
		default:
			n *= d
		}
	}
	if zero {
		return 0, true
	}
	return n, true
}

// A ValueInfo is a ValueInfoProto: an input or an output of a graph.
type ValueInfo struct {
	Name  string
	Type  ElementType
	Shape []Dim
}

// A Dim is a dimension of a ValueInfo: a name if its length is variable, otherwise a length.
type Dim struct {
	Param string
	Value int64
}

// The field numbers of the messages in onnx.proto.
const (
	modelIRVersion    = 1
	modelProducerName = 2
	modelGraph        = 7
	modelOpsetImport  = 8

	opsetDomain  = 1
	opsetVersion = 2

	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOpType    = 4
	nodeAttribute = 5
	nodeDomain    = 7

	attributeName   = 1
	attributeFloat  = 2
	attributeInt    = 3
	attributeTensor = 5
	attributeInts   = 8
	attributeType   = 20

	tensorDims         = 1
	tensorDataType     = 2
	tensorSegment      = 3
	tensorFloatData    = 4
	tensorInt32Data    = 5
	tensorInt64Data    = 7
	tensorName         = 8
	tensorRawData      = 9
	tensorDoubleData   = 10
	tensorUint64Data   = 11
	tensorExternalData = 13
	tensorDataLocation = 14

	locationExternal = 1 // TensorProto.DataLocation

	entryKey   = 1 // StringStringEntryProto
	entryValue = 2

	valueInfoName = 1
	valueInfoType = 2

	typeTensor = 1 // TypeProto.tensor_type

	tensorTypeElem  = 1
	tensorTypeShape = 2

	shapeDim = 1

	dimValue = 1
	dimParam = 2
)
