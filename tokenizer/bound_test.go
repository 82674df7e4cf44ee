package tokenizer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/testbound"
)

const (
	specialLines = "[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\n"
	specialVocab = `"[UNK]":0,"[CLS]":1,"[SEP]":2,"[PAD]":3,"[MASK]":4`
)

// tokenizerJSON is a tokenizer.json with members at three places.
func tokenizerJSON(vocab, added, more string) string {
	return `{"added_tokens":[` + added + `],"pre_tokenizer":{"type":"BertPreTokenizer"},` + more +
		`"model":{"type":"WordPiece","vocab":{` + specialVocab + vocab + `}}}`
}

func many(size int, member func(i int) string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		b.WriteString(member(i))
	}
	return b.String()
}

// vocabularyBound is the bound for vocabularies: a token of a few bytes is in the list of tokens, a table by name, a table of short
// words and a trie, which together take up to 300 MB at the limit of 1,048,576 tokens and 16 MB.
var vocabularyBound = testbound.Bound{Memory: 400 << 20, PerByte: 4, Time: testbound.Default.Time * 2, PerHundred: testbound.Default.PerHundred}

// hostileFiles are files of about size bytes that hold more than a tokenizer's do.
var hostileFiles = []struct {
	what, name string
	size       int
	content    func(size int) string
	want       string
	bound      testbound.Bound
}{
	{"lines", vocabFile, maxVocabFile - 1000, func(size int) string { return specialLines + strings.Repeat("\n", size) }, "lines, want a token on each of at most", testbound.Default},
	{"tokens", vocabFile, 7 * maxTokens, func(size int) string {
		return specialLines + many(size, func(i int) string { return fmt.Sprintf("%06x\n", i) })
	}, "lines, want a token", testbound.Default},
	{"as many tokens as are allowed", vocabFile, 6 * (maxTokens - 6), func(size int) string {
		return specialLines + many(size, func(i int) string { return fmt.Sprintf("%05x\n", i) })
	}, "", vocabularyBound},
	{"long tokens", vocabFile, maxVocabFile - 1000, func(size int) string {
		return specialLines + many(size, func(i int) string { return fmt.Sprintf("%07x%s\n", i*0x9E3779B1&0xfffffff, strings.Repeat("x", 90)) })
	}, "too many bytes for its index", vocabularyBound},
	{"long pieces", vocabFile, maxVocabFile - 1000, func(size int) string {
		return specialLines + many(size, func(i int) string { return fmt.Sprintf("##%07x%s\n", i*0x9E3779B1&0xfffffff, strings.Repeat("x", 90)) })
	}, "too many bytes for its index", vocabularyBound},
	{"one line", vocabFile, maxVocabFile - 1000, func(size int) string { return specialLines + strings.Repeat("x", size) }, "", testbound.Default},
	{"no UTF-8", vocabFile, maxVocabFile - 1000, func(size int) string { return strings.Repeat("\xff", size) }, "is not valid UTF-8", testbound.Default},

	{"tokens", jsonFile, maxJSONFile - 1000, func(size int) string {
		return tokenizerJSON(many(size, func(i int) string { return fmt.Sprintf(`,"%x":0`, i) }), "", "")
	}, "more than any tokenizer has", testbound.Default},
	{"as many tokens as are allowed", jsonFile, maxTokens * 14, func(size int) string {
		return tokenizerJSON(many(size, func(i int) string { return fmt.Sprintf(`,"%05x":%d`, i, i+5) }), "", "")
	}, "", vocabularyBound},
	{"added tokens", jsonFile, maxJSONFile - 1000, func(size int) string { return tokenizerJSON("", strings.Repeat("{},", size/3)+"{}", "") }, "more than any tokenizer has", testbound.Default},
	{"spaces", jsonFile, maxJSONFile - 1000, func(size int) string { return strings.Repeat(" ", size) }, "a value of more than", testbound.Default},
	{"digits", jsonFile, maxJSONFile - 1000, func(size int) string {
		return tokenizerJSON(`,"x":`+strings.Repeat("9", size), "", "")
	}, "a value of more than", testbound.Default},
	{"an unknown key", jsonFile, maxJSONFile - 1000, func(size int) string {
		return tokenizerJSON("", "", `"`+strings.Repeat("k", size)+`":0,`)
	}, "a value of more than", testbound.Default},
	{"nesting", jsonFile, maxJSONFile - 1000, func(size int) string { return tokenizerJSON("", "", `"padding":`+strings.Repeat("[", size)) }, "a value of more than", testbound.Default},
	{"one long token", jsonFile, maxJSONFile - 1000, func(size int) string {
		return tokenizerJSON(`,"`+strings.Repeat("k", size)+`":5`, "", "")
	}, "a value of more than", testbound.Default},

	{"never_split", configFile, maxSettings - 1000, func(size int) string { return `{"never_split":[` + strings.Repeat(`"",`, size/3) + `""]}` }, "more than any tokenizer has", testbound.Default},
	{"added_tokens_decoder", configFile, maxSettings - 1000, func(size int) string {
		return `{"added_tokens_decoder":{` + many(size, func(i int) string { return fmt.Sprintf(`"%d":{},`, i) }) + `"x":{}}}`
	}, "more than any tokenizer has", testbound.Default},
	{"a long name", configFile, maxSettings - 1000, func(size int) string { return `{"unk_token":"` + strings.Repeat("x", size/9) + `"}` }, "lacks the unknown token", testbound.Default},
	{"a long number", configFile, maxSettings - 1000, func(size int) string { return `{"do_lower_case":` + strings.Repeat("9", size/9) + `}` }, "do_lower_case: want true or false, got 999", testbound.Default},
	{"added tokens", addedFile, maxSettings - 1000, func(size int) string {
		return `{` + many(size, func(i int) string { return fmt.Sprintf(`"%x":%d,`, i, i) }) + `"":0}`
	}, "added tokens, want at most", testbound.Default},
}

// TestBound holds the readers of a tokenizer's files to the memory and the time of docs/security.md.
func TestBound(t *testing.T) {
	for _, h := range hostileFiles {
		t.Run(h.what+" in "+h.name, func(t *testing.T) {
			u := testbound.Read(t, h.bound, func(dir string) (string, error) {
				if h.name != vocabFile && h.name != jsonFile {
					if err := os.WriteFile(filepath.Join(dir, vocabFile), []byte(specialLines), 0o666); err != nil {
						return "", err
					}
				}
				return dir, os.WriteFile(filepath.Join(dir, h.name), []byte(h.content(h.size)), 0o666)
			}, func(dir string) error {
				_, err := Load(dir)
				return err
			})
			if !strings.Contains(u.Err, h.want) || (h.want == "") != (u.Err == "") {
				t.Errorf("error %q, want %q", u.Err, h.want)
			}
		})
	}
}

// Files that are no regular files, and files larger than any tokenizer's, are refused at once.
func TestLoadOfDevices(t *testing.T) {
	for _, name := range []string{vocabFile, jsonFile, configFile, specialFile, addedFile} {
		for _, target := range []string{"/dev/zero", "pipe", "folder", "large"} {
			dir := t.TempDir()
			path := filepath.Join(dir, name)
			if name != vocabFile {
				if err := os.WriteFile(filepath.Join(dir, vocabFile), []byte(specialLines), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			switch target {
			case "pipe":
				testbound.Pipe(t, dir, name)
			case "folder":
				err = os.Mkdir(path, 0o777)
			case "large":
				if err = os.WriteFile(path, nil, 0o666); err == nil {
					err = os.Truncate(path, 1<<40)
				}
			default:
				err = os.Symlink(target, path)
			}
			if err != nil {
				t.Skip(err)
			}
			_, err = Load(dir)
			var (
				kind *files.KindError
				size *files.SizeError
			)
			if ok := errors.As(err, &kind); target != "large" && !ok {
				t.Errorf("%s as %s: %v", name, target, err)
			}
			if ok := errors.As(err, &size); target == "large" && !ok {
				t.Errorf("%s as %s: %v", name, target, err)
			}
		}
	}
}
