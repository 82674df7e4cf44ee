package files

import "os"

// Scratch makes a file in dir, or in the system's folder for temporary files if dir is "", that no name leads to where the
// system can do that: then nothing is left of it, however the process ends. remove is to be called after the file is
// closed.
func Scratch(dir string) (f *os.File, remove func(), err error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if f, ok := unnamed(dir); ok {
		return f, func() {}, nil
	}
	f, err = os.CreateTemp(dir, "bert-scratch-*")
	if err != nil {
		return nil, nil, PathError(err)
	}
	return f, func() { os.Remove(f.Name()) }, nil
}
