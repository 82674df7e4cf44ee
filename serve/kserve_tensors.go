package serve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/go-bert/bert/internal/message"
)

// tensor is an input or an output of KServe's protocol. One of texts, integers and floats has its elements, by its datatype.
type tensor struct {
	name     string
	shape    []int
	datatype string

	texts    []string  // BYTES
	integers []int64   // the integers and BOOL, whatever their width
	floats   []float32 // FP32

	binary bool // the elements are, or are to be, bytes after the JSON
	size   int  // of them; −1: not known
}

// integerWidths are the bytes of the datatypes of integers that are read.
var integerWidths = map[string]int{"INT64": 8, "INT32": 4, "INT16": 2, "INT8": 1, "UINT64": 8, "UINT32": 4, "UINT16": 2, "UINT8": 1, "BOOL": 1}

func textTensor(name string, texts []string, shape ...int) tensor {
	return tensor{name: name, shape: shape, datatype: "BYTES", texts: texts}
}

func integerTensor(name string, integers []int64, shape ...int) tensor {
	return tensor{name: name, shape: shape, datatype: "INT64", integers: integers}
}

func floatTensor(name string, floats []float32, shape ...int) tensor {
	return tensor{name: name, shape: shape, datatype: "FP32", floats: floats}
}

// kserveRequest is a request of inference: JSON and, after it, the elements of inputs that are binary (the binary tensor data extension).
type kserveRequest struct {
	id      string
	inputs  []tensor
	outputs []kserveOutput // those that are wanted; nil: all
	binary  bool           // outputs are binary where they don't say
	hfParameters
}

type kserveOutput struct {
	name   string
	binary bool
	top    int // classification: the best labels in place of the numbers; 0: no
}

// maxShape bounds the dimensions of a tensor.
const maxShape = 8

// readKServe reads a body whose JSON has header bytes; −1: all of it is JSON.
func readKServe(body []byte, header int) (q kserveRequest, err error) {
	rest := []byte(nil)
	switch {
	case header > len(body):
		return q, &fieldError{"Inference-Header-Content-Length", fmt.Errorf("is %d, but the body has %d bytes", header, len(body))}
	case header >= 0:
		body, rest = body[:header], body[header:]
	}
	q.hfParameters = defaultHFParameters()
	there := false
	var sets []bool // of q.outputs: binary_data was said
	err = readObject(body, func(d *jsonReader, key string) error {
		switch key {
		case "id":
			return d.intoText(&q.id)
		case "inputs":
			there = true
			q.inputs = nil
			return d.array(func(int) error {
				t, err := d.tensor()
				q.inputs = append(q.inputs, t)
				return err
			})
		case "outputs":
			if null, err := d.null(); err != nil || null {
				return err
			}
			q.outputs, sets = []kserveOutput{}, nil
			return d.array(func(int) error {
				o, said, err := d.requestedOutput()
				q.outputs, sets = append(q.outputs, o), append(sets, said)
				return err
			})
		case "parameters":
			return d.orNull(func(key string) error {
				if key == "binary_data_output" {
					return d.intoBool(&q.binary)
				}
				return q.parameter(d, key)
			})
		}
		return nil
	})
	if err := checkList("inputs", there, len(q.inputs), err); err != nil {
		return q, err
	}
	for i := range q.outputs {
		if !sets[i] {
			q.outputs[i].binary = q.binary
		}
	}
	for i := range q.inputs {
		t := &q.inputs[i]
		field := fmt.Sprintf("inputs[%d]", i)
		if t.binary {
			if t.size > len(rest) {
				return q, &fieldError{field + ".parameters.binary_data_size", fmt.Errorf("is %d, but %d bytes are left", t.size, len(rest))}
			}
			if err := t.read(rest[:t.size]); err != nil {
				return q, inField(field, err)
			}
			rest = rest[t.size:]
		}
		if err := t.check(); err != nil {
			return q, inField(field, err)
		}
	}
	if len(rest) > 0 {
		return q, &fieldError{err: fmt.Errorf("%d bytes follow the inputs", len(rest))}
	}
	return q, nil
}

func (d *jsonReader) requestedOutput() (o kserveOutput, said bool, err error) {
	err = d.object(func(key string) error {
		switch key {
		case "name":
			return d.intoText(&o.name)
		case "parameters":
			return d.orNull(func(key string) error {
				switch key {
				case "binary_data":
					said = true
					return d.intoBool(&o.binary)
				case "classification":
					return d.intoInt(&o.top, 0, maxList)
				case "shared_memory_region":
					return &fieldError{err: errSharedMemory}
				}
				return nil
			})
		}
		return nil
	})
	if err == nil && o.name == "" {
		err = &fieldError{"name", errMissing}
	}
	return o, said, err
}

var errSharedMemory = errors.New("shared memory is not supported: send the elements")

// tensor reads an input but for what is binary.
func (d *jsonReader) tensor() (t tensor, err error) {
	data := []byte(nil)
	shape := false
	err = d.object(func(key string) (err error) {
		switch key {
		case "name":
			t.name, err = d.text()
		case "datatype":
			t.datatype, err = d.text()
		case "shape":
			shape, t.shape = true, nil
			return d.array(func(i int) error {
				if i == maxShape {
					return &fieldError{err: fmt.Errorf("more than %d dimensions", maxShape)}
				}
				n, err := d.integer(0, math.MaxInt32)
				t.shape = append(t.shape, n)
				return err
			})
		case "parameters":
			return d.orNull(func(key string) error {
				switch key {
				case "binary_data_size":
					t.binary = true
					return d.intoInt(&t.size, 0, math.MaxInt32)
				case "shared_memory_region":
					return &fieldError{err: errSharedMemory}
				}
				return nil
			})
		case "data":
			data, err = d.raw()
		}
		return err
	})
	_, integers := integerWidths[t.datatype]
	switch {
	case err != nil:
		return t, err
	case t.name == "":
		return t, &fieldError{"name", errMissing}
	case !shape:
		return t, &fieldError{"shape", errMissing}
	case t.datatype == "":
		return t, &fieldError{"datatype", errMissing}
	case t.datatype != "BYTES" && !integers:
		return t, &fieldError{"datatype", fmt.Errorf("%s: want BYTES or an integer type, such as INT64", message.Quote(t.datatype))}
	case t.binary:
		return t, nil
	case data == nil:
		return t, &fieldError{"data", errMissing}
	}
	d = &jsonReader{data: data}
	return t, inField("data", d.elements(&t))
}

// elements reads the elements of a tensor, which may lie in arrays of arrays, row by row.
func (d *jsonReader) elements(t *tensor) error {
	return d.longArray(func(int) error {
		switch {
		case len(t.texts) == maxElements:
			return d.tooMany()
		case d.kind() == '[':
			return d.elements(t)
		case t.datatype == "BYTES":
			s, err := d.text()
			t.texts = append(t.texts, s)
			return err
		case t.datatype == "BOOL":
			b, err := d.boolean()
			n := int64(0)
			if b {
				n = 1
			}
			t.integers = append(t.integers, n)
			return err
		}
		n, err := d.integer(math.MinInt, math.MaxInt)
		t.integers = append(t.integers, int64(n))
		return err
	})
}

// read reads elements that are binary: little-endian, a text with its length before it.
func (t *tensor) read(b []byte) error {
	if t.datatype == "BYTES" {
		for len(b) > 0 {
			if len(t.texts) == maxElements {
				return &fieldError{err: errors.New("too many texts")}
			}
			if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
				return &fieldError{err: errors.New("the binary elements end within a text")}
			}
			n := 4 + int(binary.LittleEndian.Uint32(b))
			if !utf8.Valid(b[4:n]) {
				return &fieldError{err: fmt.Errorf("text %d is not valid UTF-8, at its byte %d", len(t.texts), invalidUTF8(b[4:n]))}
			}
			t.texts = append(t.texts, string(b[4:n]))
			b = b[n:]
		}
		return nil
	}
	width := integerWidths[t.datatype]
	if len(b)%width != 0 {
		return &fieldError{err: fmt.Errorf("%d bytes are no whole number of %s", len(b), t.datatype)}
	}
	t.integers = make([]int64, 0, len(b)/width)
	unsigned := t.datatype[0] == 'U' || t.datatype == "BOOL"
	for ; len(b) > 0; b = b[width:] {
		var word [8]byte
		copy(word[:], b[:width])
		n := int64(binary.LittleEndian.Uint64(word[:]))
		if shift := 64 - 8*width; !unsigned {
			n = n << shift >> shift
		}
		t.integers = append(t.integers, n)
	}
	return nil
}

// check reports a shape that isn't that of the elements.
func (t *tensor) check() error {
	n, have := 1, len(t.texts)+len(t.integers)
	for _, d := range t.shape {
		if d > 0 && n > math.MaxInt32/d {
			return &fieldError{"shape", errors.New("has too many elements")}
		}
		n *= d
	}
	if n != have {
		return &fieldError{"shape", fmt.Errorf("%v has %d elements, but there are %d", t.shape, n, have)}
	}
	return nil
}

// column is the elements of a tensor of shape [n] or [n,1].
func (t *tensor) column() ([]string, error) {
	if t.datatype != "BYTES" {
		return nil, &fieldError{t.name, fmt.Errorf("datatype %s: want BYTES", t.datatype)}
	}
	if len(t.shape) == 0 || len(t.shape) > 2 || len(t.shape) == 2 && t.shape[1] != 1 {
		return nil, &fieldError{t.name, fmt.Errorf("shape %v: want [n] or [n,1]", t.shape)}
	}
	return t.texts, nil
}

// appendBinary appends the elements as bytes.
func (t *tensor) appendBinary(b []byte) []byte {
	for _, s := range t.texts {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	for _, n := range t.integers {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return appendBytes(b, t.floats)
}

// append appends an output as JSON.
func (t *tensor) append(b []byte) []byte {
	o := openObject(b)
	o.text("name", t.name)
	o.text("datatype", t.datatype)
	o.key("shape")
	o.b = appendEach(o.b, len(t.shape), func(b []byte, i int) []byte { return appendInt(b, t.shape[i]) })
	switch {
	case t.binary:
		o.key("parameters")
		p := openObject(o.b)
		p.integer("binary_data_size", t.size)
		o.b = p.close()
	case t.datatype == "BYTES":
		o.key("data")
		o.b = appendEach(o.b, len(t.texts), func(b []byte, i int) []byte { return appendString(b, t.texts[i]) })
	case t.datatype == "FP32":
		o.key("data")
		o.b = appendVector(o.b, t.floats)
	default:
		o.key("data")
		o.b = appendEach(o.b, len(t.integers), func(b []byte, i int) []byte { return appendInt(b, int(t.integers[i])) })
	}
	return o.close()
}

// appendKServe appends an answer: JSON, of which header is the length, and the elements of binary outputs. header is −1 where there
// are none.
func appendKServe(b []byte, model, version, id string, outputs []tensor) (answer []byte, header int) {
	header = -1
	from := len(b)
	var elements []byte
	for i := range outputs {
		if t := &outputs[i]; t.binary {
			before := len(elements)
			elements = t.appendBinary(elements)
			t.size = len(elements) - before
			header = 0
		}
	}
	o := openObject(b)
	o.text("model_name", model)
	o.text("model_version", version)
	if id != "" {
		o.text("id", id)
	}
	o.key("outputs")
	o.b = appendEach(o.b, len(outputs), func(b []byte, i int) []byte { return outputs[i].append(b) })
	b = o.close()
	if header == 0 {
		header = len(b) - from
	}
	return append(b, elements...), header
}

// chosen are the outputs that a request wants, of those that there are.
func (q *kserveRequest) chosen(outputs []tensor) ([]tensor, error) {
	if q.outputs == nil {
		for i := range outputs {
			outputs[i].binary = q.binary
		}
		return outputs, nil
	}
	var list []tensor
	for i, want := range q.outputs {
		at := slices.IndexFunc(outputs, func(t tensor) bool { return t.name == want.name })
		if at < 0 {
			names := make([]string, len(outputs))
			for i := range outputs {
				names[i] = outputs[i].name
			}
			return nil, &fieldError{fmt.Sprintf("outputs[%d].name", i), fmt.Errorf("%s: want %s", message.Quote(want.name), message.QuoteAll(names))}
		}
		t := outputs[at]
		t.binary = want.binary
		list = append(list, t)
	}
	return list, nil
}
