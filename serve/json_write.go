package serve

import "strconv"

// jsonObject appends an object key by key.
type jsonObject struct {
	b     []byte
	first bool
}

// openObject begins an object.
func openObject(b []byte) jsonObject { return jsonObject{append(b, '{'), true} }

// separate appends the comma between two keys.
func (o *jsonObject) separate() {
	if !o.first {
		o.b = append(o.b, ',')
	}
	o.first = false
}

// key appends a key, which is a name that needs no escapes. Its value is to be appended to b.
func (o *jsonObject) key(name string) {
	o.separate()
	o.b = append(append(append(o.b, '"'), name...), '"', ':')
}

func (o *jsonObject) text(name, value string) {
	o.key(name)
	o.b = appendString(o.b, value)
}

func (o *jsonObject) integer(name string, value int) {
	o.key(name)
	o.b = appendInt(o.b, value)
}

func (o *jsonObject) float(name string, value float32) {
	o.key(name)
	o.b = appendFloat32(o.b, value)
}

func (o *jsonObject) boolean(name string, value bool) {
	o.key(name)
	o.b = strconv.AppendBool(o.b, value)
}

// raw appends a value that is JSON already.
func (o *jsonObject) raw(name, value string) {
	o.key(name)
	o.b = append(o.b, value...)
}

// close ends the object and returns the text.
func (o *jsonObject) close() []byte { return append(o.b, '}') }

// appendEach appends an array of n elements, each of which add appends.
func appendEach(b []byte, n int, add func(b []byte, i int) []byte) []byte {
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = add(b, i)
	}
	return append(b, ']')
}
