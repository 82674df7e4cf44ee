package checkpoint

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A flattener names the tensors of nested containers by their paths, joined by dots.
type flattener struct {
	names    map[string]bool
	tensors  []namedView
	metadata map[string]string
	visits   int // how many are left
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
			if err := f.add(append(place, name), v.values[i]); err != nil {
				return err
			}
		}
		return nil
	case *array:
		return f.addAll(place, v.items)
	case tuple:
		return f.addAll(place, v)
	case *storage:
		return fmt.Errorf("%q is a storage, not a tensor", strings.Join(place, "."))
	}
	if len(place) == 0 {
		return fmt.Errorf("the file holds %s, want a dict of tensors", kindOf(v))
	}
	name := strings.Join(place, ".")
	if len(name) > maxKey {
		return fmt.Errorf("a name has %d bytes, more than %d", len(name), maxKey)
	}
	if strings.ContainsRune(name, 0) {
		return fmt.Errorf("NUL in the name %q", name)
	}
	if f.names[name] {
		return fmt.Errorf("%q appears twice", name)
	}
	f.names[name] = true
	if t, ok := v.(*view); ok {
		f.tensors = append(f.tensors, namedView{name, t})
	} else {
		f.metadata[name] = scalar(v)
	}
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
	case int64:
		return strconv.FormatInt(key, 10), nil
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
	default: // a global
		return fmt.Sprint(v)
	}
}
