package bert_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/go-bert/bert"

// room is a row of the table of packages: what one may import beside the standard library. Who adds a package adds a row,
// and thereby says where it stands.
type room struct {
	dir string
	// ours are the packages of this module, as directories; "." is the root, package bert.
	ours []string
	// others are modules of others. They are few, so that embedding the library brings little along.
	others []string
	// unsafe says that the package may use package unsafe, because it maps files, or hands memory to assembly or to other machines.
	unsafe bool
}

// rooms is the architecture, from the top down. A package sees only what is below it: commands put training and tasks
// together, which don't know one another; the model knows neither text nor training; the kernels know no model. The leaves
// (tokenizer, metric, checkpoint, hub, simd) know nobody but what reads and writes files and JSON, so that each can be read, tested and used alone.
var rooms = []room{
	{
		dir: "cmd/bert", ours: []string{"serve", "serve/web", "report", "report/draw", "convert", "quantize", "prune", "glue", "sweep", "distill", "finetune", "train", "task", "parts", "squad", "data", "pretrain", "metric", "recipe", ".", "tokenizer", "checkpoint", "hub", "sentence", "starter", "explain", "vectors", "cluster", "internal/bench", "internal/files", "internal/jsonobject"},
		others: []string{
			"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/vbauerster/mpb/v8", "github.com/mattn/go-runewidth",
			"golang.org/x/term",
		},
	},
	// Models behind a port. What the library lacks for that, metrics and HTTP, is imported here alone.
	{dir: "serve", ours: []string{"task", "data", ".", "tokenizer", "sentence", "internal/files", "internal/jsonobject", "internal/message"}, others: []string{"github.com/prometheus/client_golang"}},
	// Pages and pictures are made of what runs left, and of numbers that anybody has; what makes runs knows no pictures.
	{dir: "report", ours: []string{"report/draw", "explain", "glue", "sweep", "pretrain", "train", "task", "squad", "data", "metric", "internal/files", "internal/jsonobject", "internal/message"}},
	{dir: "report/draw", others: []string{"golang.org/x/image"}},
	{dir: "glue", ours: []string{"finetune", "task", "data", "train", "metric", "recipe", ".", "tokenizer", "internal/jsonobject", "internal/textfile", "internal/files"}},
	{dir: "sweep", ours: []string{"finetune", "task", "train", "metric", "recipe", "internal/jsonobject", "internal/textfile", "internal/files"}},
	// A run with a teacher: a fine-tuning or a pre-training, with an objective of its own.
	{
		dir: "distill", ours: []string{"finetune", "pretrain", "task", "data", "train", "metric", "recipe", "sentence", ".", "tokenizer", "checkpoint", "internal/compute", "internal/compute/cpu", "internal/random", "internal/jsonobject", "internal/files"},
		others: []string{"gonum.org/v1/gonum"},
	},
	{dir: "finetune", ours: []string{"task", "data", "train", "metric", "recipe", "sentence", ".", "tokenizer", "internal/jsonobject"}},
	// The models that come along are files: whoever opens them knows how.
	{dir: "starter", ours: []string{"starter/internal/archive", "internal/files"}},
	{dir: "starter/internal/archive", others: []string{"github.com/klauspost/compress"}},
	// It is a program of its own, which trains and evaluates as a user would.
	{dir: "starter/measure", ours: []string{"finetune", "train", "task", "data", "metric", ".", "internal/files"}},
	{dir: "starter/mix", ours: []string{"checkpoint", "internal/files"}},
	{dir: "starter/pack", ours: []string{"starter/internal/archive", ".", "internal/files"}},
	// The pages of a server ask it as every client does, and draw as report does: serve knows neither.
	{dir: "serve/web", ours: []string{"report", "task", "data"}},
	// It starts servers as processes of their own, and measures the library beside them.
	{dir: "bench/serve", ours: []string{"task", "data", ".", "tokenizer", "internal/bench"}},
	// It starts bert as a process of its own, as it does the others, and is one itself, of the library.
	{dir: "bench/compare", ours: []string{"task", "data", ".", "tokenizer", "internal/bench"}},
	// bench measures the kernels and the machine below the model, so that bert bench needs to know neither.
	{dir: "internal/bench", ours: []string{"internal/compute", "internal/compute/cpu", "internal/simd"}},
	{dir: "train", ours: []string{".", "metric", "recipe", "internal/bfloat16", "internal/random", "internal/tfrecord", "internal/files"}, others: []string{"golang.org/x/sys", "google.golang.org/protobuf"}, unsafe: true},
	{dir: "train/grouptest", ours: []string{"train"}},
	// Processes that share a run meet behind an interface of package train, which knows no MPI. Who wants it opens it.
	{dir: "cluster", ours: []string{"internal/dlopen"}, others: []string{"golang.org/x/sys"}},
	{dir: "internal/dlopen", others: []string{"golang.org/x/sys"}, unsafe: true},
	{
		dir: "pretrain", ours: []string{"train", "recipe", ".", "tokenizer", "metric", "internal/imdb", "internal/jsonobject", "internal/mmap", "internal/random", "internal/textfile", "internal/tfrecord", "internal/files"},
		others: []string{"github.com/klauspost/compress", "google.golang.org/protobuf"},
	},
	{dir: "task", ours: []string{".", "tokenizer", "checkpoint", "sentence", "data", "explain", "squad", "metric", "internal/jsonobject", "internal/message", "internal/textfile", "internal/files"}},
	// What looks into a model is numbers to numbers: it knows none.
	{dir: "explain", ours: []string{"internal/compute", "internal/compute/cpu", "internal/random"}, others: []string{"gonum.org/v1/gonum"}},
	{dir: "vectors", ours: []string{"checkpoint", "data", "internal/files", "internal/lazyregexp", "internal/message"}},
	{dir: "quantize", ours: []string{"convert", "task", "data", "sentence", ".", "tokenizer"}},
	{dir: "prune", ours: []string{"convert", "task", "data", "sentence", ".", "tokenizer"}},
	{dir: "convert", ours: []string{".", "checkpoint", "tokenizer", "sentence", "internal/files"}},
	// Hidden states become vectors of texts here, whoever computed them: it knows neither the model nor the tokenizer.
	{dir: "sentence", ours: []string{"checkpoint", "internal/files", "internal/jsonobject", "internal/message"}},
	{dir: "squad", ours: []string{"data", "metric", "internal/jsonobject", "internal/message", "internal/textfile", "internal/files"}},
	// Files become examples here, for whoever wants them: it knows neither model nor tokenizer.
	{dir: "data", ours: []string{"metric", "parts", "internal/imdb", "internal/jsonobject", "internal/message", "internal/textfile", "internal/files"}},
	// What parts of work have in common and who does which; what the work is, others know.
	{dir: "parts", ours: []string{"internal/files", "internal/jsonobject", "internal/message"}},
	{dir: "internal/imdb", ours: []string{"internal/message", "internal/textfile", "internal/files"}},
	{
		dir: "internal/textfile", ours: []string{"internal/message", "internal/files"},
		others: []string{"github.com/klauspost/compress", "github.com/therootcompany/xz", "golang.org/x/text"},
	},
	{dir: "internal/jsonobject", ours: []string{"internal/message", "internal/textfile", "internal/files"}},
	{dir: "internal/message"},
	{dir: "internal/lazyregexp"},
	{dir: ".", ours: []string{"checkpoint", "internal/onnx", "internal/compute", "internal/compute/cpu", "internal/files", "internal/lazyregexp"}},
	{dir: "internal/compute/cpu", ours: []string{"internal/compute", "internal/simd"}, unsafe: true},
	{dir: "internal/compute/computetest", ours: []string{"internal/compute"}},
	{dir: "internal/compute"},
	{dir: "internal/simd", ours: []string{"internal/bfloat16"}, others: []string{"golang.org/x/sys"}, unsafe: true},
	{dir: "tokenizer", ours: []string{"tokenizer/internal/unidata", "internal/files"}},
	{dir: "tokenizer/internal/unidata"},
	{dir: "recipe", ours: []string{"internal/files"}},
	{dir: "metric", ours: []string{"internal/jsonobject", "internal/message"}},
	{dir: "hub", ours: []string{"internal/files", "internal/lazyregexp"}, others: []string{"golang.org/x/sys"}},
	{
		dir: "checkpoint", ours: []string{"internal/bertgraph", "internal/onnx", "internal/proto", "internal/files", "internal/lazyregexp", "internal/mmap"},
		others: []string{"google.golang.org/protobuf"}, unsafe: true,
	},
	{dir: "internal/bertgraph", ours: []string{"internal/onnx"}},
	{dir: "internal/onnx", ours: []string{"internal/proto"}, others: []string{"google.golang.org/protobuf"}},
	{dir: "internal/files", others: []string{"golang.org/x/sys"}},
	{dir: "internal/mmap", others: []string{"golang.org/x/sys"}, unsafe: true},
	{dir: "internal/proto", others: []string{"google.golang.org/protobuf"}},
	{dir: "internal/bfloat16"},
	{dir: "internal/random"},
	{dir: "internal/tfrecord"},
	{dir: "internal/golden"},
	{dir: "internal/testbound"},
	{dir: "internal/tinymodel", ours: []string{".", "tokenizer"}},
	// reference is BERT once more: it must share nothing with what it is compared with. The files are checkpoint's to write.
	{dir: "internal/golden/reference"},
	{dir: "internal/golden/generate", ours: []string{"internal/golden/reference", "checkpoint"}},
	{dir: "internal/golden/skipcheck", ours: []string{"internal/golden"}},
	{dir: "internal/typecheck", others: []string{"golang.org/x/tools"}},
	{dir: "internal/browser"},
	{dir: "internal/torture", others: []string{"golang.org/x/sys"}, unsafe: true},
}

// TestArchitecture checks the imports of every file that is no test, whatever its build constraints, against rooms; that
// there is no cgo, in tests neither; and that each row of rooms is a package.
func TestArchitecture(t *testing.T) {
	found := make(map[string]bool)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path == "." {
				return nil
			}
			// The go command leaves these out too; a folder with a go.mod is another module.
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			if name := d.Name(); err == nil || name == "testdata" || name[0] == '_' || name[0] == '.' {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		i := slices.IndexFunc(rooms, func(r room) bool { return r.dir == dir })
		if i < 0 {
			t.Errorf("%s: package %s is not in the table of arch_test.go: add a row that says what it may import", path, dir)
			return nil
		}
		isTest := strings.HasSuffix(path, "_test.go")
		if !isTest {
			found[dir] = true
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if reason := rooms[i].objection(name, isTest); reason != "" {
				t.Errorf("%s imports %s: %s", path, name, reason)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rooms {
		if !found[r.dir] {
			t.Errorf("the table of arch_test.go has a row for %s, which is no package", r.dir)
		}
	}
}

// TestStarterIsOptional: a program that imports the library does not carry the starter models, whichever packages it takes.
func TestStarterIsOptional(t *testing.T) {
	args := []string{"list", "-deps"}
	programs := 0
	for _, r := range rooms {
		switch {
		case r.dir == "starter" || strings.HasPrefix(r.dir, "starter/"):
		case strings.HasPrefix(r.dir, "cmd/") || strings.HasPrefix(r.dir, "bench/"):
			programs++
		default:
			args = append(args, "./"+r.dir)
		}
	}
	list := func(args ...string) []string {
		t.Helper()
		out, err := exec.Command("go", args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	deps := list(args...)
	if len(deps) <= len(rooms)-programs || !slices.Contains(deps, modulePath+"/pretrain") {
		t.Fatalf("go list -deps lists %d packages, not those of the library", len(deps))
	}
	if slices.Contains(deps, modulePath+"/starter") {
		t.Error("a package of the library imports starter, and with it 13.3 MB of weights")
	}
	if !slices.Contains(list("list", "-deps", "./cmd/bert"), modulePath+"/starter") {
		t.Error("cmd/bert does not import starter")
	}
}

// objection says why a file of the room may not import a package, "" if it may. A test may import what it likes but for C.
func (r *room) objection(name string, isTest bool) string {
	ours, isOurs := strings.CutPrefix(name+"/", modulePath+"/")
	if ours = strings.TrimSuffix(ours, "/"); ours == "" {
		ours = "."
	}
	first, _, _ := strings.Cut(name, "/")
	switch {
	case name == "C":
		return "there is no cgo in this module: one static binary from a plain go build"
	case isTest:
		return ""
	case name == "unsafe":
		if !r.unsafe {
			return "package unsafe is for the packages that map files, call assembly or send memory"
		}
	case isOurs:
		if !slices.Contains(r.ours, ours) {
			return "a package may import only what is below it; " + r.dir + " may import " + names(r.ours) + " of this module"
		}
	case strings.Contains(first, "."): // a host name: not the standard library
		if !slices.ContainsFunc(r.others, func(module string) bool { return name == module || strings.HasPrefix(name, module+"/") }) {
			return r.dir + " may import " + names(r.others) + " of other modules"
		}
	}
	return ""
}

func names(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

// TestObjection checks the rule itself, so that TestArchitecture can't pass by never objecting.
func TestObjection(t *testing.T) {
	r := room{dir: "x", ours: []string{".", "metric"}, others: []string{"golang.org/x/sys"}}
	for _, c := range []struct {
		name    string
		test    bool
		allowed bool
	}{
		{"fmt", false, true},
		{modulePath, false, true},
		{modulePath + "/metric", false, true},
		{modulePath + "/metric/sub", false, false},
		{modulePath + "/train", false, false},
		{modulePath + "/train", true, true},
		{modulePath + "x/train", false, false},
		{"golang.org/x/sys/unix", false, true},
		{"golang.org/x/system", false, false},
		{"golang.org/x/term", false, false},
		{"unsafe", false, false},
		{"unsafe", true, true},
		{"C", false, false},
		{"C", true, false},
	} {
		if got := r.objection(c.name, c.test) == ""; got != c.allowed {
			t.Errorf("%s in a test %v: allowed %v, want %v", c.name, c.test, got, c.allowed)
		}
	}
	r.unsafe = true
	if reason := r.objection("unsafe", false); reason != "" {
		t.Errorf("unsafe where it may be used: %s", reason)
	}
}
