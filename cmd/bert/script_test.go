package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/torture"
	"github.com/go-bert/bert/starter"
	"github.com/go-bert/bert/tokenizer"
)

var update = flag.Bool("update", false, "write the expected output into the scripts")

func TestMain(m *testing.M) {
	torture.Begin()
	testscript.Main(m, map[string]func(){"bert": main, "request": request})
}

// TestScript runs the scripts of testdata/script, which are what bert's documentation says, as a user would type it.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GOTRACEBACK", "single") // should something crash, so that its message can be read
			env.Setenv(starter.CacheVariable, filepath.Join(env.WorkDir, ".cache"))
			return nil
		},
		Condition: condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"model":    cmdModel,
			"replace":  cmdReplace,
			"glob":     cmdGlob,
			"write":    cmdWrite,
			"truncate": cmdTruncate,
			"header":   cmdHeader,
			"poison":   cmdPoison,
			"fails":    cmdFails,
			"await":    cmdAwait,
			"same":     cmdSame,
			"tmpfs":    cmdTmpfs,
			"corpus":   cmdCorpus,
			"hub":      cmdHub,
			"keys":     cmdKeys,
			"signal":   cmdSignal,
			"ready":    cmdReady,
			"issue":    cmdIssue,
		},
	})
}

// tinyVocabulary is that of the models that the scripts make: 5 special tokens, 26 letters, each also within a word, and
// some words.
func tinyVocabulary() []string {
	v := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for c := 'a'; c <= 'z'; c++ {
		v = append(v, string(c), "##"+string(c))
	}
	return append(v, strings.Fields("the film was good bad joy dull . , ! ? 中 文")...)
}

// cmdModel makes a model directory with random weights:
//
//	model DIR [head=classifier|mlm|pretraining|encoder] [labels=A,B] [rows=N] [positions=N] [dtype=F32|F16|BF16]
func cmdModel(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: model DIR [key=value ...]")
	}
	c := bert.DefaultConfig()
	vocabulary := tinyVocabulary()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = len(vocabulary), 12, 2, 2, 20
	c.MaxPositionEmbeddings = 32
	c.Labels = []string{"bad", "good"}
	head, dtype := bert.SequenceClassification, checkpoint.F32
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		ts.Check(err)
		return n
	}
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "head":
			heads := map[string]bert.Head{"classifier": bert.SequenceClassification, "mlm": bert.MaskedLM, "pretraining": bert.PreTraining, "encoder": bert.NoHead}
			h, ok := heads[value]
			if !ok {
				ts.Fatalf("no head %q", value)
			}
			head = h
		case "labels":
			c.Labels = strings.Split(value, ",")
		case "rows": // of the embedding
			c.VocabSize = number(value)
		case "positions":
			c.MaxPositionEmbeddings = number(value)
		case "dtype":
			dtype = map[string]checkpoint.DType{"F32": checkpoint.F32, "F16": checkpoint.F16, "BF16": checkpoint.BF16}[value]
		default:
			ts.Fatalf("no key %q", key)
		}
	}
	m, err := bert.New(c, bert.Options{Head: head, Seed: 1, Threads: 1})
	ts.Check(err)
	defer m.Close()
	dir := ts.MkAbs(args[0])
	ts.Check(m.Save(dir, bert.SaveOptions{DType: dtype}))
	tok, err := tokenizer.New(vocabulary, tokenizer.DefaultConfig())
	ts.Check(err)
	ts.Check(tok.Save(dir, tokenizer.SaveOptions{}))
}

// cmdReplace replaces a text that stands once in a file, binary or not: replace FILE OLD NEW.
func cmdReplace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	if n := bytes.Count(data, []byte(args[1])); n != 1 {
		ts.Fatalf("%q stands %d times in %s, want once", args[1], n, args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), bytes.Replace(data, []byte(args[1]), []byte(args[2]), 1), 0o666))
}

// cmdGlob counts the files that a pattern finds: glob N PATTERN.
func cmdGlob(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: glob N PATTERN")
	}
	found, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	if n, err := strconv.Atoi(args[0]); err != nil || n != len(found) {
		ts.Fatalf("%s finds %q, want %s", args[1], found, args[0])
	}
}

// cmdWrite writes a file with the escapes of a Go string, for what a txtar file can't hold: write FILE 'a\x00b'.
func cmdWrite(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: write FILE TEXT")
	}
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o666))
}

// cmdTruncate cuts the last bytes off a file: truncate FILE N.
func cmdTruncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate FILE BYTES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), info.Size()-int64(n)))
}

// cmdHeader sets the length that a safetensors file claims for its header: header FILE 2^N.
func cmdHeader(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || !strings.HasPrefix(args[1], "2^") {
		ts.Fatalf("usage: header FILE 2^N")
	}
	n, err := strconv.Atoi(args[1][2:])
	ts.Check(err)
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	binary.LittleEndian.PutUint64(data, 1<<n)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o666))
}

// cmdPoison makes the last number of a safetensors file, of float32, not a number: poison FILE.
func cmdPoison(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: poison FILE")
	}
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	binary.LittleEndian.PutUint32(data[len(data)-4:], math.Float32bits(float32(math.NaN())))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o666))
}

// cmdFails runs a command that must fail with an exit status, and with one line on stderr that begins with its name:
// fails 2 bert predict.
func cmdFails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails STATUS COMMAND [ARGUMENT ...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		ts.Fatalf("exit status 0, want %d", want)
	case !errors.As(err, &exit):
		ts.Fatalf("%v", err)
	case exit.ExitCode() != want:
		ts.Fatalf("exit status %d, want %d", exit.ExitCode(), want)
	}
	var errors []string
	for line := range strings.Lines(ts.ReadFile("stderr")) {
		if !strings.Contains(line, ": warning: ") {
			errors = append(errors, line)
		}
	}
	if len(errors) != 1 || !strings.HasPrefix(errors[0], "bert") || !strings.HasSuffix(errors[0], "\n") {
		ts.Fatalf("stderr is %q, want one line that begins with bert", errors)
	}
}

// cmdAwait waits until a file is there: await FILE.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for range 30_000 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	ts.Fatalf("%s did not appear within a minute", args[0])
}

// cmdCorpus writes documents of sentences of the tiny vocabulary's words, some 100 bytes each: corpus FILE DOCUMENTS.
func cmdCorpus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: corpus FILE DOCUMENTS")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	rng := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("the film was good bad joy dull funny")
	var b strings.Builder
	for range n {
		for range 2 + rng.IntN(6) {
			for range 1 + rng.IntN(8) {
				b.WriteString(words[rng.IntN(len(words))] + " ")
			}
			b.WriteString(".\n")
		}
		b.WriteString("\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o666))
}

// cmdSame compares files byte by byte: same FILE FILE.
func cmdSame(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] same FILE FILE")
	}
	a, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	if same := bytes.Equal(a, b); same == neg {
		ts.Fatalf("%s and %s: same bytes %v, want %v", args[0], args[1], same, !neg)
	}
}

// condition gives the scripts [tmpfs], for systems on which the test may mount one, and [starter], for sources with its weights.
func condition(name string) (bool, error) {
	switch name {
	case "tmpfs":
		return hasTmpfs()
	case "starter":
		return starter.Included(), nil
	}
	return false, fmt.Errorf("no condition %q", name)
}

// hasTmpfs says whether this process may mount file systems.
func hasTmpfs() (bool, error) {
	dir, err := os.MkdirTemp("", "tmpfs-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	unmount, err := mountTmpfs(dir, 1<<16, false)
	if err != nil {
		return false, nil
	}
	return true, unmount()
}

// cmdTmpfs mounts a file system of so many kilobytes at a new folder until the script ends, with the files of another
// folder in it: tmpfs DIR KILOBYTES [readonly FOLDER].
func cmdTmpfs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 && (len(args) != 4 || args[2] != "readonly") {
		ts.Fatalf("usage: tmpfs DIR KILOBYTES [readonly FOLDER]")
	}
	dir := ts.MkAbs(args[0])
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.Mkdir(dir, 0o777))
	unmount, err := mountTmpfs(dir, size<<10, false)
	ts.Check(err)
	ts.Defer(func() { ts.Check(unmount()) })
	if len(args) == 4 {
		ts.Check(os.CopyFS(dir, os.DirFS(ts.MkAbs(args[3]))))
		_, err := mountTmpfs(dir, size<<10, true)
		ts.Check(err)
	}
}

// TestPanic checks that a bug becomes one line and an exit status, and that --verbose shows where it is.
func TestPanic(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		args := []string{"version"}
		if verbose {
			args = append(args, "--verbose")
		}
		var stderr bytes.Buffer
		if status := run(args, strings.NewReader(""), panicWriter{}, &stderr); status != exitFailed {
			t.Errorf("exit status %d, want %d", status, exitFailed)
		}
		if lines := strings.Count(stderr.String(), "\n"); lines > 1 != verbose {
			t.Errorf("verbose %v: %d lines", verbose, lines)
		}
		if want := "bert version: a bug in bert: boom; please report it"; !strings.Contains(stderr.String(), want) {
			t.Errorf("stderr is %q, want %q in it", &stderr, want)
		}
	}
}

type panicWriter struct{}

func (panicWriter) Write([]byte) (int, error) { panic("boom") }
