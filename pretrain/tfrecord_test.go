package pretrain

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// frame encodes a message as a record, independently of the package that the code under test uses.
func frame(message []byte) []byte {
	masked := func(data []byte) uint32 {
		return bits.RotateLeft32(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)), -15) + 0xa282ead8
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(message)))
	b = binary.LittleEndian.AppendUint32(b, masked(b))
	b = append(b, message...)
	return binary.LittleEndian.AppendUint32(b, masked(message))
}

// A field is a field of a message in the wire format of protocol buffers, decoded exactly as specified.
type field struct {
	number int
	data   []byte // of a length-delimited field
}

func wireFields(t *testing.T, b []byte) (fields []field) {
	t.Helper()
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		size, k := binary.Uvarint(b[n:])
		if tag&7 != 2 || n <= 0 || k <= 0 || int(size) > len(b)-n-k {
			t.Fatalf("field %d of wire type %d, %d bytes", tag>>3, tag&7, size)
		}
		fields = append(fields, field{int(tag >> 3), b[n+k : n+k+int(size)]})
		b = b[n+k+int(size):]
	}
	return fields
}

// wireExample decodes a tf.Example: the values of each feature as numbers.
func wireExample(t *testing.T, b []byte) map[string][]float64 {
	t.Helper()
	values := make(map[string][]float64)
	example := wireFields(t, b)
	if len(example) != 1 || example[0].number != 1 {
		t.Fatalf("Example: %+v", example)
	}
	for _, entry := range wireFields(t, example[0].data) {
		pair := wireFields(t, entry.data)
		if entry.number != 1 || len(pair) != 2 || pair[0].number != 1 || pair[1].number != 2 {
			t.Fatalf("entry %+v", entry)
		}
		name, list := string(pair[0].data), wireFields(t, pair[1].data)[0]
		packed := wireFields(t, list.data)[0].data
		for len(packed) > 0 {
			switch list.number {
			case 2: // float_list
				values[name] = append(values[name], float64(math.Float32frombits(binary.LittleEndian.Uint32(packed))))
				packed = packed[4:]
			case 3: // int64_list
				v, n := binary.Uvarint(packed)
				values[name] = append(values[name], float64(int64(v)))
				packed = packed[n:]
			default:
				t.Fatalf("%s: a list of kind %d", name, list.number)
			}
		}
	}
	return values
}

// TestTFRecordIndependently reads the written files with a reader that shares no code with the writer. They must contain the
// instances of the package's own format, padded.
func TestTFRecordIndependently(t *testing.T) {
	text := testText(30)
	o := testOptions()
	own, _ := makeSet(t, text, o)
	o.Format = TFRecord
	dir := t.TempDir()
	run(t, testJob(t, text, dir, o))
	names, err := filepath.Glob(filepath.Join(dir, "*.tfrecord"))
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	slices.Sort(names)
	var foreign []byte
	i := 0
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for len(data) > 0 {
			size := int(binary.LittleEndian.Uint64(data))
			message := data[12 : 12+size]
			if record := frame(message); !slices.Equal(record, data[:len(record)]) {
				t.Fatalf("record %d: wrong checksums", i)
			}
			var in Instance
			if err := own.Instance(i, 0, &in); err != nil {
				t.Fatal(err)
			}
			want := map[string][]float64{"next_sentence_labels": {float64(in.Next)}}
			pad := func(name string, n int, values []int32) {
				list := make([]float64, n)
				for k, v := range values {
					list[k] = float64(v)
				}
				want[name] = list
			}
			ones := slices.Repeat([]int32{1}, o.MaxSeqLength)
			pad("input_ids", o.MaxSeqLength, in.IDs)
			pad("input_mask", o.MaxSeqLength, ones[:len(in.IDs)])
			pad("segment_ids", o.MaxSeqLength, in.TypeIDs)
			pad("masked_lm_positions", o.MaxPredictions, in.Positions)
			pad("masked_lm_ids", o.MaxPredictions, in.MaskedIDs)
			pad("masked_lm_weights", o.MaxPredictions, ones[:len(in.Positions)])
			if got := wireExample(t, message); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("instance %d is %v, want %v", i, got, want)
			}
			foreign = append(foreign, data[:12+size+4]...)
			data = data[12+size+4:]
			i++
		}
	}
	if i != own.Len() {
		t.Errorf("%d records, want %d", i, own.Len())
	}

	// The same records in the form of Google's tool: one file, no index, no vocabulary.
	path := filepath.Join(t.TempDir(), "tf_examples.tfrecord")
	if err := os.WriteFile(path, foreign, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, filepath.Dir(path)} {
		s := openTestSet(t, path)
		info := s.Info()
		if s.Len() != own.Len() || info.Tokens != own.Info().Tokens || info.MaskedTokens != own.Info().MaskedTokens || info.Longest != own.Info().Longest ||
			info.Options.MaxSeqLength != o.MaxSeqLength || info.Options.MaxPredictions != o.MaxPredictions || !info.Options.NextSentence || s.Tokenizer() != nil {
			t.Errorf("%+v", info)
		}
		for i := range s.Len() {
			var a, b Instance
			if err := own.Instance(i, 0, &a); err != nil {
				t.Fatal(err)
			}
			if err := s.Instance(i, 4, &b); err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
				t.Fatalf("instance %d: %v, %v; want %v", i, b, err, a)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "vocab.txt"), []byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), path)
	wantError(t, err, "the vocabulary in its folder has 6 tokens")
}

// TestTFRecordPacked checks that instances without a second segment are recognised when they are read.
func TestTFRecordPacked(t *testing.T) {
	o := testOptions()
	o.NextSentence, o.Format = false, TFRecord
	s, _ := makeSet(t, testText(10), o)
	var in Instance
	for i := range s.Len() {
		if err := s.Instance(i, 0, &in); err != nil || in.Next != NotPaired {
			t.Fatalf("%+v, %v", in, err)
		}
	}
}

// TestTFRecordRefuses reads tf.Examples that are valid but not instances.
func TestTFRecordRefuses(t *testing.T) {
	in := Instance{IDs: []int32{2, 7, 8, 3, 9, 3}, TypeIDs: []int32{0, 0, 0, 0, 1, 1}, Positions: []int32{1, 4}, MaskedIDs: []int32{5, 6}, Next: RandomNext}
	o := &InstanceOptions{MaxSeqLength: 8, MaxPredictions: 3}
	var w exampleWriter
	if _, err := parseTFRecords(frame(w.example(&in, o))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(*Instance)
		want   string
	}{
		{func(in *Instance) { in.TypeIDs = []int32{0, 1, 0, 0, 1, 1} }, "segment_ids"},
		{func(in *Instance) { in.Positions = []int32{4, 1} }, "masked_lm_positions: 1 is out of range or order"},
		{func(in *Instance) { in.Positions = []int32{0, 1} }, "masked_lm_positions: 0 is out of range or order"},
		{func(in *Instance) { in.Positions = []int32{1, 7} }, "masked_lm_positions: 7 is out of range or order"},
		{func(in *Instance) { in.IDs[1] = -1 }, "input_ids: -1 is out of range"},
		{func(in *Instance) { in.Next = 2 }, "next_sentence_labels: 2"},
		{func(in *Instance) { in.IDs, in.TypeIDs = in.IDs[:2], in.TypeIDs[:2] }, "a sequence of 2 tokens"},
	} {
		bad := Instance{slices.Clone(in.IDs), slices.Clone(in.TypeIDs), slices.Clone(in.Positions), slices.Clone(in.MaskedIDs), in.Next}
		c.change(&bad)
		_, err := parseTFRecords(frame(w.example(&bad, o)))
		wantError(t, err, c.want)
	}
	_, err := parseTFRecords(frame(nil))
	wantError(t, err, "record 0, at byte 0: input_ids has 0 values")
	_, err = parseTFRecords(append(frame(w.example(&in, o)), frame(w.example(&in, &InstanceOptions{MaxSeqLength: 9, MaxPredictions: 3}))...))
	wantError(t, err, "record 1, at byte ")
	_, err = parseTFRecords(frame([]byte(strings.Repeat("\xff", 20))))
	wantError(t, err, "not a tf.Example")
}
