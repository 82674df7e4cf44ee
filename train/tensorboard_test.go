package train

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The reader below shares no code with the writer: it follows the descriptions of the formats, TFRecord
// (tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details"), protocol buffers (protobuf.dev, "Encoding"),
// and the messages of event.proto and summary.proto.

// crc32c computes the CRC of RFC 3720, bit by bit.
func crc32c(data []byte) uint32 {
	crc := ^uint32(0)
	for _, b := range data {
		crc ^= uint32(b)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0x82f63b78
			} else {
				crc >>= 1
			}
		}
	}
	return ^crc
}

// records returns the contents of a TFRecord file.
func records(data []byte) (all [][]byte, err error) {
	masked := func(data []byte) uint32 { return bits.RotateLeft32(crc32c(data), -15) + 0xa282ead8 }
	for len(data) > 0 {
		if len(data) < 16 {
			return all, fmt.Errorf("%d bytes are not a record", len(data))
		}
		n := binary.LittleEndian.Uint64(data)
		if got, want := binary.LittleEndian.Uint32(data[8:]), masked(data[:8]); got != want {
			return all, fmt.Errorf("CRC of the length is %x, want %x", got, want)
		}
		if n > uint64(len(data)-16) {
			return all, fmt.Errorf("record of %d bytes in %d", n, len(data)-16)
		}
		content := data[12 : 12+n]
		if got, want := binary.LittleEndian.Uint32(data[12+n:]), masked(content); got != want {
			return all, fmt.Errorf("CRC of the contents is %x, want %x", got, want)
		}
		all = append(all, content)
		data = data[16+n:]
	}
	return all, nil
}

// A field is a field of a message: a number (fixed or varint) or bytes.
type field struct {
	number int
	value  uint64
	bytes  []byte
}

func message(data []byte) (fields []field, err error) {
	varint := func() (v uint64) {
		for shift := 0; ; shift += 7 {
			if len(data) == 0 || shift > 63 {
				err = fmt.Errorf("varint is cut")
				return 0
			}
			b := data[0]
			data = data[1:]
			v |= uint64(b&0x7f) << shift
			if b < 0x80 {
				return v
			}
		}
	}
	take := func(n uint64) []byte {
		if n > uint64(len(data)) {
			err = fmt.Errorf("field of %d bytes in %d", n, len(data))
			return make([]byte, 8)
		}
		b := data[:n]
		data = data[n:]
		return b
	}
	for len(data) > 0 && err == nil {
		key := varint()
		f := field{number: int(key >> 3)}
		switch key & 7 {
		case 0:
			f.value = varint()
		case 1:
			f.value = binary.LittleEndian.Uint64(take(8))
		case 2:
			f.bytes = take(varint())
		case 5:
			f.value = uint64(binary.LittleEndian.Uint32(take(4)))
		default:
			err = fmt.Errorf("wire type %d", key&7)
		}
		fields = append(fields, f)
	}
	return fields, err
}

// A boardEvent is an Event of event.proto.
type boardEvent struct {
	wallTime float64
	step     int64
	version  string
	start    bool // a session log with status START
	scalars  map[string]float32
}

func readBoard(t *testing.T, path string) []boardEvent {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all, err := records(data)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	must := func(data []byte) []field {
		fields, err := message(data)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return fields
	}
	var events []boardEvent
	for _, record := range all {
		var e boardEvent
		for _, f := range must(record) {
			switch f.number {
			case 1:
				e.wallTime = math.Float64frombits(f.value)
			case 2:
				e.step = int64(f.value)
			case 3:
				e.version = string(f.bytes)
			case 5:
				e.scalars = map[string]float32{}
				for _, v := range must(f.bytes) {
					tag, value := "", float32(math.NaN())
					for _, f := range must(v.bytes) {
						switch f.number {
						case 1:
							tag = string(f.bytes)
						case 2:
							value = math.Float32frombits(uint32(f.value))
						}
					}
					e.scalars[tag] = value
				}
			case 7:
				for _, f := range must(f.bytes) {
					e.start = f.number == 1 && f.value == 1
				}
			}
		}
		events = append(events, e)
	}
	return events
}

func boards(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	return paths
}

func TestTensorBoard(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.EvalSteps = 10
	f.evaluateAs(1, 2, 3, 4, 5, 6)
	f.trainer.badStep, f.trainer.loss = 15, math.NaN()
	if _, err := f.run(); err == nil {
		t.Fatal("no error")
	}
	first := f.events
	f.events, f.trainer.badStep, f.Resume = nil, 0, true
	f.mustRun(t)

	paths := boards(t, f.Output)
	if len(paths) != 2 {
		t.Fatalf("event files are %v, want one for each start", paths)
	}
	for i, happened := range [][]Event{first, f.events} {
		got := readBoard(t, paths[i])
		if got[0].version != "brain.Event:2" {
			t.Errorf("first event is %+v, want the file's version", got[0])
		}
		at := 1
		if i == 1 {
			// Resumed from step 10: events of step 11 and later in the first file are invalid.
			if !got[1].start || got[1].step != 11 {
				t.Errorf("second event is %+v, want a start at step 11", got[1])
			}
			at++
		}
		for _, e := range happened {
			var want map[string]float32
			step := 0
			switch e := e.(type) {
			case Stepped:
				if !e.Logged {
					continue
				}
				step = e.Step
				want = map[string]float32{
					"loss": float32(e.MeanLoss), "learning_rate": float32(e.LearningRate), "grad_norm": float32(e.GradNorm),
					"examples_per_second": float32(e.ExamplesPerSecond), "tokens_per_second": float32(e.TokensPerSecond),
				}
			case Evaluated:
				step = e.Step
				score, _ := e.Evaluation.Metrics.Get("score")
				want = map[string]float32{"eval/loss": float32(e.Evaluation.Loss), "eval/score": float32(score), "eval/other": 1}
			default:
				continue
			}
			if at == len(got) {
				t.Fatalf("file %d ends before %+v", i, e)
			}
			if fmt.Sprint(got[at].scalars) != fmt.Sprint(want) || got[at].step != int64(step) {
				t.Errorf("file %d has step %d %v, want step %d %v", i, got[at].step, got[at].scalars, step, want)
			}
			if got[at].wallTime < 1.7e9 || got[at].wallTime < got[at-1].wallTime {
				t.Errorf("wall time is %v after %v", got[at].wallTime, got[at-1].wallTime)
			}
			at++
		}
		if at != len(got) {
			t.Errorf("file %d has %d events, want %d", i, len(got), at)
		}
	}
}

// The reader detects a changed bit anywhere.
func TestTensorBoardReader(t *testing.T) {
	if got := crc32c([]byte("123456789")); got != 0xe3069283 { // the check value of CRC-32C
		t.Fatalf("CRC is %x", got)
	}
	f := newFakeRun(t.TempDir())
	f.mustRun(t)
	data, err := os.ReadFile(boards(t, f.Output)[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] ^= 0x10
		if _, err := records(data); err == nil {
			t.Fatalf("a change of byte %d was not detected", i)
		}
		data[i] ^= 0x10
	}
}

func TestBoardNames(t *testing.T) {
	f := newFakeRun(t.TempDir())
	f.mustRun(t)
	name := filepath.Base(boards(t, f.Output)[0])
	if parts := strings.SplitN(name, ".", 6); len(parts) != 6 || len(parts[3]) != 10 || parts[4] != "000" {
		t.Errorf("the file's name is %s", name)
	}
}
