package parts

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
)

// Job is what all parts of some work have in common. Parts belong together if their jobs are the same but for Input.Name and Paths.
type Job struct {
	Version int    `json:"version"`
	Command string `json:"command"` // that does the work
	Parts   int    `json:"parts"`
	Input   Input  `json:"input"`
	// Settings are what decides the result beside the input, by name: options, and hashes of what a model is made of.
	Settings Settings `json:"settings"`
	// Paths are where the first part found its model and its data, for whoever joins the parts. They are not compared, since a file may
	// be in another place on each machine.
	Paths Settings `json:"paths,omitempty"`
}

// jobVersion is that of the folder's files.
const jobVersion = 1

// Input is what is divided.
type Input struct {
	Name string `json:"name"` // a path, for messages
	// Bytes is the size of a file whose lines are divided, as on disk, and Examples the number of examples where those are.
	Bytes    int64 `json:"bytes,omitempty"`
	Examples int   `json:"examples,omitempty"`
	// SHA256 is a hash: of a file Sample, of examples all of them. In hexadecimal digits.
	SHA256 string `json:"sha256"`
}

// Setting is a name with a value.
type Setting struct{ Name, Value string }

// Settings are values by name, in order. In JSON they are an object.
type Settings []Setting

// Set adds a setting, or gives it another value.
func (s *Settings) Set(name, value string) {
	if i := slices.IndexFunc(*s, func(x Setting) bool { return x.Name == name }); i >= 0 {
		(*s)[i].Value = value
		return
	}
	*s = append(*s, Setting{name, value})
}

// Get is the value of a name. ok is false where there is none.
func (s Settings) Get(name string) (value string, ok bool) {
	for _, x := range s {
		if x.Name == name {
			return x.Value, true
		}
	}
	return "", false
}

// MarshalJSON writes an object.
func (s Settings) MarshalJSON() ([]byte, error) {
	return jsonobject.Marshal(len(s), func(i int) (string, any) { return s[i].Name, s[i].Value })
}

// UnmarshalJSON reads an object of strings.
func (s *Settings) UnmarshalJSON(data []byte) error {
	*s = nil
	return jsonobject.Parse(data, func(key string, value json.RawMessage) error {
		var text string
		if err := jsonobject.Field(key, value, &text); err != nil {
			return err
		}
		*s = append(*s, Setting{key, text})
		return nil
	})
}

// differs says in what two jobs differ, as in "precision is float32, there bfloat16"; "": in nothing.
func (j *Job) differs(there *Job) string {
	if j.Command != there.Command {
		return fmt.Sprintf("this is bert %s, there bert %s", j.Command, there.Command)
	}
	if j.Parts != there.Parts {
		return fmt.Sprintf("this is one of %s parts, there of %s", message.Thousands(j.Parts), message.Thousands(there.Parts))
	}
	for _, name := range slices.Concat(names(j.Settings), names(there.Settings)) {
		a, here := j.Settings.Get(name)
		b, other := there.Settings.Get(name)
		if a != b || here != other {
			return fmt.Sprintf("%s is %s, there %s", name, valueText(a, here), valueText(b, other))
		}
	}
	if a, b := j.Input, there.Input; a.Bytes != b.Bytes || a.Examples != b.Examples {
		return fmt.Sprintf("the input %s has %s, there %s had %s", a.Name, a.size(), b.Name, b.size())
	} else if a.SHA256 != b.SHA256 {
		return fmt.Sprintf("the input %s has another content than %s had there (SHA-256 %.8s… and %.8s…)", a.Name, b.Name, a.SHA256, b.SHA256)
	}
	return ""
}

func (in *Input) size() string {
	if in.Bytes > 0 || in.Examples == 0 {
		return message.Thousands(in.Bytes) + " bytes"
	}
	return message.Thousands(in.Examples) + " examples"
}

func names(s Settings) []string {
	out := make([]string, len(s))
	for i, x := range s {
		out[i] = x.Name
	}
	return out
}

// valueText shows a value, of a hash the beginning.
func valueText(value string, there bool) string {
	if !there {
		return "not set"
	}
	if _, err := hex.DecodeString(value); err == nil && len(value) == 2*sha256.Size {
		return value[:8] + "…"
	}
	return message.Quote(value)
}

// check reports what is wrong with a job that was read.
func (j *Job) check() error {
	switch {
	case j.Version != jobVersion:
		return fmt.Errorf("version %d, want %d: made by another release of bert", j.Version, jobVersion)
	case j.Command == "":
		return fmt.Errorf("no command")
	case j.Parts < 1 || j.Parts > MaxCount:
		return fmt.Errorf("%d parts, want 1 to %s", j.Parts, message.Thousands(MaxCount))
	}
	return nil
}

// The blocks of a file that Sample takes.
const (
	sampleBlocks = 64
	sampleBytes  = 1 << 12
)

// Sample is a hash of the size of a file and of 64 blocks of 4 KiB at equal distances in it, the first and the last bytes among them: of
// a file of up to 256 KiB, of all of it. It tells files apart without reading them. In hexadecimal digits.
func Sample(f io.ReaderAt, size int64) (string, error) {
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(size)))
	block := make([]byte, sampleBytes)
	for i := range int64(sampleBlocks) {
		at, n := i*sampleBytes, int64(sampleBytes)
		if size > sampleBlocks*sampleBytes {
			at = (size - sampleBytes) / (sampleBlocks - 1) * i
			if i == sampleBlocks-1 {
				at = size - sampleBytes
			}
		} else if at >= size {
			break
		}
		n = min(n, size-at)
		if _, err := f.ReadAt(block[:n], at); err != nil && err != io.EOF {
			return "", err
		}
		h.Write(block[:n])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// decode reads JSON that this package wrote, and nothing else.
func decode(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return jsonobject.Error(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows the JSON object")
	}
	return nil
}
