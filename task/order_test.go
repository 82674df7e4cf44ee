package task

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// filesInOrder are the files of the package as doc.go lists them, from the bottom up.
func filesInOrder(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"doc.go"}
	for _, line := range strings.Split(string(content), "\n") {
		if list, ok := strings.CutPrefix(line, "//\t"); ok {
			files = append(files, regexp.MustCompile(`[a-z_]+\.go`).FindAllString(list, -1)...)
		}
	}
	return files
}

// reference is a file that uses what another declares.
type reference struct{ from, to string }

// references lists which file of the package uses what of which other, methods and fields included. It type-checks the package
// without what it imports, whose types play no part here.
func references(t *testing.T) map[reference][]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var (
		set   = token.NewFileSet()
		files []*ast.File
	)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	config := types.Config{Importer: emptyImporter{}, Error: func(error) {}}
	pkg, _ := config.Check("task", set, files, info) // the errors are those of empty imports
	found := make(map[reference][]string)
	for id, object := range info.Uses {
		if object.Pkg() != pkg || !object.Pos().IsValid() {
			continue
		}
		r := reference{path.Base(set.Position(id.Pos()).Filename), path.Base(set.Position(object.Pos()).Filename)}
		if r.from != r.to && !slices.Contains(found[r], object.Name()) {
			found[r] = append(found[r], object.Name())
		}
	}
	return found
}

type emptyImporter struct{}

func (emptyImporter) Import(path string) (*types.Package, error) {
	return nil, errors.New("not imported")
}

// Files of the package are storeys: each uses those below it, in the order of doc.go. No more than a tenth of the references
// from file to file run back up, as from a Spec to the table of kinds that it is of.
func TestOrderOfFiles(t *testing.T) {
	order := filesInOrder(t)
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, "_test.go") && !slices.Contains(order, name) {
			t.Errorf("%s has no place in doc.go", name)
		}
	}
	for i, name := range order {
		if !slices.Contains(names, name) || slices.Contains(order[:i], name) {
			t.Errorf("doc.go lists %s, which isn't there, or twice", name)
		}
	}
	all, up := references(t), []string(nil)
	for r, what := range all {
		if slices.Index(order, r.from) < slices.Index(order, r.to) {
			slices.Sort(what)
			up = append(up, fmt.Sprintf("%s → %s (%s)", r.from, r.to, strings.Join(what, ", ")))
		}
	}
	slices.Sort(up)
	t.Logf("%d of %d references run up:\n%s", len(up), len(all), strings.Join(up, "\n"))
	if len(all) < 50 {
		t.Fatalf("only %d references: the package isn't understood", len(all))
	}
	if 10*len(up) > len(all) {
		t.Errorf("%d of %d references run up, want at most a tenth:\n%s", len(up), len(all), strings.Join(up, "\n"))
	}
}
