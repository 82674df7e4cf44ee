// Package proto reads messages of protocol buffers field by field, without generated code:
// https://protobuf.dev/programming-guides/encoding.
package proto

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Field is one field of a message.
type Field struct {
	Number protowire.Number
	Type   protowire.Type
	// Value is that of a number: a varint, or 32 or 64 bits.
	Value uint64
	// Data is the content of bytes, a text or a message; of a number it is its encoding. It lies in the message.
	Data []byte
}

// Fields calls visit with each field of a message in turn, until one returns an error.
func Fields(message []byte, visit func(Field) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("not a protocol buffer: %w", protowire.ParseError(n))
		}
		message = message[n:]
		f := Field{Number: number, Type: kind}
		switch kind {
		case protowire.VarintType:
			f.Value, n = protowire.ConsumeVarint(message)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(message)
			f.Value = uint64(v)
		case protowire.Fixed64Type:
			f.Value, n = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			f.Data, n = protowire.ConsumeBytes(message)
		default:
			// A group, which nobody has written for long: its fields would be another level of nesting.
			return fmt.Errorf("not a protocol buffer that is read: field %d has the wire type %d", number, kind)
		}
		if n < 0 {
			return fmt.Errorf("not a protocol buffer: field %d: %w", number, protowire.ParseError(n))
		}
		if kind != protowire.BytesType {
			f.Data = message[:n]
		}
		f.Data = f.Data[:len(f.Data):len(f.Data)]
		message = message[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// Wrong is the error of a field that has another wire type than its number lets expect.
func (f Field) Wrong() error {
	return fmt.Errorf("field %d has the wrong wire type %d", f.Number, f.Type)
}

func (f Field) need(kind protowire.Type) error {
	if f.Type != kind {
		return f.Wrong()
	}
	return nil
}

// Varint is the value of a varint.
func (f Field) Varint() (uint64, error) { return f.Value, f.need(protowire.VarintType) }

// Fixed32 is the value of a number of 32 bits.
func (f Field) Fixed32() (uint32, error) { return uint32(f.Value), f.need(protowire.Fixed32Type) }

// Bytes is the content of bytes, a text or a message.
func (f Field) Bytes() ([]byte, error) { return f.Data, f.need(protowire.BytesType) }

// Text is the content of a text.
func (f Field) Text() (string, error) { return string(f.Data), f.need(protowire.BytesType) }

// Message reads a field that is a message.
func (f Field) Message(read func(message []byte) error) error {
	if err := f.need(protowire.BytesType); err != nil {
		return err
	}
	return read(f.Data)
}
