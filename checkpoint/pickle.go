package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A pickle is a program for a stack machine that builds Python objects: Lib/pickletools.py describes its instructions. Python's
// own machine can call any function. This one builds only containers, numbers, strings and the objects from which torch.save
// builds tensors. It calls nothing: an object of any other class is a value that is read past, with its items if it has any.
// Names that only a program meant to do harm has, and those of whole modules, are errors.

// The values of a pickle are nil for None, bool, int64, float64, string, and these.
type (
	dict   struct{ keys, values []any }
	array  struct{ items []any } // Python's list
	tuple  []any
	global string // a qualified name: "torch.FloatStorage"

	// object is a value that is no container and no tensor: an instance of a class that this package doesn't know, such as
	// numpy's scalars, bytes, or a number of many bytes. items are what the pickle puts into it, as into a dict.
	object struct {
		class global
		items dict
	}
)

// mark is the value that MARK pushes.
type mark struct{}

// A storage is an array that tensors are views of.
type storage struct {
	key   string
	dtype DType
	len   int // in elements
	data  []byte
}

// A view is a tensor of a pickle: elements of a storage.
type view struct {
	storage *storage
	offset  int // of the first element
	shape   []int
	strides []int // in elements
}

// storageTypes maps the classes of storages to their element types.
var storageTypes = map[global]DType{
	"torch.DoubleStorage": F64, "torch.FloatStorage": F32, "torch.HalfStorage": F16, "torch.BFloat16Storage": BF16,
	"torch.LongStorage": I64, "torch.IntStorage": I32, "torch.ShortStorage": I16, "torch.CharStorage": I8,
	"torch.ByteStorage": U8, "torch.BoolStorage": Bool,
}

// constants are the element types, which a state may hold as values.
var constants = []global{
	"torch.float64", "torch.float32", "torch.float16", "torch.bfloat16", "torch.int64", "torch.int32", "torch.int16",
	"torch.int8", "torch.uint8", "torch.bool",
}

// calls are the functions and classes that a pickle may call, with their substitutes.
var calls = map[global]func(u *unpickler, args tuple) (any, error){
	"collections.OrderedDict":                    newDict,
	"collections.defaultdict":                    newDefaultDict,
	"torch.Size":                                 newSize,
	"torch._utils._rebuild_tensor":               rebuildTensor,
	"torch._utils._rebuild_tensor_v2":            rebuildTensor,
	"torch._utils._rebuild_parameter":            rebuildParameter,
	"torch._utils._rebuild_parameter_with_state": rebuildParameter,
}

// builtinClasses are what a pickle may name of Python's built-in functions and classes.
var builtinClasses = []string{
	"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set", "slice", "str",
	"tuple", "long", "unicode",
}

// harmfulModules are modules that no checkpoint needs, but a pickle that is meant to run programs or to read files does.
var harmfulModules = []string{
	"asyncio", "bdb", "cProfile", "code", "codeop", "commands", "ctypes", "httplib", "imp", "importlib", "marshal", "multiprocessing",
	"nt", "ntpath", "os", "pdb", "pickle", "pip", "posix", "posixpath", "profile", "pty", "requests", "runpy", "shutil", "signal",
	"smtplib", "socket", "ssl", "subprocess", "sys", "timeit", "trace", "urllib", "urllib2", "webbrowser",
}

// refused reports whether a pickle that names g is refused.
func (g global) refused() bool {
	module, name, _ := strings.Cut(string(g), ".")
	switch {
	case module == "builtins" || module == "__builtin__":
		return !slices.Contains(builtinClasses, name)
	case module == "torch":
		return slices.Contains([]string{"load", "save", "compile", "package", "jit", "hub"}, strings.Split(name, ".")[0]) || strings.HasPrefix(name, "nn.modules.")
	}
	return slices.Contains(harmfulModules, module)
}

// known reports whether g is a storage, a constant, or what has a substitute.
func (g global) known() bool {
	return storageTypes[g] != 0 || calls[g] != nil || slices.Contains(constants, g)
}

// newDefaultDict stands for a dict that makes values for keys it hasn't: its first argument is what makes them.
func newDefaultDict(u *unpickler, args tuple) (any, error) {
	if len(args) > 1 {
		return newDict(u, args[1:])
	}
	return &dict{}, nil
}

func newDict(u *unpickler, args tuple) (any, error) {
	d := &dict{}
	switch len(args) {
	case 0:
		return d, nil
	case 1: // Python 2: a list of pairs
		if items, ok := args[0].(*array); ok {
			// The same list may be passed many times.
			if err := u.spend(2 * valueSize * len(items.items)); err != nil {
				return nil, err
			}
			for _, item := range items.items {
				pair, err := sequence(item)
				if err != nil || len(pair) != 2 {
					return nil, errors.New("its items are not pairs")
				}
				d.keys, d.values = append(d.keys, pair[0]), append(d.values, pair[1])
			}
			return d, nil
		}
	}
	return nil, errors.New("its arguments are not a list of pairs")
}

func sequence(v any) ([]any, error) {
	switch v := v.(type) {
	case tuple:
		return v, nil
	case *array:
		return v.items, nil
	}
	return nil, fmt.Errorf("%s where a tuple should be", kindOf(v))
}

func newSize(_ *unpickler, args tuple) (any, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%d arguments, want 1", len(args))
	}
	s, err := sequence(args[0])
	return tuple(s), err
}

// rebuildTensor stands for torch/_utils.py _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks, …),
// and for _rebuild_tensor, which has the first four arguments.
func rebuildTensor(_ *unpickler, args tuple) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("%d arguments, want at least 4", len(args))
	}
	s, ok := args[0].(*storage)
	if !ok {
		return nil, fmt.Errorf("%s where a storage should be", kindOf(args[0]))
	}
	offset, ok := args[1].(int64)
	if !ok || offset < 0 || offset > math.MaxInt {
		return nil, fmt.Errorf("the offset is %s", kindOf(args[1]))
	}
	shape, err := sizes(args[2])
	if err != nil {
		return nil, inside("size", err)
	}
	strides, err := sizes(args[3])
	if err != nil {
		return nil, inside("stride", err)
	}
	if len(strides) != len(shape) {
		return nil, fmt.Errorf("%d strides for %d dimensions", len(strides), len(shape))
	}
	return &view{storage: s, offset: int(offset), shape: shape, strides: strides}, nil
}

// rebuildParameter stands for torch/_utils.py _rebuild_parameter(data, requires_grad, backward_hooks).
func rebuildParameter(_ *unpickler, args tuple) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("no arguments")
	}
	v, ok := args[0].(*view)
	if !ok {
		return nil, fmt.Errorf("%s where a tensor should be", kindOf(args[0]))
	}
	return v, nil
}

// sizes reads a tuple of non-negative integers.
func sizes(v any) ([]int, error) {
	s, err := sequence(v)
	if err != nil {
		return nil, err
	}
	if len(s) > maxDims {
		return nil, fmt.Errorf("%d dimensions, want at most %d", len(s), maxDims)
	}
	out := make([]int, len(s))
	for i, item := range s {
		n, ok := item.(int64)
		if !ok || n < 0 || n > math.MaxInt {
			return nil, fmt.Errorf("%s where a non-negative integer should be", kindOf(item))
		}
		out[i] = int(n)
	}
	return out, nil
}

// kindOf names a value's type in Python, for errors.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return "a float"
	case string:
		return "a str"
	case *dict:
		return "a dict"
	case *array:
		return "a list"
	case tuple:
		return "a tuple"
	case global:
		return string(v)
	case *storage:
		return "a storage"
	case *view:
		return "a tensor"
	case *object:
		if v == nil {
			return "an object" // in general
		}
		return "an object of class " + string(v.class)
	case mark:
		return "a mark"
	}
	return fmt.Sprintf("%T", v)
}

// An unpickler runs a pickle.
type unpickler struct {
	data     []byte
	at       int
	stack    []any
	memo     map[uint32]any
	storages map[string]*storage
	left     int // bytes of memory that the objects may still take
	steps    int // instructions that may still be run
}

// Limits on what a pickle builds, beside the strings that it holds: an object of Python can be one byte of a pickle and a
// hundred bytes of memory. A state_dict of 65,536 tensors takes 2 million instructions.
const (
	pickleMemory = 16 << 20 // bytes, and as many again as the file has
	maxSteps     = 1 << 22
	maxStack     = 1 << 17
)

// The memory of objects in bytes, roughly: with what the allocator adds.
const (
	valueSize  = 16 // an interface
	objectSize = 64 // a container with nothing in it, or a tensor's view and its lists
	memoSize   = 64 // an entry of the memo or of the table of storages
)

// spend takes n bytes off what is left.
func (u *unpickler) spend(n int) error {
	if u.left -= n; u.left < 0 {
		return errors.New("it builds more objects than any checkpoint of its size has")
	}
	return nil
}

// The instructions, named as in pickletools.
const (
	opMark            = '('
	opStop            = '.'
	opBinFloat        = 'G'
	opBinInt          = 'J'
	opBinInt1         = 'K'
	opBinInt2         = 'M'
	opNone            = 'N'
	opBinPersID       = 'Q'
	opReduce          = 'R'
	opBinString       = 'T'
	opShortBinString  = 'U'
	opBinUnicode      = 'X'
	opEmptyList       = ']'
	opAppend          = 'a'
	opBuild           = 'b'
	opGlobal          = 'c'
	opAppends         = 'e'
	opBinGet          = 'h'
	opLongBinGet      = 'j'
	opBinPut          = 'q'
	opLongBinPut      = 'r'
	opSetItem         = 's'
	opTuple           = 't'
	opSetItems        = 'u'
	opEmptyDict       = '}'
	opEmptyTuple      = ')'
	opProto           = 0x80
	opNewObj          = 0x81
	opTuple1          = 0x85
	opTuple2          = 0x86
	opTuple3          = 0x87
	opNewTrue         = 0x88
	opNewFalse        = 0x89
	opLong1           = 0x8a
	opShortBinUnicode = 0x8c
	opBinUnicode8     = 0x8d
	opBinBytes        = 'B'
	opShortBinBytes   = 'C'
	opBinBytes8       = 0x8e
	opByteArray8      = 0x96
	opEmptySet        = 0x8f
	opAddItems        = 0x90
	opFrozenSet       = 0x91
	opNewObjEx        = 0x92
	opLong4           = 0x8b
	opPop             = '0'
	opDup             = '2'
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95
)

// highestProtocol is the newest version of the pickle format.
const highestProtocol = 5

var errPickleEnds = errors.New("the pickle ends in the middle of an instruction: truncated?")

// unpickle runs the pickle at the beginning of data and returns its value and its length. It records storages in storages.
// fileSize is the size of the whole file in bytes.
func unpickle(data []byte, storages map[string]*storage, fileSize int) (value any, n int, err error) {
	u := &unpickler{data: data, memo: map[uint32]any{}, storages: storages, left: pickleMemory + fileSize, steps: maxSteps}
	for {
		at := u.at
		stop, err := u.step()
		if u.steps--; err == nil && u.steps < 0 {
			err = fmt.Errorf("more than %d instructions, which no checkpoint has", maxSteps)
		}
		if err == nil && len(u.stack) > maxStack {
			err = fmt.Errorf("more than %d values at once, which no checkpoint needs", maxStack)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("pickle, byte %d: %w", at, err)
		}
		if stop {
			break
		}
	}
	if len(u.stack) != 1 {
		return nil, 0, fmt.Errorf("pickle: %d values at the end, want one", len(u.stack))
	}
	return u.stack[0], u.at, nil
}

// take reads n bytes.
func (u *unpickler) take(n uint64) ([]byte, error) {
	if n > uint64(len(u.data)-u.at) {
		return nil, errPickleEnds
	}
	b := u.data[u.at : u.at+int(n)]
	u.at += int(n)
	return b, nil
}

// number reads a little-endian number of n bytes.
func (u *unpickler) number(n int) (uint64, error) {
	b, err := u.take(uint64(n))
	v := uint64(0)
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	return v, err
}

// text reads a string that is preceded by its length, a number of n bytes.
func (u *unpickler) text(n int) error {
	length, err := u.number(n)
	if err != nil {
		return err
	}
	b, err := u.take(length)
	if err != nil {
		return err
	}
	if !utf8.Valid(b) { // bytes, as Python 2 wrote them
		if err := u.spend(objectSize); err != nil {
			return err
		}
		u.push(&object{class: "bytes"})
		return nil
	}
	// The bytes of a string are bytes of the file: only what comes with them counts.
	if err := u.spend(2 * valueSize); err != nil {
		return err
	}
	u.push(string(b))
	return nil
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

// pop removes the topmost n values and returns them in the order in which they were pushed.
func (u *unpickler) pop(n int) ([]any, error) {
	if n > len(u.stack) {
		return nil, errors.New("the stack is empty")
	}
	values := slices.Clone(u.stack[len(u.stack)-n:])
	for _, v := range values {
		if v == (mark{}) {
			return nil, errors.New("a mark where a value should be")
		}
	}
	u.stack = u.stack[:len(u.stack)-n]
	return values, nil
}

// popMark removes the values above the topmost mark, and the mark, and returns the values.
func (u *unpickler) popMark() ([]any, error) {
	for i := len(u.stack) - 1; i >= 0; i-- {
		if u.stack[i] == (mark{}) {
			values := slices.Clone(u.stack[i+1:])
			u.stack = u.stack[:i]
			return values, nil
		}
	}
	return nil, errors.New("no mark on the stack")
}

// top returns the topmost value, which must be a T.
func top[T any](u *unpickler) (T, error) {
	var none T
	if len(u.stack) == 0 {
		return none, errors.New("the stack is empty")
	}
	v, ok := u.stack[len(u.stack)-1].(T)
	if !ok {
		return none, fmt.Errorf("%s where %s should be", kindOf(u.stack[len(u.stack)-1]), kindOf(any(none)))
	}
	return v, nil
}

// costs is the memory that each instruction takes beside that of what it is given.
var costs = [256]int{
	opEmptyList: objectSize, opEmptyDict: objectSize,
	opTuple: objectSize, opTuple1: objectSize, opTuple2: objectSize, opTuple3: 2 * objectSize,
	opBinInt: valueSize, opBinInt1: valueSize, opBinInt2: valueSize, opLong1: valueSize, opBinFloat: valueSize,
	opBinPut: memoSize, opLongBinPut: memoSize, opMemoize: memoSize,
	opGlobal: 2 * objectSize, opStackGlobal: 2 * objectSize,
	opReduce: 2 * objectSize, opNewObj: 2 * objectSize,
	opBinPersID: 2 * objectSize,
	opBinBytes:  2 * objectSize, opShortBinBytes: 2 * objectSize, opBinBytes8: 2 * objectSize, opByteArray8: 2 * objectSize,
	opEmptySet: 2 * objectSize, opFrozenSet: 2 * objectSize, opNewObjEx: 2 * objectSize, opLong4: 2 * objectSize,
	opDup: valueSize,
	// A value in a list, and a key and a value in a dict, as their slices grow.
	opAppend: 4 * valueSize, opSetItem: 8 * valueSize,
}

// step runs one instruction.
func (u *unpickler) step() (stop bool, err error) {
	op, err := u.number(1)
	if err != nil {
		return false, err
	}
	if err := u.spend(costs[op]); err != nil {
		return false, err
	}
	switch op {
	case opStop:
		return true, nil
	case opProto:
		v, err := u.number(1)
		if err == nil && v > highestProtocol {
			err = fmt.Errorf("protocol %d, want at most %d", v, highestProtocol)
		}
		return false, err
	case opFrame:
		_, err = u.number(8)
	case opMark:
		u.push(mark{})
	case opNone:
		u.push(nil)
	case opNewTrue, opNewFalse:
		u.push(op == opNewTrue)
	case opBinInt:
		v, err := u.number(4)
		u.push(int64(int32(v)))
		return false, err
	case opBinInt1:
		v, err := u.number(1)
		u.push(int64(v))
		return false, err
	case opBinInt2:
		v, err := u.number(2)
		u.push(int64(v))
		return false, err
	case opLong1:
		err = u.long(1)
	case opLong4:
		err = u.long(4)
	case opShortBinBytes:
		err = u.bytes(1)
	case opBinBytes:
		err = u.bytes(4)
	case opBinBytes8, opByteArray8:
		err = u.bytes(8)
	case opEmptySet:
		u.push(&object{class: "set"})
	case opAddItems:
		if _, err = u.popMark(); err == nil {
			_, err = top[*object](u)
		}
	case opFrozenSet:
		_, err = u.popMark()
		u.push(&object{class: "frozenset"})
	case opPop:
		_, err = u.pop(1)
	case opDup:
		v, err := top[any](u)
		u.push(v)
		return false, err
	case opBinFloat: // the only big-endian number
		b, err := u.take(8)
		if err == nil {
			u.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
		}
		return false, err
	case opShortBinString, opShortBinUnicode:
		err = u.text(1)
	case opBinString, opBinUnicode:
		err = u.text(4)
	case opBinUnicode8:
		err = u.text(8)
	case opEmptyList:
		u.push(&array{})
	case opEmptyDict:
		u.push(&dict{})
	case opEmptyTuple:
		u.push(tuple{})
	case opTuple1, opTuple2, opTuple3:
		values, err := u.pop(int(op-opTuple1) + 1)
		u.push(tuple(values))
		return false, err
	case opTuple:
		values, err := u.popMark()
		if err == nil {
			err = u.spend(valueSize * len(values))
		}
		u.push(tuple(values))
		return false, err
	case opAppend, opAppends:
		values, err := u.values(op == opAppends, 1)
		if err != nil {
			return false, err
		}
		if len(u.stack) > 0 {
			if _, ok := u.stack[len(u.stack)-1].(*object); ok { // a list of a class of its own
				return false, nil
			}
		}
		l, err := top[*array](u)
		if err == nil {
			l.items = append(l.items, values...)
		}
		return false, err
	case opSetItem, opSetItems:
		values, err := u.values(op == opSetItems, 2)
		if err != nil {
			return false, err
		}
		if len(values)%2 != 0 {
			return false, errors.New("a key without a value")
		}
		var d *dict
		if len(u.stack) > 0 {
			if o, ok := u.stack[len(u.stack)-1].(*object); ok { // a dict of a class of its own
				d = &o.items
			}
		}
		if d == nil {
			d, err = top[*dict](u)
		}
		if err == nil {
			for i := 0; i < len(values); i += 2 {
				d.keys, d.values = append(d.keys, values[i]), append(d.values, values[i+1])
			}
		}
		return false, err
	case opBinPut, opLongBinPut, opMemoize:
		err = u.put(op)
	case opBinGet, opLongBinGet:
		err = u.get(op)
	case opGlobal, opStackGlobal:
		err = u.global(op)
	case opReduce, opNewObj:
		err = u.call()
	case opNewObjEx: // with arguments by name, which nothing known here has
		if _, err = u.pop(1); err == nil {
			err = u.call()
		}
	case opBuild:
		err = u.build()
	case opBinPersID:
		err = u.persistent()
	default:
		err = fmt.Errorf("instruction 0x%02x (%q) is not supported: torch.save does not use it for tensors", op, rune(op))
	}
	return false, err
}

// values pops what an instruction adds to a container: n values, or all above the mark.
func (u *unpickler) values(toMark bool, n int) ([]any, error) {
	if !toMark {
		return u.pop(n)
	}
	values, err := u.popMark()
	if err == nil {
		err = u.spend(4 * valueSize * len(values))
	}
	return values, err
}

// bytes reads bytes that are preceded by their number, itself of n bytes. No tensor is made of them.
func (u *unpickler) bytes(n int) error {
	length, err := u.number(n)
	if err != nil {
		return err
	}
	if _, err := u.take(length); err != nil {
		return err
	}
	u.push(&object{class: "bytes"})
	return nil
}

// long reads LONG1 or LONG4, a little-endian number in two's complement, preceded by the number of its bytes, itself of width
// bytes.
func (u *unpickler) long(width int) error {
	n, err := u.number(width)
	if err != nil {
		return err
	}
	if n > 8 { // a seed, not a size
		if err := u.spend(objectSize); err != nil {
			return err
		}
		_, err := u.take(n)
		u.push(&object{class: "int"})
		return err
	}
	v, err := u.number(int(n))
	if n > 0 {
		shift := 64 - 8*n
		u.push(int64(v<<shift) >> shift)
		return err
	}
	u.push(int64(0))
	return err
}

// put memoizes the topmost value under a number; MEMOIZE uses the next free one.
func (u *unpickler) put(op uint64) error {
	i := uint64(len(u.memo))
	var err error
	switch op {
	case opBinPut:
		i, err = u.number(1)
	case opLongBinPut:
		i, err = u.number(4)
	}
	if err != nil {
		return err
	}
	v, err := top[any](u)
	if err == nil && v == (mark{}) {
		err = errors.New("a mark where a value should be")
	}
	u.memo[uint32(i)] = v
	return err
}

func (u *unpickler) get(op uint64) error {
	n := 1
	if op == opLongBinGet {
		n = 4
	}
	i, err := u.number(n)
	if err != nil {
		return err
	}
	v, ok := u.memo[uint32(i)]
	if !ok {
		return fmt.Errorf("nothing is memoized under %d", i)
	}
	u.push(v)
	return nil
}

// global pushes the name of a function, a class or a constant, given as two lines or as two strings on the stack.
func (u *unpickler) global(op uint64) error {
	var names [2]string
	if op == opGlobal {
		for i := range names {
			end := bytes.IndexByte(u.data[u.at:], '\n')
			if end < 0 {
				return errPickleEnds
			}
			names[i] = clip(string(u.data[u.at : u.at+min(end, maxKey)]))
			u.at += end + 1
		}
	} else {
		values, err := u.pop(2)
		if err != nil {
			return err
		}
		for i, v := range values {
			var ok bool
			if names[i], ok = v.(string); !ok {
				return fmt.Errorf("%s where a name should be", kindOf(v))
			}
		}
	}
	g := global(clip(names[0]) + "." + clip(names[1]))
	if g.refused() {
		return fmt.Errorf("it names %q, which is not a tensor, storage or container: refused, and nothing was run. Save only the state_dict", string(g))
	}
	u.push(g)
	return nil
}

// call runs REDUCE and NEWOBJ: a function or a class, and its arguments.
func (u *unpickler) call() error {
	values, err := u.pop(2)
	if err != nil {
		return err
	}
	if o, ok := values[0].(*object); ok {
		u.push(&object{class: o.class})
		return nil
	}
	g, ok := values[0].(global)
	if !ok {
		return fmt.Errorf("%s is called", kindOf(values[0]))
	}
	args, ok := values[1].(tuple)
	if !ok {
		return fmt.Errorf("%s is called with %s", g, kindOf(values[1]))
	}
	const withType = "torch._tensor._rebuild_from_type_v2" // (function, class, its arguments, attributes)
	if g == withType && len(args) >= 3 {
		g, _ = args[0].(global)
		args, _ = args[2].(tuple)
	}
	f := calls[g]
	switch {
	case f == nil && g.known():
		return fmt.Errorf("%s is called: refused, and nothing was run", g)
	case f == nil:
		u.push(&object{class: g})
		return nil
	}
	v, err := f(u, args)
	if err != nil {
		return fmt.Errorf("%s: %w", g, err)
	}
	u.push(v)
	return nil
}

// build runs BUILD, which sets attributes of an object. They are dropped: the
// _metadata of a state_dict, with the versions of its modules, says nothing about tensors.
func (u *unpickler) build() error {
	if _, err := u.pop(1); err != nil {
		return err
	}
	if len(u.stack) > 0 {
		if _, ok := u.stack[len(u.stack)-1].(*object); ok {
			return nil
		}
	}
	_, err := top[*dict](u)
	return err
}

// persistent runs BINPERSID, by which torch.save refers to a storage: torch/serialization.py, persistent_id.
func (u *unpickler) persistent() error {
	values, err := u.pop(1)
	if err != nil {
		return err
	}
	id, ok := values[0].(tuple)
	if !ok || len(id) < 5 {
		return fmt.Errorf("%s does not refer to a storage", kindOf(values[0]))
	}
	if id[0] != "storage" {
		if kind, ok := id[0].(string); ok {
			return fmt.Errorf("a persistent object of kind %s: only storages are supported", quoted(kind))
		}
		return errors.New("a persistent object that is not a storage")
	}
	class, _ := id[1].(global)
	dtype := storageTypes[class]
	key, isKey := id[2].(string)
	n, isSize := id[4].(int64)
	switch {
	case dtype == 0:
		return fmt.Errorf("a storage of the unknown class %s", kindOf(id[1]))
	case !isKey || !isSize || n < 0:
		return errors.New("a storage without a key or a size")
	case len(id) > 5 && id[5] != nil:
		return fmt.Errorf("storage %s is a view of another, as written by PyTorch before 0.4: save the file again with a newer version", quoted(key))
	}
	if _, err := byteSize(dtype, []int{int(min(n, math.MaxInt))}); err != nil || n > math.MaxInt {
		return fmt.Errorf("storage %s of %d elements is larger than the address space", quoted(key), n)
	}
	s := u.storages[key]
	if s == nil {
		if len(u.storages) == maxTensors {
			return fmt.Errorf("more than %d storages, which no checkpoint has", maxTensors)
		}
		s = &storage{key: key, dtype: dtype, len: int(n)}
		u.storages[key] = s
	}
	if s.dtype != dtype || s.len != int(n) {
		return fmt.Errorf("storage %s has %d elements of %v here and %d of %v before", quoted(key), n, dtype, s.len, s.dtype)
	}
	u.push(s)
	return nil
}
