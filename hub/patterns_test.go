package hub

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestPatterns compares patterns with those of huggingface_hub, by which testdata/patterns.py made the file.
func TestPatterns(t *testing.T) {
	data, err := os.ReadFile("testdata/patterns.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Names   []string
		Matches [][2]json.RawMessage
	}
	if err := json.Unmarshal(data, &golden); err != nil || len(golden.Matches) < 50 {
		t.Fatalf("%d patterns: %v", len(golden.Matches), err)
	}
	for _, row := range golden.Matches {
		var (
			text string
			want []string
		)
		if err := json.Unmarshal(row[0], &text); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(row[1], &want); err != nil {
			t.Fatal(err)
		}
		p, err := parsePattern(text)
		if text == "" {
			if err == nil {
				t.Error("an empty pattern is one")
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var got []string
		for _, name := range golden.Names {
			if matches([]pattern{p}, name) {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q is %s and matches %q, want %q", text, p, got, want)
		}
	}
	if _, err := parsePattern(strings.Repeat("*", 2000)); err == nil {
		t.Error("a pattern of 2,000 characters is one")
	}
}

// FuzzPattern: every text is a pattern or an error, and matches itself where it has no special characters.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"*.json", "[!a-c]", "[]", "[", "onnx/", `a\b`, "[--a]", "\xff", "[\xff-a]"} {
		f.Add(s, "name")
	}
	special := regexp.MustCompile(`[*?\[\\]|/$`)
	f.Fuzz(func(t *testing.T, s, name string) {
		p, err := parsePattern(s)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		p.MatchString(name)
		if utf8.ValidString(s) && !special.MatchString(s) && !p.MatchString(s) {
			t.Errorf("%q is %s, which does not match it", s, p)
		}
	})
}

// TestInclude: files that are asked for by patterns, in folders too, from the hub, the cache and in a copy.
func TestInclude(t *testing.T) {
	files := map[string]string{
		"config.json": "{}", "vocab.txt": "a", "tokenizer.json": "{}", "model.safetensors": "weights", "pytorch_model.bin": "others",
		"onnx/model.onnx": "a graph", "onnx/model_O4.onnx": "another", "1_Pooling/config.json": "{}", "README.md": "text",
	}
	for name, c := range map[string]struct {
		o      PullOptions
		wanted []string
		fails  string
	}{
		"a folder":        {PullOptions{Include: []string{"onnx/"}}, []string{"config.json", "onnx/model.onnx", "onnx/model_O4.onnx"}, ""},
		"several":         {PullOptions{Include: []string{"onnx/model.onnx", "*.txt"}}, []string{"config.json", "onnx/model.onnx", "vocab.txt"}, ""},
		"both":            {PullOptions{Include: []string{"*"}, Exclude: []string{"*.bin", "*.safetensors", "*.onnx"}}, []string{"1_Pooling/config.json", "README.md", "config.json", "tokenizer.json", "vocab.txt"}, ""},
		"another format":  {PullOptions{Exclude: []string{"*.safetensors", "tokenizer*", "config.json"}}, []string{"config.json", "pytorch_model.bin", "vocab.txt"}, ""},
		"nothing":         {PullOptions{Include: []string{"*.gguf", "config.json"}}, nil, "org/model has none of the files that were asked for (*.gguf, config.json)"},
		"no pattern":      {PullOptions{Include: []string{""}}, nil, `"" is no pattern of file names`},
		"no weights left": {PullOptions{Exclude: []string{"*model*"}}, nil, "org/model has no weights that bert can read"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, files)
			h := s.hub(t)
			snapshot, err := h.Pull(t.Context(), Ref{"org/model", "main"}, c.o)
			if c.fails != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.fails) {
					t.Errorf("error %v, want %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := slices.Sorted(slices.Values(snapshot.Files))
			if !slices.Equal(got, c.wanted) {
				t.Errorf("the files are %q, want %q", got, c.wanted)
			}
			copied := t.TempDir() + "/copy"
			for range 2 {
				if err := snapshot.CopyTo(t.Context(), copied); err != nil {
					t.Fatal(err)
				}
			}
			for _, dir := range []string{snapshot.Dir, copied} {
				for _, file := range c.wanted {
					if data, err := os.ReadFile(dir + "/" + file); err != nil || string(data) != files[file] {
						t.Errorf("%s/%s is not what the server has: %v", dir, file, err)
					}
				}
			}
			before := len(s.asked(""))
			if again, err := h.Pull(t.Context(), Ref{"org/model", "main"}, c.o); err != nil || len(again.Files) != len(c.wanted) {
				t.Errorf("pulled again: %v", err)
			}
			if n := len(s.asked("")) - before; n != 1 {
				t.Errorf("%d requests for what is there", n)
			}
			h.Offline = true
			again, err := h.Pull(t.Context(), Ref{"org/model", "main"}, c.o)
			if err != nil || !slices.Equal(slices.Sorted(slices.Values(again.Files)), c.wanted) {
				t.Errorf("pulled offline: %+v: %v", again, err)
			}
			if _, err := h.Pull(t.Context(), Ref{"org/model", "main"}, PullOptions{Include: []string{"*.h5"}}); err == nil || !strings.Contains(err.Error(), "HF_HUB_OFFLINE forbids") {
				t.Errorf("what is not there, offline: %v", err)
			}
		})
	}
	// A name that leads elsewhere is not written.
	for _, evil := range []string{"../evil.txt", "a/../../evil.txt", "/evil.txt", `a\evil.txt`, "a//evil.txt", "c:evil.txt"} {
		s := newServer(t, map[string]string{"config.json": "{}", evil: "x"})
		_, err := s.hub(t).Pull(t.Context(), Ref{"org/model", "main"}, PullOptions{Include: []string{"*evil.txt"}})
		if err == nil || !strings.Contains(err.Error(), "which is no path in a folder") {
			t.Errorf("%s: %v", evil, err)
		}
	}
}
