package squad

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-bert/bert/internal/testbound"
)

func repeat(text string, size int) string { return strings.Repeat(text, 1+size/len(text)) }

func many(size int, member func(i int) string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := 0; b.Len() < size; i++ {
		b.WriteString(member(i))
	}
	return b.String() + `"":0}`
}

// keysBound is the bound of files of many keys, each of which is an entry of a table: of 10 bytes or less in the file, some 60 bytes.
var keysBound = testbound.Bound{Memory: 64 << 20, PerByte: 12, Time: 2 * time.Second, PerHundred: 10 * time.Second}

var hostileFiles = []struct {
	what    string
	content func(size int) string
	want    string
	bound   testbound.Bound
}{
	{"keys", func(size int) string { return many(size, func(i int) string { return fmt.Sprintf(`"%x":0,`, i) }) }, "", keysBound},
	{"digits", func(size int) string { return `{"a":` + repeat("9", size) + "}" }, "want a number", testbound.Default},
	{"nesting", func(size int) string { return `{"a":` + repeat("[", size) }, "not JSON", testbound.Default},
	{"a long key", func(size int) string { return `{"` + repeat("k", size) + `":[]}` }, "want a number", testbound.Default},
	{"spaces", func(size int) string { return repeat(" ", size) }, "too early", testbound.Default},
	{"no text", func(size int) string { return repeat("\xff\x00", size) }, "text in UTF-16", testbound.Default},
	{"gzip", func(size int) string { return "\x1f\x8b\x08" + repeat("\x00", size) }, "a compressed file", testbound.Default},
}

func TestBound(t *testing.T) {
	for _, h := range hostileFiles {
		t.Run(h.what, func(t *testing.T) {
			u := testbound.Read(t, h.bound, func(dir string) (string, error) {
				path := filepath.Join(dir, "a.json")
				return path, os.WriteFile(path, []byte(h.content(15<<20)), 0o666)
			}, func(path string) error {
				_, err := ReadNullOdds(path)
				return err
			})
			if h.want == "" && u.Err != "" || !strings.Contains(u.Err, h.want) {
				t.Errorf("error %q, want %q", u.Err, h.want)
			}
		})
	}
}

// Pipes, devices and files of a size that no such file has are refused.
func TestOnlyFiles(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.json")
	f, err := os.Create(large)
	if err == nil {
		err = f.Truncate(1 << 40)
	}
	if err != nil {
		t.Skip(err)
	}
	f.Close()
	for path, want := range map[string]string{testbound.Pipe(t, dir, "pipe.json"): "a pipe", os.DevNull: "a device", dir: "a folder", large: "larger than"} {
		for _, err := range []error{second(ReadAnswers(path)), second(ReadNullOdds(path))} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", path, err, want)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }
