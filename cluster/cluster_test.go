//go:build linux

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-bert/bert/internal/dlopen"
	"github.com/go-bert/bert/train"
	"github.com/go-bert/bert/train/grouptest"
)

var _ train.Group = (*Group)(nil)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := roles[role](); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// roleVariable is set in the processes that a launcher starts: what the rank does.
const roleVariable = "CLUSTER_TEST_ROLE"

// roles are what the ranks of the tests do.
var roles = map[string]func() error{
	"calls": withGroup(calls),
	"die": withGroup(func(g *Group) error {
		if g.Rank() == 1 {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return g.Barrier()
	}),
	"lose": withGroup(func(g *Group) error { // the process that has the library, not this one
		if g.Rank() == 1 {
			if err := syscall.Kill(g.library.process.ID(), syscall.SIGKILL); err != nil {
				return err
			}
		}
		return g.Barrier()
	}),
	"abort": withGroup(func(g *Group) error {
		if g.Rank() == 1 {
			g.Abort(errors.New("no more paper"))
			return errors.New("aborted")
		}
		return g.Barrier()
	}),
	"join": func() error {
		g, err := join()
		if err != nil {
			return err
		}
		return g.Close()
	},
	"idle": withGroup(func(g *Group) error { // the processor's time that a rank takes to wait for two seconds
		if g.Rank() == 0 {
			time.Sleep(2 * time.Second)
		}
		before := processorTime()
		if err := g.Barrier(); err != nil {
			return err
		}
		if g.Rank() == 1 {
			fmt.Printf("waited with %v\n", processorTime()-before)
		}
		return nil
	}),
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func join() (*Group, error) {
	launched, _ := Detect(os.Environ())
	return Open(Options{Launched: launched, Report: func(reason error) {
		fmt.Fprintf(os.Stderr, "rank %d: %v\n", launched.Rank, reason)
	}})
}

func withGroup(do func(g *Group) error) func() error {
	return func() error {
		g, err := join()
		if err != nil {
			return err
		}
		if err := do(g); err != nil {
			return err
		}
		return g.Close()
	}
}

// message is what rank from sends to rank to.
func message(from, to, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(from), byte(to)}).Read(b) // never fails
	return b
}

// calls makes all calls of a group, with messages of one piece and of several, beside those of grouptest.
func calls(g *Group) error {
	launched, _ := Detect(os.Environ())
	if g.Rank() != launched.Rank || g.Size() != launched.Size {
		return fmt.Errorf("rank %d of %d, but the launcher says %d of %d", g.Rank(), g.Size(), launched.Rank, launched.Size)
	}
	for _, n := range []int{g.piece, 2*g.piece + 3} {
		send, receive := make([][]byte, g.Size()), make([][]byte, g.Size())
		for i := range send {
			// Every other message is a little longer, and those to the next rank are empty.
			length := func(from, to int) int {
				if to == (from+1)%g.Size() && g.Size() > 2 {
					return 0
				}
				return n + (from+to)%2
			}
			send[i], receive[i] = message(g.Rank(), i, length(g.Rank(), i)), make([]byte, length(i, g.Rank()))
		}
		receive[g.Rank()] = make([]byte, len(send[g.Rank()]))
		if err := g.Exchange(send, receive); err != nil {
			return err
		}
		for i := range receive {
			if !bytes.Equal(receive[i], message(i, g.Rank(), len(receive[i]))) {
				return fmt.Errorf("the %d bytes that rank %d has sent arrive changed", len(receive[i]), i)
			}
		}
		root := n % g.Size()
		b := message(g.Rank(), 0, n)
		if err := g.Broadcast(b, root); err != nil {
			return err
		}
		if !bytes.Equal(b, message(root, 0, n)) {
			return fmt.Errorf("a broadcast of %d bytes of rank %d arrives changed", n, root)
		}
		values := make([]float32, n/4)
		for i := range values {
			values[i] = float32(i%1000 + g.Rank())
		}
		if err := g.Sum(values); err != nil {
			return err
		}
		for i, v := range values {
			if want := float32(g.Size()*(i%1000) + g.Size()*(g.Size()-1)/2); v != want {
				return fmt.Errorf("value %d of %d: the sum is %v, want %v", i, len(values), v, want)
			}
		}
	}
	places, err := g.Places()
	if err != nil {
		return err
	}
	if threads := Threads(places, g.Rank()); Hosts(places) != 1 || threads < 1 || threads > runtime.NumCPU() {
		return fmt.Errorf("%d hosts, %d threads", Hosts(places), threads)
	}
	if err := grouptest.Check(g); err != nil {
		return err
	}
	if g.Size() > 1 { // a message that is shorter than expected
		send, receive := make([][]byte, g.Size()), make([][]byte, g.Size())
		next, last := (g.Rank()+1)%g.Size(), (g.Rank()+g.Size()-1)%g.Size()
		send[next], receive[last] = make([]byte, 9), make([]byte, 10)
		if err := g.Exchange(send, receive); err == nil || !strings.Contains(err.Error(), "has sent 9 bytes") {
			return fmt.Errorf("a message of 9 bytes where 10 are expected: %v", err)
		}
	}
	return g.Barrier()
}

// launchersHere are the launchers of this machine with what they want as arguments.
func launchersHere(t *testing.T) map[string][]string {
	found := make(map[string][]string)
	for _, name := range []string{"mpirun.openmpi", "mpirun.mpich", "mpirun"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.Command(path, "--version").CombinedOutput()
		switch {
		case err != nil:
			t.Logf("%s --version: %v", path, err)
		case bytes.Contains(out, []byte("Open MPI")):
			found[openMPI] = []string{path, "--oversubscribe"}
		case bytes.Contains(out, []byte("HYDRA")):
			found[mpich] = []string{path}
		}
	}
	if len(found) == 0 {
		t.Skip("there is no mpirun of Open MPI or MPICH here")
	}
	return found
}

// run starts ranks that have a role.
func run(t *testing.T, launcher []string, ranks int, role string, environment ...string) (string, error) {
	t.Helper()
	arguments := append(slices.Clone(launcher[1:]), "-n", strconv.Itoa(ranks), os.Args[0])
	c := exec.Command(launcher[0], arguments...)
	// Open MPI starts nothing for root without being told, nor more ranks than cores.
	c.Env = append(os.Environ(), roleVariable+"="+role, "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
	c.Env = append(c.Env, environment...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	watch := time.AfterFunc(2*time.Minute, func() { _ = c.Process.Kill() })
	err := c.Wait()
	if !watch.Stop() {
		t.Errorf("%s with %d ranks: %s did not end", launcher[0], ranks, role)
	}
	return out.String(), err
}

// TestMPI makes all calls between ranks that launchers have started.
func TestMPI(t *testing.T) {
	t.Parallel()
	for name, launcher := range launchersHere(t) {
		for _, ranks := range []int{2, 3} {
			t.Run(fmt.Sprintf("%s, %d ranks", name, ranks), func(t *testing.T) {
				t.Parallel()
				if out, err := run(t, launcher, ranks, "calls"); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// TestEnd: a rank that dies, that loses its library's process or that aborts ends the others, with a word of who it was.
func TestEnd(t *testing.T) {
	t.Parallel()
	for name, launcher := range launchersHere(t) {
		for role, want := range map[string]string{"die": "", "lose": "bert-mpi has ended: signal: killed", "abort": "rank 1: no more paper"} {
			t.Run(name+", "+role, func(t *testing.T) {
				t.Parallel()
				out, err := run(t, launcher, 2, role)
				if err == nil || !strings.Contains(out, want) {
					t.Errorf("%v, want %q in\n%s", err, want, out)
				}
			})
		}
	}
}

// TestMismatch: a launcher with the library of another MPI is an error that says so.
func TestMismatch(t *testing.T) {
	t.Parallel()
	here := launchersHere(t)
	if len(here) < 2 {
		t.Skip("there is but one MPI here")
	}
	for name, library := range map[string]string{openMPI: "libmpich.so.12", mpich: "libmpi.so.40"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := run(t, here[name], 2, "join", Variable+"="+library)
			if want := "belong to different MPIs"; err == nil || !strings.Contains(out, want) {
				t.Errorf("with %s: %v, want %q in\n%s", library, err, want, out)
			}
		})
	}
}

// TestNoLibrary: a library that isn't there, or is none of MPI, is an error that says so.
func TestNoLibrary(t *testing.T) {
	for _, library := range []string{"libmissing.so.7", "libm.so.6"} {
		_, err := Open(Options{Library: library})
		if errors.As(err, new(*dlopen.InterpreterError)) || errors.Is(err, dlopen.ErrUnsupported) {
			t.Skip(err)
		}
		var missing *LibraryError
		if !errors.As(err, &missing) || !strings.Contains(err.Error(), Variable) || !strings.Contains(err.Error(), library) {
			t.Errorf("%s: %v", library, err)
		}
	}
}

// TestIdle: who waits for others leaves the processor to them.
func TestIdle(t *testing.T) {
	t.Parallel()
	for name, launcher := range launchersHere(t) {
		out, err := run(t, launcher, 2, "idle")
		_, after, found := strings.Cut(out, "waited with ")
		line, _, _ := strings.Cut(after, "\n")
		used, parseErr := time.ParseDuration(strings.TrimSpace(line))
		if err != nil || !found || parseErr != nil {
			t.Errorf("%s: %v, %v\n%s", name, err, parseErr, out)
		} else if used > time.Second {
			t.Errorf("%s: a wait of two seconds has taken %v of a processor", name, used)
		}
	}
}
