package tokenizer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/go-bert/bert/internal/golden"
)

func textsOf(texts ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, s := range texts {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// allOf are options to learn everything that can be learnt.
func allOf() LearnOptions {
	o := DefaultLearnOptions()
	o.Size, o.MinFrequency, o.LimitAlphabet = 1<<30, 1, 0
	return o
}

// count does the first half of Learn.
func count(t fataler, texts iter.Seq2[string, error], c Config, o *LearnOptions) (*countedWords, []string, LearnStats) {
	t.Helper()
	if o.Threads == 0 {
		o.Threads = 2
	}
	vocab, err := o.fixedTokens(c)
	if err != nil {
		t.Fatal(err)
	}
	splitter, err := New(vocab, c)
	if err != nil {
		t.Fatal(err)
	}
	var stats LearnStats
	words, err := countWords(context.Background(), splitter, texts, o, &stats)
	if err != nil {
		t.Fatal(err)
	}
	return words, vocab, stats
}

// merges is like learn, but returns the merges, and accepts a vocabulary that can't reach its size.
func merges(t fataler, texts iter.Seq2[string, error], c Config, o LearnOptions) (*merger, LearnStats) {
	t.Helper()
	c = c.withDefaults()
	words, vocab, stats := count(t, texts, c, &o)
	m, err := newMerger(words, vocab, c.Prefix, &o, &stats)
	if err != nil {
		t.Fatal(err)
	}
	var size *LearnSizeError
	if err := m.run(context.Background(), &o, &stats); err != nil && !errors.As(err, &size) {
		t.Fatal(err)
	}
	return m, stats
}

// A fataler is a testing.T or a rapid.T.
type fataler interface {
	Helper()
	Fatal(...any)
}

// TestGoldenLearn compares with HF's WordPiece trainer, its ties broken in a fixed order.
func TestGoldenLearn(t *testing.T) {
	var file struct {
		Text  string
		Words int64
		Total int64 `json:"word_tokens"`
		Cases []struct {
			Size         int   `json:"vocab_size"`
			MinFrequency int64 `json:"min_frequency"`
			Sorted       []string
			Merges       [][4]any
			Always       []string `json:"in_every_rust_run"`
		}
	}
	readJSON(t, golden.Path(t, "tokenization", "wordpiece-train.json"), &file)
	text, err := os.ReadFile(golden.Path(t, "tokenization", file.Text))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		for _, threads := range []int{1, 3} {
			o := LearnOptions{Size: c.Size, MinFrequency: c.MinFrequency, Threads: threads, Memory: 1 << 30}
			m, stats := merges(t, textsOf(strings.SplitAfter(string(text), "\n")...), DefaultConfig(), o)
			if stats.Words != file.Total || stats.DistinctWords != file.Words {
				t.Errorf("size %d: %d words, %d distinct, want %d, %d", c.Size, stats.Words, stats.DistinctWords, file.Total, file.Words)
			}
			if !slices.Equal(m.tokens, c.Sorted) {
				t.Errorf("size %d: got %q, want %q", c.Size, m.tokens, c.Sorted)
			}
			var done [][4]any
			for _, g := range m.merges {
				done = append(done, [4]any{m.tokens[g.token], m.tokens[g.pair.left()], m.tokens[g.pair.right()], float64(g.count)})
			}
			if !slices.Equal(done, c.Merges) {
				t.Errorf("size %d: merges: got %v, want %v", c.Size, done, c.Merges)
			}
			// Runs of the unchanged trainer differ in how they break ties.
			shared := 0
			for _, s := range c.Always {
				if slices.Contains(m.tokens, s) {
					shared++
				}
			}
			if shared*200 < len(c.Always)*199 {
				t.Errorf("size %d: %d of the %d tokens that every run of HF's trainer has", c.Size, shared, len(c.Always))
			}
		}
	}
}

// TestLearn follows a small vocabulary from the words to the ids.
func TestLearn(t *testing.T) {
	o := LearnOptions{Size: 19, MinFrequency: 2, SpecialTokens: []string{"[NAME]"}, Reserved: 2, Memory: 1 << 20}
	tok, stats, err := Learn(context.Background(), textsOf("Hug, hug [NAME] hugs\nbug", "bugs! mug"), DefaultConfig(), o)
	if err != nil {
		t.Fatal(err)
	}
	// ug occurs 6 times, gs 2, hug 3, bug 2. Of the pairs that occur twice, b + ##ug has smaller ids than ##ug + ##s.
	want := strings.Fields("[PAD] [UNK] [CLS] [SEP] [MASK] [NAME] [unused0] [unused1] ! , b g h m s u ##g ##s ##u")
	want = append(want, "##ug", "hug", "bug")
	for size := len(want) - 3; size <= len(want); size++ {
		// g and s never begin a word here, but every character gets a token for it.
		o.Size = size
		tok, stats, err = Learn(context.Background(), textsOf("Hug, hug [NAME] hugs\nbug", "bugs! mug"), DefaultConfig(), o)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(tok.tokens, want[:size]) {
			t.Errorf("size %d: got %q, want %q", size, tok.tokens, want[:size])
		}
	}
	if want := (LearnStats{Bytes: 33, Words: 8, DistinctWords: 7, Characters: 8, Merges: 3, LastFrequency: 2, Size: len(want)}); stats != want {
		t.Errorf("got %+v, want %+v", stats, want)
	}
	var e Encoding
	if err := tok.Encode(&e, "a [NAME] hugs", Options{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(tok.Tokens(e.IDs), " "); got != "[CLS] [UNK] [NAME] hug ##s [SEP]" {
		t.Errorf("got %s", got)
	}
	if !tok.IsSpecial(5) || tok.IsSpecial(6) {
		t.Error("want [NAME] special and [unused0] not")
	}
}

// TestLearnErrors covers the errors of Learn.
func TestLearnErrors(t *testing.T) {
	ctx := context.Background()
	text := textsOf("a hug, a bug, a mug")
	o := LearnOptions{Size: 100, MinFrequency: 2, Memory: 1 << 20}
	var size *LearnSizeError
	if _, _, err := Learn(ctx, text, DefaultConfig(), o); !errors.As(err, &size) || size.Most != 15 || size.Size != 100 {
		t.Errorf("too large: %v", err)
	}
	o.Size = 13
	if _, _, err := Learn(ctx, text, DefaultConfig(), o); !errors.As(err, &size) || size.Least != 14 || size.Most != 0 {
		t.Errorf("too small: %v", err)
	}
	o.Size = 15
	if _, _, err := Learn(ctx, text, DefaultConfig(), o); err != nil {
		t.Errorf("just right: %v", err)
	}
	for _, nothing := range []iter.Seq2[string, error]{textsOf(), textsOf(""), textsOf(" \n", "\x01"), textsOf("[MASK]"), textsOf(strings.Repeat("a", 101))} {
		if _, _, err := Learn(ctx, nothing, DefaultConfig(), o); !errors.Is(err, ErrNoWords) {
			t.Errorf("no words: %v", err)
		}
	}
	broken := errors.New("corpus.txt: broken")
	_, _, err := Learn(ctx, func(yield func(string, error) bool) { _ = yield("a hug", nil) && yield("", broken) }, DefaultConfig(), o)
	if err != broken {
		t.Errorf("an error of the texts: %v", err)
	}
	stopped, stop := context.WithCancel(ctx)
	endless := func(yield func(string, error) bool) {
		for n := 0; yield(strings.Repeat("a hug ", 1<<10), nil); n++ {
			if n == 1000 {
				stop()
			}
		}
	}
	if _, _, err := Learn(stopped, endless, DefaultConfig(), o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	nowhere := LearnOptions{Size: 1000, Memory: 1 << 20, Threads: 2, TempDir: filepath.Join(t.TempDir(), "none")}
	if _, _, err := Learn(ctx, manyWords(20_000), DefaultConfig(), nowhere); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "temporary file") {
		t.Errorf("no folder for temporary files: %v", err)
	}
	for name, change := range map[string]func(*LearnOptions){
		"size":           func(o *LearnOptions) { o.Size = 0 },
		"frequency":      func(o *LearnOptions) { o.MinFrequency = -1 },
		"alphabet":       func(o *LearnOptions) { o.LimitAlphabet = -1 },
		"reserved":       func(o *LearnOptions) { o.Reserved = -1 },
		"more reserved":  func(o *LearnOptions) { o.Reserved = o.Size + 1 },
		"threads":        func(o *LearnOptions) { o.Threads = -1 },
		"memory":         func(o *LearnOptions) { o.Memory = 1 },
		"empty token":    func(o *LearnOptions) { o.SpecialTokens = []string{""} },
		"token twice":    func(o *LearnOptions) { o.SpecialTokens = []string{"[MASK]"} },
		"token of lines": func(o *LearnOptions) { o.SpecialTokens = []string{"a\nb"} },
	} {
		bad := o
		change(&bad)
		if _, _, err := Learn(ctx, text, DefaultConfig(), bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// manyWords generates text with many distinct words, some of them frequent.
func manyWords(n int) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		random := rand.New(rand.NewPCG(1, 2))
		syllables := strings.Fields("ba du ki lo mé nu Ра si to ve wy xo zi en ol ar 京 — ß x")
		for range n / 10 {
			var b strings.Builder
			for range 10 {
				for range 1 + min(random.IntN(6), random.IntN(6)) {
					b.WriteString(syllables[min(random.IntN(len(syllables)), random.IntN(len(syllables)))])
				}
				b.WriteByte(' ')
			}
			if !yield(b.String(), nil) {
				return
			}
		}
	}
}

// TestLearnDeterminism checks that the vocabulary and the merges depend neither on the threads nor on how the text is divided.
func TestLearnDeterminism(t *testing.T) {
	o := allOf()
	o.Size = 1500
	var whole strings.Builder
	for s := range manyWords(30_000) {
		whole.WriteString(s)
	}
	var want *merger
	var wantStats LearnStats
	for _, threads := range []int{1, 2, 7} {
		for name, texts := range map[string]iter.Seq2[string, error]{"lines": manyWords(30_000), "whole": textsOf(whole.String())} {
			o.Threads = threads
			m, stats := merges(t, texts, DefaultConfig(), o)
			if want == nil {
				want, wantStats = m, stats
				continue
			}
			if !slices.Equal(m.tokens, want.tokens) || !slices.Equal(m.merges, want.merges) || stats != wantStats {
				t.Errorf("%d threads, %s: another vocabulary", threads, name)
			}
		}
	}
	if len(want.tokens) != o.Size {
		t.Errorf("%d tokens, want %d", len(want.tokens), o.Size)
	}
	if len(want.symbols) < 4*fewWords {
		t.Error("too few words for threads to share them out")
	}
	// A smaller vocabulary is the beginning of a larger one.
	o.Size = 1000
	if m, _ := merges(t, manyWords(30_000), DefaultConfig(), o); !slices.Equal(m.tokens, want.tokens[:1000]) {
		t.Error("the smaller vocabulary is another one")
	}
}

// TestLearnSpill checks that counts that go through files are the same, even with so many runs that some are merged early, and
// that no file is left behind.
func TestLearnSpill(t *testing.T) {
	counts := func(memory int64, threads int, dir string) (map[string]int64, LearnStats) {
		o := allOf()
		o.Memory, o.Threads, o.TempDir = memory, threads, dir
		words, _, stats := count(t, manyWords(120_000), DefaultConfig(), &o)
		defer words.close()
		if files := len(words.runs.files); files >= maxRuns {
			t.Errorf("%d files, want less than %d", files, maxRuns)
		}
		all := map[string]int64{}
		for range 2 { // it can be read twice
			clear(all)
			if err := words.each(func(word []byte, n int64) {
				if all[string(word)] != 0 {
					t.Fatalf("%q appears twice", word)
				}
				all[string(word)] = n
			}); err != nil {
				t.Fatal(err)
			}
		}
		return all, stats
	}
	want, stats := counts(1<<30, 2, "")
	if stats.SpilledBytes != 0 {
		t.Fatal("a gigabyte is not enough")
	}
	total := int64(0)
	for _, n := range want {
		total += n
	}
	if total != stats.Words {
		t.Errorf("%d words, counted %d", stats.Words, total)
	}
	for _, c := range []struct {
		memory  int64
		threads int
	}{{1 << 21, 1}, {1 << 20, 4}} {
		dir := t.TempDir()
		got, stats := counts(c.memory, c.threads, dir)
		if stats.SpilledBytes == 0 {
			t.Errorf("%+v: nothing was written", c)
		}
		if !maps.Equal(got, want) {
			t.Errorf("%+v: other counts", c)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%+v: left behind: %v, %v", c, left, err)
		}
	}
}

// TestLearnRareWords checks that the words left out for lack of memory are the rarest, and do not depend on the threads.
func TestLearnRareWords(t *testing.T) {
	o := allOf()
	o.Size, o.Memory = 500, 1<<20
	var want *merger
	for _, threads := range []int{1, 5} {
		o.Threads = threads
		m, stats := merges(t, manyWords(60_000), DefaultConfig(), o)
		if stats.RareWords == 0 || stats.RareFrequency == 0 || stats.RareWords >= stats.DistinctWords {
			t.Fatalf("%+v", stats)
		}
		for _, n := range m.counts {
			if n <= stats.RareFrequency {
				t.Fatalf("a word that occurs %d times is there", n)
			}
		}
		if want == nil {
			want = m
		} else if !slices.Equal(m.tokens, want.tokens) {
			t.Errorf("%d threads: another vocabulary", threads)
		}
	}
}

// TestLearnAlphabet checks that a limit keeps the most frequent characters, and that words with others yield no pieces.
func TestLearnAlphabet(t *testing.T) {
	o := allOf()
	o.LimitAlphabet = 3
	m, stats := merges(t, textsOf("ab ab ab ac ac dc xyzxyz"), DefaultConfig(), o)
	// a 5, b 3, c 3; d 1; x, y and z 2.
	if got := strings.Join(m.tokens[5:], " "); got != "a b c ##b ##c ab ac" {
		t.Errorf("got %s", got)
	}
	if stats.Characters != 7 || stats.DroppedCharacters != 4 || stats.DroppedOccurrences != 7 || stats.UnknownWords != 2 {
		t.Errorf("%+v", stats)
	}
}

// TestLearnScripts checks that languages without spaces yield pieces, and that endless words and invalid bytes do no harm.
func TestLearnScripts(t *testing.T) {
	keep := false
	kept := DefaultConfig()
	kept.StripAccents = &keep
	for _, c := range []struct {
		name, text string
		config     Config
		pieces     string
	}{
		{"Chinese", "电影很好看,电影不好看", DefaultConfig(), "电 影 很 好 看 不"}, // each a word, so nothing is merged
		{"Thai", "สวัสดีครับ สวัสดีค่ะ สวัสดี", kept, "สวัสดี"},
		{"Thai, stripped", "สวัสดีครับ สวัสดีค่ะ สวัสดี", DefaultConfig(), "สวสด"},
		{"Japanese", "ありがとう、ありがとうございます", kept, "ありがとう"},
	} {
		o := allOf()
		o.MinFrequency = 2
		m, stats := merges(t, textsOf(c.text), c.config, o)
		for _, piece := range strings.Fields(c.pieces) {
			if _, ok := m.ids[piece]; !ok {
				t.Errorf("%s: no %s in %q", c.name, piece, m.tokens)
			}
		}
		if stats.LongWords != 0 {
			t.Errorf("%s: %+v", c.name, stats)
		}
	}
	long := strings.Repeat("ありがとう", 1<<17) + " " + strings.Repeat("a", 1<<20) + " ab\xff \xef\xbf\xbd ab\xe3\x81"
	m, stats := merges(t, textsOf(long), DefaultConfig(), allOf())
	if stats.LongWords != 2 || stats.DistinctWords != 1 || stats.InvalidBytes != 3 || !slices.Equal(m.tokens[5:], []string{"a", "b", "##b", "ab"}) {
		t.Errorf("%q, %+v", m.tokens[5:], stats)
	}
}

// TestLearnedEncodes checks for random texts, in all modes, that Learn finds the same words as Encode and that, if all
// characters are kept, no word is unknown unless it is too long.
func TestLearnedEncodes(t *testing.T) {
	for _, mode := range modes(t) {
		t.Run(mode.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				texts := rapid.SliceOfN(textGen(), 1, 5).Draw(t, "texts")
				texts = append(texts, "a") // so that there is a word
				o := allOf()
				o.Threads = 1
				c := mode.tok.Config()
				if !c.Google {
					c.AddedTokens = nil
				}
				m, stats := merges(t, textsOf(texts...), c, o)
				tok, err := New(m.tokens, c)
				if err != nil {
					t.Fatal(err)
				}
				var words, unknown, added int64
				var e Encoding
				for _, text := range texts {
					if err := tok.Encode(&e, text, Options{OmitSpecialTokens: true}); err != nil {
						t.Fatal(err)
					}
					if n := e.Len(); n > 0 {
						words += int64(e.WordIDs[n-1]) + 1
					}
					for _, id := range e.IDs {
						switch {
						case id == tok.UnknownID():
							unknown++
						case tok.IsSpecial(id):
							added++
						}
					}
				}
				if words != stats.Words+added || unknown != stats.LongWords {
					t.Fatal(fmt.Sprintf("Encode finds %d words, %d of them unknown and %d added; Learn %d, %d too long", words, unknown, added, stats.Words, stats.LongWords))
				}
			})
		})
	}
}

// referenceMerges is the algorithm of HF's trainer without optimisations: it searches all pairs for the most frequent one. words
// consist of letters.
func referenceMerges(words map[string]int64, size int) (tokens []string, merges [][3]string) {
	type entry struct {
		count       int64
		left, right int
		words       map[int]bool
		dead        bool
	}
	type two struct{ left, right int }
	var (
		ids    = map[string]int{}
		counts = map[two]int64{}
		queue  []*entry
		pieces [][]int
		times  []int64
	)
	add := func(token string) int {
		if _, ok := ids[token]; !ok {
			ids[token] = len(tokens)
			tokens = append(tokens, token)
		}
		return ids[token]
	}
	push := func(p two, words map[int]bool) {
		queue = append(queue, &entry{count: counts[p], left: p.left, right: p.right, words: words})
	}
	all := strings.Join(slices.Sorted(maps.Keys(words)), "")
	for _, s := range DefaultConfig().specialTokens() {
		add(s)
	}
	letters := slices.Compact(slices.Sorted(slices.Values(strings.Split(all, ""))))
	for _, c := range letters {
		add(c)
	}
	for _, c := range letters {
		for word := range words {
			if strings.Contains(word[1:], c) {
				add("##" + c)
			}
		}
	}
	at := map[two]map[int]bool{}
	for word, n := range words {
		var list []int
		for i, c := range strings.Split(word, "") {
			if i > 0 {
				c = "##" + c
			}
			list = append(list, ids[c])
		}
		for i := range len(list) - 1 {
			p := two{list[i], list[i+1]}
			counts[p] += n
			if at[p] == nil {
				at[p] = map[int]bool{}
			}
			at[p][len(pieces)] = true
		}
		pieces, times = append(pieces, list), append(times, n)
	}
	for p, words := range at {
		push(p, words)
	}
	for len(tokens) < size {
		var best *entry
		for _, e := range queue {
			if !e.dead {
				e.count = counts[two{e.left, e.right}]
			}
			if !e.dead && (best == nil || e.count > best.count ||
				e.count == best.count && (e.left < best.left || e.left == best.left && e.right < best.right)) {
				best = e
			}
		}
		if best == nil || best.count < 1 {
			break
		}
		best.dead = true
		left, right := tokens[best.left], tokens[best.right]
		token := add(left + strings.TrimPrefix(right, "##"))
		merges = append(merges, [3]string{tokens[token], left, right})
		grown := map[two]map[int]bool{}
		for k := range best.words {
			for i := 0; i+1 < len(pieces[k]); i++ {
				list := pieces[k]
				if list[i] != best.left || list[i+1] != best.right {
					continue
				}
				change := func(lost, won two) {
					counts[lost] -= times[k]
					counts[won] += times[k]
					if grown[won] == nil {
						grown[won] = map[int]bool{}
					}
					grown[won][k] = true
				}
				if i > 0 {
					change(two{list[i-1], list[i]}, two{list[i-1], token})
				}
				if i+2 < len(list) {
					change(two{list[i+1], list[i+2]}, two{token, list[i+2]})
				}
				pieces[k] = slices.Replace(list, i, i+2, token)
			}
		}
		for p, words := range grown {
			if counts[p] > 0 {
				push(p, words)
			}
		}
	}
	return tokens, merges
}

// TestLearnReference compares with the plain algorithm, on few letters, so that pairs recur often.
func TestLearnReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.MapOfN(rapid.StringMatching("[abc]{1,12}"), rapid.Int64Range(1, 5), 1, 40).Draw(t, "words")
		var text strings.Builder
		for word, n := range words {
			text.WriteString(strings.Repeat(word+" ", int(n)))
		}
		o := allOf()
		o.Threads = rapid.IntRange(1, 3).Draw(t, "threads")
		o.Size = rapid.IntRange(11, 200).Draw(t, "size")
		m, _ := merges(t, textsOf(text.String()), DefaultConfig(), o)
		tokens, want := referenceMerges(words, o.Size)
		var got [][3]string
		for _, g := range m.merges {
			got = append(got, [3]string{m.tokens[g.token], m.tokens[g.pair.left()], m.tokens[g.pair.right()]})
		}
		if !slices.Equal(m.tokens, tokens) || !slices.Equal(got, want) {
			t.Fatalf("%v: got %q, %q, want %q, %q", words, m.tokens, got, tokens, want)
		}
	})
}

// BenchmarkLearn learns 12,000 tokens from generated text and, if available, from reviews.
func BenchmarkLearn(b *testing.B) {
	for name, texts := range map[string]func(b *testing.B) []string{
		"made-up": func(*testing.B) (list []string) {
			for s := range manyWords(500_000) {
				list = append(list, s)
			}
			return list
		},
		"golden-reviews": func(b *testing.B) []string { return imdbReviews(b, 20<<20) },
	} {
		b.Run(name, func(b *testing.B) {
			list := texts(b)
			size := 0
			for _, s := range list {
				size += len(s)
			}
			o := DefaultLearnOptions()
			o.Size = 12000
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Learn(context.Background(), textsOf(list...), DefaultConfig(), o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
