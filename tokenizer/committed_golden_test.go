package tokenizer

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
)

var update = flag.Bool("update", false, "write the tokenizations of testdata/golden")

// difficult are the texts of the committed tokenizations: of each kind of character and of each rule a few.
var difficult = []string{
	"", " ", "\t\n\r", "Hello, world!", "unaffable", "UNwant\u00E9d,running", " \tHeLLo!how  \n Are yoU?  ", "ah\u535A\u63A8zz",
	"the cat sat on the mat. running, jumped; unwanted!", "na\u00efve caf\u00e9 \u00c5ngstr\u00f6m \u00c4\u00d6\u00dc", "e\u0301 e\u0323\u0301 e\u0301\u0323 \u1e9b\u0323", "\u0130stanbul I \u0131 i\u0307",
	"\u03a3\u0391\u03a3 \u03a3\u03b1\u03c2 A\u03a3. A\u03a3b \u03a3", "\u00df \u1e9e \ufb01 \ufb02 \u01c4\u01c5\u01c6", "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u33ff\u3400\u4dbf\u4dc0 \u4dff\u4e00\u9fff\ua000 \uf8ff\uf900\ufaff\ufb00",
	"\U0001ffff\U00020000\U0002a6df\U0002a6e0 \U0002b81f\U0002b820\U0002b91f\U0002b920 \U0002ceaf\U0002f800\U0002fa1f", "\ud55c\uad6d\uc5b4 \uac00\uac01", "\u3072\u3089\u304c\u306a\u30ab\u30bf\u30ab\u30ca\u3099",
	"\u0627\u0644\u0639\u0631\u0628\u064a\u0651\u0629 \u0661\u0662", "\u0939\u093f\u0928\u094d\u0926\u0940 \u096f", "\u0e44\u0e17\u0e22", "\u05e9\u05c1\u05dc\u05d5\u05dd",
	"a\u00a0b\u1680c\u2003d\u3000e\u2028f\u2029g\u0085h\u180ei", "a\x00b\ufffdc\u200bd\u200de\u00adf\ufeffg\u0007h\x7fi", "a\ue000b\U000f0000c\u0378d\ufdd0e",
	"[MASK] a[MASK]b [CLS][SEP] [mask] [UNK] [PAD] [MAS", "don't can't I'm we've they're it's 'a' n't do not", "3.14 1,000 $5 50% 7x", "http://example.com/?q=a+b&c#d user@example.org",
	"--- ... !? `^~|<>=+$ \\/", "\u201cquotes\u201d \u2018single\u2019 \u2014 dash\u2026 \u00bfque? \u00a7\u00b6", "x\u00b2 \u00bd \u2116 \u2122 \u20ac \u00b0", "\uff21\uff22\uff23\uff11\uff12\uff01\uff0e", "\U0001d49c\U0001d4c1 \U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467",
	"##ing ing## ##", "a\u0300\u0301\u0302b \u0300c", "\u166d \u1734 \u07fd \u2e52 \U000111c9", strings.Repeat("a", 99) + " " + strings.Repeat("a", 100) + " " + strings.Repeat("a", 101),
	strings.Repeat("ab", 100) + " " + strings.Repeat("ab", 100) + "a", strings.Repeat("\u00e9", 100) + " " + strings.Repeat("e\u0301", 100), "cat" + strings.Repeat(".", 12) + "cat",
}

// difficultPairs are pairs: of texts that truncation takes from in turns, and of a question and what it is windows of.
var difficultPairs = [][2]string{
	{"the cat sat on the mat", "a cat"}, {"a", "the cat sat on the mat and the cat ran"}, {"the cat sat on", "the mat is red"},
	{"the cat sat on a", "the mat is red"}, {"", "cat"}, {"[MASK] \u4f60\u597d", "caf\u00e9 [SEP] x"},
	{"the cats wanted running!", strings.Repeat("the cat sat on the mat. ", 4)},
}

const (
	windowLength, windowStride = 16, 4
	cutLength, cutLengthEven   = 9, 12 // an odd and an even number of places for the texts
)

// committedVocab is a vocabulary that knows some of the difficult texts and not all.
func committedVocab(uncased bool) []string {
	vocab := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	pieces := func(characters string) {
		for _, c := range characters {
			vocab = append(vocab, string(c), "##"+string(c))
		}
	}
	pieces("abcdefghijklmnopqrstuvwxyz0123456789")
	for c := '!'; c <= '~'; c++ {
		if c < '0' || c > '9' && c < 'A' || c > 'Z' && c < 'a' || c > 'z' {
			vocab = append(vocab, string(c))
		}
	}
	vocab = append(vocab, strings.Fields("the cat sat on mat un want ##want ##ed runn ##ing hello world ##aff ##able ah \u535a \u4f60 \u597d \u4e16 \uff0c \u3002 \u201c \u2019 \u2014 \u20ac")...)
	pieces("\u03b1\u03c3\u03c2\u00df\u0131\u1112\u1161\u11ab\u3072\u3089\u0627\u0644\ufb01")
	if !uncased {
		pieces("AHIMUW\u00c4\u00e9\u00ef\u03a3\u0130\u1e9e\uac00\ud55c\u0301")
		vocab = append(vocab, "Hello", "UN")
	}
	return vocab
}

// referenceRecord is what the reference makes of a text, or of a pair, in the form of the records of HF's Rust library. Of
// the tokenizer it asks for the vocabulary, the configuration and the tables of characters.
func referenceRecord(tok *Tokenizer, like rustRecord) rustRecord {
	r := rustRecord{Kind: like.Kind, N: like.N, Text: like.Text, Pair: like.Pair}
	first := reference(tok, r.Text)
	var second []refPiece
	if r.Pair != nil {
		second = reference(tok, *r.Pair)
	}
	if r.Kind == "windows" {
		r.MaxLength, r.Stride, r.PairTokens = like.MaxLength, like.Stride, len(second)
		room := r.MaxLength - 3 - len(first)
		for at := 0; ; at += room - r.Stride {
			end := min(at+room, len(second))
			r.Windows = append(r.Windows, refEncoding(tok, first, second[at:end], true, nil))
			if end == len(second) {
				return r
			}
		}
	}
	r.rustEncoding = refEncoding(tok, first, second, r.Pair != nil, &r)
	for length := range like.LongestFirst {
		var n int
		fmt.Sscan(length, &n)
		var cut rustCut
		if r.Pair == nil {
			cut.rustEncoding = refEncoding(tok, first[:min(len(first), n-2)], nil, false, nil)
		} else {
			a, b := refLongestFirst(len(first), len(second), n-3)
			cut.rustEncoding = refEncoding(tok, first[:a], second[:b], true, nil)
			cut.Kept = []int{a, b}
			a, b = refTruncateSeqPair(len(first), len(second), n-3)
			cut.KeptByGoogle = []int{a, b}
		}
		// The records give no more than what is not known from the whole.
		if like.LongestFirst[length].TypeIDs == nil && r.Pair == nil {
			cut.TypeIDs, cut.ByteOffsets = nil, nil
		}
		if r.LongestFirst == nil {
			r.LongestFirst = make(map[string]rustCut)
		}
		r.LongestFirst[length] = cut
	}
	return r
}

// refEncoding is [CLS] first [SEP], and second [SEP] of a pair. Of r it sets the columns that only whole records have.
func refEncoding(tok *Tokenizer, first, second []refPiece, pair bool, r *rustRecord) rustEncoding {
	var e rustEncoding
	var tokens []string
	special := []uint8{}
	add := func(p refPiece, typeID int32, isSpecial uint8) {
		e.IDs = append(e.IDs, tok.ids[p.token])
		e.TypeIDs = append(e.TypeIDs, typeID)
		e.ByteOffsets = append(e.ByteOffsets, [2]int32{p.start, p.end})
		tokens, special = append(tokens, p.token), append(special, isSpecial)
	}
	add(refPiece{token: "[CLS]"}, 0, 1)
	for _, p := range first {
		add(p, 0, 0)
	}
	add(refPiece{token: "[SEP]"}, 0, 1)
	if pair {
		for _, p := range second {
			add(p, 1, 0)
		}
		add(refPiece{token: "[SEP]"}, 1, 1)
	}
	if r != nil {
		r.Tokens, r.SpecialTokensMask, r.Decoded = tokens, special, refDecoded(tokens)
	}
	return e
}

// refLongestFirst is the truncation of HF's Rust library: the shorter text, which is the first of equally long ones, keeps
// up to half of the places, rounded down, and the longer gets the rest.
func refLongestFirst(a, b, places int) (int, int) {
	if a+b <= places {
		return a, b
	}
	if a <= b {
		a = min(a, places/2)
		return a, min(b, places-a)
	}
	b = min(b, places/2)
	return min(a, places-b), b
}

// refTruncateSeqPair is google-research/bert run_classifier.py, _truncate_seq_pair.
func refTruncateSeqPair(a, b, places int) (int, int) {
	for a+b > places {
		if a > b {
			a--
		} else {
			b--
		}
	}
	return a, b
}

// refDecoded is HF's WordPiece decoder, tokenizers/src/decoders/wordpiece.rs, without special tokens.
func refDecoded(tokens []string) string {
	text := ""
	first := true
	for _, token := range tokens {
		if slices.Contains([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}, token) {
			continue
		}
		if !first {
			if tail, ok := strings.CutPrefix(token, "##"); ok {
				token = tail
			} else {
				token = " " + token
			}
		}
		first = false
		for _, u := range [][2]string{
			{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"},
			{" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
		} {
			token = strings.ReplaceAll(token, u[0], u[1])
		}
		text += token
	}
	return text
}

// compareReferenceRecord reports how what the reference makes of a record's text differs from the record.
func compareReferenceRecord(tok *Tokenizer, want rustRecord) error {
	got := referenceRecord(tok, want)
	if reflect.DeepEqual(got, want) {
		return nil
	}
	g, err := json.Marshal(got)
	if err != nil {
		return err
	}
	w, err := json.Marshal(want)
	if err != nil {
		return err
	}
	return fmt.Errorf("the reference has\n%s\nwant\n%s", g, w)
}

// committedFiles are the tokenizations of testdata/golden, by name.
func committedFiles(t *testing.T) map[string][]byte {
	files := make(map[string][]byte)
	for name, uncased := range map[string]bool{"tiny-uncased": true, "tiny-cased": false} {
		vocab := committedVocab(uncased)
		c := DefaultConfig()
		c.LowerCase = uncased
		tok, err := New(vocab, c)
		if err != nil {
			t.Fatal(err)
		}
		var records []rustRecord
		for i, text := range difficult {
			records = append(records, rustRecord{Kind: "adversarial", N: i, Text: text})
		}
		for i, pair := range difficultPairs {
			r := rustRecord{Kind: "pair", N: i, Text: pair[0], Pair: &pair[1], LongestFirst: make(map[string]rustCut)}
			for _, length := range []int{cutLength, cutLengthEven} {
				if n := len(reference(tok, pair[0])) + len(reference(tok, pair[1])) + 3; n > length {
					r.LongestFirst[fmt.Sprint(length)] = rustCut{}
				}
			}
			records = append(records, r)
		}
		last := difficultPairs[len(difficultPairs)-1]
		records = append(records, rustRecord{Kind: "windows", Text: last[0], Pair: &last[1], MaxLength: windowLength, Stride: windowStride})
		var lines bytes.Buffer
		enc := json.NewEncoder(&lines)
		enc.SetEscapeHTML(false)
		for _, r := range records {
			if err := enc.Encode(referenceRecord(tok, r)); err != nil {
				t.Fatal(err)
			}
		}
		files["reference-"+name+".jsonl"] = lines.Bytes()
		files[name+".vocab.txt"] = []byte(strings.Join(vocab, "\n") + "\n")
	}
	text, err := json.Marshal(committedGoogle(t))
	if err != nil {
		t.Fatal(err)
	}
	files["google-bert-cases.json"] = append(text, '\n')
	return files
}

// committedGoogle is the difficult texts as tokenization.py of google-research/bert has them.
func committedGoogle(t *testing.T) googleFile {
	file := googleFile{Source: "tokenizer/reference_test.go"}
	file.Full.Vocab, file.Full.Lower = committedVocab(true), true
	full, err := New(file.Full.Vocab, GoogleConfig(true))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range difficult {
		c := googleCase{Text: text, Tokens: []string{}}
		for _, p := range reference(full, text) {
			c.Tokens, c.IDs = append(c.Tokens, p.token), append(c.IDs, full.ids[p.token])
		}
		file.Full.Cases = append(file.Full.Cases, c)
	}
	// The words themselves, of texts that have none too long for a piece.
	for _, lower := range []bool{true, false} {
		tok, err := New(file.Full.Vocab, GoogleConfig(lower))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range difficult {
			c := googleCase{Text: text, Lower: lower, Tokens: []string{}}
			for _, word := range refWords(tok, refDecode(text, 0, len(text))) {
				s := ""
				for _, char := range word {
					s += string(char.r)
				}
				c.Tokens = append(c.Tokens, s)
			}
			if slices.ContainsFunc(c.Tokens, func(s string) bool { return len(s) > 100 }) {
				continue
			}
			file.Basic = append(file.Basic, c)
		}
	}
	// tokenization.py, _is_whitespace, _is_control, _is_punctuation.
	file.Space = truth{[]string{" ", "\t", "\r", "\n", "\u00a0", "\u2003", "\u3000"}, []string{"A", "-", "\u200b"}}
	file.Control = truth{[]string{"\u0005", "\u200d", "\u00ad"}, []string{"A", " ", "\t", "\r", "\U0001f4a9"}}
	file.Punct = truth{[]string{"-", "$", "`", ".", "^", "~", "\u2014", "\u3002"}, []string{"A", " ", "\u20ac", "\u2122"}}
	return file
}

// TestCommittedTokenizations compares the committed files with what the reference gives, or writes them.
func TestCommittedTokenizations(t *testing.T) {
	dir := filepath.Join(golden.Committed(t), "tokenization")
	if *update {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range committedFiles(t) {
		path := filepath.Join(dir, name)
		if *update {
			if err := os.WriteFile(path, want, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the reference gives: run go generate ./internal/golden", path)
		}
	}
}
