// Package quantize makes models whose weights are int8: it writes them, finds what makes rounding lose less, and measures what it costs.
//
// [Run] writes a model directory of about a quarter of the size, which bert.Load takes as any other. [Calibrate] finds from texts by how
// much the columns of the layers' inputs should be scaled. [Evaluate] measures layer by layer what int8 costs in accuracy.
package quantize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/convert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/tokenizer"
)

// Options say how a model is made int8. The zero value is good.
type Options struct {
	// Layers says which layers become int8, and how.
	Layers bert.Quantize
	// MaxShardBytes, GELU, Base and Loaded are those of convert.Options.
	MaxShardBytes int64
	GELU          bert.GELU
	Base          string
	Loaded        func(*bert.Model)
}

// Run reads the model in, any path that bert.Load takes, and writes it with int8 weights to the folder out, which must be new or
// empty, with its tokenizer, its task and its pipeline. The folder appears whole or not at all. Weights that are int8 in an ONNX graph
// keep their integers where these fit. A model that Run wrote is an error.
func Run(ctx context.Context, in, out string, o Options) (*convert.Result, error) {
	return convert.Run(ctx, in, out, convert.Options{
		Format: convert.HuggingFace, Quantize: &o.Layers, MaxShardBytes: o.MaxShardBytes, GELU: o.GELU, Base: o.Base, Loaded: o.Loaded,
	})
}

// CalibrateOptions say how Calibrate runs. The zero value is good.
type CalibrateOptions struct {
	Alpha     float64 // see bert.Calibration; 0: DefaultAlpha
	MaxLength int     // the longest text in tokens; 0: 128
	// Model says how the model is loaded; the head and the precision aren't used.
	Model bert.Options
	// Progress, if not nil, is called after each batch with the number of texts done and of all.
	Progress func(done, all int)
}

// DefaultAlpha is what SmoothQuant's paper takes for most models.
const DefaultAlpha = 0.5

const (
	calibrationLength = 128
	calibrationTokens = 2048 // of a batch
)

// Calibrate finds the scales of the inputs of a model's layers, bert.Quantize.InputScales, from texts like those that the model will
// see. A few hundred are enough.
func Calibrate(ctx context.Context, dir string, texts []data.Input, o CalibrateOptions) (map[string][]float32, error) {
	if len(texts) == 0 {
		return nil, errors.New("there are no texts to calibrate with")
	}
	encoder := sentence.EncoderDir(dir)
	t, err := tokenizer.Load(bert.TokenizerDir(encoder, o.Model.Base))
	if err != nil {
		return nil, err
	}
	o.Model.Head, o.Model.Precision, o.Model.Dequantize = bert.HeadOfTensors, bert.Float32, true
	m, err := bert.Load(ctx, encoder, o.Model)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if err := m.CheckVocabulary(t.VocabSize()); err != nil {
		return nil, err
	}
	var (
		calibration = m.NewCalibration()
		batch       bert.Batch
		encoding    tokenizer.Encoding
		options     = t.DefaultOptions()
		config      = m.Config()
	)
	options.MaxLength = min(cmp.Or(o.MaxLength, calibrationLength), config.MaxPositionEmbeddings)
	options.Truncation, options.Overflow, options.Stride = tokenizer.LongestFirst, false, 0
	for i := range texts {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := encode(t, &encoding, &texts[i], options); err != nil {
			return nil, fmt.Errorf("text %d: %w", i+1, err)
		}
		batch.Add(encoding.IDs, encoding.TypeIDs)
		if batch.Tokens() < calibrationTokens && i < len(texts)-1 {
			continue
		}
		if err := calibration.Add(&batch); err != nil {
			return nil, err
		}
		batch.Reset()
		if o.Progress != nil {
			o.Progress(i+1, len(texts))
		}
	}
	return calibration.InputScales(cmp.Or(o.Alpha, DefaultAlpha))
}

// encode makes ids of a text or a pair.
func encode(t *tokenizer.Tokenizer, dst *tokenizer.Encoding, in *data.Input, o tokenizer.Options) error {
	switch {
	case in.IDs != nil:
		dst.IDs, dst.TypeIDs = append(dst.IDs[:0], in.IDs...), slices.Clone(in.TypeIDs)
		return nil
	case in.Words != nil:
		return t.EncodeWords(dst, in.Words, o)
	case in.Pair || in.TextPair != "":
		return t.EncodePair(dst, in.Text, in.TextPair, o)
	}
	return t.Encode(dst, in.Text, o)
}
