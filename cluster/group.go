package cluster

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/go-bert/bert/internal/dlopen"
)

// Options say how a process joins its group.
type Options struct {
	// Launched is what Detect says; the zero value is a group of one, or of as many as the library finds.
	Launched Launched
	// Library is the path or name of the library of MPI; "": $BERT_MPI or, without it, the one that goes with the launcher.
	Library string
	// Report, if not nil, is called by Abort with what ends the group, before it does.
	Report func(reason error)
}

// MismatchError says that the library finds another number of processes than the launcher has started: it belongs to another MPI.
type MismatchError struct {
	Launched Launched
	Library  string // as it was loaded
	Version  string
	Size     int // what the library finds
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s has started %d processes, but %s (%s) finds %d: the launcher and the library belong to different MPIs; set %s to the launcher's library, or start with the library's launcher",
		e.Launched.Launcher, e.Launched.Size, e.Library, e.Version, e.Size, Variable)
}

// BeginError says that the library can't begin (MPI_Init_thread). It has printed why, and has ended its process as a rule.
type BeginError struct {
	Library string // as it was loaded
	Version string
	Cause   error
}

func (e *BeginError) Error() string {
	return fmt.Sprintf("%s (%s) can't begin: %v: is it the library of the launcher (%s), and has srun been told to help it (srun --mpi=pmix for Open MPI, --mpi=pmi2 for MPICH)?", e.Library, e.Version, e.Cause, Variable)
}

func (e *BeginError) Unwrap() error { return e.Cause }

// Group is the processes of one run of a launcher: MPI_COMM_WORLD. It implements train.Group. Calls are made one at a time, from
// whichever goroutine; Abort may be called during another.
type Group struct {
	library    *library
	rank, size int
	report     func(error)

	// How the shared memory is used, in bytes: results and texts, then what Testsome reads and writes, then the slots' data.
	requests, indices, statuses, data int
	piece                             int

	slots   []slot
	aborted sync.Once
}

// The bytes of shared memory: what the pieces of messages have together, if there are few ranks, and what one piece has at least and
// at most. Larger pieces are no faster: 4 MiB take a millisecond in memory, and a call takes a hundredth of that.
const (
	scratch    = 16 << 10 // results and texts
	dataMemory = 64 << 20
	leastPiece = 4 << 10
	mostPiece  = 4 << 20
)

// slotsPerRank are those of a peer: two for each direction, so that one is filled or emptied while the other is under way.
const slotsPerRank = 4

// Open loads the library and joins the group (MPI_Init_thread). All processes of the group have to.
func Open(o Options) (*Group, error) {
	expected := max(o.Launched.Size, 64)
	p, err := dlopen.Start(dlopen.Options{
		Name:        "bert-mpi",
		Environment: settings(os.Environ()),
		Memory:      scratch + max(dataMemory, expected*slotsPerRank*leastPiece) + expected*slotsPerRank*64,
	})
	if err != nil {
		return nil, err
	}
	g, err := open(p, o)
	if err != nil {
		// The library may have to end it; what it says to that is not what went wrong.
		_ = p.Close()
		return nil, err
	}
	return g, nil
}

func open(p *dlopen.Process, o Options) (*Group, error) {
	named := o.Library
	if named == "" {
		named = os.Getenv(Variable)
	}
	l, err := load(p, named, o.Launched)
	if err != nil {
		return nil, err
	}
	// The calls come from one thread of that process, the main one.
	if _, err := l.number("MPI_Init_thread", 0, 0, funneled); err != nil {
		return nil, &BeginError{l.name, l.version, err}
	}
	g := &Group{library: l, report: o.Report}
	world := l.value(l.abi.world)
	if g.rank, err = l.number("MPI_Comm_rank", world); err != nil {
		return nil, err
	}
	if g.size, err = l.number("MPI_Comm_size", world); err != nil {
		return nil, err
	}
	if o.Launched.Size != 0 && g.size != o.Launched.Size {
		_ = l.call("MPI_Finalize") // so that a launcher that knows the library doesn't call it a failure of its own
		return nil, &MismatchError{o.Launched, l.name, l.version, g.size}
	}
	if err := l.call("MPI_Comm_set_errhandler", world, l.value(l.abi.errorsReturn)); err != nil {
		return nil, err
	}
	return g, g.divide(len(p.Memory()))
}

// divide divides the shared memory.
func (g *Group) divide(memory int) error {
	g.slots = make([]slot, g.size*slotsPerRank)
	g.requests = scratch
	g.indices = g.requests + len(g.slots)*g.library.abi.request
	g.statuses = g.indices + (len(g.slots)+1)*4 // after their number
	g.statuses += -g.statuses & 7
	g.data = g.statuses + len(g.slots)*g.library.abi.status
	g.data += -g.data & 4095
	g.piece = min((memory-g.data)/len(g.slots), mostPiece) &^ 4095
	if g.piece < leastPiece {
		return fmt.Errorf("there are %d ranks, more than the launcher has told of", g.size)
	}
	for i := range g.slots {
		g.clearRequest(i)
	}
	return nil
}

// Rank is the number of this process.
func (g *Group) Rank() int { return g.rank }

// Size is the number of processes.
func (g *Group) Size() int { return g.size }

// Library is what the library says of itself, and the name under which it was found: "Open MPI v4.1.4 (libmpi.so.40)".
func (g *Group) Library() string { return fmt.Sprintf("%s (%s)", g.library.version, g.library.name) }

// Sum adds values over the ranks, in an order that is the library's choice (MPI_Iallreduce): all ranks get the same bits.
func (g *Group) Sum(values []float32) error {
	l := g.library
	most := g.piece / 4
	for len(values) > 0 {
		n := min(len(values), most)
		shared := l.process.Floats(g.data, n)
		copy(shared, values)
		err := l.call("MPI_Iallreduce", l.abi.inPlace, l.process.Address(g.data), uintptr(n), l.value(l.abi.floats), l.value(l.abi.sum), l.value(l.abi.world), g.request(0))
		if err != nil {
			return err
		}
		if err := g.awaitAll(1); err != nil {
			return err
		}
		copy(values, shared)
		values = values[n:]
	}
	return nil
}

// Barrier returns when all ranks have called it.
func (g *Group) Barrier() error {
	if err := g.library.call("MPI_Ibarrier", g.library.value(g.library.abi.world), g.request(0)); err != nil {
		return err
	}
	return g.awaitAll(1)
}

// Abort reports the reason and ends the processes of the group (MPI_Abort): the launcher kills them, and says so. It returns where
// the library leaves this process to the caller.
func (g *Group) Abort(reason error) {
	g.aborted.Do(func() {
		if g.report != nil {
			g.report(reason)
		}
		// There is nobody left to report an error to: what ends this process ends the group just the same.
		_ = g.library.call("MPI_Abort", g.library.value(g.library.abi.world), 1)
	})
}

// Close leaves the group (MPI_Finalize), which waits for the others, and ends the library's process.
func (g *Group) Close() error {
	err := g.library.call("MPI_Finalize")
	if closeErr := g.library.process.Close(); err == nil {
		err = closeErr
	}
	return err
}

// request is the address of a request, as the library sees it.
func (g *Group) request(slot int) uintptr {
	return g.library.process.Address(g.requests + slot*g.library.abi.request)
}

// clearRequest makes a request MPI_REQUEST_NULL.
func (g *Group) clearRequest(slot int) {
	l := g.library
	at := l.process.Memory()[g.requests+slot*l.abi.request:]
	if null := l.value(l.abi.nullRequest); l.abi.request == 8 {
		binary.NativeEndian.PutUint64(at, uint64(null))
	} else {
		binary.NativeEndian.PutUint32(at, uint32(null))
	}
}

// Waiting looks again after a share of the time that it has taken so far: a late look costs little of what it waited for anyway.
const (
	waitShare   = 64
	leastPause  = 20 * time.Microsecond
	mostPause   = time.Millisecond
	eagerChecks = 4 // the first looks come one after the other
)

// await waits until at least one of the first n requests is done, and gives the slots of those that are.
func (g *Group) await(n int) ([]int, error) {
	l := g.library
	began := time.Now()
	for check := 0; ; check++ {
		err := l.call("MPI_Testsome", uintptr(n), g.request(0), l.process.Address(g.indices), l.process.Address(g.indices+4), l.process.Address(g.statuses))
		if err != nil {
			return nil, err
		}
		memory := l.process.Memory()[g.indices:]
		switch count := int(int32(binary.NativeEndian.Uint32(memory))); {
		case count == undefined:
			return nil, fmt.Errorf("MPI_Testsome: nothing is under way")
		case count > 0:
			done := make([]int, count)
			for i := range done {
				done[i] = int(int32(binary.NativeEndian.Uint32(memory[4+4*i:])))
			}
			return done, nil
		}
		if check >= eagerChecks {
			time.Sleep(min(max(time.Since(began)/waitShare, leastPause), mostPause))
		}
	}
}

// awaitAll waits until the first n requests are done.
func (g *Group) awaitAll(n int) error {
	for n > 0 {
		done, err := g.await(n)
		if err != nil {
			return err
		}
		if len(done) == n {
			return nil
		}
	}
	return nil
}
