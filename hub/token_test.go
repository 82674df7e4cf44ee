package hub

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTokenFile: where the token is from that no field gives, in the order of huggingface_hub's get_token.
func TestTokenFile(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	write := func(path, text string) string {
		t.Helper()
		path = filepath.Join(home, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	usual := write(".cache/huggingface/token", "hf_usual\n")
	own := write("hf/token", "\r\n hf_own \r\n")
	elsewhere := write("elsewhere", "hf_elsewhere")
	empty := write("empty", "\n")
	bad := write("bad", "two words")
	for name, c := range map[string]struct {
		env         map[string]string
		token, from string
		fails       string
	}{
		"the default":       {nil, "hf_usual", usual, ""},
		"HF_HOME":           {map[string]string{"HF_HOME": filepath.Join(home, "hf")}, "hf_own", own, ""},
		"HF_HOME with ~":    {map[string]string{"HF_HOME": "~/hf"}, "hf_own", own, ""},
		"a variable in it":  {map[string]string{"HF_HOME": "$BASE/hf", "BASE": home}, "hf_own", own, ""},
		"XDG_CACHE_HOME":    {map[string]string{"XDG_CACHE_HOME": filepath.Join(home, ".cache")}, "hf_usual", usual, ""},
		"HF_TOKEN_PATH":     {map[string]string{"HF_HOME": filepath.Join(home, "hf"), "HF_TOKEN_PATH": elsewhere}, "hf_elsewhere", elsewhere, ""},
		"HF_TOKEN":          {map[string]string{"HF_TOKEN": " hf_variable\n", "HF_TOKEN_PATH": elsewhere}, "hf_variable", "HF_TOKEN", ""},
		"an empty HF_TOKEN": {map[string]string{"HF_TOKEN": " "}, "hf_usual", usual, ""},
		"the former name":   {map[string]string{"HUGGING_FACE_HUB_TOKEN": "hf_former"}, "hf_former", "HUGGING_FACE_HUB_TOKEN", ""},
		"an empty file":     {map[string]string{"HF_TOKEN_PATH": empty}, "", empty, ""},
		"no file":           {map[string]string{"HF_TOKEN_PATH": filepath.Join(home, "none")}, "", "", ""},
		"no token in it":    {map[string]string{"HF_TOKEN_PATH": bad}, "", "", "the access token is not used: what " + bad + " holds is none"},
		"a folder":          {map[string]string{"HF_TOKEN_PATH": home}, "", "", "the access token is not used: " + home},
		"switched off":      {map[string]string{"HF_TOKEN": "t", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := FromEnvironment(func(name string) string { return c.env[name] })
			if err != nil {
				t.Fatal(err)
			}
			if h.Token != c.token || c.token != "" && h.TokenFrom != c.from {
				t.Errorf("token %q from %q, want %q from %q", h.Token, h.TokenFrom, c.token, c.from)
			}
			if got := h.tokenErr; (got == nil) != (c.fails == "") || got != nil && !strings.HasPrefix(got.Error(), c.fails) {
				t.Errorf("error %v, want %q", got, c.fails)
			}
		})
	}

	// A file that can't be read is said, and does not matter to a public model.
	s := newServer(t, modelFiles)
	h := s.hub(t)
	from, err := FromEnvironment(func(name string) string { return map[string]string{"HF_TOKEN_PATH": bad}[name] })
	if err != nil {
		t.Fatal(err)
	}
	h.tokenErr = from.tokenErr
	var notes []string
	if _, err := h.Pull(t.Context(), Ref{"org/model", "main"}, PullOptions{Note: func(line string) { notes = append(notes, line) }}); err != nil || len(notes) != 1 || strings.Contains(notes[0], "words") {
		t.Errorf("notes %q: %v", notes, err)
	}
	// One that the hub does not take is named by its place.
	h.Token, h.TokenFrom = "t0ken", usual
	if _, err := pull(t, h, "org/other"); err == nil || !strings.HasSuffix(err.Error(), "the token in "+usual+" may not read it, or has expired") {
		t.Errorf("error %v", err)
	}
}
