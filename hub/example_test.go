package hub_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"

	"github.com/go-bert/bert/hub"
)

// What a user calls a model becomes the place of its files.
func ExampleResolve() {
	dir, err := os.MkdirTemp("", "models-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	model := filepath.Join(dir, "my-model")
	if err := os.Mkdir(model, 0o777); err != nil {
		log.Fatal(err)
	}
	cache, err := hub.New("https://huggingface.co", "", filepath.Join(dir, "hub"))
	if err != nil {
		log.Fatal(err)
	}
	o := hub.ResolveOptions{
		Hub: cache,
		BuiltIn: func(_ context.Context, name string) (string, error) { // starter.Find, in a program with the starter models
			if name == "starter" {
				return filepath.Join(dir, "unpacked"), nil
			}
			return "", nil
		},
	}
	for _, name := range []string{model, "starter", "google-bert/bert-base-uncased"} {
		where, err := hub.Resolve(context.Background(), name, o)
		switch {
		case errors.Is(err, hub.ErrNotCached):
			fmt.Println("pull it first")
		case errors.Is(err, fs.ErrNotExist):
			fmt.Println("there is no such model")
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println(filepath.Base(where.Path))
		}
	}
	// Output:
	// my-model
	// unpacked
	// pull it first
}
