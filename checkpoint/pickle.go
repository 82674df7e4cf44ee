package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A pickle is a program for a stack machine that builds Python objects: Lib/pickletools.py describes its instructions. Python's
// own machine can call any function. This one supports only containers, numbers, strings and the objects from which torch.save
// builds tensors. It calls nothing: a name that is not in the tables below is an error.

// The values of a pickle are nil for None, bool, int64, float64, string, and these.
type (
	dict   struct{ keys, values []any }
	array  struct{ items []any } // Python's list
	tuple  []any
	global string // a qualified name: "torch.FloatStorage"
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
	"collections.OrderedDict":         newDict,
	"torch.Size":                      newSize,
	"torch._utils._rebuild_tensor":    rebuildTensor,
	"torch._utils._rebuild_tensor_v2": rebuildTensor,
	"torch._utils._rebuild_parameter": rebuildParameter,
}

// knownGlobal reports whether a pickle may name g.
func knownGlobal(g global) bool {
	return storageTypes[g] != 0 || calls[g] != nil || slices.Contains(constants, g)
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
	if !utf8.Valid(b) {
		return errors.New("a string is not UTF-8")
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
		err = u.long()
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
		d, err := top[*dict](u)
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

// long reads LONG1, a little-endian number in two's complement.
func (u *unpickler) long() error {
	n, err := u.number(1)
	if err != nil {
		return err
	}
	if n > 8 {
		return fmt.Errorf("a number of %d bytes, want at most 8", n)
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
	if !knownGlobal(g) {
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
	g, ok := values[0].(global)
	if !ok {
		return fmt.Errorf("%s is called", kindOf(values[0]))
	}
	args, ok := values[1].(tuple)
	if !ok {
		return fmt.Errorf("%s is called with %s", g, kindOf(values[1]))
	}
	f := calls[g]
	if f == nil {
		return fmt.Errorf("%s is called: refused, and nothing was run", g)
	}
	v, err := f(u, args)
	if err != nil {
		return fmt.Errorf("%s: %w", g, err)
	}
	u.push(v)
	return nil
}

// build runs BUILD, which sets attributes of an object. Only those of a dictionary are accepted, and they are dropped: the
// _metadata of a state_dict, with the versions of its modules, says nothing about tensors.
func (u *unpickler) build() error {
	if _, err := u.pop(1); err != nil {
		return err
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
