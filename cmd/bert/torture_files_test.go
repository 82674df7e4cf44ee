package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/torture"
	"github.com/go-bert/bert/starter"
)

// torturedFolder is a command that makes a folder or fills a cache. It is killed at system calls that change files, and
// meets a full disk from such a call on.
type torturedFolder struct {
	name    string
	args    []string
	resume  []string               // added to go on
	before  [][]string             // commands that make what the command reads, once
	prepare func(dir string) error // changes what they made
	every   int                    // as in tortured; kills and full disks take turns
	needs   func() bool
}

const tortureCorpus = "--max-seq-length 12 --dupe-factor 2 --group-size 1 --workers 1"

// torturedFolders lists the commands.
var torturedFolders = []torturedFolder{
	{name: "vocab", every: 5, args: strings.Fields("vocab --input corpus.txt --output out --size 50 --accents keep --threads 1")},
	// 1 MiB of memory: the counts go through temporary files.
	{name: "vocab spilling", every: 61, args: strings.Fields("vocab --input words.txt --output out --size 28 --memory 1 --min-frequency 1 --threads 1")},
	{name: "instances", every: 21, resume: []string{"--resume"}, args: strings.Fields("instances --input corpus.txt --vocab tiny --output out " + tortureCorpus)},
	{
		name: "instances parts", every: 17, resume: []string{"--resume"},
		before: [][]string{strings.Fields("instances --input corpus.txt --vocab tiny --output out --shard 1/2 " + tortureCorpus)},
		args:   strings.Fields("instances --input corpus.txt --vocab tiny --output out --shard 0/2 " + tortureCorpus),
	},
	{
		name: "instances lost", every: 25,
		before: [][]string{strings.Fields("instances --input corpus.txt --vocab tiny --output out " + tortureCorpus)},
		prepare: func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "out/vocab.txt")), os.Remove(filepath.Join(dir, "out/index.json")),
				os.Truncate(filepath.Join(dir, "out/summary.json"), 0), os.Remove(filepath.Join(dir, "out/instances-000001.bin")))
		},
		args: strings.Fields("instances --input corpus.txt --vocab tiny --output out --resume " + tortureCorpus),
	},
	{name: "part", every: 13, args: strings.Fields("tokenize --model tiny --input corpus.txt --output out --shard 0/2")},
	{
		name: "part of an evaluation", every: 13, before: [][]string{strings.Fields("evaluate --task text --data dev.tsv --model tiny --output out --shard 1/2")},
		args: strings.Fields("evaluate --task text --data dev.tsv --model tiny --output out --shard 0/2"),
	},
	{
		name: "join", every: 9, before: [][]string{
			strings.Fields("tokenize --model tiny --input corpus.txt --output out --shard 0/2"),
			strings.Fields("tokenize --model tiny --input corpus.txt --output out --shard 1/2"),
		},
		args: strings.Fields("join out --output all.jsonl"),
	},
	{name: "pull", every: 29, args: strings.Fields("pull org/tiny")},
	{
		// In pieces of 8 MiB.
		name: "pull large", every: 21, args: strings.Fields("pull org/tiny --include model.safetensors"),
		prepare: func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "tiny", "model.safetensors"), bytes.Repeat([]byte("0123456789abcdef"), 5<<18), 0o666)
		},
	},
	{name: "pull copy", every: 37, args: strings.Fields("pull org/tiny out")},
	{
		name: "pull damaged", every: 21,
		before: [][]string{strings.Fields("pull org/tiny")},
		prepare: func(dir string) error {
			blobs, err := filepath.Glob(filepath.Join(dir, "hf/hub/models--org--tiny/blobs/*"))
			for _, blob := range blobs {
				err = errors.Join(err, os.Truncate(blob, 5))
			}
			return err
		},
		args: strings.Fields("pull org/tiny"),
	},
	{name: "convert hf", every: 17, args: strings.Fields("convert tiny out --to hf")},
	{name: "convert torch", every: 17, args: strings.Fields("convert tiny out --to torch")},
	{name: "convert tf", every: 17, args: strings.Fields("convert tiny out --to tf")},
	{name: "convert onnx", every: 17, args: strings.Fields("convert tiny out --to onnx")},
	{name: "quantize", every: 17, args: strings.Fields("quantize tiny out")},
	{name: "prune", every: 17, args: strings.Fields("prune tiny out --vocab-from corpus.txt --every 2")},
	{name: "starter", every: 121, needs: starter.Included, args: []string{"predict", "--quiet", "--model", "starter-sentiment", "a joy"}},
}

// TestTortureFolders kills commands that make folders, lets others meet a full disk, and runs them again: they leave the files
// of an undisturbed run, byte for byte, and nothing else. It takes a sample of the calls; BERT_TORTURE=all takes every one,
// once for each.
func TestTortureFolders(t *testing.T) {
	if !torture.Supported() {
		t.Skip("needs Linux with seccomp notifications")
	}
	if testing.Short() {
		t.Skip("starts hundreds of processes")
	}
	all := os.Getenv("BERT_TORTURE") == "all"
	for _, c := range torturedFolders {
		t.Run(c.name, func(t *testing.T) {
			if c.needs != nil && !c.needs() {
				t.Skip("this program lacks what the command needs")
			}
			f := newFolderTorture(t, &c)
			begun := 1
			step := c.every
			if all {
				step = 1
			}
			for k, at := 0, begun; at <= f.points && !t.Failed(); k, at = k+1, at+step {
				if all || k%2 == 0 {
					f.point(t, at, torture.Kill)
				}
				if all || k%2 == 1 {
					f.point(t, at, torture.NoSpace)
				}
			}
			t.Logf("%s: %d calls that change files", c.name, f.points)
		})
	}
}

// folderTorture is the torture of a command.
type folderTorture struct {
	*torturedFolder
	base   string // the folder with what the command reads
	env    []string
	want   map[string]string // what it leaves
	points int               // calls that change a file
}

func newFolderTorture(t *testing.T, c *torturedFolder) *folderTorture {
	t.Helper()
	f := &folderTorture{torturedFolder: c}
	f.base = tortureBase(t, &tortured{})
	var words strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&words, "w%dx%d ", i%97, i)
	}
	if err := os.WriteFile(filepath.Join(f.base, "words.txt"), []byte(words.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(hubOf(map[string]string{"org/tiny": filepath.Join(f.base, "tiny")}))
	t.Cleanup(server.Close)
	f.env = []string{"HF_ENDPOINT=" + server.URL, "HF_HOME=hf", "HF_HUB_CACHE=", "BERT_CACHE=cache"}
	for _, args := range c.before {
		if out, err := f.bert(f.base, args).CombinedOutput(); err != nil {
			t.Fatalf("bert %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if c.prepare != nil {
		if err := c.prepare(f.base); err != nil {
			t.Fatal(err)
		}
	}
	work := f.copy(t)
	cmd := f.bert(work, c.args)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := torture.Run(cmd, func(call torture.Call) torture.Action { f.points = call.N; return torture.Continue }); err != nil {
		t.Fatalf("bert %s: %v\n%s", strings.Join(c.args, " "), err, &out)
	}
	f.want = f.tree(t, work)
	os.RemoveAll(work)
	return f
}

func (f *folderTorture) bert(dir string, args []string) *exec.Cmd {
	cmd := bertIn(dir, args)
	cmd.Env = append(cmd.Env, f.env...)
	return cmd
}

// copy copies the base, with its links.
func (f *folderTorture) copy(t *testing.T) string {
	t.Helper()
	to, err := os.MkdirTemp(t.TempDir(), "")
	if err == nil {
		err = os.CopyFS(to, os.DirFS(f.base))
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// tree is treeOf without what caches remember of the times of files, and without the folder's own name.
func (f *folderTorture) tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	tree, err := treeOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name := range tree {
		if strings.HasSuffix(name, ".verified") || strings.Contains(name, "/.checked/") {
			tree[name] = ""
		}
		if filepath.Base(name) == "job.json" { // it says where the parts were
			tree[name] = strings.ReplaceAll(tree[name], dir, "")
		}
	}
	return tree
}

// point kills the command at a call, or fills the disk, and runs it again.
func (f *folderTorture) point(t *testing.T, at int, action torture.Action) {
	t.Helper()
	work := f.copy(t)
	defer os.RemoveAll(work)
	var (
		where torture.Call
		out   bytes.Buffer
	)
	cmd := f.bert(work, f.args)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := torture.Run(cmd, func(call torture.Call) torture.Action {
		if call.N == at {
			where = call
		}
		// A full disk stays full, but files can be removed.
		if call.N == at || action == torture.NoSpace && call.N > at && !strings.HasPrefix(call.Name, "unlink") && call.Name != "rmdir" {
			return action
		}
		return torture.Continue
	})
	place := fmt.Sprintf("killed at call %d (%s %s)", at, where.Name, strings.TrimPrefix(where.Path, work+"/"))
	if action == torture.NoSpace {
		place = fmt.Sprintf("a full disk from call %d on (%s %s)", at, where.Name, strings.TrimPrefix(where.Path, work+"/"))
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) || strings.Contains(out.String(), "goroutine ") {
			t.Errorf("%s: %v\n%s", place, err, &out)
		}
	}
	args := slices.Concat(f.args, f.resume)
	again, err := f.bert(work, args).CombinedOutput()
	difference := differentTree(f.want, f.tree(t, work))
	// Where all was done already, the command may say so instead of doing it once more.
	if err != nil && !(difference == "" && strings.Contains(string(again), "is not empty")) {
		t.Errorf("%s: bert %s: %v\n%s", place, strings.Join(args, " "), err, again)
	}
	if difference != "" {
		t.Errorf("%s: %s", place, difference)
	}
}
