package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A Location is where the files of a model are.
type Location struct {
	// Path is a model directory, a file of weights or the prefix of a TensorFlow checkpoint: what bert.Load and tokenizer.Load
	// take.
	Path string
	// Shared says that Path is in a cache that other programs use too: write nothing into it.
	Shared bool
	// Checkpoint, where the output folder of a Trainer was named, is the folder in it that Path leads to: the newest checkpoint
	// that is whole. Damaged are the newer ones. A program is expected to say which it took.
	Checkpoint string
	Damaged    []string
}

// ResolveOptions say where Resolve looks, besides the file system and the cache. The zero value is good.
type ResolveOptions struct {
	// BuiltIn, if not nil, knows the models that are part of the program. It returns the directory of the model of a name, ""
	// for a name that it does not know. starter.Find is one.
	BuiltIn func(ctx context.Context, name string) (dir string, err error)
	// Hub holds the cache. If it is nil, it is that of the environment (FromEnvironment with os.Getenv).
	Hub *Hub
	// Pull, if not nil, fetches a model that is not in the cache. Without it nothing is asked of the server.
	Pull *PullOptions
}

// NotFoundError says that a name leads to no model. It is fs.ErrNotExist and, if the cache was searched, ErrNotCached.
type NotFoundError struct {
	Name  string
	Cache string // the folder of the cache; "" if Name can only be a path
}

func (e *NotFoundError) Error() string {
	if e.Cache == "" {
		return e.Name + ": no such file or directory"
	}
	return fmt.Sprintf("%s: no such file or directory, and no model of this name in the cache %s: pull it first", e.Name, e.Cache)
}

// Unwrap lets errors.Is find fs.ErrNotExist and ErrNotCached.
func (e *NotFoundError) Unwrap() []error {
	if e.Cache == "" {
		return []error{fs.ErrNotExist}
	}
	return []error{fs.ErrNotExist, ErrNotCached}
}

// Resolve turns what a user calls a model into the place of its files. In this order, name is
//
//   - a model that is part of the program, if o.BuiltIn knows it, unless there is a model in a folder of that name;
//   - a folder, a file of weights, or the prefix of a TensorFlow checkpoint; of a folder that has no model but checkpoints of a
//     Trainer (checkpoint-500), the one after the most steps that is whole;
//   - NAME or NAME@REVISION of a model in the cache;
//   - the same on the hub, if o.Pull says so.
//
// Where it is none of these, the error is a *NotFoundError. A model in the cache is checked: where one of its files is not what
// the hub has, it is pulled again or, without o.Pull, the error is a *DamagedError.
func Resolve(ctx context.Context, name string, o ResolveOptions) (Location, error) {
	if ctx.Err() != nil {
		return Location{}, context.Cause(ctx)
	}
	if o.BuiltIn != nil && !holdsModel(name) {
		dir, err := o.BuiltIn(ctx, name)
		if dir != "" || err != nil {
			return Location{Path: dir, Shared: true}, err
		}
	}
	switch local, err := isLocal(name); {
	case err != nil:
		return Location{}, err
	case local:
		checkpoint, damaged, err := newestCheckpoint(name)
		if err != nil || checkpoint == "" {
			return Location{Path: name}, err
		}
		return Location{Path: filepath.Join(name, checkpoint), Checkpoint: checkpoint, Damaged: damaged}, nil
	}
	r, err := ParseRef(name)
	if err != nil {
		return Location{}, &NotFoundError{Name: name}
	}
	h := o.Hub
	if h == nil {
		if h, err = FromEnvironment(os.Getenv); err != nil {
			return Location{}, err
		}
	}
	dir, err := h.Lookup(r)
	switch {
	case err == nil:
		err := h.checkSnapshot(ctx, r, filepath.Base(dir), false)
		var damaged *DamagedError
		switch {
		case err == nil:
			return Location{Path: dir, Shared: true}, nil
		case o.Pull == nil || !errors.As(err, &damaged):
			return Location{}, err
		}
		// A pull fetches what is damaged.
	case !errors.Is(err, ErrNotCached):
		return Location{}, err
	case o.Pull == nil:
		return Location{}, &NotFoundError{Name: name, Cache: h.Cache}
	}
	snapshot, err := h.Pull(ctx, r, *o.Pull)
	if err != nil {
		return Location{}, err
	}
	return Location{Path: snapshot.Dir, Shared: true}, nil
}

// isLocal reports whether a path is that of a folder, a file, or the prefix of a TensorFlow checkpoint.
func isLocal(path string) (bool, error) {
	for _, p := range []string{path, path + bundleIndex} {
		_, err := os.Stat(p)
		var reason *fs.PathError
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, fs.ErrNotExist):
		case errors.As(err, &reason):
			return false, fmt.Errorf("%s: %w", path, reason.Err)
		default:
			return false, err
		}
	}
	return false, nil
}

// holdsModel reports whether a folder holds what every model directory or tokenizer has.
func holdsModel(dir string) bool {
	for _, name := range append([]string{"tokenizer.json", "vocab.txt"}, configNames...) {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}
