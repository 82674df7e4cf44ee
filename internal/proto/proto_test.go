package proto

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestFields(t *testing.T) {
	message := []byte("\x08\x96\x01" + "\x15\x01\x02\x03\x04" + "\x19\x01\x00\x00\x00\x00\x00\x00\x80" + "\x22\x02\x08\x05" + "\xaa\x01\x00")
	var got []string
	visit := func(f Field) error {
		got = append(got, fmt.Sprintf("%d/%d=%d %x", f.Number, f.Type, f.Value, f.Data))
		return nil
	}
	if err := Fields(message, visit); err != nil {
		t.Fatal(err)
	}
	want := "1/0=150 9601;2/5=67305985 01020304;3/1=9223372036854775809 0100000000000080;4/2=0 0805;21/2=0 "
	if got := strings.Join(got, ";"); got != want {
		t.Errorf("the fields are\n%s, want\n%s", got, want)
	}
	stop := errors.New("enough")
	if err := Fields(message, func(Field) error { return stop }); err != stop {
		t.Errorf("error %v, want %v", err, stop)
	}
	for message, want := range map[string]string{
		"\x08": "not a protocol buffer: field 1: unexpected EOF", "\x80": "not a protocol buffer: unexpected EOF",
		"\x0a\x05x": "not a protocol buffer: field 1: unexpected EOF", "\x0b\x0c": "field 1 has wire type 3",
		"\x00\x00": "not a protocol buffer: ",
	} {
		if err := Fields([]byte(message), visit); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", message, err, want)
		}
	}
}

// TestFieldTypes reads each kind of field as each type.
func TestFieldTypes(t *testing.T) {
	read := map[int]func(Field) error{
		0: func(f Field) error { _, err := f.Varint(); return err },
		5: func(f Field) error { _, err := f.Fixed32(); return err },
		2: func(f Field) error {
			_, err := f.Text()
			return errors.Join(err, f.Message(func(m []byte) error {
				if !bytes.Equal(m, f.Data) {
					t.Errorf("the message is %q, want %q", m, f.Data)
				}
				return nil
			}))
		},
	}
	err := Fields([]byte("\x08\x01"+"\x15\x01\x02\x03\x04"+"\x22\x00"), func(f Field) error {
		for kind, as := range read {
			if err := as(f); (err == nil) != (kind == int(f.Type)) {
				t.Errorf("field %d of wire type %d read as %d: %v", f.Number, f.Type, kind, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
