package sentence

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/testbound"
)

// Files as large as they may be, of what no folder has, are read in bounded memory and time.
func TestBound(t *testing.T) {
	pooled := modulesJSON("Pooling")
	for _, h := range []struct {
		what, file string
		content    func(size int) string
		want       string
	}{
		{"modules", modulesFile, func(size int) string { return "[" + strings.Repeat("0,", size/2) + "0]" }, "more than 100 modules"},
		{"nesting", modulesFile, func(size int) string { return strings.Repeat("[", size) }, "not JSON"},
		{"a long path", modulesFile, func(size int) string {
			return strings.Replace(pooled, "1_Pooling", strings.Repeat("k", size), 1)
		}, "want a string"},
		{"too large", modulesFile, func(size int) string { return strings.Repeat(" ", 4*size) }, "larger than"},
		{"keys", settingsFiles[0], func(size int) string { return `{"a":0,"a` + strings.Repeat(`":0,"b`, size/6) + `":0}` }, "twice"},
		{"digits", settingsFiles[0], func(size int) string { return `{"max_seq_length":` + strings.Repeat("9", size) + "}" }, "want a whole number"},
		{"a long prompt", modelFile, func(size int) string { return `{"prompts":{"a":"` + strings.Repeat("k", size) + `"}}` }, "want a string"},
		{"modes", "1_Pooling/config.json", func(size int) string { return `{"pooling_mode":[` + strings.Repeat(`"cls",`, size/6) + `"cls"]}` }, "more than"},
	} {
		t.Run(h.what, func(t *testing.T) {
			u := testbound.Read(t, testbound.Default, func(dir string) (string, error) {
				for name, content := range map[string]string{modulesFile: pooled, "1_Pooling/config.json": `{}`, h.file: h.content(maxFile - 1000)} {
					path := filepath.Join(dir, filepath.FromSlash(name))
					if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
						return "", err
					}
					if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
						return "", err
					}
				}
				return dir, nil
			}, func(path string) error {
				_, err := Load(path, 4)
				return err
			})
			if !strings.Contains(u.Err, h.want) || len(u.Err) > 2000 {
				t.Errorf("%.2000s, want %s", u.Err, h.want)
			}
		})
	}
}
