package data

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/textfile"
)

// Split names a part of a data set.
type Split string

// The parts that data sets have. No data set has all of them.
const (
	Train        Split = "train"
	Dev          Split = "dev"
	Test         Split = "test"
	Unsupervised Split = "unsup" // IMDB's 50,000 reviews without a label

	// MNLI's parts are of the genres of its training part (matched), or of others (mismatched).
	DevMatched     Split = "dev_matched"
	DevMismatched  Split = "dev_mismatched"
	TestMatched    Split = "test_matched"
	TestMismatched Split = "test_mismatched"
)

// Set is a part of a data set.
type Set struct {
	Examples []Example
	// Skipped counts the bad records that TableOptions.SkipBad left out; FirstSkipped says what was wrong with the first.
	Skipped      int
	FirstSkipped error
	// Comments is the number of lines that were passed over as comments.
	Comments int
}

// Layout says where the parts of a data set are and how each is read. The zero Layout is that of a single table in CSV, TSV or
// JSONL, which stands for every part.
type Layout struct {
	// Tables are the files of a folder of the data set.
	Tables map[Split]Table
	// ReadPart, in place of Tables, reads a data set that has neither columns nor a format to choose.
	ReadPart func(ctx context.Context, path string, split Split, o TableOptions) (*Set, error)
	// Archive says that a single file holds all parts.
	Archive bool
	// Folders are the names of the data set's folder in a folder of several data sets, like GLUE's.
	Folders []string
}

// Table is a file of a data set and how it is read.
type Table struct {
	File string
	// Alternatives are other layouts of the same part, tried in their order where File isn't there.
	Alternatives []Table
	TableOptions
	// ReadFile reads the file; nil: ReadTable.
	ReadFile func(ctx context.Context, path string, o TableOptions) (*Set, error)
}

// ReadOptions say which part of a data set Layout.Read reads, and how.
type ReadOptions struct {
	Split Split // "": Train
	// TableOptions are for tables. Zero values leave the layout's options as they are.
	TableOptions
}

// Read reads a part of the data set from path: a folder or an archive as the layout has it, or a file that is the part. An
// error names the file and the line. Data without an example is an error.
func (l *Layout) Read(ctx context.Context, path string, o ReadOptions) (*Set, error) {
	if o.Split == "" {
		o.Split = Train
	}
	if l.ReadPart != nil {
		if o.Columns != (Columns{}) || o.Format != ByExtension {
			return nil, fmt.Errorf("%s: the data set is no table: it has neither columns nor a format to choose", path)
		}
		return l.ReadPart(ctx, path, o.Split, o.TableOptions)
	}
	table, err := l.table(path, o)
	if err != nil {
		return nil, err
	}
	if table.ReadFile != nil {
		return table.ReadFile(ctx, table.File, table.TableOptions)
	}
	return ReadTable(ctx, table.File, table.TableOptions)
}

// table is the table that holds a split, one of the folder path or path itself, and how to read it.
func (l *Layout) table(path string, o ReadOptions) (Table, error) {
	folder := false
	if !o.isStdin(path) {
		info, err := os.Stat(path)
		if err != nil {
			return Table{}, files.PathError(err)
		}
		folder = info.IsDir()
	}
	table, ok := l.Tables[o.Split]
	switch {
	case l.Tables == nil && folder:
		return Table{}, fmt.Errorf("%s: a folder, want a CSV, TSV or JSONL file", path)
	case l.Tables != nil && !ok:
		return Table{}, fmt.Errorf("%s: the data set has no split %q, want one of %s", path, o.Split, joined(l.Splits()))
	case folder:
		table = table.in(path)
	default:
		table.File = path
	}
	if o.Format != ByExtension {
		table.Format = o.Format
	}
	if o.Columns != (Columns{}) {
		table.Columns = o.Columns
	}
	table.MultiLabel = table.MultiLabel || o.MultiLabel
	table.Unlabelled = table.Unlabelled || o.Unlabelled
	table.SkipBad = table.SkipBad || o.SkipBad
	table.SkipShort = table.SkipShort || o.SkipShort
	table.Encoding, table.Stdin = o.Encoding, o.Stdin
	return table, nil
}

// in is the table in a folder: the first of its alternatives that is there, or else the table itself.
func (t Table) in(dir string) Table {
	for _, x := range append([]Table{t}, t.Alternatives...) {
		x.File = filepath.Join(dir, x.File)
		if _, err := os.Stat(x.File); err == nil {
			return x
		}
	}
	t.File = filepath.Join(dir, t.File)
	return t
}

// Unlabelled reports whether a part of the data set has no labels.
func (l *Layout) Unlabelled(split Split) bool { return l.Tables[split].Unlabelled }

// Splits lists the parts that the layout has tables of.
func (l *Layout) Splits() []Split { return slices.Sorted(maps.Keys(l.Tables)) }

// Has reports whether the file of a part is in the data set's folder.
func (l *Layout) Has(folder string, split Split) bool {
	table, ok := l.Tables[split]
	if !ok {
		return false
	}
	_, err := os.Stat(table.in(folder).File)
	return err == nil
}

// Folder is the data set's folder in a folder of several data sets; "" where it isn't there.
func (l *Layout) Folder(dir string) string {
	for _, name := range l.Folders {
		if path := filepath.Join(dir, name); textfile.IsDir(path) {
			return path
		}
	}
	return ""
}

// OnePart reports whether path is a file that holds one part of the data alone, whichever is asked for. A model that was
// trained on it can't be evaluated on it. "-" is such a file: see TableOptions.Stdin.
func (l *Layout) OnePart(path string) bool {
	if path == "-" {
		return !l.Archive
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && !l.Archive
}

func joined(splits []Split) string {
	var names []string
	for _, split := range splits {
		names = append(names, string(split))
	}
	return strings.Join(names, ", ")
}
