package serve

import (
	"encoding/binary"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/message"
)

// vectorFormat is how vectors of D numbers are written as bytes, end to end. The headers X-Bert-Format and X-Bert-Shape, "N,D", say what
// the body has.
type vectorFormat struct {
	name   string
	append func(b []byte, v []float32) []byte
}

// vectorFormats are the formats beside JSON, which has no name. All numbers are little-endian.
var vectorFormats = []vectorFormat{
	{"f32", appendBytes},
	// IEEE 754 binary16, rounded to the nearest.
	{"f16", func(b []byte, v []float32) []byte {
		for _, x := range v {
			b = binary.LittleEndian.AppendUint16(b, float16(x))
		}
		return b
	}},
	// The scale as float32, and D signed bytes: a number is scale times its byte. The largest is 127.
	{"int8", func(b []byte, v []float32) []byte {
		most := float32(0)
		for _, x := range v {
			most = max(most, x, -x)
		}
		scale := most / 127
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(scale))
		for _, x := range v {
			q := 0.0
			if scale > 0 {
				q = math.RoundToEven(float64(x) / float64(scale))
			}
			b = append(b, byte(int8(max(-127, min(127, q)))))
		}
		return b
	}},
	// A bit for each number, 1 where it is above 0, the first in the highest bit of the first byte, as NumPy's packbits has them.
	{"binary", func(b []byte, v []float32) []byte {
		for i := 0; i < len(v); i += 8 {
			var bits byte
			for k, x := range v[i:min(i+8, len(v))] {
				if x > 0 {
					bits |= 0x80 >> k
				}
			}
			b = append(b, bits)
		}
		return b
	}},
}

// parseVectorFormat is nil of JSON.
func parseVectorFormat(name string) (*vectorFormat, error) {
	if name == "" || name == "json" {
		return nil, nil
	}
	if i := slices.IndexFunc(vectorFormats, func(f vectorFormat) bool { return f.name == name }); i >= 0 {
		return &vectorFormats[i], nil
	}
	names := []string{"json"}
	for _, f := range vectorFormats {
		names = append(names, f.name)
	}
	return nil, errorf(BadRequest, "format %s: want %s", message.Quote(name), strings.Join(names, ", ")).param("format")
}

// replyVectors answers with bytes. Inputs that have none are refused: there is no place for their errors.
func (c *call) replyVectors(vectors [][]float32, f *vectorFormat) error {
	b := c.buffer()
	for i, v := range vectors {
		if v == nil {
			return errorf(BadRequest, "partial is for JSON: the format %s has no place for errors", f.name).param("partial").atInput(i)
		}
		b = f.append(b, v)
	}
	h := c.w.Header()
	h.Set("X-Bert-Format", f.name)
	h.Set("X-Bert-Shape", strconv.Itoa(len(vectors))+","+strconv.Itoa(len(vectors[0])))
	return c.reply(http.StatusOK, contentBytes, b)
}

// float16 rounds to binary16, to the nearest and of two to the even one. What is too large is infinite.
func float16(x float32) uint16 {
	bits := math.Float32bits(x)
	sign := uint16(bits >> 16 & 0x8000)
	exponent := int(bits>>23&0xFF) - 127
	fraction := bits & 0x7FFFFF
	switch {
	case exponent == 128 && fraction != 0:
		return sign | 0x7E00
	case exponent > 15:
		return sign | 0x7C00
	case exponent < -25:
		return sign
	}
	// The significand with its leading 1, of which shift bits go.
	significand, shift := fraction|0x800000, 13
	biased := exponent + 15
	if biased <= 0 { // a subnormal number
		shift += 1 - biased
		biased = 0
	} else {
		significand &^= 0x800000
	}
	half := uint32(1) << (shift - 1)
	rounded := significand >> shift
	if rest := significand & (half<<1 - 1); rest > half || rest == half && rounded&1 == 1 {
		rounded++ // which may carry into the exponent
	}
	return sign | uint16(biased<<10) + uint16(rounded)
}
