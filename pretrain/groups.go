package pretrain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/tokenizer"
)

// This file is the work of an InstanceJob one group of documents at a time, for whoever has engines of their own to spread it over.

// Group is documents of a corpus that are made into instances together. What is made of it depends on the group, the vocabulary and the
// options alone, so that groups may be made anywhere and in any order.
type Group struct {
	Number int    // from 0
	Text   []byte // lines ended by line feeds, with an empty line between documents
	// Documents is the number of documents, Cut that of the continuations of documents that are longer than a group.
	Documents, Cut int
}

// Groups yields the groups of a corpus for these options, in order: those that an InstanceJob makes. An error ends the loop; that of a corpus
// of one document, from which no pairs can be made, is a *OneDocumentError.
func (c *Corpus) Groups(ctx context.Context, o InstanceOptions) iter.Seq2[*Group, error] {
	return func(yield func(*Group, error) bool) {
		some := false
		for g, err := range groups(c.Lines(ctx), o.GroupBytes) {
			if err == nil && g.number == 0 && g.documents == 1 && o.NextSentence {
				err = &OneDocumentError{}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			some = true
			if !yield(&Group{g.number, g.text, g.documents, g.cut}, nil) {
				return
			}
		}
		if !some {
			yield(nil, fmt.Errorf("%s: no text in the corpus", c.names()))
		}
	}
}

// GroupMaker makes the instances of groups, one group at a time.
type GroupMaker struct{ worker *worker }

// NewGroupMaker makes a GroupMaker with a tokenizer, which it shares.
func NewGroupMaker(t *tokenizer.Tokenizer, o InstanceOptions) (*GroupMaker, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	plain, err := textTokenizer(t)
	if err != nil {
		return nil, err
	}
	j := &InstanceJob{Tokenizer: t, Options: o}
	return &GroupMaker{j.newWorker(&index{Options: o, Vocabulary: VocabularyOf(t)}, plain)}, nil
}

// GroupFile is a file of a set: that of a group.
type GroupFile struct {
	Name    string // in the folder of the set
	Content []byte
	// Record is what SaveSet has to know of the file, in JSON.
	Record []byte
}

// Make makes the file of a group.
func (m *GroupMaker) Make(g *Group) (*GroupFile, error) {
	w, digest := m.worker, sha256.Sum256(g.Text)
	r := record{File: fileName(g.Number, w.job.Options.Format), TextSHA256: hex.EncodeToString(digest[:])}
	of := &group{g.Number, g.Text, g.Documents, g.Cut}
	if err := w.instances(of, &r.Stats); err != nil {
		return nil, err
	}
	var content bytes.Buffer
	if err := w.write(&content, of, digest); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content.Bytes())
	r.Bytes, r.SHA256 = int64(content.Len()), hex.EncodeToString(sum[:])
	text, err := json.Marshal(&r)
	return &GroupFile{r.File, content.Bytes(), text}, err
}

// Instances yields the instances of a file in the package's own format, of which each is good until the next; those of a dynamic set without
// masks.
func (f *GroupFile) Instances() iter.Seq2[*Instance, error] {
	return func(yield func(*Instance, error) bool) {
		s, err := parseShard(f.Content)
		if err != nil {
			yield(nil, fmt.Errorf("%s: %w", f.Name, err))
			return
		}
		var x Instance
		for i := range int(s.instances) {
			if err := s.instance(i, &x); !yield(&x, err) || err != nil {
				return
			}
		}
	}
}

// SaveSet makes a set of the folder dir, in which the files of all groups are or to which they are added: it writes the tokenizer,
// summary.json and, last, index.json, from the groups' records in any order. Of c the splits of IMDB and the encoding count. A group that is
// missing, or there twice, is an error.
func SaveSet(dir string, c *Corpus, t *tokenizer.Tokenizer, o InstanceOptions, records [][]byte) (*Summary, error) {
	x := &index{
		Version: indexVersion, Complete: true, Options: o, IMDBSplits: c.splits(), Encoding: c.Encoding, Vocabulary: VocabularyOf(t),
		Files: make([]record, len(records)),
	}
	for _, text := range records {
		var r record
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("the record of a group: %w", err)
		}
		g, ok := groupOf(r.File)
		switch {
		case !ok || g < 0 || g >= len(records):
			return nil, fmt.Errorf("the record of %q among those of %d groups", r.File, len(records))
		case x.Files[g].File != "":
			return nil, fmt.Errorf("two records of group %d", g)
		}
		if err := r.check(g, o.Format); err != nil {
			return nil, err
		}
		x.Files[g] = r
	}
	if missing := slices.IndexFunc(x.Files, func(r record) bool { return r.File == "" }); missing >= 0 {
		return nil, fmt.Errorf("no record of group %d", missing)
	}
	var all Stats
	for i := range x.Files {
		all.add(&x.Files[i].Stats)
	}
	if all.Instances == 0 {
		return nil, errors.New("no tokens in the corpus")
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, files.PathError(err)
	}
	if err := t.Save(dir, tokenizer.SaveOptions{}); err != nil {
		return nil, err
	}
	summary := summarise(all, len(records), o.MaxSeqLength)
	if err := jsonobject.Save(filepath.Join(dir, summaryName), summary); err != nil {
		return nil, err
	}
	return summary, jsonobject.Save(filepath.Join(dir, indexName), x)
}
