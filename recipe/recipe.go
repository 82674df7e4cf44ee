// Package recipe reads and writes recipes: structs that say what a run does, as flat JSON. train, pretrain and finetune have
// one each.
//
// The keys are those of the fields' json tags; the fields of an embedded struct are among its outer struct's own. Unlike
// encoding/json, Unmarshal refuses a key that it does not know, a key that occurs twice and a value of another type, and says
// which key is meant. Set and Text do for a value written as text, as on a command line, what JSON does for a file.
//
// A field whose zero value means a default that is not 0 has the tag zero, with what is wanted in place of a 0. Such a key may be
// left out, but an explicit 0 is refused: it would not mean 0. The tag nil of a pointer is the name of what nil means, which Set and JSON take in
// place of a value.
package recipe

import (
	"bytes"
	"encoding"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-bert/bert/internal/files"
)

// Error is a value in a recipe that is not valid, or is missing.
type Error struct {
	Key   string // as in JSON
	Value string // as text; "" if there is none
	// Reason is why the value is not valid, where Want alone does not say; Want is what is valid. Other keys in them are between
	// backquotes.
	Reason, Want string
	Err          error // says what is wrong, in place of the fields above; nil for most
}

func (e *Error) Error() string { return e.Naming(func(key string) string { return key }) }
func (e *Error) Unwrap() error { return e.Err }

// Naming is the message with other names for the keys, such as those of command-line flags.
func (e *Error) Naming(name func(key string) string) string {
	key, reason, want := name(e.Key), named(e.Reason, name), named(e.Want, name)
	switch {
	case e.Err != nil:
		return fmt.Sprintf("%s: %v", key, e.Err)
	case e.Want == "":
		return fmt.Sprintf("%s %s", key, reason)
	case e.Value == "" && e.Reason != "":
		return fmt.Sprintf("%s: want %s", reason, want)
	case e.Value == "":
		return fmt.Sprintf("%s is missing: want %s", key, want)
	case e.Reason != "":
		return fmt.Sprintf("%s is %s, %s: want %s", key, e.Value, reason, want)
	}
	return fmt.Sprintf("%s is %s, want %s", key, e.Value, want)
}

// named puts names in the place of the keys between backquotes.
func named(text string, name func(string) string) string {
	parts := strings.Split(text, "`")
	for i := 1; i < len(parts)-1; i += 2 {
		parts[i] = name(parts[i])
	}
	return strings.Join(parts, "")
}

// Wrong is the Error for the value that v, a pointer to a recipe, has for a key.
func Wrong(v any, key, want string) *Error {
	e := &Error{Key: key, Want: want}
	if f, ok := lookup(v, key); ok {
		e.Value = f.text()
		if f.value.Kind() == reflect.String && e.Value != "" {
			e.Value = strconv.Quote(e.Value)
		}
	}
	return e
}

// UnknownKeyError is a key that a recipe does not have.
type UnknownKeyError struct {
	Key string
}

func (e *UnknownKeyError) Error() string { return fmt.Sprintf("key %q is not known", e.Key) }

// field is a field of a recipe.
type field struct {
	key   string
	value reflect.Value
	// notZero is what is wanted in place of an explicit 0; "" where that is a value.
	notZero string
	// null is the name of what a nil pointer means; "" for most.
	null string
}

// place is where a field is in a struct, and what its tags say.
type place struct {
	key           string
	index         []int // for reflect.Value.FieldByIndex
	notZero, null string
}

// layout is the places of a struct, in the order of its fields.
type layout struct {
	places []place
	of     map[string]int // the places by key
}

// layouts keeps the layout of each type of recipe. A program asks for each key of several types when it starts.
var layouts sync.Map // reflect.Type → *layout

func layoutOf(t reflect.Type) *layout {
	if l, ok := layouts.Load(t); ok {
		return l.(*layout)
	}
	l := &layout{of: make(map[string]int)}
	var visit func(t reflect.Type, above []int)
	visit = func(t reflect.Type, above []int) {
		for i := range t.NumField() {
			f := t.Field(i)
			index := append(slices.Clone(above), i)
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous && key == "":
				visit(f.Type, index)
			case f.IsExported() && key != "" && key != "-":
				if _, twice := l.of[key]; !twice {
					l.of[key] = len(l.places)
				}
				l.places = append(l.places, place{key, index, f.Tag.Get("zero"), f.Tag.Get("nil")})
			}
		}
	}
	visit(t, nil)
	layouts.Store(t, l)
	return l
}

func (p *place) in(s reflect.Value) field {
	return field{p.key, s.FieldByIndex(p.index), p.notZero, p.null}
}

// fields are those of v, a pointer to a struct, in their order.
func fields(v any) []field {
	s := reflect.ValueOf(v).Elem()
	l := layoutOf(s.Type())
	list := make([]field, len(l.places))
	for i := range l.places {
		list[i] = l.places[i].in(s)
	}
	return list
}

func lookup(v any, key string) (field, bool) {
	s := reflect.ValueOf(v).Elem()
	l := layoutOf(s.Type())
	i, ok := l.of[key]
	if !ok {
		return field{}, false
	}
	return l.places[i].in(s), true
}

// Keys are the keys of v, a pointer to a recipe, in the order of its fields.
func Keys(v any) []string {
	var keys []string
	for _, f := range fields(v) {
		keys = append(keys, f.key)
	}
	return keys
}

// Unmarshal reads a JSON object into v, a pointer to a recipe. Keys that are not there leave their fields as they are. Errors
// are *Error and *UnknownKeyError where a key is to blame.
func Unmarshal(data []byte, v any) error {
	_, err := unmarshal(data, v)
	return err
}

// unmarshal also gives the offset of the key that an error is about.
func unmarshal(data []byte, v any) (offset int64, err error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	t, err := dec.Token()
	if err != nil {
		return dec.InputOffset(), fmt.Errorf("not JSON: %w", err)
	}
	if t != json.Delim('{') {
		return 0, errors.New("not a JSON object")
	}
	seen := make(map[string]bool)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return dec.InputOffset(), fmt.Errorf("not JSON: %w", err)
		}
		offset := dec.InputOffset()
		key := t.(string) // the decoder lets nothing else be a key
		f, ok := lookup(v, key)
		if !ok {
			return offset, &UnknownKeyError{key}
		}
		if seen[key] {
			return offset, fmt.Errorf("key %q occurs twice", key)
		}
		seen[key] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return dec.InputOffset(), fmt.Errorf("not JSON: %w", err)
		}
		if err := f.decode(value); err != nil {
			return offset, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return dec.InputOffset(), fmt.Errorf("not JSON: %w", err)
	}
	if dec.More() {
		return dec.InputOffset(), errors.New("more than one JSON value")
	}
	return 0, nil
}

// decode reads a JSON value into the field. null makes it the zero value, which is the default.
func (f *field) decode(value json.RawMessage) error {
	if f.null != "" && string(value) == strconv.Quote(f.null) {
		value = json.RawMessage("null")
	}
	p := reflect.New(f.value.Type()) // the field keeps its value after an error, and does not share a pointer with a copy
	if err := json.Unmarshal(value, p.Interface()); err != nil {
		return f.wrong(string(value), err)
	}
	f.value.Set(p.Elem())
	if string(value) == "null" {
		return nil
	}
	return f.checkZero(string(value))
}

func (f *field) checkZero(value string) error {
	if f.notZero != "" && f.value.IsZero() {
		return &Error{Key: f.key, Value: value, Want: f.notZero}
	}
	return nil
}

// wrong is the error for a value that the field can't hold.
func (f *field) wrong(value string, err error) error {
	t := f.value.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if _, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		// A set of names, whose parser says which.
		if _, want, ok := strings.Cut(err.Error(), "want "); ok {
			return &Error{Key: f.key, Value: value, Want: want}
		}
	}
	var own *Error
	if errors.As(err, &own) {
		return &Error{Key: f.key, Err: err} // of a type that reads itself
	}
	want := "a string"
	switch t.Kind() {
	case reflect.Bool:
		want = "true or false"
	case reflect.Int, reflect.Int64, reflect.Int32:
		want = "a whole number"
	case reflect.Uint, reflect.Uint64, reflect.Uint32:
		want = "a whole number from 0 on"
	case reflect.Float64, reflect.Float32:
		want = "a number"
	case reflect.Slice:
		want = "a list"
	case reflect.Map, reflect.Struct:
		want = "an object"
	}
	if f.null != "" {
		want += " or " + f.null
	}
	return &Error{Key: f.key, Value: value, Want: want}
}

// maxFile bounds the file of a recipe.
const maxFile = 16 << 20

// ReadFile reads the JSON object in a file into v, a pointer to a recipe. Errors name the file and the line.
func ReadFile(name string, v any) error {
	data, err := files.ReadFile(name, maxFile)
	if err != nil {
		return err
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if offset, err := unmarshal(data, v); err != nil {
		line := 1 + bytes.Count(data[:min(int(offset), len(data))], []byte{'\n'})
		return fmt.Errorf("%s:%d: %w", name, line, err)
	}
	return nil
}

// Set sets a key of v, a pointer to a recipe, to a value written as text: a number as Go writes it, true or false, a name, or
// a list as a line of CSV.
func Set(v any, key, value string) error {
	f, ok := lookup(v, key)
	if !ok {
		return &UnknownKeyError{key}
	}
	if err := f.set(value); err != nil {
		return f.wrong(strconv.Quote(value), err)
	}
	return f.checkZero(value)
}

func (f *field) set(value string) error {
	if f.null != "" && value == f.null {
		f.value.SetZero()
		return nil
	}
	t := f.value.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	p := reflect.New(t)
	if u, ok := p.Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(value)); err != nil {
			return err
		}
	} else if err := parse(p.Elem(), value); err != nil {
		return err
	}
	if f.value.Kind() == reflect.Pointer {
		f.value.Set(p)
	} else {
		f.value.Set(p.Elem())
	}
	return nil
}

func parse(to reflect.Value, value string) error {
	switch to.Kind() {
	case reflect.String:
		to.SetString(value)
	case reflect.Bool:
		b, err := strconv.ParseBool(value)
		to.SetBool(b)
		return err
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(value, 0, to.Type().Bits())
		to.SetInt(n)
		return err
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(value, 0, to.Type().Bits())
		to.SetUint(n)
		return err
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(value, to.Type().Bits())
		to.SetFloat(x)
		return err
	case reflect.Slice:
		var list []string
		if value != "" {
			var err error
			if list, err = csv.NewReader(strings.NewReader(value)).Read(); err != nil {
				return err
			}
		}
		if _, ok := to.Interface().([]string); ok {
			to.Set(reflect.ValueOf(list))
			return nil
		}
		to.Set(reflect.MakeSlice(to.Type(), len(list), len(list)))
		for i, item := range list {
			if err := parse(to.Index(i), strings.TrimSpace(item)); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("a %v has no text", to.Type())
	}
	return nil
}

// Clear sets a key of v, a pointer to a recipe, to its zero value, the default.
func Clear(v any, key string) error {
	f, ok := lookup(v, key)
	if !ok {
		return &UnknownKeyError{key}
	}
	f.value.SetZero()
	return nil
}

// Text is the value that v, a pointer to a recipe, has for a key, as Set takes it; "" for a pointer that is nil, unless that has
// a name. ok is false where there is no such key.
func Text(v any, key string) (value string, ok bool) {
	f, ok := lookup(v, key)
	if !ok {
		return "", false
	}
	return f.text(), true
}

func (f *field) text() string {
	if f.null != "" && f.value.IsZero() {
		return f.null
	}
	return text(f.value)
}

func text(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			return fmt.Sprint(v.Interface())
		}
		return string(text)
	}
	switch v.Kind() {
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Float32:
		return strconv.FormatFloat(v.Float(), 'g', -1, 32)
	case reflect.Slice:
		list := make([]string, v.Len())
		for i := range list {
			list[i] = text(v.Index(i))
		}
		if len(list) == 0 {
			return ""
		}
		var b strings.Builder
		w := csv.NewWriter(&b)
		if err := w.Write(list); err != nil {
			return fmt.Sprint(list)
		}
		w.Flush() // to memory: it does not fail
		return strings.TrimSuffix(b.String(), "\n")
	}
	return fmt.Sprint(v.Interface())
}

// Kind is the sort of value that a key has.
type Kind uint8

const (
	TextKind   Kind = iota // a string, or a name of a closed set
	BoolKind               // true or false
	IntKind                // a whole number
	UintKind               // a whole number from 0 on
	FloatKind              // a number
	ListKind               // several texts or numbers
	ObjectKind             // anything else
)

var kindNames = [...]string{
	TextKind: "text", BoolKind: "bool", IntKind: "int", UintKind: "uint", FloatKind: "float", ListKind: "strings", ObjectKind: "object",
}

// String is the kind's name, as command lines name the types of their flags.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// KindOf is the kind of a key of v, a pointer to a recipe. ok is false where there is no such key.
func KindOf(v any, key string) (kind Kind, ok bool) {
	f, ok := lookup(v, key)
	if !ok {
		return 0, false
	}
	t := f.value.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if _, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		return TextKind, true
	}
	switch t.Kind() {
	case reflect.String:
		return TextKind, true
	case reflect.Bool:
		return BoolKind, true
	case reflect.Int, reflect.Int32, reflect.Int64:
		return IntKind, true
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		return UintKind, true
	case reflect.Float32, reflect.Float64:
		return FloatKind, true
	case reflect.Slice:
		return ListKind, true
	}
	return ObjectKind, true
}

// Value is a single value of a recipe as text, for recipes that hold values of other recipes. In JSON it is a number or true or
// false where the text is one, and otherwise a string.
type Value string

// MarshalJSON writes a number, true, false or a string.
func (v Value) MarshalJSON() ([]byte, error) {
	var x any
	if json.Unmarshal([]byte(v), &x) == nil {
		switch x.(type) {
		case float64, bool:
			return []byte(v), nil
		}
	}
	return json.Marshal(string(v))
}

// UnmarshalJSON reads a number, true, false or a string.
func (v *Value) UnmarshalJSON(data []byte) error {
	var x any
	if err := json.Unmarshal(data, &x); err != nil {
		return err
	}
	switch x := x.(type) {
	case string:
		*v = Value(x)
	case float64, bool:
		*v = Value(data) // with all its digits
	default:
		return fmt.Errorf("%s is no number, true, false or string", data)
	}
	return nil
}

// Marshal is v as JSON, indented, with a line break at its end.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
