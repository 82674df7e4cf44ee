package cluster

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/dlopen"
)

// Variable is the environment variable that names the library of MPI: a path, or a name for the system's loader.
const Variable = "BERT_MPI"

// LibraryError says that there is no library of MPI, or none of a kind that is known.
type LibraryError struct {
	Launched Launched // the zero value: by nobody
	// Named is the library that Options.Library or the environment names; "" if none is.
	Named string
	// Reason is what is wrong with it, or with the last that was found.
	Reason string
}

func (e *LibraryError) Error() string {
	if e.Named != "" {
		return fmt.Sprintf("the library of MPI that %s names: %s", Variable, e.Reason)
	}
	with := ""
	if e.Launched.Launcher != "" {
		with = " to go with " + e.Launched.Launcher
	}
	return fmt.Sprintf("no library of MPI is found%s (%s): set %s to its path, as in /opt/openmpi/lib/libmpi.so.40", with, e.Reason, Variable)
}

// functions are those of MPI that are called.
var functions = []string{
	"MPI_Get_library_version", "MPI_Init_thread", "MPI_Comm_rank", "MPI_Comm_size", "MPI_Comm_set_errhandler", "MPI_Error_string",
	"MPI_Isend", "MPI_Irecv", "MPI_Ibcast", "MPI_Iallreduce", "MPI_Ibarrier", "MPI_Testsome", "MPI_Get_count", "MPI_Abort", "MPI_Finalize",
}

// A library is one of MPI, loaded into a process.
type library struct {
	process   *dlopen.Process
	name      string // as it was loaded
	version   string // the first line of what it says of itself
	abi       *abi
	functions map[string]uintptr
	constants map[string]uintptr // by the symbols of handles
}

// defaults are settings of libraries that are better for messages of megabytes in both directions at once; the environment, and thereby
// mpirun --mca, comes first.
var defaults = []struct{ key, value string }{
	// Open MPI answers the announcement of a message on the connection on which its own data go. With one connection the answer waits behind
	// them, and the two directions take turns: half of the rate of the network.
	{"OMPI_MCA_btl_tcp_links", "2"},
}

// settings are the defaults that an environment doesn't have.
func settings(environment []string) []string {
	var lines []string
	for _, d := range defaults {
		if !slices.ContainsFunc(environment, func(line string) bool { return strings.HasPrefix(line, d.key+"=") }) {
			lines = append(lines, d.key+"="+d.value)
		}
	}
	return lines
}

// candidates are the names under which a library may be found, the likeliest first. prefixes are folders where MPI may be installed.
func candidates(l Launched, prefixes []string) []string {
	kinds := slices.Clone(abis)
	slices.SortStableFunc(kinds, func(a, b abi) int {
		first := func(k abi) int {
			if k.name == l.abi {
				return 0
			}
			return 1
		}
		return cmp.Compare(first(a), first(b))
	})
	var names []string
	for _, k := range kinds {
		for _, file := range k.libraries {
			for _, prefix := range prefixes {
				for _, lib := range []string{"lib", "lib64", "lib/release", "."} {
					if path := filepath.Join(prefix, lib, file); isFile(path) {
						names = append(names, path)
					}
				}
			}
		}
		names = append(names, k.libraries...)
	}
	return names
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// prefixes are folders where the launcher's MPI may be installed: what launchers and modules of clusters set, and where the program
// lies that has started this one, be it on this machine or on behalf of another. The loader's own path needs none of it.
func prefixes() []string {
	var found []string
	for _, name := range []string{"OPAL_PREFIX", "I_MPI_ROOT", "MPI_HOME", "MPI_ROOT", "MPI_LIB"} {
		if path := os.Getenv(name); path != "" {
			found = append(found, path)
		}
	}
	if parent, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", os.Getppid())); err == nil {
		switch name := filepath.Base(parent); {
		case strings.HasPrefix(name, "mpi"), strings.HasPrefix(name, "orte"), strings.HasPrefix(name, "prte"), strings.HasPrefix(name, "hydra_"):
			found = append(found, filepath.Dir(filepath.Dir(parent)))
		}
	}
	return found
}

// load loads the library that is named, or that goes with the launcher.
func load(p *dlopen.Process, named string, launched Launched) (*library, error) {
	names := []string{named}
	if named == "" {
		names = candidates(launched, prefixes())
	}
	refused := &LibraryError{Launched: launched, Named: named}
	for _, name := range names {
		l, err := loadOne(p, name)
		if err == nil {
			return l, nil
		}
		if !errors.As(err, new(*dlopen.LoadError)) && !errors.As(err, new(*kindError)) {
			return nil, err
		}
		// What the loader says of a file that isn't there says less than what it says of one that is.
		if refused.Reason == "" || !strings.Contains(err.Error(), "No such file") {
			refused.Reason = err.Error()
		}
	}
	return nil, refused
}

// kindError says that a library is of no kind that is known.
type kindError struct {
	name, version string
}

func (e *kindError) Error() string {
	return fmt.Sprintf("%s says that it is %.200q, whose binary interface is not known: want Open MPI or one with MPICH's", e.name, e.version)
}

func loadOne(p *dlopen.Process, name string) (*library, error) {
	opened, err := p.Open(name)
	if err != nil {
		return nil, err
	}
	l := &library{process: p, name: name, functions: make(map[string]uintptr), constants: make(map[string]uintptr)}
	for _, f := range functions {
		if l.functions[f], err = p.Symbol(opened, f); err != nil {
			return nil, err
		}
	}
	version, err := l.text(maxVersionString, func(text, length uintptr) error {
		_, err := p.Call(l.functions["MPI_Get_library_version"], text, length)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.version, _, _ = strings.Cut(version, "\n")
	l.version, _, _ = strings.Cut(l.version, ", package:") // Open MPI goes on with who has built it, and where
	l.version = strings.Join(strings.Fields(strings.Replace(l.version, "Version", "", 1)), " ")
	l.version = strings.NewReplacer(" :", "", ": ", " ").Replace(l.version) // MPICH 4.0.2
	var known bool
	if l.abi, known = abiOf(version); !known {
		return nil, &kindError{name, version}
	}
	for _, h := range []handle{l.abi.world, l.abi.bytes, l.abi.floats, l.abi.sum, l.abi.errorsReturn, l.abi.nullRequest} {
		if h.symbol != "" {
			if l.constants[h.symbol], err = p.Symbol(opened, h.symbol); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// value is what a handle is in this library.
func (l *library) value(h handle) uintptr {
	if h.symbol != "" {
		return l.constants[h.symbol]
	}
	return h.number
}

// text is what a function writes into memory of the given size, as characters and their number.
func (l *library) text(size int, write func(text, length uintptr) error) (string, error) {
	memory := l.process.Memory()[:8+size]
	clear(memory)
	if err := write(l.process.Address(8), l.process.Address(0)); err != nil {
		return "", err
	}
	n := int(int32(binary.NativeEndian.Uint32(memory)))
	return strings.TrimRight(string(memory[8:][:max(0, min(n, size))]), "\x00\n "), nil
}

// CallError is the failure of a function of MPI.
type CallError struct {
	Function string
	Code     int
	Text     string // of MPI_Error_string
}

func (e *CallError) Error() string {
	return fmt.Sprintf("%s: %s (error %d)", e.Function, e.Text, e.Code)
}

// call calls a function of MPI, all of which return an error number.
func (l *library) call(function string, arguments ...uintptr) error {
	v, err := l.process.Call(l.functions[function], arguments...)
	if err != nil {
		return err
	}
	code := int(int32(v))
	if code == success {
		return nil
	}
	text, err := l.text(maxErrorString, func(text, length uintptr) error {
		_, err := l.process.Call(l.functions["MPI_Error_string"], uintptr(code), text, length)
		return err
	})
	if err != nil {
		return err
	}
	return &CallError{function, code, text}
}

// number calls a function of MPI whose last argument is the address of an int, its result.
func (l *library) number(function string, arguments ...uintptr) (int, error) {
	if err := l.call(function, append(arguments, l.process.Address(0))...); err != nil {
		return 0, err
	}
	return int(int32(binary.NativeEndian.Uint32(l.process.Memory()))), nil
}
