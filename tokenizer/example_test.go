package tokenizer_test

import (
	"context"
	"fmt"
	"log"
	"path/filepath"
	"strings"

	"github.com/go-bert/bert/tokenizer"
)

func load() *tokenizer.Tokenizer {
	t, err := tokenizer.LoadVocab(filepath.Join("testdata", "vocab.txt"), tokenizer.DefaultConfig())
	if err != nil {
		log.Fatal(err)
	}
	return t
}

func ExampleNew() {
	t, err := tokenizer.New([]string{"[UNK]", "[CLS]", "[SEP]", "hello", "##s", "!"}, tokenizer.DefaultConfig())
	if err != nil {
		log.Fatal(err)
	}
	var e tokenizer.Encoding
	if err := t.Encode(&e, "Hellos!", tokenizer.Options{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.IDs)
	// Output: [1 3 4 5 2]
}

func ExampleLearn() {
	texts := func(yield func(string, error) bool) {
		for _, line := range []string{"low lower lowest", "new newer newest", "wide wider widest"} {
			if !yield(line, nil) {
				return
			}
		}
	}
	o := tokenizer.DefaultLearnOptions()
	o.Size = 32
	t, stats, err := tokenizer.Learn(context.Background(), texts, tokenizer.DefaultConfig(), o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stats.Words, "words,", stats.Merges, "merges")
	var e tokenizer.Encoding
	if err := t.Encode(&e, "West Newer", tokenizer.Options{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.Tokens(e.IDs))
	// Output:
	// 9 words, 9 merges
	// [[CLS] w ##e ##st ne ##wer [SEP]]
}

func ExampleTokenizer_Encode() {
	t := load()
	text := "É unwanted, [MASK]!"
	var e tokenizer.Encoding // can be reused for the next text
	if err := t.Encode(&e, text, tokenizer.Options{MaxLength: 8}); err != nil {
		log.Fatal(err)
	}
	for i, token := range t.Tokens(e.IDs) {
		o := e.Offsets[i]
		fmt.Printf("%-7s word %2d  %q\n", token, e.WordIDs[i], text[o.Start:o.End])
	}
	fmt.Println("truncated:", e.Truncated)
	// Output:
	// [CLS]   word -1  ""
	// e       word  0  "É"
	// un      word  1  "un"
	// ##want  word  1  "want"
	// ##ed    word  1  "ed"
	// ,       word  2  ","
	// [MASK]  word  3  "[MASK]"
	// [SEP]   word -1  ""
	// truncated: 1
}

func ExampleTokenizer_EncodePair() {
	t := load()
	var e tokenizer.Encoding
	if err := t.EncodePair(&e, "good movie?", "the story was great", tokenizer.Options{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Join(t.Tokens(e.IDs), " "))
	fmt.Println(e.TypeIDs)
	fmt.Println(e.SequenceIDs)
	// Output:
	// [CLS] good movie ? [SEP] the story was great [SEP]
	// [0 0 0 0 0 1 1 1 1 1]
	// [-1 0 0 0 -1 1 1 1 1 -1]
}

// A context that is too long for the model is split into windows that overlap by Stride tokens, each with the question.
func ExampleTokenizer_EncodePair_windows() {
	t := load()
	o := tokenizer.Options{MaxLength: 9, Stride: 2, Truncation: tokenizer.OnlySecond}
	var e tokenizer.Encoding
	if err := t.EncodePair(&e, "good?", "the movie of the great bad walk", o); err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Join(t.Tokens(e.IDs), " "))
	for _, w := range e.Overflowing {
		fmt.Println(strings.Join(t.Tokens(w.IDs), " "))
	}
	// Output:
	// [CLS] good ? [SEP] the movie of the [SEP]
	// [CLS] good ? [SEP] of the great bad [SEP]
	// [CLS] good ? [SEP] great bad walk [SEP]
}

func ExampleTokenizer_EncodeWords() {
	t := load()
	var e tokenizer.Encoding
	if err := t.EncodeWords(&e, []string{"Unwanted", "movie"}, tokenizer.Options{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.Tokens(e.IDs), e.WordIDs)
	// Output: [[CLS] un ##want ##ed movie [SEP]] [-1 0 0 0 1 -1]
}

func ExampleTokenizer_Decode() {
	t := load()
	var e tokenizer.Encoding
	if err := t.Encode(&e, "An UNWANTED movie , isn't it ?", tokenizer.Options{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.Decode(e.IDs, true))
	// Output: an unwanted movie, isn ' t it?
}

func ExampleParseTruncation() {
	t, err := tokenizer.ParseTruncation("only_second")
	fmt.Println(t, err)
	_, err = tokenizer.ParseTruncation("shortest")
	fmt.Println(err)
	// Output:
	// only_second <nil>
	// tokenizer: truncation "shortest": want longest_first, only_first, only_second or do_not_truncate
}
