package pretrain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/go-bert/bert/internal/tfrecord"
)

// The files of google-research/bert are TFRecord files of tf.Examples (tensorflow/core/example/example.proto, feature.proto) with
// the features of create_pretraining_data.py, write_instance_to_example_files. Instances are padded with zeros to L tokens and P
// masked tokens.
const (
	featureIDs       = "input_ids"            // [L]
	featureMask      = "input_mask"           // [L]: 1 for tokens, 0 for padding
	featureSegments  = "segment_ids"          // [L]
	featurePositions = "masked_lm_positions"  // [P]
	featureMaskedIDs = "masked_lm_ids"        // [P]
	featureWeights   = "masked_lm_weights"    // [P]: 1.0 for masked tokens, 0.0 for padding
	featureNext      = "next_sentence_labels" // [1]
)

// Field numbers of the messages.
const (
	exampleFeatures = 1 // Example.features
	featuresEntry   = 1 // Features.feature, a map
	entryKey        = 1
	entryValue      = 2
	featureFloats   = 2 // Feature.float_list
	featureInts     = 3 // Feature.int64_list
	listValues      = 1 // FloatList.value, Int64List.value
)

// writeTFRecord writes the instances in their order. One that is not paired gets the label of an actual next, since
// Google's reader wants one; its segment_ids are all 0, which is how it is known when it is read back.
func (s *instances) writeTFRecord(w io.Writer, o *InstanceOptions) error {
	var (
		in     Instance
		e      exampleWriter
		record []byte
	)
	for i := range s.compositions {
		s.instance(&s.compositions[i], &in)
		record = tfrecord.Append(record[:0], e.example(&in, o))
		if _, err := w.Write(record); err != nil {
			return err
		}
	}
	return nil
}

// instance fills to with an instance.
func (s *instances) instance(r *composition, to *Instance) {
	to.IDs = s.appendUnmasked(to.IDs[:0], r)
	to.TypeIDs = to.TypeIDs[:0]
	for i := range to.IDs {
		to.TypeIDs = append(to.TypeIDs, typeID(uint64(i), uint64(r.first())))
	}
	to.Positions, to.MaskedIDs = to.Positions[:0], to.MaskedIDs[:0]
	positions, shown := s.masksOf(r)
	for i, p := range positions {
		to.Positions = append(to.Positions, int32(p))
		to.MaskedIDs = append(to.MaskedIDs, to.IDs[p])
		to.IDs[p] = shown[i]
	}
	to.Next = r.next
}

// An exampleWriter encodes tf.Examples, reusing its memory.
type exampleWriter struct{ values, feature, features, message []byte }

func (e *exampleWriter) example(in *Instance, o *InstanceOptions) []byte {
	e.features = e.features[:0]
	n, m, length, predictions := len(in.IDs), len(in.Positions), o.MaxSeqLength, o.MaxPredictions
	one := func(int) int32 { return 1 }
	e.ints(featureIDs, length, n, func(i int) int32 { return in.IDs[i] })
	e.ints(featureMask, length, n, one)
	e.ints(featureSegments, length, n, func(i int) int32 { return in.TypeIDs[i] })
	e.ints(featurePositions, predictions, m, func(i int) int32 { return in.Positions[i] })
	e.ints(featureMaskedIDs, predictions, m, func(i int) int32 { return in.MaskedIDs[i] })
	e.values = e.values[:0]
	for i := range predictions {
		weight := float32(0)
		if i < m {
			weight = 1
		}
		e.values = protowire.AppendFixed32(e.values, math.Float32bits(weight))
	}
	e.add(featureWeights, featureFloats)
	e.ints(featureNext, 1, 1, func(int) int32 { return max(int32(in.Next), 0) })
	e.message = protowire.AppendTag(e.message[:0], exampleFeatures, protowire.BytesType)
	e.message = protowire.AppendBytes(e.message, e.features)
	return e.message
}

// ints adds a feature with size values: value(i) for i < n, and 0 for the others.
func (e *exampleWriter) ints(name string, size, n int, value func(int) int32) {
	e.values = e.values[:0]
	for i := range size {
		v := int32(0)
		if i < n {
			v = value(i)
		}
		e.values = protowire.AppendVarint(e.values, uint64(v))
	}
	e.add(name, featureInts)
}

// add adds a feature: a list of the given kind with the packed values.
func (e *exampleWriter) add(name string, kind protowire.Number) {
	list := protowire.SizeTag(listValues) + protowire.SizeBytes(len(e.values))
	value := protowire.SizeTag(kind) + protowire.SizeBytes(list)
	b := protowire.AppendTag(e.feature[:0], entryKey, protowire.BytesType)
	b = protowire.AppendString(b, name)
	b = protowire.AppendTag(b, entryValue, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(value))
	b = protowire.AppendTag(b, kind, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(list))
	b = protowire.AppendTag(b, listValues, protowire.BytesType)
	e.feature = protowire.AppendBytes(b, e.values)
	e.features = protowire.AppendTag(e.features, featuresEntry, protowire.BytesType)
	e.features = protowire.AppendBytes(e.features, e.feature)
}

// examples pools the buffers through which instances are read.
var examples = sync.Pool{New: func() any { return new(example) }}

// An example is a decoded tf.Example with the features above, empty if one is missing. Other features are ignored.
type example struct {
	ids, mask, segments, positions, maskedIDs, next []int32
	weights                                         []float32
}

func (x *example) ints(name string) *[]int32 {
	switch name {
	case featureIDs:
		return &x.ids
	case featureMask:
		return &x.mask
	case featureSegments:
		return &x.segments
	case featurePositions:
		return &x.positions
	case featureMaskedIDs:
		return &x.maskedIDs
	case featureNext:
		return &x.next
	}
	return nil
}

var errMessage = errors.New("not a tf.Example")

// fields calls f with each field of a message: its bytes, or its value if it is a varint or a 32-bit number.
func fields(message []byte, f func(n protowire.Number, bytes []byte, number uint64) error) error {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return errMessage
		}
		message = message[size:]
		var (
			data   []byte
			number uint64
		)
		switch kind {
		case protowire.BytesType:
			data, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			number, size = protowire.ConsumeVarint(message)
		case protowire.Fixed32Type:
			var v uint32
			v, size = protowire.ConsumeFixed32(message)
			number = uint64(v)
		default:
			size = protowire.ConsumeFieldValue(n, kind, message)
		}
		if size < 0 {
			return errMessage
		}
		message = message[size:]
		if err := f(n, data, number); err != nil {
			return err
		}
	}
	return nil
}

// parse decodes a tf.Example, reusing the slices of x.
func (x *example) parse(message []byte) error {
	for _, list := range []*[]int32{&x.ids, &x.mask, &x.segments, &x.positions, &x.maskedIDs, &x.next} {
		*list = (*list)[:0]
	}
	x.weights = x.weights[:0]
	return fields(message, func(n protowire.Number, features []byte, _ uint64) error {
		if n != exampleFeatures {
			return nil
		}
		return fields(features, func(n protowire.Number, entry []byte, _ uint64) error {
			if n != featuresEntry {
				return nil
			}
			var name string
			var feature []byte
			err := fields(entry, func(n protowire.Number, b []byte, _ uint64) error {
				switch n {
				case entryKey:
					name = string(b)
				case entryValue:
					feature = b
				}
				return nil
			})
			if err != nil {
				return err
			}
			return fields(feature, func(kind protowire.Number, list []byte, _ uint64) error {
				return x.list(name, kind, list)
			})
		})
	})
}

// list reads the values of a feature, packed or not.
func (x *example) list(name string, kind protowire.Number, list []byte) error {
	ints := x.ints(name)
	switch {
	case ints != nil && kind == featureInts:
		add := func(v uint64) error {
			if v > math.MaxInt32 {
				return fmt.Errorf("%s: %d is out of range", name, int64(v))
			}
			*ints = append(*ints, int32(v))
			return nil
		}
		return fields(list, func(n protowire.Number, packed []byte, number uint64) error {
			if n != listValues {
				return nil
			}
			if packed == nil {
				return add(number)
			}
			for len(packed) > 0 {
				v, size := protowire.ConsumeVarint(packed)
				if size < 0 {
					return errMessage
				}
				packed = packed[size:]
				if err := add(v); err != nil {
					return err
				}
			}
			return nil
		})
	case name == featureWeights && kind == featureFloats:
		return fields(list, func(n protowire.Number, packed []byte, number uint64) error {
			if n != listValues {
				return nil
			}
			if packed == nil {
				x.weights = append(x.weights, math.Float32frombits(uint32(number)))
				return nil
			}
			if len(packed)%4 != 0 {
				return errMessage
			}
			for ; len(packed) > 0; packed = packed[4:] {
				x.weights = append(x.weights, math.Float32frombits(binary.LittleEndian.Uint32(packed)))
			}
			return nil
		})
	case ints != nil || name == featureWeights:
		return fmt.Errorf("%s: the list has the wrong type", name)
	}
	return nil
}

// instance checks the example and fills to with it, without padding.
func (x *example) instance(to *Instance) error {
	length, predictions := len(x.ids), len(x.positions)
	for _, f := range []struct {
		name      string
		size, got int
	}{
		{featureIDs, max(length, 1), length}, {featureMask, length, len(x.mask)}, {featureSegments, length, len(x.segments)},
		{featureMaskedIDs, predictions, len(x.maskedIDs)}, {featureWeights, predictions, len(x.weights)}, {featureNext, 1, len(x.next)},
	} {
		if f.got != f.size {
			return fmt.Errorf("%s has %d values, want %d", f.name, f.got, f.size)
		}
	}
	n, first := 0, 0
	for n < length && x.mask[n] == 1 {
		n++
	}
	for first < n && x.segments[first] == 0 {
		first++
	}
	for i, m := range x.mask {
		if i >= n && m != 0 || i < n && x.segments[i] != typeID(uint64(i), uint64(first)) {
			return errors.New("input_mask is not 1s followed by 0s, or segment_ids are not 0s followed by 1s")
		}
	}
	if n < 3 || length > math.MaxUint16 || first == 0 {
		return fmt.Errorf("a sequence of %d tokens, padded to %d, is not valid", n, length)
	}
	m := 0
	for m < predictions && x.weights[m] == 1 {
		if p := x.positions[m]; p <= 0 || int(p) >= n-1 || m > 0 && p <= x.positions[m-1] {
			return fmt.Errorf("masked_lm_positions: %d is out of range or order", p)
		}
		m++
	}
	for _, w := range x.weights[m:] {
		if w != 0 {
			return fmt.Errorf("masked_lm_weights: %v, want 1s followed by 0s", w)
		}
	}
	if x.next[0] > int32(RandomNext) {
		return fmt.Errorf("next_sentence_labels: %d, want 0 or 1", x.next[0])
	}
	to.IDs, to.TypeIDs = append(to.IDs[:0], x.ids[:n]...), append(to.TypeIDs[:0], x.segments[:n]...)
	to.Positions, to.MaskedIDs = append(to.Positions[:0], x.positions[:m]...), append(to.MaskedIDs[:0], x.maskedIDs[:m]...)
	if to.Next = Next(x.next[0]); first == n {
		to.Next = NotPaired
	}
	return nil
}

// tfRecords is a TFRecord file of instances, in memory.
type tfRecords struct {
	data    []byte
	info    fileInfo
	records []tfRecord
}

// A tfRecord is the place of an instance's record in the file.
type tfRecord struct {
	at     uint64
	size   uint32
	length uint16 // tokens without padding
}

// parseTFRecords checks a whole file: checksums, sizes, every instance.
func parseTFRecords(data []byte) (*tfRecords, error) {
	s := &tfRecords{data: data}
	var (
		x  example
		in Instance
	)
	for rest := data; len(rest) > 0; {
		at := len(data) - len(rest)
		bad := func(format string, args ...any) error {
			return fmt.Errorf("record %d, at byte %d: "+format, append([]any{len(s.records), at}, args...)...)
		}
		message, after, err := tfrecord.First(rest)
		if err != nil {
			return nil, bad("%w", err)
		}
		if len(message) > math.MaxInt32 {
			return nil, bad("%d bytes are too many for an instance", len(message))
		}
		if err := x.parse(message); err != nil {
			return nil, bad("%w", err)
		}
		if err := x.instance(&in); err != nil {
			return nil, bad("%w", err)
		}
		if len(s.records) == 0 {
			s.info.maxSeqLength, s.info.maxPredictions = len(x.ids), len(x.positions)
		}
		if len(x.ids) != s.info.maxSeqLength || len(x.positions) != s.info.maxPredictions {
			return nil, bad("%d tokens and %d predictions, the previous records have %d and %d", len(x.ids), len(x.positions), s.info.maxSeqLength, s.info.maxPredictions)
		}
		s.records = append(s.records, tfRecord{uint64(at), uint32(len(rest) - len(after)), uint16(len(in.IDs))})
		s.info.tokens += int64(len(in.IDs))
		s.info.masked += int64(len(in.Positions))
		s.info.paired = s.info.paired || in.Next != NotPaired
		for _, ids := range [][]int32{in.IDs, in.MaskedIDs} {
			for _, id := range ids {
				s.info.highestID = max(s.info.highestID, id)
			}
		}
		s.info.instances++
		rest = after
	}
	return s, nil
}

func (s *tfRecords) describe() fileInfo { return s.info }
func (s *tfRecords) length(i int) int   { return int(s.records[i].length) }

func (s *tfRecords) instance(i int, to *Instance) error {
	x := examples.Get().(*example)
	defer examples.Put(x)
	r := s.records[i]
	message, _, err := tfrecord.First(s.data[r.at : r.at+uint64(r.size)])
	if err != nil {
		return err
	}
	if err := x.parse(message); err != nil {
		return err
	}
	return x.instance(to)
}
