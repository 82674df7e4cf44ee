package beam

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/tokenizer"
)

func init() {
	register.DoFn3x1[context.Context, []byte, func(Group), error](&groupsFn{})
	register.DoFn2x1[Group, func(File), error](&filesFn{})
	register.DoFn2x1[File, func(Instance), error](&instancesFn{})
	register.DoFn2x2[context.Context, File, []byte, error](&writeFn{})
	register.DoFn4x1[context.Context, int, func(*[]byte) bool, func(string), error](&finishFn{})
	register.Emitter1[Group]()
	register.Emitter1[File]()
	register.Emitter1[Instance]()
	register.Emitter1[string]()
	register.Iter1[[]byte]()
}

// Corpus is text to learn from, as pretrain.Corpus is: files of documents with blank lines between them.
type Corpus struct {
	Paths      []string // in order
	IMDBSplits []string // nil: train and unsup
	Encoding   string   // "": UTF-8
}

func (c *Corpus) corpus() *pretrain.Corpus {
	return &pretrain.Corpus{Paths: c.Paths, IMDBSplits: c.IMDBSplits, Encoding: c.Encoding}
}

// Group is documents that are made into instances together: see pretrain.Group.
type Group struct {
	Number         int
	Text           []byte
	Documents, Cut int
}

// File is a file of a set of instances: see pretrain.GroupFile.
type File struct {
	Name            string
	Content, Record []byte
}

// Instance is pretrain.Instance.
type Instance struct {
	IDs, TypeIDs, Positions, MaskedIDs []int32
	Next                               int32
}

// Groups gives the groups of a corpus, a PCollection<Group>. A group is what bert instances takes for a file, so that the text is read once,
// from its beginning to its end, by one worker; what is done with a group, which takes far longer, is then spread over all.
func Groups(s beam.Scope, c Corpus, o pretrain.InstanceOptions) beam.PCollection {
	s = s.Scope("bert.Groups")
	return beam.Reshuffle(s, beam.ParDo(s, &groupsFn{c, o}, beam.Impulse(s)))
}

type groupsFn struct {
	Corpus  Corpus
	Options pretrain.InstanceOptions
}

func (f *groupsFn) ProcessElement(ctx context.Context, _ []byte, emit func(Group)) error {
	for g, err := range f.Corpus.corpus().Groups(ctx, f.Options) {
		if err != nil {
			return err
		}
		emit(Group{g.Number, g.Text, g.Documents, g.Cut})
	}
	return nil
}

// Files makes the instances of groups, a PCollection<Group>, and gives the files of the set, a PCollection<File>: byte for byte those of
// bert instances with the same text, vocabulary and options. vocabulary is the folder of a tokenizer, or a file with a token a line.
func Files(s beam.Scope, groups beam.PCollection, vocabulary string, o pretrain.InstanceOptions) beam.PCollection {
	return beam.ParDo(s.Scope("bert.Files"), &filesFn{Vocabulary: vocabulary, Options: o}, groups)
}

// Instances is what is in Files, in the package's own format: a PCollection<Instance>. Those of a dynamic set have no masks.
func Instances(s beam.Scope, files beam.PCollection) beam.PCollection {
	return beam.ParDo(s.Scope("bert.Instances"), &instancesFn{}, files)
}

type filesFn struct {
	Vocabulary string
	Options    pretrain.InstanceOptions
	maker      *pretrain.GroupMaker
}

func (f *filesFn) Setup() error {
	t, err := loadTokenizer(f.Vocabulary)
	if err != nil {
		return err
	}
	f.maker, err = pretrain.NewGroupMaker(t, f.Options)
	return err
}

func (f *filesFn) ProcessElement(g Group, emit func(File)) error {
	file, err := f.maker.Make(&pretrain.Group{Number: g.Number, Text: g.Text, Documents: g.Documents, Cut: g.Cut})
	if err != nil {
		return err
	}
	emit(File{file.Name, file.Content, file.Record})
	return nil
}

// tokenizers are those that this process has read.
var tokenizers sync.Map // path → *tokenizer.Tokenizer

// loadTokenizer reads a tokenizer once for all workers of a process.
func loadTokenizer(path string) (*tokenizer.Tokenizer, error) {
	if t, ok := tokenizers.Load(path); ok {
		return t.(*tokenizer.Tokenizer), nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	var t *tokenizer.Tokenizer
	if info.IsDir() {
		t, err = tokenizer.Load(path)
	} else {
		t, err = tokenizer.LoadVocab(path, tokenizer.DefaultConfig())
	}
	if err != nil {
		return nil, err
	}
	tokenizers.Store(path, t)
	return t, nil
}

type instancesFn struct{}

func (*instancesFn) ProcessElement(f File, emit func(Instance)) error {
	for x, err := range (&pretrain.GroupFile{Name: f.Name, Content: f.Content}).Instances() {
		if err != nil {
			return err
		}
		emit(Instance{x.IDs, x.TypeIDs, x.Positions, x.MaskedIDs, int32(x.Next)})
	}
	return nil
}

// WriteSet writes files, a PCollection<File>, into the folder dir, and when all are there what makes a set of them: the tokenizer,
// summary.json and index.json. bert pretrain takes the folder. It gives the text of summary.json, a PCollection<string>. The folder may be
// one of a file system that is registered with Beam.
func WriteSet(s beam.Scope, dir string, c Corpus, vocabulary string, o pretrain.InstanceOptions, files beam.PCollection) beam.PCollection {
	s = s.Scope("bert.WriteSet")
	filesystem.ValidateScheme(dir)
	records := beam.ParDo(s, &writeFn{dir}, files)
	return beam.ParDo(s, &finishFn{dir, c, vocabulary, o}, beam.GroupByKey(s, beam.AddFixedKey(s, records)))
}

// writeFn writes a file, and gives its record.
type writeFn struct{ Dir string }

func (f *writeFn) ProcessElement(ctx context.Context, file File) ([]byte, error) {
	return file.Record, writeFile(ctx, f.Dir, file.Name, file.Content)
}

// writeFile writes a file in one of Beam's file systems. A worker may do it again: it writes the same.
func writeFile(ctx context.Context, dir, name string, content []byte) (err error) {
	to, err := filesystem.New(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	w, err := to.OpenWrite(ctx, strings.TrimSuffix(dir, "/")+"/"+name)
	if err != nil {
		return err
	}
	_, err = w.Write(content)
	return errors.Join(err, w.Close())
}

// finishFn writes what says that the files are a set.
type finishFn struct {
	Dir        string
	Corpus     Corpus
	Vocabulary string
	Options    pretrain.InstanceOptions
}

func (f *finishFn) ProcessElement(ctx context.Context, _ int, next func(*[]byte) bool, emit func(string)) error {
	t, err := loadTokenizer(f.Vocabulary)
	if err != nil {
		return err
	}
	var records [][]byte
	for r := []byte(nil); next(&r); r = nil {
		records = append(records, r)
	}
	// It is made in a folder of this machine, since dir may be elsewhere.
	here, err := os.MkdirTemp("", "bert-set-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(here)
	if _, err := pretrain.SaveSet(here, f.Corpus.corpus(), t, f.Options, records); err != nil {
		return err
	}
	entries, err := os.ReadDir(here)
	if err != nil {
		return err
	}
	const index = "index.json" // comes last
	names := []string{}
	for _, e := range entries {
		if e.Name() != index {
			names = append(names, e.Name())
		}
	}
	for _, name := range append(names, index) {
		content, err := os.ReadFile(filepath.Join(here, name))
		if err != nil {
			return err
		}
		if err := writeFile(ctx, f.Dir, name, content); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if name == "summary.json" {
			emit(string(content))
		}
	}
	return nil
}
