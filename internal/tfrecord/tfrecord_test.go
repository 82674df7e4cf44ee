package tfrecord

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// TestAppend compares with a record built from the definition: the CRC-32C of "abc" is 364b3fb7.
func TestAppend(t *testing.T) {
	got := Append([]byte("before"), []byte("abc"))
	want := "before" + "\x03\x00\x00\x00\x00\x00\x00\x00"
	if !strings.HasPrefix(string(got), want) || len(got) != len(want)+4+3+4 {
		t.Fatalf("%q", got)
	}
	// Masking rotates right by 15 bits and adds 0xa282ead8.
	crc := uint32(0x364b3fb7)
	crc = (crc>>15 | crc<<17) + 0xa282ead8
	if foot := got[len(got)-4:]; foot[0] != byte(crc) || foot[1] != byte(crc>>8) || foot[2] != byte(crc>>16) || foot[3] != byte(crc>>24) {
		t.Errorf("the checksum is %s, want %08x", hex.EncodeToString(foot), crc)
	}
}

func TestFirst(t *testing.T) {
	var file []byte
	records := []string{"abc", "", strings.Repeat("x", 1000)}
	for _, r := range records {
		file = Append(file, []byte(r))
	}
	if !Sniff(file) || Sniff(file[1:]) || Sniff(file[:8]) {
		t.Error("Sniff")
	}
	rest := file
	for _, want := range records {
		data, after, err := First(rest)
		if err != nil || string(data) != want {
			t.Fatalf("%q, %v; want %q", data, err, want)
		}
		rest = after
	}
	if len(rest) != 0 {
		t.Errorf("%d bytes left", len(rest))
	}
	first := file[:12+3+4]
	for n := 1; n < len(first); n++ {
		if _, _, err := First(first[:n]); !errors.Is(err, ErrCutOff) {
			t.Errorf("%d bytes of a record: %v", n, err)
		}
	}
	for i := range first {
		bad := bytes.Clone(first)
		bad[i] ^= 1
		if _, _, err := First(bad); err == nil {
			t.Errorf("no error with byte %d damaged", i)
		}
	}
}

// FuzzFirst reads records of arbitrary bytes: each is a part of them, and written again it is the same bytes.
func FuzzFirst(f *testing.F) {
	f.Add(Append(nil, []byte("data")))
	f.Add(Append(Append(nil, nil), []byte("x"))[:20])
	for _, size := range []uint64{1 << 20, 1 << 40, 1<<64 - 1, 1<<64 - 4, 1<<64 - 16} {
		b := binary.LittleEndian.AppendUint64(nil, size)
		f.Add(append(binary.LittleEndian.AppendUint32(b, maskedCRC(b)), 1, 2, 3, 4, 5))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			data, rest, err := First(b)
			if err != nil {
				return
			}
			if len(data)+len(rest)+head+foot != len(b) {
				t.Fatalf("a record of %d bytes and %d more, of %d", len(data), len(rest), len(b))
			}
			if !bytes.HasPrefix(b, Append(nil, data)) {
				t.Fatal("written again, the record differs")
			}
			b = rest
		}
	})
}
