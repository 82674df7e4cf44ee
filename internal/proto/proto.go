// Package proto reads protocol buffer messages field by field, without generated code. The wire format is described at
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
	// Value is the value of a numeric field: a varint, or 32 or 64 bits.
	Value uint64
	// Data is the content of a bytes, string or message field; for a number it is the encoded number. It aliases the message.
	Data []byte
}

// Fields calls visit for each field of a message in turn, until a call returns an error.
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
			// A group: long deprecated, and its fields would be another level of nesting.
			return fmt.Errorf("unsupported protocol buffer: field %d has wire type %d", number, kind)
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

// Wrong returns the error for a field whose wire type does not match its number.
func (f Field) Wrong() error {
	return fmt.Errorf("field %d has the wrong wire type %d", f.Number, f.Type)
}

func (f Field) need(kind protowire.Type) error {
	if f.Type != kind {
		return f.Wrong()
	}
	return nil
}

// Varint returns the value of a varint field.
func (f Field) Varint() (uint64, error) { return f.Value, f.need(protowire.VarintType) }

// Fixed32 returns the value of a 32-bit field.
func (f Field) Fixed32() (uint32, error) { return uint32(f.Value), f.need(protowire.Fixed32Type) }

// Bytes returns the content of a bytes, string or message field.
func (f Field) Bytes() ([]byte, error) { return f.Data, f.need(protowire.BytesType) }

// Text returns the content of a string field.
func (f Field) Text() (string, error) { return string(f.Data), f.need(protowire.BytesType) }

// Message calls read with the content of a message field.
func (f Field) Message(read func(message []byte) error) error {
	if err := f.need(protowire.BytesType); err != nil {
		return err
	}
	return read(f.Data)
}
