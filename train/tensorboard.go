package train

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/tfrecord"
)

// Fields of tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto.
const (
	eventWallTime    = 1 // double, seconds
	eventStep        = 2 // int64
	eventFileVersion = 3 // string
	eventSummary     = 5
	eventSessionLog  = 7

	summaryValue       = 1
	summaryTag         = 1 // string
	summarySimpleValue = 2 // float

	sessionLogStatus = 1
	sessionLogStart  = 1
)

// A board writes an event file for TensorBoard. A resumed run has its own file. It contains the step from which the older files
// are invalid, and TensorBoard drops their later events.
type board struct {
	file    *os.File
	record  []byte
	message []byte
	summary []byte
}

// openBoard creates a file in a folder. purge makes TensorBoard drop the events of older files there from the given step on.
func openBoard(dir string, now time.Time, purge bool, step int) (*board, error) {
	f, err := createBoard(dir, now)
	if err != nil {
		return nil, files.PathError(err)
	}
	b := &board{file: f}
	b.begin(now, 0)
	b.message = protowire.AppendTag(b.message, eventFileVersion, protowire.BytesType)
	b.message = protowire.AppendString(b.message, "brain.Event:2")
	err = b.end()
	if purge && err == nil {
		b.begin(now, step)
		log := protowire.AppendVarint(protowire.AppendTag(nil, sessionLogStatus, protowire.VarintType), sessionLogStart)
		b.message = protowire.AppendTag(b.message, eventSessionLog, protowire.BytesType)
		b.message = protowire.AppendBytes(b.message, log)
		err = b.end()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return b, nil
}

// createBoard creates a file with a new name. TensorBoard reads the files of a folder in the order of their names, so these begin
// with the time in seconds, followed by a counter for runs that start in the same second.
func createBoard(dir string, now time.Time) (*os.File, error) {
	host, err := os.Hostname()
	if err != nil || strings.ContainsAny(host, `/\`) {
		host = "localhost"
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("events.out.tfevents.%010d.%03d.%s", now.Unix(), i, host)
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// write writes the numbers of an event, if it has any.
func (b *board) write(e Event, now time.Time) error {
	b.summary = b.summary[:0]
	step := 0
	switch e := e.(type) {
	case Stepped:
		if !e.Logged {
			return nil
		}
		step = e.Step
		b.scalar("loss", e.MeanLoss)
		for _, t := range e.Terms {
			b.scalar("terms/"+t.Name, t.Value)
		}
		b.scalar("learning_rate", e.LearningRate)
		b.scalar("grad_norm", e.GradNorm)
		b.scalar("examples_per_second", e.ExamplesPerSecond)
		b.scalar("tokens_per_second", e.TokensPerSecond)
	case Evaluated:
		step = e.Step
		b.scalar("eval/loss", e.Evaluation.Loss)
		for _, m := range e.Evaluation.Metrics {
			b.scalar("eval/"+m.Name, m.Value)
		}
	default:
		return nil
	}
	b.begin(now, step)
	b.message = protowire.AppendTag(b.message, eventSummary, protowire.BytesType)
	b.message = protowire.AppendBytes(b.message, b.summary)
	return b.end()
}

// scalar adds a value to the summary.
func (b *board) scalar(tag string, v float64) {
	value := protowire.AppendString(protowire.AppendTag(nil, summaryTag, protowire.BytesType), tag)
	value = protowire.AppendFixed32(protowire.AppendTag(value, summarySimpleValue, protowire.Fixed32Type), math.Float32bits(float32(v)))
	b.summary = protowire.AppendBytes(protowire.AppendTag(b.summary, summaryValue, protowire.BytesType), value)
}

// begin starts an Event message.
func (b *board) begin(now time.Time, step int) {
	b.message = protowire.AppendTag(b.message[:0], eventWallTime, protowire.Fixed64Type)
	b.message = protowire.AppendFixed64(b.message, math.Float64bits(float64(now.UnixNano())/1e9))
	b.message = protowire.AppendTag(b.message, eventStep, protowire.VarintType)
	b.message = protowire.AppendVarint(b.message, uint64(step))
}

// end writes the Event message as a TFRecord.
func (b *board) end() error {
	b.record = tfrecord.Append(b.record[:0], b.message)
	_, err := b.file.Write(b.record)
	return files.PathError(err)
}

func (b *board) close() error { return files.PathError(b.file.Close()) }
