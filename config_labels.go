package bert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// decodeField reads a value into a field. Numbers and booleans may be given as text, whole numbers with a fraction of zero, and a
// list of strings as one of them.
func decodeField(raw json.RawMessage, field any) error {
	err := json.Unmarshal(raw, field)
	if err == nil {
		return nil
	}
	switch f := field.(type) {
	case *[]string:
		var one string
		if err := json.Unmarshal(raw, &one); err != nil {
			return err
		}
		*f = []string{one}
		return nil
	case *int:
		text := unquoted(raw)
		if v, err := strconv.ParseFloat(text, 64); err == nil && v == float64(int64(v)) && len(text) < 20 {
			*f = int(v)
			return nil
		}
	case *float64, **float64:
		return json.Unmarshal([]byte(unquoted(raw)), field)
	case *bool:
		return json.Unmarshal([]byte(strings.ToLower(unquoted(raw))), field)
	}
	return err
}

// unquoted is the text of a JSON string, without the white space around it, and other JSON as it is.
func unquoted(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	return strings.TrimSpace(s)
}

// parseLabels reads id2label, label2id and num_labels and takes them out of keys. As in transformers (configuration_utils.py),
// id2label decides. What it contradicts or leaves open is noted.
func (c *Config) parseLabels(keys map[string]json.RawMessage) error {
	take := func(name string) (json.RawMessage, error) {
		raw, ok := keys[name]
		delete(keys, name)
		if !ok || string(raw) == "null" {
			return nil, nil
		}
		// Each label has a colon or a comma, so that there are no more than this; a few may be in the labels themselves.
		if n := max(bytes.Count(raw, []byte{':'}), bytes.Count(raw, []byte{','})); n > 2*maxLabels {
			return nil, fmt.Errorf("%s has %d labels, want at most %d", name, n, maxLabels)
		}
		return raw, nil
	}
	var names, ids, number json.RawMessage
	for name, to := range map[string]*json.RawMessage{"id2label": &names, "label2id": &ids, "num_labels": &number} {
		raw, err := take(name)
		if err != nil {
			return err
		}
		*to = raw
	}
	byID, err := labelNames(names)
	if err != nil {
		return err
	}
	label2id, err := labelIDs(ids)
	if err != nil {
		return err
	}
	numLabels := 0
	if number != nil {
		if err := decodeField(number, &numLabels); err != nil {
			return fmt.Errorf("num_labels is %s, want a whole number", abbreviate(number))
		}
		if numLabels < 1 || numLabels > maxLabels {
			return fmt.Errorf("num_labels is %d, want 1 to %d", numLabels, maxLabels)
		}
	}
	switch {
	case len(byID) > 0:
		c.Labels, c.notes = labelsOf(byID, len(byID))
		if slices.Max(slices.Collect(maps.Keys(byID))) >= len(byID) {
			c.labelNames = byID
		}
		if numLabels != 0 && numLabels != len(byID) {
			c.notes = append(c.notes, fmt.Sprintf("num_labels is %d, but id2label has %d labels: id2label decides", numLabels, len(byID)))
		}
		for _, label := range slices.Sorted(maps.Keys(label2id)) {
			if name, ok := byID[label2id[label]]; !ok || name != label {
				c.notes = append(c.notes, fmt.Sprintf("label2id has %s as %d, which id2label does not: id2label decides", quoteShort(label), label2id[label]))
				break
			}
		}
	case numLabels != 0:
		c.Labels = defaultLabels(numLabels)
		if len(label2id) == numLabels {
			c.Labels, c.notes = labelsOf(inverse(label2id), numLabels)
		}
	case len(label2id) > 0:
		c.Labels, c.notes = labelsOf(inverse(label2id), len(label2id))
	}
	return nil
}

func inverse(ids map[string]int) map[int]string {
	names := make(map[int]string, len(ids))
	for _, label := range slices.Sorted(maps.Keys(ids)) {
		names[ids[label]] = label
	}
	return names
}

// labelsOf are the names of n classes. One that has none, or that of another, gets the name that Hugging Face's tools give to
// classes without a name; notes say so.
func labelsOf(names map[int]string, n int) (labels, notes []string) {
	labels = defaultLabels(n)
	used := make(map[string]int, n)
	for id := range n {
		name, ok := names[id]
		first, twice := used[name]
		switch {
		case !ok:
			notes = append(notes, fmt.Sprintf("id2label has no name for %d: it is called %s", id, labels[id]))
		case name == "":
			notes = append(notes, fmt.Sprintf("id2label has an empty name for %d: it is called %s", id, labels[id]))
		case twice:
			notes = append(notes, fmt.Sprintf("id2label names %s twice, for %d and %d: the latter is called %s", quoteShort(name), first, id, labels[id]))
		default:
			labels[id] = name
		}
		used[labels[id]] = id
	}
	// The name of a class without one may be that of another.
	seen := make(map[string]bool, n)
	for id, label := range labels {
		for seen[label] {
			label += "_"
		}
		labels[id], seen[label] = label, true
	}
	for _, id := range slices.Sorted(maps.Keys(names)) {
		if id < 0 || id >= n {
			notes = append(notes, fmt.Sprintf("id2label names %d as %s, but there are only the ids 0 to %d", id, quoteShort(names[id]), n-1))
		}
	}
	const most = 5
	if len(notes) > most {
		notes = append(notes[:most], fmt.Sprintf("id2label has %d more such names", len(notes)-most))
	}
	return labels, notes
}

// labelNames reads id2label: an object, or a list in the order of the ids.
func labelNames(raw json.RawMessage) (map[int]string, error) {
	if raw == nil {
		return nil, nil
	}
	var list []json.RawMessage
	byID := make(map[int]string)
	if json.Unmarshal(raw, &list) == nil {
		for id, name := range list {
			byID[id] = labelText(name)
		}
		return byID, checkCount("id2label", len(byID))
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, fmt.Errorf("id2label is %s, want an object", abbreviate(raw))
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		id, err := strconv.Atoi(strings.TrimSpace(key))
		if err != nil || id < 0 {
			return nil, fmt.Errorf("id2label has the key %s, want an id from 0 on", quoteShort(key))
		}
		name := object[key]
		if string(name) == "null" {
			byID[id] = ""
			continue
		}
		byID[id] = labelText(name)
	}
	return byID, checkCount("id2label", len(byID))
}

// labelIDs reads label2id.
func labelIDs(raw json.RawMessage) (map[string]int, error) {
	if raw == nil {
		return nil, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, fmt.Errorf("label2id is %s, want an object", abbreviate(raw))
	}
	ids := make(map[string]int, len(object))
	for label, value := range object {
		var id int
		if err := decodeField(value, &id); err != nil {
			id = -1 // it contradicts id2label, which decides
		}
		ids[label] = id
	}
	return ids, checkCount("label2id", len(ids))
}

func checkCount(key string, n int) error {
	if n > maxLabels {
		return fmt.Errorf("%s has %d labels, want at most %d", key, n, maxLabels)
	}
	return nil
}

// labelText is a label's name: a string, or a number or a boolean as text.
func labelText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// modelType is the model_type of the models that this package runs.
const modelType = "bert"

// ForeignModelError is the error of a model that is no BERT.
type ForeignModelError struct {
	// Type is its model_type in Hugging Face's terms ("distilbert"), or the name of its class.
	Type string
}

func (e *ForeignModelError) Error() string {
	return fmt.Sprintf("this is a model of type %s: only BERT (model_type bert) is supported", abbreviate([]byte(e.Type)))
}

// checkModelType reports a configuration of another model by its model_type or, without one, by the class that it names.
func checkModelType(keys map[string]json.RawMessage) error {
	raw, ok := keys["model_type"]
	delete(keys, "model_type")
	if ok && string(raw) != "null" {
		if name := labelText(raw); name != modelType {
			return &ForeignModelError{name}
		}
		return nil
	}
	var classes []string
	if raw := keys["architectures"]; len(raw) > maxValueBytes || decodeField(raw, &classes) != nil || len(classes) == 0 {
		return nil
	}
	class := classes[0]
	for _, prefix := range []string{"TF", "Flax"} {
		class = strings.TrimPrefix(class, prefix)
	}
	if !strings.HasPrefix(class, "Bert") && keys["hidden_size"] == nil {
		return &ForeignModelError{classes[0]}
	}
	return nil
}
