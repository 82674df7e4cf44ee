package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Launched is what the environment says of a process that a launcher has started.
type Launched struct {
	Launcher string // who has, as in "Open MPI's mpirun"
	Rank     int    // of this process
	Size     int    // the number of processes; 0 if the environment doesn't say
	// abi is the kind of library that goes with the launcher; "" if several do.
	abi string
}

// Shared says whether the process is one of several.
func (l Launched) Shared() bool { return l.Size > 1 }

func (l Launched) String() string {
	if l.Size == 0 {
		return fmt.Sprintf("%s, rank %d", l.Launcher, l.Rank)
	}
	return fmt.Sprintf("%s, rank %d of %d", l.Launcher, l.Rank, l.Size)
}

// A launcher is recognised by the variable that has the rank.
type launcher struct {
	name       string
	rank, size string // variables; size may be ""
	abi        func(variables map[string]string) string
}

// launchers are the launchers, the most specific first: mpirun may itself have been started by srun, whose variables are there too.
// A batch script of Slurm is no rank, though it has SLURM_PROCID: it has no SLURM_STEP_NUM_TASKS.
var launchers = []launcher{
	{"Open MPI's mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", always(openMPI)},
	{"MVAPICH's mpirun_rsh", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", always(mpich)},
	{"a launcher with PMI (mpiexec of MPICH, Intel MPI or MVAPICH, or srun)", "PMI_RANK", "PMI_SIZE", always(mpich)},
	{"Slurm's srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", func(variables map[string]string) string {
		switch kind := variables["SLURM_MPI_TYPE"]; {
		case strings.HasPrefix(kind, "pmix"):
			return openMPI
		case strings.HasPrefix(kind, "pmi2"), strings.HasPrefix(kind, "cray"):
			return mpich
		}
		return ""
	}},
	{"a launcher with PMIx", "PMIX_RANK", "", always(openMPI)},
}

func always(abi string) func(map[string]string) string {
	return func(map[string]string) string { return abi }
}

// Detect says what the environment, lines KEY=VALUE as os.Environ gives them, tells about the ranks; false if this process is none.
func Detect(environment []string) (Launched, bool) {
	variables := make(map[string]string, len(environment))
	for _, line := range environment {
		key, value, _ := strings.Cut(line, "=")
		variables[key] = value
	}
	i := slices.IndexFunc(launchers, func(l launcher) bool {
		_, _, ok := l.read(variables)
		return ok
	})
	if i < 0 {
		return Launched{}, false
	}
	l := launchers[i]
	rank, size, _ := l.read(variables)
	return Launched{Launcher: l.name, Rank: rank, Size: size, abi: l.abi(variables)}, true
}

// read reads the launcher's variables; false if they aren't there, or are no rank of a size.
func (l launcher) read(variables map[string]string) (rank, size int, ok bool) {
	rank, err := strconv.Atoi(variables[l.rank])
	if err != nil || rank < 0 {
		return 0, 0, false
	}
	if l.size == "" {
		return rank, 0, true
	}
	size, err = strconv.Atoi(variables[l.size])
	return rank, size, err == nil && rank < size
}
