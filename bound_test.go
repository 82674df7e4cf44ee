package bert

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/testbound"
)

// hostileConfigs are configurations of about size bytes that hold more than one of a BERT does.
var hostileConfigs = []struct {
	what    string
	content func(size int) string
	want    string
}{
	{"keys", func(size int) string {
		return minimalConfig + many(size, func(i int) string { return fmt.Sprintf(`,"%x":0`, i) }) + `}`
	}, "more than 1000 keys"},
	{"a long key", func(size int) string { return minimalConfig + `,"` + strings.Repeat("k", size) + `":0}` }, "want at most 200"},
	{"a long value", func(size int) string { return minimalConfig + `,"k":"` + strings.Repeat("v", size) + `"}` }, ""},
	{"digits", func(size int) string { return minimalConfig + `,"pad_token_id":` + strings.Repeat("9", size) + `}` }, "want a whole number"},
	{"architectures", func(size int) string {
		return minimalConfig + `,"architectures":[` + strings.Repeat(`"",`, size/3) + `""]}`
	}, "want a list of strings"},
	{"labels", func(size int) string {
		return minimalConfig + `,"id2label":{"0":""` + many(size, func(i int) string { return fmt.Sprintf(`,"%x":""`, i+1) }) + `}}`
	}, "want at most 65536"},
	{"label ids", func(size int) string {
		return minimalConfig + `,"label2id":{"0":0` + many(size, func(i int) string { return fmt.Sprintf(`,"%x":0`, i+1) }) + `}}`
	}, "want at most 65536"},
	{"one long label", func(size int) string { return minimalConfig + `,"id2label":{"0":"` + strings.Repeat("l", size) + `"}}` }, ""},
	{"nesting", func(size int) string { return minimalConfig + `,"k":` + strings.Repeat("[", size) }, "not JSON"},
	{"nested values", func(size int) string {
		return minimalConfig + `,"k":[` + strings.Repeat("[],", size/3) + `[]]}`
	}, ""},
	{"no JSON", func(size int) string { return strings.Repeat("x", size) }, "not JSON"},
	{"spaces", func(size int) string { return strings.Repeat(" ", size) }, "not JSON"},
}

// many joins members until they have size bytes.
func many(size int, member func(i int) string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		b.WriteString(member(i))
	}
	return b.String()
}

// TestBoundConfig holds the reader of configurations to the memory and the time of docs/security.md.
func TestBoundConfig(t *testing.T) {
	read := func(path string) error {
		_, err := LoadConfig(path)
		return err
	}
	for _, h := range hostileConfigs {
		t.Run(h.what, func(t *testing.T) {
			u := testbound.Read(t, testbound.Default, func(dir string) (string, error) {
				path := filepath.Join(dir, "config.json")
				return path, os.WriteFile(path, []byte(h.content(maxConfigFile-1000)), 0o666)
			}, read)
			if !strings.Contains(u.Err, h.want) || (h.want == "") != (u.Err == "") {
				t.Errorf("error %q, want %q", u.Err, h.want)
			}
		})
	}
	t.Run("a large file", func(t *testing.T) {
		u := testbound.Read(t, testbound.Default, func(dir string) (string, error) {
			path := filepath.Join(dir, "config.json")
			if err := os.WriteFile(path, nil, 0o666); err != nil {
				return "", err
			}
			return path, os.Truncate(path, 10<<30)
		}, read)
		if !strings.Contains(u.Err, "larger than 8388608 bytes") || u.Peak > 64<<20 {
			t.Errorf("error %q with %d bytes", u.Err, u.Peak)
		}
	})
}

// TestBoundSizes loads a small model whose configuration claims a large one.
func TestBoundSizes(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"num_hidden_layers", "256", "are missing"},
		{"num_hidden_layers", "100000", "want at most 256"},
		{"hidden_size", "16384", "has shape"},
		{"hidden_size", "16777216", "want at most 16384"},
		{"vocab_size", "1048576", "has shape"},
		{"vocab_size", "16777216", "want at most 1048576"},
		{"intermediate_size", "65536", "has shape"},
		{"num_labels", "65536", ""},
		{"num_labels", "16777216", "want 1 to 65536"},
		{"max_position_embeddings", "65536", "has shape"},
	} {
		t.Run(c.key+" "+c.value, func(t *testing.T) {
			u := testbound.Read(t, testbound.Default, func(dir string) (string, error) {
				config, err := ParseConfig([]byte(minimalConfig + `}`))
				if err != nil {
					return "", err
				}
				m, err := New(config, Options{Head: NoHead})
				if err != nil {
					return "", err
				}
				if err := m.Save(dir, SaveOptions{}); err != nil {
					return "", err
				}
				if err := m.Close(); err != nil {
					return "", err
				}
				text := fmt.Sprintf(`{"max_position_embeddings": 512, %s`, minimalConfig[1:])
				text = strings.Replace(text, fmt.Sprintf(`"%s": `, c.key), `"x": `, 1) + fmt.Sprintf(`, "%s": %s}`, c.key, c.value)
				return dir, os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o666)
			}, func(path string) error {
				m, err := Load(context.Background(), path, Options{Head: SequenceClassification, Threads: 1})
				if err != nil {
					return err
				}
				return m.Close()
			})
			if !strings.Contains(u.Err, c.want) {
				t.Errorf("error %q, want %q", u.Err, c.want)
			}
		})
	}
}

// TestBoundNames loads files of as many tensors as are allowed, with names that search and messages could choke on.
func TestBoundNames(t *testing.T) {
	for _, c := range []struct {
		what, format, want string
	}{
		{"models in one file", "%d.embeddings.word_embeddings.weight", "several models in one file"},
		{"Keras's names", "a/layer_normalization_%d/dense_1/dense_2/layer_normalization/gamma", "missing"},
		{"long names", strings.Repeat("x", 200) + "%d", "missing"},
		{"copies", "optimizer.%d", "missing"},
	} {
		t.Run(c.what, func(t *testing.T) {
			u := testbound.Read(t, testbound.Default, func(dir string) (string, error) {
				tensors := make([]checkpoint.Tensor, 60_000)
				for i := range tensors {
					tensors[i] = checkpoint.Tensor{Name: fmt.Sprintf(c.format, i), DType: checkpoint.U8, Shape: []int{1}, Data: []byte{0}}
				}
				if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(minimalConfig+"}"), 0o666); err != nil {
					return "", err
				}
				return dir, checkpoint.WriteSafetensors(filepath.Join(dir, "model.safetensors"), tensors, nil)
			}, func(path string) error {
				m, err := Load(context.Background(), path, Options{Threads: 1})
				if err != nil {
					return err
				}
				return m.Close()
			})
			if !strings.Contains(u.Err, c.want) {
				t.Errorf("error %q, want %q", u.Err, c.want)
			}
		})
	}
}
