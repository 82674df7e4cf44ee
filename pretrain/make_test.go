package pretrain

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
	"github.com/go-bert/bert/tokenizer"
)

// testVocabulary returns the special tokens, all letters at the beginning of and within a word, some words, and ends of words.
func testVocabulary() []string {
	v := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "."}
	for c := 'a'; c <= 'z'; c++ {
		v = append(v, string(c), "##"+string(c))
	}
	return append(v, "the", "film", "was", "good", "bad", "act", "##ing", "##ed", "sea", "un", "##want", "never", "again", "##able")
}

func testTokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.New(testVocabulary(), tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// testText generates documents of random sentences, including long and very short ones.
func testText(documents int) string {
	rng := rand.New(rand.NewPCG(1, uint64(documents)))
	words := strings.Fields("the film was good bad acting acted seas unwanted never again q actable bx sea films unable [MASK] [SEP]")
	var b strings.Builder
	for range documents {
		for range 1 + rng.IntN(12) {
			for range 1 + rng.IntN(1+rng.IntN(30)) {
				b.WriteString(words[rng.IntN(len(words))] + " ")
			}
			b.WriteString(".\n")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// testOptions are those of small instances.
func testOptions() InstanceOptions {
	o := DefaultInstanceOptions()
	o.MaxSeqLength, o.MaxPredictions, o.DupeFactor, o.GroupBytes, o.Seed = 40, 5, 3, 4<<10, 7
	return o
}

func testJob(t testing.TB, text, dir string, o InstanceOptions) *InstanceJob {
	t.Helper()
	return &InstanceJob{Corpus: &Corpus{Paths: []string{"-"}, Stdin: strings.NewReader(text)}, Tokenizer: testTokenizer(t), Dir: dir, Options: o}
}

func run(t testing.TB, j *InstanceJob) *InstanceResult {
	t.Helper()
	r, err := j.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// makeSet makes a set and opens it.
func makeSet(t testing.TB, text string, o InstanceOptions) (*Set, *Summary) {
	t.Helper()
	dir := t.TempDir()
	r := run(t, testJob(t, text, dir, o))
	return openTestSet(t, dir), r.Summary
}

func openTestSet(t testing.TB, dir string) *Set {
	t.Helper()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func wantError(t testing.TB, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want one with %q", err, part)
	}
}

// TestReference compares the instances with those of the published procedure.
func TestReference(t *testing.T) {
	for name, change := range map[string]func(*InstanceOptions){
		"google":          func(*InstanceOptions) {},
		"whole words":     func(o *InstanceOptions) { o.WholeWordMask = true },
		"long":            func(o *InstanceOptions) { o.MaxSeqLength, o.MaxPredictions = 300, 60 },
		"short":           func(o *InstanceOptions) { o.MaxSeqLength, o.MaxPredictions, o.ShortSeqProb = 5, 5, 0.9 },
		"many masks":      func(o *InstanceOptions) { o.MaskedLMProb, o.MaxPredictions = 1, 40 },
		"half a mask":     func(o *InstanceOptions) { o.MaxSeqLength, o.MaskedLMProb = 30, 0.05 }, // 0.5 and 1.5 are rounded to even
		"tfrecord":        func(o *InstanceOptions) { o.Format = TFRecord },
		"one of whole":    func(o *InstanceOptions) { o.WholeWordMask, o.MaxPredictions = true, 1 },
		"another seed":    func(o *InstanceOptions) { o.Seed = 1<<64 - 1 },
		"never short":     func(o *InstanceOptions) { o.ShortSeqProb = 0 },
		"one of each":     func(o *InstanceOptions) { o.DupeFactor = 1 },
		"several a group": func(o *InstanceOptions) { o.GroupBytes = 1 << 10 },
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions()
			change(&o)
			compareWithReference(t, testTokenizer(t), testText(40), o)
		})
	}
}

// TestReferenceGolden is TestReference on Google's sample text, with BERT's vocabulary.
func TestReferenceGolden(t *testing.T) {
	text, err := os.ReadFile(golden.Shared(t, "data", "text", "sample_text.txt"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.LoadVocab(golden.Shared(t, "vocab", "bert-base-uncased", "vocab.txt"), tokenizer.GoogleConfig(true))
	if err != nil {
		t.Fatal(err)
	}
	for _, whole := range []bool{false, true} {
		o := DefaultInstanceOptions()
		o.WholeWordMask = whole
		compareWithReference(t, tok, string(text), o)
	}
}

func compareWithReference(t *testing.T, tok *tokenizer.Tokenizer, text string, o InstanceOptions) {
	t.Helper()
	dir := t.TempDir()
	j := testJob(t, text, dir, o)
	j.Tokenizer = tok
	run(t, j)
	s := openTestSet(t, dir)

	plain, err := textTokenizer(tok)
	if err != nil {
		t.Fatal(err)
	}
	r := reference{o: o}
	for id := range tok.VocabSize() {
		token, _ := tok.Token(int32(id))
		r.vocabulary = append(r.vocabulary, token)
	}
	var want []trainingInstance
	corpus := &Corpus{Paths: []string{"-"}, Stdin: strings.NewReader(text)}
	for g, err := range groups(corpus.Lines(t.Context()), o.GroupBytes) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, r.instances(r.documents(plain, string(g.text)), uint64(g.number))...)
	}
	if s.Len() != len(want) {
		t.Fatalf("%d instances, want %d", s.Len(), len(want))
	}
	for i, w := range want {
		var got Instance
		if err := s.Instance(i, i%3, &got); err != nil {
			t.Fatal(err)
		}
		next := ActualNext
		if w.isRandomNext {
			next = RandomNext
		}
		positions := make([]int, len(got.Positions))
		for k, p := range got.Positions {
			positions[k] = int(p)
		}
		if !slices.Equal(tok.Tokens(got.IDs), w.tokens) || !slices.Equal(got.TypeIDs, w.segmentIDs) || got.Next != next ||
			!slices.Equal(positions, w.positions) || !slices.Equal(tok.Tokens(got.MaskedIDs), w.labels) || s.Length(i) != len(w.tokens) {
			t.Fatalf("instance %d is\n%v %v %v\n%v %v; want\n%v %v %v\n%v %v", i, tok.Tokens(got.IDs), got.TypeIDs, got.Next,
				positions, tok.Tokens(got.MaskedIDs), w.tokens, w.segmentIDs, next, w.positions, w.labels)
		}
	}
}

// restore restores the masked tokens.
func restore(in *Instance) []int32 {
	ids := slices.Clone(in.IDs)
	for k, p := range in.Positions {
		ids[p] = in.MaskedIDs[k]
	}
	return ids
}

// TestDynamic checks that the segments are those of a static set with one duplicate, and that masks depend only on the epoch, differ
// between epochs and follow the procedure.
func TestDynamic(t *testing.T) {
	for _, whole := range []bool{false, true} {
		o := testOptions()
		o.Dynamic, o.DupeFactor, o.WholeWordMask = true, 1, whole
		s, summary := makeSet(t, testText(60), o)
		r := reference{o: o, vocabulary: testVocabulary()}
		tok := testTokenizer(t)
		var (
			in, again Instance
			differ    int
			masked    int64
		)
		for i := range s.Len() {
			var first []int32
			for epoch := range 3 {
				if err := s.Instance(i, epoch, &in); err != nil {
					t.Fatal(err)
				}
				whole := restore(&in)
				if epoch == 0 {
					first = whole
					masked += int64(len(in.Positions))
				} else if !slices.Equal(first, whole) {
					t.Fatalf("instance %d is %v in epoch %d, %v before", i, whole, epoch, first)
				}
				tokens, _, labels := r.mask(tok.Tokens(whole), newDraws(o.Seed, forMasks, uint64(epoch), uint64(i)))
				if !slices.Equal(tokens, tok.Tokens(in.IDs)) || !slices.Equal(labels, tok.Tokens(in.MaskedIDs)) {
					t.Fatalf("instance %d in epoch %d is %v, want %v", i, epoch, tok.Tokens(in.IDs), tokens)
				}
				if err := s.Instance(i, 0, &again); err != nil {
					t.Fatal(err)
				}
				if epoch > 0 && !slices.Equal(in.Positions, again.Positions) {
					differ++
				}
			}
		}
		if differ < s.Len() {
			t.Errorf("masks of %d of %d instances differ between epochs", differ, 2*s.Len())
		}
		if masked > summary.MaskedTokens || !whole && masked != summary.MaskedTokens {
			t.Errorf("%d tokens are masked, the summary says %d", masked, summary.MaskedTokens)
		}
	}
}

// TestPacked checks that, without next-sentence prediction, the instances of a document are its sentences, packed as far as they
// fit, and that nothing is lost.
func TestPacked(t *testing.T) {
	o := testOptions()
	o.NextSentence, o.DupeFactor, o.ShortSeqProb, o.GroupBytes = false, 1, 0, maxGroupBytes
	text := testText(50) + strings.Repeat("film ", 200) + "\n" // a sentence that is longer than an instance
	s, summary := makeSet(t, text, o)
	most := o.MaxSeqLength - 2

	tok := testTokenizer(t)
	plain, err := textTokenizer(tok)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, document := range (&reference{}).documents(plain, text) {
		var instance []string
		flush := func() {
			if len(instance) > 0 {
				want = append(want, strings.Join(instance, " "))
				instance = nil
			}
		}
		for _, sentence := range document {
			if len(instance)+len(sentence) > most {
				flush()
			}
			for instance = append(instance, sentence...); len(instance) > most; instance = instance[most:] {
				want = append(want, strings.Join(instance[:most], " "))
			}
		}
		flush()
	}
	var got []string
	for i := range s.Len() {
		var in Instance
		if err := s.Instance(i, 0, &in); err != nil {
			t.Fatal(err)
		}
		n := len(in.IDs)
		if in.Next != NotPaired || slices.Max(in.TypeIDs) != 0 || in.IDs[0] != tok.ClassifierID() || in.IDs[n-1] != tok.SeparatorID() {
			t.Fatalf("instance %d: %+v", i, in)
		}
		got = append(got, strings.Join(tok.Tokens(restore(&in)[1:n-1]), " "))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the instances are not the packed sentences: %d, want %d", len(got), len(want))
	}
	if summary.RandomNext != 0 || summary.TruncatedTokens != 0 || summary.Tokens != summary.TextTokens+2*summary.Instances {
		t.Errorf("summary %+v", summary)
	}
}

// TestShares checks the shares given in the paper, on enough instances to make chance negligible.
func TestShares(t *testing.T) {
	tok := testTokenizer(t)
	for _, whole := range []bool{false, true} {
		o := testOptions()
		o.WholeWordMask, o.DupeFactor, o.MaxSeqLength, o.MaxPredictions, o.GroupBytes = whole, 10, 64, 64, 64<<10
		s, summary := makeSet(t, testText(600), o)
		var masked, kept, random, tokens, full int
		for i := range s.Len() {
			var in Instance
			if err := s.Instance(i, 0, &in); err != nil {
				t.Fatal(err)
			}
			ids := restore(&in)
			at := make(map[int32]bool)
			for k, p := range in.Positions {
				at[p] = true
				switch in.IDs[p] {
				case tok.MaskID():
					masked++
				case in.MaskedIDs[k]:
					kept++
				default:
					random++
				}
				if ids[p] == tok.ClassifierID() || ids[p] == tok.SeparatorID() {
					t.Fatalf("instance %d: %s is masked", i, tok.Tokens(ids)[p])
				}
			}
			b := slices.Index(in.TypeIDs, 1)
			for p := 2; whole && p < len(ids)-1; p++ {
				// Google's code can join a word of a with a piece in b.
				if tok.Continues(ids[p]) && p != b && at[int32(p)] != at[int32(p-1)] {
					t.Fatalf("instance %d: a word is masked in part: %v at %v", i, tok.Tokens(ids), in.Positions)
				}
			}
			if budget := o.budget(len(ids)); len(in.Positions) > budget || !whole && len(in.Positions) != min(budget, len(ids)-3) {
				t.Fatalf("instance %d: %d of %d tokens are masked, the budget is %d", i, len(in.Positions), len(ids), budget)
			}
			tokens += len(ids)
			if len(ids) == o.MaxSeqLength {
				full++
			}
		}
		all := masked + kept + random
		for _, c := range []struct {
			name           string
			got, low, high float64
		}{
			{"masked", float64(all) / float64(tokens), 0.13, 0.16},
			{"replaced by [MASK]", float64(masked) / float64(all), 0.79, 0.81},
			// A random word may be the original one by chance.
			{"kept", float64(kept) / float64(all), 0.095, 0.11},
			{"random", float64(random) / float64(all), 0.09, 0.105},
			{"random next", summary.RandomNextShare, 0.5, 0.7},
			{"short", summary.ShortShare, 0.1, 0.45}, // of the instances: short documents make more of them
		} {
			if c.got < c.low || c.got > c.high {
				t.Errorf("whole words %v: %s: %.4f, want %.3f to %.3f", whole, c.name, c.got, c.low, c.high)
			}
		}
		if int(summary.MaskedTokens) != all || int(summary.Tokens) != tokens || int(summary.Instances) != s.Len() {
			t.Errorf("summary %+v; counted %d masked of %d tokens in %d", summary, all, tokens, s.Len())
		}
		sum := int64(0)
		for _, n := range summary.Lengths {
			sum += n
		}
		if sum != summary.Instances || summary.Lengths[lengthBins-1] < int64(full) {
			t.Errorf("histogram %v of %d instances, %d of full length", summary.Lengths, summary.Instances, full)
		}
	}
}

// contents returns the names and contents of the files in a folder.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

func sameFiles(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	for name, data := range want {
		if other, ok := got[name]; !ok || other != data {
			t.Errorf("%s: %s differs (exists: %v)", what, name, ok)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s should not exist", what, name)
		}
	}
}

// TestSameBytes checks that the bytes of a set depend neither on the number of workers, nor on how the work is divided and in which
// order its parts are done, nor on interruptions.
func TestSameBytes(t *testing.T) {
	text := testText(150)
	for name, change := range map[string]func(*InstanceOptions){
		"static": func(*InstanceOptions) {}, "dynamic": func(o *InstanceOptions) { o.Dynamic = true }, "tfrecord": func(o *InstanceOptions) { o.Format = TFRecord },
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions()
			change(&o)
			dir := t.TempDir()
			j := testJob(t, text, dir, o)
			j.Workers = 1
			one := run(t, j)
			want := contents(t, dir)
			if one.Groups < 5 || len(want) != one.Groups+5 {
				t.Fatalf("%d groups, %d files", one.Groups, len(want))
			}

			dir = t.TempDir()
			j = testJob(t, text, dir, o)
			j.Workers = 7
			run(t, j)
			sameFiles(t, "7 workers", contents(t, dir), want)

			dir = t.TempDir()
			for part, shard := range []int{2, 0, 1} {
				j = testJob(t, text, dir, o)
				j.Shard, j.Shards = shard, 3
				r := run(t, j)
				if (r.Summary != nil) != (part == 2) || part < 2 && r.Missing == 0 {
					t.Errorf("after part %d: %+v", part, r)
				}
				if part < 2 {
					_, err := Open(t.Context(), dir)
					wantError(t, err, "not complete")
				}
			}
			sameFiles(t, "3 shards", contents(t, dir), want)

			// Interrupted after each file in turn; unfinished files are left behind.
			dir = t.TempDir()
			for stop := 1; ; stop++ {
				ctx, cancel := context.WithCancel(context.Background())
				j = testJob(t, text, dir, o)
				j.Resume, j.Workers = true, 2
				j.Report = func(p InstanceProgress) {
					if p.Groups-p.Kept >= 2 {
						cancel()
					}
				}
				r, err := j.Run(ctx)
				cancel()
				if err == nil {
					if stop < 3 || r.Kept == 0 {
						t.Errorf("interrupted %d times, %d files kept", stop, r.Kept)
					}
					break
				}
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				// What a killed process may leave: a temporary file, and a truncated file with a record.
				half := fileName(0, o.Format)
				if err := os.WriteFile(filepath.Join(dir, "."+half+".tmp-ABCDEFGHIJKLMNOPQRSTUVWXYZ"), []byte("x"), 0o666); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(filepath.Join(dir, half), 100); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
			}
			sameFiles(t, "resumed", contents(t, dir), want)

			// A complete set is recognised, and a lost file is made again.
			if err := os.Remove(filepath.Join(dir, fileName(1, o.Format))); err != nil {
				t.Fatal(err)
			}
			j = testJob(t, text, dir, o)
			j.Resume = true
			if r := run(t, j); r.Kept != r.Groups-1 || r.Summary == nil {
				t.Errorf("%+v", r)
			}
			sameFiles(t, "made again", contents(t, dir), want)
		})
	}
}

// TestResumeRefuses checks that a job never adds to a set made with other settings.
func TestResumeRefuses(t *testing.T) {
	text, dir := testText(60), t.TempDir()
	run(t, testJob(t, text, dir, testOptions()))
	before := contents(t, dir)
	for _, c := range []struct {
		change func(*InstanceJob)
		want   string
	}{
		{func(j *InstanceJob) { j.Resume = false }, "holds instances: resume the job"},
		{func(j *InstanceJob) { j.Options.Seed = 8 }, "seed is 8, there it is 7"},
		{func(j *InstanceJob) { j.Options.MaxSeqLength = 41 }, "max_seq_length is 41, there it is 40"},
		{func(j *InstanceJob) { j.Options.Dynamic = true }, "dynamic is true, there it is false"},
		{func(j *InstanceJob) { j.Corpus.IMDBSplits = []string{"unsup"} }, "imdb_splits is [unsup], there it is [train unsup]"},
		{func(j *InstanceJob) { j.Corpus.Encoding = "latin-1" }, `encoding is "latin-1", there it is ""`},
		{func(j *InstanceJob) { j.Corpus.Stdin = strings.NewReader(text + "the end\n") }, "the corpus has changed"},
		{func(j *InstanceJob) { j.Corpus.Stdin = strings.NewReader("good " + text) }, "the corpus has changed"},
		{func(j *InstanceJob) { j.Corpus.Stdin = strings.NewReader(text[:len(text)/2]) }, "the corpus has changed"},
		{func(j *InstanceJob) {
			j.Tokenizer, _ = tokenizer.New(append(testVocabulary(), "another"), tokenizer.DefaultConfig())
		}, "the vocabulary has"},
	} {
		j := testJob(t, text, dir, testOptions())
		j.Resume = true
		c.change(j)
		_, err := j.Run(context.Background())
		wantError(t, err, c.want)
	}
	sameFiles(t, "after refusals", contents(t, dir), before)
}

func TestBadInput(t *testing.T) {
	lacking := func(token string) *tokenizer.Tokenizer {
		tok, err := tokenizer.New(slices.DeleteFunc(testVocabulary(), func(s string) bool { return s == token }), tokenizer.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	for _, c := range []struct {
		text   string
		change func(*InstanceJob)
		want   string
	}{
		{"", nil, "stdin: no text in the corpus"},
		{"\n \n\t\n", nil, "no text in the corpus"},
		{"\x00\n\n\x00\n", func(j *InstanceJob) { j.Options.NextSentence = false }, "no tokens in the corpus"},
		{"one film .\nthe film .\n", nil, "one document only"},
		{"one film .\n\n\x00\n", nil, "one document only"},
		{"a\n\nb\n", func(j *InstanceJob) { j.Tokenizer = lacking("[MASK]") }, "lacks [MASK]"},
		{"a\n\nb\n", func(j *InstanceJob) { j.Corpus.IMDBSplits = []string{"test"} }, `IMDB split "test"`},
		{"a\n\nb\n", func(j *InstanceJob) { j.Corpus.Paths = []string{"missing.txt"} }, "missing.txt: no such file"},
		{"a\n\nb\n", func(j *InstanceJob) { j.Shard, j.Shards = 3, 3 }, "shard 3 of 3"},
		{"a\n\nb\n", func(j *InstanceJob) { j.Options.MaxSeqLength = 4 }, "max_seq_length is 4, want 5 to 65535"},
		{"a\n\nb\n", func(j *InstanceJob) { j.Options.MaskedLMProb = 0 }, "masked_lm_prob"},
		{"a\n\nb\n", func(j *InstanceJob) { j.Options.Dynamic, j.Options.Format = true, TFRecord }, "dynamic"},
		{"a\n\nb\n", func(j *InstanceJob) { j.Dir = "make_test.go" }, "make_test.go: not a directory"},
		{"a\n\nb\n", func(j *InstanceJob) { j.Dir = "." }, "but no instances: want a new or empty folder"},
	} {
		j := testJob(t, c.text, t.TempDir(), testOptions())
		if c.change != nil {
			c.change(j)
		}
		_, err := j.Run(context.Background())
		wantError(t, err, c.want)
	}
}

// TestOpenRefuses checks that a damaged set is refused, and that the error names the file and the problem.
func TestOpenRefuses(t *testing.T) {
	text := testText(60)
	made := func() string {
		dir := t.TempDir()
		run(t, testJob(t, text, dir, testOptions()))
		return dir
	}
	other := t.TempDir()
	j := testJob(t, text, other, testOptions())
	j.Tokenizer, _ = tokenizer.New(append(testVocabulary(), "another"), tokenizer.DefaultConfig())
	run(t, j)
	second := fileName(1, Own)
	for _, c := range []struct {
		damage func(dir string) error
		want   string
	}{
		{func(dir string) error { return os.Remove(filepath.Join(dir, second)) }, second + ": no such file or directory: file 2 of "},
		{func(dir string) error { return os.Truncate(filepath.Join(dir, second), 1000) }, second + ": the file is truncated: 1000 bytes, want "},
		{func(dir string) error { return os.Truncate(filepath.Join(dir, second), 0) }, second + ": 0 bytes, want "},
		{func(dir string) error { return copyFile(filepath.Join(other, second), filepath.Join(dir, second)) }, "another vocabulary"},
		{func(dir string) error {
			return copyFile(filepath.Join(dir, fileName(0, Own)), filepath.Join(dir, second))
		}, second + ": "},
		{func(dir string) error {
			return copyFile(filepath.Join(other, "vocab.txt"), filepath.Join(dir, "vocab.txt"))
		}, ""},
		{func(dir string) error {
			return copyFile(filepath.Join(other, "tokenizer.json"), filepath.Join(dir, "tokenizer.json"))
		}, "its instances were made with one of"},
		{func(dir string) error {
			path := filepath.Join(dir, second)
			data, err := os.ReadFile(path)
			data[len(data)/2] ^= 4
			return errors.Join(err, os.WriteFile(path, data, 0o666))
		}, second + ": damaged: checksum"},
		{func(dir string) error { return os.Remove(filepath.Join(dir, indexName)) }, "no instances in it: want"},
		{func(dir string) error { return os.WriteFile(filepath.Join(dir, indexName), []byte("{"), 0o666) }, indexName + ": "},
	} {
		dir := made()
		if err := c.damage(dir); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), dir)
		if c.want == "" {
			if err != nil {
				t.Error(err)
			}
			s.Close()
			continue
		}
		wantError(t, err, c.want)
	}
	_, err := Open(t.Context(), filepath.Join(t.TempDir(), "missing"))
	wantError(t, err, "missing: no such file")
	_, err = Open(t.Context(), "make_test.go")
	wantError(t, err, "make_test.go: not a file of instances")
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	return errors.Join(err, os.WriteFile(to, data, 0o666))
}

// TestWideIDs checks that ids take four bytes if the vocabulary has more than 65,536 tokens.
func TestWideIDs(t *testing.T) {
	vocabulary := testVocabulary()
	for i := len(vocabulary); i < 70_000; i++ {
		vocabulary = append(vocabulary, fmt.Sprintf("w%d", i))
	}
	tok, err := tokenizer.New(append(vocabulary, "hello"), tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions()
	o.NextSentence = false
	compare := func(f Format) {
		o.Format = f
		j := testJob(t, "hello hello hello hello hello hello", t.TempDir(), o)
		j.Tokenizer = tok
		run(t, j)
		s := openTestSet(t, j.Dir)
		var in Instance
		if err := s.Instance(0, 0, &in); err != nil {
			t.Fatal(err)
		}
		if got := restore(&in); !slices.Equal(got, []int32{2, 70_000, 70_000, 70_000, 70_000, 70_000, 70_000, 3}) {
			t.Errorf("%s: %v", f, got)
		}
	}
	compare(Own)
	compare(TFRecord)
}

// TestDigestOfOptions: sets are identified by a digest that begins with this text, and runs on them are resumed by it.
func TestDigestOfOptions(t *testing.T) {
	const want = "{MaxSeqLength:128 MaxPredictions:20 MaskedLMProb:0.15 ShortSeqProb:0.1 DupeFactor:10 WholeWordMask:false NextSentence:true " +
		"Dynamic:false SplitSentences:false GroupBytes:8388608 Seed:12345 Format:own}"
	if got := fmt.Sprintf("%+v", DefaultInstanceOptions()); got != want {
		t.Errorf("the options read\n%s, want\n%s", got, want)
	}
}
