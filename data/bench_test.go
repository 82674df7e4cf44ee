package data

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-bert/bert/internal/golden"
)

// BenchmarkReadIMDB reads the 25,000 training reviews out of the archive; MB/s are compressed ones.
func BenchmarkReadIMDB(b *testing.B) {
	archive := golden.Shared(b, "data", "imdb", "aclImdb_v1.tar.gz")
	info, err := os.Stat(archive)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	b.ReportAllocs()
	for b.Loop() {
		set, err := ReadIMDB(b.Context(), archive, Train, TableOptions{})
		if err != nil || len(set.Examples) != 25000 {
			b.Fatal(set, err)
		}
	}
}

func BenchmarkTable(b *testing.B) {
	for format, record := range map[Format]string{
		CSV: "\"It earns its \"\"tears\"\", honestly.\",pos\n", TSV: "It earns its \"tears\", honestly.\tpos\n",
		JSONL: `{"text": "It earns its \"tears\", honestly.", "label": "pos"}` + "\n",
	} {
		b.Run(format.String(), func(b *testing.B) {
			const n = 10000
			header := map[Format]string{CSV: "text,label\n", TSV: "text\tlabel\n"}[format]
			data := []byte(header + strings.Repeat(record, n))
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := NewTableReader(bytes.NewReader(data), "x", TableOptions{Format: format})
				if err != nil {
					b.Fatal(err)
				}
				for range n {
					if _, err := r.Read(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkDraw(b *testing.B) {
	examples := numbered(25000)
	text := strings.Repeat("about as long as a review of a film is, ", 32)
	for i := range examples {
		examples[i].Text += text
	}
	for b.Loop() {
		Draw(examples, 5000, 1)
	}
}

func BenchmarkReadSQuAD(b *testing.B) {
	context := strings.Repeat("The film was bright, and not dull at all. ", 18)
	var file strings.Builder
	file.WriteString(`{"version":"1.1","data":[{"title":"T","paragraphs":[`)
	for i := range 2000 {
		if i > 0 {
			file.WriteByte(',')
		}
		fmt.Fprintf(&file, `{"context":%q,"qas":[`, context)
		for j := range 5 {
			if j > 0 {
				file.WriteByte(',')
			}
			fmt.Fprintf(&file, `{"id":"%d-%d","question":"What was the film that is asked for here?","answers":[{"text":"bright","answer_start":13}]}`, i, j)
		}
		file.WriteString("]}")
	}
	file.WriteString("]}]}")
	b.SetBytes(int64(file.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := parseSQuAD(strings.NewReader(file.String()), "f", true, TableOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
