//go:build linux && (amd64 || arm64)

package dlopen

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// open starts a server with memory for the test.
func open(t *testing.T) *Process {
	t.Helper()
	p, err := Start(Options{Name: "dlopen-test", Memory: 1 << 20, Environment: []string{"DLOPEN_TEST=here"}})
	var none *InterpreterError
	if errors.As(err, &none) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil && !errors.As(err, new(*ExitError)) {
			t.Error(err)
		}
	})
	return p
}

// caller gives a function that calls functions of a library by their names.
func caller(t *testing.T, p *Process, library uintptr) func(name string, arguments ...uintptr) uintptr {
	return func(name string, arguments ...uintptr) uintptr {
		t.Helper()
		f, err := p.Symbol(library, name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := p.Call(f, arguments...)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// put writes a C string into the shared memory, and gives its address.
func put(p *Process, offset int, s string) uintptr {
	p.Memory()[offset+copy(p.Memory()[offset:], s)] = 0
	return p.Address(offset)
}

// get is the C string in the shared memory.
func get(p *Process, offset int) string {
	s, _, _ := bytes.Cut(p.Memory()[offset:], []byte{0})
	return string(s)
}

// TestImage asserts that the executables of both processors are what other readers of ELF take them for.
func TestImage(t *testing.T) {
	for goarch, machine := range machines {
		f, err := elf.NewFile(bytes.NewReader(image(goarch, "/lib/ld.so", []byte("start"), []byte("serve"), table{})))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machine || f.Type != elf.ET_EXEC {
			t.Errorf("%s: %v, %v", goarch, f.Machine, f.Type)
		}
		for _, p := range f.Progs {
			data := make([]byte, p.Filesz)
			if _, err := p.ReadAt(data, 0); err != nil && len(data) > 0 {
				t.Errorf("%s: segment %v: %v", goarch, p.Type, err)
			}
			switch p.Type {
			case elf.PT_LOAD:
				if p.Vaddr%p.Align != p.Off%p.Align {
					t.Errorf("%s: a segment at %#x is at %#x of the file", goarch, p.Vaddr, p.Off)
				}
				if p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0 {
					t.Errorf("%s: a segment can be both written and run", goarch)
				}
				if entry := f.Entry - p.Vaddr; p.Flags&elf.PF_X != 0 && string(data[entry:][:5]) != "start" {
					t.Errorf("%s: the entry is %#x", goarch, f.Entry)
				}
			case elf.PT_INTERP:
				if string(data) != "/lib/ld.so\x00" {
					t.Errorf("%s: the loader is %q", goarch, data)
				}
			}
		}
	}
}

// TestCall calls functions of libc with integers, addresses and all numbers of arguments.
func TestCall(t *testing.T) {
	p := open(t)
	c := caller(t, p, 0)
	if got := c("strlen", put(p, 0, "a string of 24 characters")); got != 25 {
		t.Errorf("strlen: %d, want 25", got)
	}
	if got := int32(c("abs", ^uintptr(41))); got != 42 {
		t.Errorf("abs(-42) is %d", got)
	}
	if got := int(c("getpid")); got != p.ID() || got == os.Getpid() {
		t.Errorf("getpid: %d, want %d, which isn't this process, %d", got, p.ID(), os.Getpid())
	}
	if name, err := os.ReadFile("/proc/" + strconv.Itoa(p.ID()) + "/comm"); err != nil || string(name) != "dlopen-test\n" {
		t.Errorf("its name is %q, %v", name, err)
	}
	if got := int(c("getppid")); got != os.Getpid() {
		t.Errorf("getppid: %d, want %d", got, os.Getpid())
	}
	// The arguments beyond the third are variadic; the last two of eight are on the stack of amd64.
	n := c("snprintf", p.Address(4096), 256, put(p, 0, "%ld %ld %ld %ld %ld"), 1, 22, 333, 4444, ^uintptr(0))
	if got, want := get(p, 4096), "1 22 333 4444 -1"; got != want || int(n) != len(want) {
		t.Errorf("snprintf: %q of %d characters, want %q", got, n, want)
	}
	value, err := p.text(c("getenv", put(p, 0, "DLOPEN_TEST")))
	if err != nil || value != "here" {
		t.Errorf("getenv: %q, %v", value, err)
	}
	if got := c("getenv", put(p, 0, "DLOPEN_TEST_OTHER")); got != 0 {
		t.Errorf("getenv of what isn't there: %#x", got)
	}
}

// TestLibrary loads another library, one that isn't there, and looks for what isn't in it.
func TestLibrary(t *testing.T) {
	p := open(t)
	if m, err := p.Open("libm.so.6"); err != nil {
		t.Errorf("libm: %v", err) // musl has it under this name too
	} else if _, err := p.Symbol(m, "cos"); err != nil {
		t.Error(err)
	} else if _, err := p.Symbol(m, "MPI_Init"); !errors.As(err, new(*LoadError)) || !strings.Contains(err.Error(), "MPI_Init") {
		t.Errorf("MPI_Init of libm: %v", err)
	}
	var missing *LoadError
	if _, err := p.Open("libmissing.so.99"); !errors.As(err, &missing) || !strings.Contains(missing.Reason, "libmissing.so.99") {
		t.Errorf("a missing library: %v", err)
	}
	for _, name := range []string{strings.Repeat("x", 5000), "a\x00b"} {
		if _, err := p.Open(name); !errors.As(err, &missing) {
			t.Errorf("a name of %d bytes: %v", len(name), err)
		}
	}
}

// TestPressure makes many calls from many goroutines, with much garbage and signals here, and threads and memory there.
func TestPressure(t *testing.T) {
	p := open(t)
	c := caller(t, p, 0)
	malloc, free, memset := must(p.Symbol(0, "malloc")), must(p.Symbol(0, "free")), must(p.Symbol(0, "memset"))
	// Threads of libc that work and end at once: they run "time(NULL)".
	create, join, clock := must(p.Symbol(0, "pthread_create")), must(p.Symbol(0, "pthread_join")), must(p.Symbol(0, "time"))

	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = make([]byte, 1<<20)
				runtime.GC()
				_ = syscall.Kill(os.Getpid(), syscall.SIGURG)
			}
		}
	})
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			call := func(f uintptr, arguments ...uintptr) uintptr {
				v, err := p.Call(f, arguments...)
				if err != nil {
					t.Error(err)
				}
				return v
			}
			place := 1024 * (w + 1)
			for i := range 250 {
				size := uintptr(1 + i*w*997)
				block := call(malloc, size)
				if got := call(memset, block, 7, size); got != block {
					t.Errorf("memset: %#x, want %#x", got, block)
				}
				call(free, block)
				if i%25 == 0 {
					if status := int32(call(create, p.Address(place), 0, clock, 0)); status != 0 {
						t.Errorf("pthread_create: %d", status)
						return
					}
					thread := *(*uintptr)(ptr(p, place))
					if status := int32(call(join, thread, p.Address(place+8))); status != 0 {
						t.Errorf("pthread_join: %d", status)
					}
					if now := *(*int64)(ptr(p, place+8)); time.Since(time.Unix(now, 0)).Abs() > time.Hour {
						t.Errorf("a thread found that it is %v", time.Unix(now, 0))
					}
				}
			}
		})
	}
	workers.Wait()
	close(stop)
	others.Wait()
	if got := c("strlen", put(p, 0, "still there")); got != 11 {
		t.Errorf("strlen: %d", got)
	}
}

// TestSignals: the signals of a terminal or a launcher, which are for this process, don't end the server, though they reach it.
func TestSignals(t *testing.T) {
	p := open(t)
	for _, s := range blockedSignals {
		if err := syscall.Kill(p.ID(), s); err != nil {
			t.Fatal(err)
		}
	}
	if got := int(caller(t, p, 0)("getpid")); got != p.ID() {
		t.Errorf("getpid: %d", got)
	}
}

// TestKilled: when the server dies, at rest or in a call, calls return an error that says how.
func TestKilled(t *testing.T) {
	for _, inCall := range []bool{false, true} {
		p := open(t)
		sleep := must(p.Symbol(0, "sleep"))
		kill := func() {
			if err := syscall.Kill(p.ID(), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
		if inCall {
			time.AfterFunc(50*time.Millisecond, kill)
		} else {
			kill()
			<-p.Ended()
		}
		var ended *ExitError
		if _, err := p.Call(sleep, 60); !errors.As(err, &ended) || !strings.Contains(ended.State, "killed") {
			t.Errorf("in a call %v: %v", inCall, err)
		}
		if _, err := p.Open("libm.so.6"); !errors.As(err, &ended) {
			t.Errorf("afterwards: %v", err)
		}
		if err := p.Close(); !errors.As(err, &ended) {
			t.Errorf("Close: %v", err)
		}
	}
}

// TestCrash: an address that is none ends the server alone.
func TestCrash(t *testing.T) {
	p := open(t)
	var ended *ExitError
	if _, err := p.Call(1); !errors.As(err, &ended) || !strings.Contains(ended.State, "segmentation fault") {
		t.Errorf("a call of address 1: %v", err)
	}
}

// TestOrphan: the server dies with the process that has started it, however that ends.
func TestOrphan(t *testing.T) {
	const variable = "DLOPEN_ORPHAN"
	if os.Getenv(variable) != "" {
		p := open(t)
		os.Stdout.WriteString(strconv.Itoa(p.ID()) + "\n")
		_, _ = p.Call(must(p.Symbol(0, "sleep")), 600)
		return
	}
	open(t) // or skip
	parent := exec.Command(os.Args[0], "-test.run=^TestOrphan$")
	parent.Env = append(os.Environ(), variable+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	n, _ := out.Read(line)
	id, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for range 1000 {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(id) + "/stat")
		if err != nil || bytes.Contains(status, []byte(") Z ")) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d outlives the one that has started it", id)
}

// TestLoaders starts a server by each loader that this machine has: those of glibc and of musl.
func TestLoaders(t *testing.T) {
	for _, path := range interpreters[runtime.GOARCH] {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		p, err := Start(Options{Name: "dlopen-test", Memory: 4096, Interpreter: path})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got := caller(t, p, 0)("strlen", put(p, 0, path)); int(got) != len(path) {
			t.Errorf("%s: strlen gives %d", path, got)
		}
		var missing *LoadError
		if _, err := p.Open("libmissing.so.99"); !errors.As(err, &missing) || !strings.Contains(missing.Reason, "libmissing.so.99") {
			t.Errorf("%s: a missing library: %v", path, err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := p.Call(1); !errors.As(err, new(*ExitError)) {
			t.Errorf("%s: a call after Close: %v", path, err)
		}
	}
}

// TestNoLoader: where the loader isn't there, the error says so.
func TestNoLoader(t *testing.T) {
	_, err := Start(Options{Name: "dlopen-test", Interpreter: filepath.Join(t.TempDir(), "ld.so")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if got := interpreterOf("/proc/self/exe"); got != "" && !strings.Contains(got, "/ld-") {
		t.Errorf("the loader of this test is %q", got)
	}
	if got := interpreterOf(os.DevNull); got != "" {
		t.Errorf("the loader of nothing is %q", got)
	}
}
