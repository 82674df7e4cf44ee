package tokenizer

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
)

// smallVocab loads the vocabulary for tests without reference data.
func smallVocab(t testing.TB, c Config) *Tokenizer {
	t.Helper()
	tok, err := LoadVocab(filepath.Join("testdata", "vocab.txt"), c)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func reviewLines(t testing.TB) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "reviews.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func benchmarkEncode(b *testing.B, tok *Tokenizer, texts []string) {
	var e Encoding
	bytes, tokens := 0, 0
	for _, s := range texts {
		bytes += len(s)
		if err := tok.Encode(&e, s, Options{}); err != nil {
			b.Fatal(err)
		}
		tokens += e.Len()
	}
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range texts {
			if err := tok.Encode(&e, s, Options{}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(tokens), "ns/token")
}

// BenchmarkEncode needs no reference data: text like reviews, whole and as sentences, and texts on the slow path.
func BenchmarkEncode(b *testing.B) {
	tok := smallVocab(b, DefaultConfig())
	reviews := reviewLines(b)
	var sentences []string
	for _, r := range reviews {
		sentences = append(sentences, strings.SplitAfter(r, ". ")...)
	}
	for _, c := range []struct {
		name  string
		texts []string
	}{
		{"reviews", reviews},
		{"sentences", sentences},
		{"accents", []string{strings.Repeat("Élève à côté du café, où naît l'été à Noël. ", 100)}},
		{"chinese", []string{strings.Repeat("电影很好看，我不喜欢中文。", 100)}},
		{"hangul", []string{strings.Repeat("한국어 영화는 정말 좋아요. ", 100)}},
		{"marks", []string{strings.Repeat("a\u0327\u0301\u0323", 1000)}},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkEncode(b, tok, c.texts) })
	}
}

// BenchmarkLinear shows that the time per byte does not grow with the text: compare the MB/s of the lengths.
func BenchmarkLinear(b *testing.B) {
	hf, google := smallVocab(b, DefaultConfig()), smallVocab(b, GoogleConfig(true))
	for _, c := range []struct {
		name string
		tok  *Tokenizer
		unit string
	}{
		{"letters", hf, "a"}, {"marks", hf, "\u0301"}, {"mixed-marks", hf, "\u0301\u0327\u0323\u302A"}, {"hangul", hf, "한"},
		{"brackets", hf, "["}, {"sigmas", google, "Σ'"}, {"ignorables", google, "'"}, {"controls", google, "\x01"}, {"replaced", hf, "\ufffd"},
	} {
		for _, n := range []int{1 << 12, 1 << 16, 1 << 20} {
			text := "aΣ" + strings.Repeat(c.unit, n/len(c.unit))
			b.Run(c.name+"/"+map[int]string{1 << 12: "4K", 1 << 16: "64K", 1 << 20: "1M"}[n], func(b *testing.B) {
				benchmarkEncode(b, c.tok, []string{text})
			})
		}
	}
}

// BenchmarkGolden encodes real reviews and sentences with the vocabulary of bert-base-uncased.
func BenchmarkGolden(b *testing.B) {
	dir := golden.Shared(b, "vocab", "bert-base-uncased")
	tok, err := Load(dir)
	if err != nil {
		b.Fatal(err)
	}
	reviews := imdbReviews(b, 2<<20)
	var sentences []string
	for _, r := range reviews {
		for _, s := range strings.SplitAfter(r, ". ") {
			if len(sentences) < 10000 {
				sentences = append(sentences, s)
			}
		}
	}
	b.Run("reviews", func(b *testing.B) { benchmarkEncode(b, tok, reviews) })
	b.Run("sentences", func(b *testing.B) { benchmarkEncode(b, tok, sentences) })
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := Load(dir); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load-vocab", func(b *testing.B) {
		for b.Loop() {
			if _, err := LoadVocab(filepath.Join(dir, "vocab.txt"), DefaultConfig()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// imdbReviews reads the first n bytes of reviews in the archive.
func imdbReviews(b *testing.B, n int) []string {
	f, err := os.Open(golden.Shared(b, "data", "imdb", "aclImdb_v1.tar.gz"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	var reviews []string
	for r := tar.NewReader(z); n > 0; {
		h, err := r.Next()
		if err != nil {
			b.Fatal(err)
		}
		dir := filepath.Base(filepath.Dir(h.Name))
		if h.Typeflag != tar.TypeReg || dir != "pos" && dir != "neg" {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			b.Fatal(err)
		}
		reviews = append(reviews, string(data))
		n -= len(data)
	}
	return reviews
}
