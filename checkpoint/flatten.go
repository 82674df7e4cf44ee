package checkpoint

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A flattener names the tensors of nested containers by their paths, joined by dots.
type flattener struct {
	names    map[string]bool // of the tensors
	tensors  []namedView
	metadata map[string]string
	visits   int // how many are left
	used     ledger
	text     int // bytes of the metadata's values so far
	fileSize int
}

type namedView struct {
	name string
	view *view
}

// maxDepth is the maximal nesting of containers.
const maxDepth = 64

// add adds the value at a path. Containers may refer to one another many times, so the number of visits is limited.
func (f *flattener) add(place []string, v any) error {
	if f.visits--; f.visits < 0 || len(place) > maxDepth {
		return errors.New("its containers are nested too deeply or refer to one another too often")
	}
	switch v := v.(type) {
	case *dict:
		for i, key := range v.keys {
			name, err := keyName(key)
			if err != nil {
				return err
			}
			switch key.(type) {
			case tuple, *object, global: // several may be of one kind
				name += " " + strconv.Itoa(i)
			}
			if err := f.add(append(place, name), v.values[i]); err != nil {
				return err
			}
		}
		return nil
	case *array:
		return f.addAll(place, v.items)
	case tuple:
		return f.addAll(place, v)
	case *object:
		if len(v.items.keys) > 0 {
			return f.add(place, &v.items)
		}
		if len(place) == 0 {
			return fmt.Errorf("the file holds %s, not a dict of tensors: refused, and nothing was run. Save its state_dict", kindOf(v))
		}
	case *storage:
		return fmt.Errorf("%s is a storage, not a tensor", quoted(strings.Join(place, ".")))
	}
	if len(place) == 0 {
		return fmt.Errorf("the file holds %s, want a dict of tensors", kindOf(v))
	}
	length := 0
	for _, part := range place {
		length += len(part) + 1
	}
	if length > maxKey+1 {
		return fmt.Errorf("a name has %d bytes, want at most %d", length-1, maxKey)
	}
	name := strings.Join(place, ".")
	t, isTensor := v.(*view)
	if err := f.used.name(name, isTensor); err != nil {
		return err
	}
	if strings.ContainsRune(name, 0) {
		return fmt.Errorf("NUL in the name %s", quoted(name))
	}
	if _, twice := f.metadata[name]; twice || f.names[name] {
		return fmt.Errorf("%s appears twice", quoted(name))
	}
	if isTensor {
		f.names[name] = true
		f.tensors = append(f.tensors, namedView{name, t})
		return nil
	}
	// A string may be the value of many keys.
	value := scalar(v)
	if f.text += len(value); f.text > maxNames+f.fileSize {
		return errors.New("its strings refer to one another too often")
	}
	f.metadata[name] = value
	return nil
}

func (f *flattener) addAll(place []string, items []any) error {
	for i, v := range items {
		if err := f.add(append(place, strconv.Itoa(i)), v); err != nil {
			return err
		}
	}
	return nil
}

func keyName(key any) (string, error) {
	switch key := key.(type) {
	case string:
		return key, nil
	case nil, int64, bool, float64:
		return scalar(key), nil
	case tuple, *object, global: // of a table beside the tensors
		return kindOf(key), nil
	}
	return "", fmt.Errorf("%s is the key of a dict: want a str or an int", kindOf(key))
}

// scalar formats a value as Python prints it.
func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case *object:
		return string(v.class)
	default: // a global
		return fmt.Sprint(v)
	}
}
