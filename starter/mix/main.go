// Mix moves a model a part of the way to one that was trained from it:
//
//	go run ./starter/mix [-share S] BEGUN LEARNT OUT
//
// BEGUN and LEARNT are model directories, OUT is written. Each tensor that both have in one shape becomes (1 - S)·BEGUN + S·LEARNT; all else,
// heads and other files, is BEGUN's. So a model gets a part of what a fine-tuning teaches and goes on doing what it did (Ilharco et al. 2022,
// arXiv:2212.04089). starter/next.sh runs it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/files"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mix: ")
	share := flag.Float64("share", 0.5, "go the share `S` of the way")
	flag.Parse()
	if flag.NArg() != 3 {
		log.Print("want BEGUN LEARNT OUT: the directories of two models, and the one to write")
		os.Exit(2)
	}
	mixed, err := mix(flag.Arg(0), flag.Arg(1), flag.Arg(2), *share)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("%s: %d tensors are of both", flag.Arg(2), mixed)
}

const weights = "model.safetensors"

// mix writes a model and returns how many of its tensors are of both.
func mix(begun, learnt, out string, share float64) (mixed int, err error) {
	from, err := checkpoint.Open(filepath.Join(begun, weights))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := checkpoint.Open(filepath.Join(learnt, weights))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()

	list := from.Tensors()
	for i := range list {
		t := &list[i]
		numbers := make([]float32, t.Len())
		if err := t.Float32(numbers); err != nil {
			return 0, err
		}
		if other, ok := to.Lookup(t.Name); ok && slices.Equal(other.Shape, t.Shape) {
			theirs := make([]float32, len(numbers))
			if err := other.Float32(theirs); err != nil {
				return 0, err
			}
			for j := range numbers {
				numbers[j] += float32(share) * (theirs[j] - numbers[j])
			}
			mixed++
		}
		t.DType = checkpoint.F32
		if t.Data, err = checkpoint.FromFloat32(t.DType, numbers); err != nil {
			return 0, err
		}
	}
	if mixed == 0 {
		return 0, fmt.Errorf("%s and %s have no tensor in common", begun, learnt)
	}
	return mixed, files.Folder(out, func(dir string) error {
		if err := os.CopyFS(dir, os.DirFS(begun)); err != nil {
			return err
		}
		return files.WriteFile(filepath.Join(dir, weights), 0o666, func(w io.Writer) error { return checkpoint.EncodeSafetensors(w, list, from.Metadata()) })
	})
}
