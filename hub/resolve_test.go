package hub

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestResolve: what a name leads to, in the order of the documentation.
func TestResolve(t *testing.T) {
	s := newServer(t, modelFiles)
	h := s.hub(t)
	ctx := t.Context()
	t.Chdir(t.TempDir())
	write := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("folder/config.json")
	write("weights.bin")
	write("google/bert_model.ckpt.index")
	write("builtin-too/vocab.txt")
	write("builtin/README.md") // no model
	builtIn := func(_ context.Context, name string) (string, error) {
		switch name {
		case "builtin", "builtin-too", "folder/config.json":
			return "/built/in/" + name, nil
		case "broken":
			return "", errors.New("no space left")
		}
		return "", nil
	}
	want := func(name string, o ResolveOptions, want Location) {
		t.Helper()
		if got, err := Resolve(ctx, name, o); !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	fails := func(name string, o ResolveOptions, cached bool, text string) {
		t.Helper()
		_, err := Resolve(ctx, name, o)
		var missing *NotFoundError
		if !errors.As(err, &missing) || missing.Name != name || !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotCached) != cached || err.Error() != text {
			t.Errorf("%s: %v (not cached: %v); want %s", name, err, errors.Is(err, ErrNotCached), text)
		}
	}
	local := ResolveOptions{Hub: h}
	want("folder", local, Location{Path: "folder"})
	want("weights.bin", local, Location{Path: "weights.bin"})
	want("google/bert_model.ckpt", local, Location{Path: "google/bert_model.ckpt"})
	fails("./folder/none", local, false, "./folder/none: no such file or directory")
	fails("org/model", local, true, "org/model: no such file or directory, and no model of this name in the cache "+h.Cache+": pull it first")
	fails("builtin-not", local, true, "builtin-not: no such file or directory, and no model of this name in the cache "+h.Cache+": pull it first")
	if _, err := Resolve(ctx, "weights.bin/model", local); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "weights.bin/model: ") {
		t.Errorf("below a file: %v", err)
	}
	if n := len(s.asked("")); n != 0 {
		t.Errorf("the server was asked %d times without being asked for", n)
	}

	with := ResolveOptions{Hub: h, BuiltIn: builtIn}
	want("builtin", with, Location{Path: "/built/in/builtin", Shared: true})
	want("builtin-too", with, Location{Path: "builtin-too"})
	want("./builtin", with, Location{Path: "./builtin"})
	if _, err := Resolve(ctx, "broken", with); err == nil || err.Error() != "no space left" {
		t.Errorf("a built-in model that can't be unpacked: %v", err)
	}

	pulling := ResolveOptions{Hub: h, Pull: &PullOptions{}}
	l, err := Resolve(ctx, "org/model", pulling)
	if err != nil || !l.Shared || filepath.Base(l.Path) != testCommit {
		t.Fatalf("pulled: %+v, %v", l, err)
	}
	want("org/model", local, l)
	want("org/model@main", local, l)
	fails("org/model@other", local, true, "org/model@other: no such file or directory, and no model of this name in the cache "+h.Cache+": pull it first")
	if _, err := Resolve(ctx, "org/none", pulling); err == nil || errors.Is(err, ErrNotCached) {
		t.Errorf("a model that the hub does not have: %v", err)
	}
	write("org/model/config.json")
	want("org/model", local, Location{Path: "org/model"})

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Resolve(cancelled, "folder", local); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context's end: %v", err)
	}
}

// TestResolveFromEnvironment: without a Hub, the cache is that of Hugging Face's variables.
func TestResolveFromEnvironment(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("HF_HUB_CACHE", cache)
	t.Chdir(t.TempDir())
	_, err := Resolve(t.Context(), "org/model", ResolveOptions{})
	var missing *NotFoundError
	if !errors.As(err, &missing) || missing.Cache != cache {
		t.Errorf("%v; want the cache %s searched", err, cache)
	}
}
