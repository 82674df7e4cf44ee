package cluster

import (
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		environment string
		launcher    string // its beginning; "": none
		rank, size  int
		abi         string
	}{
		{"HOME=/root", "", 0, 0, ""},
		{"OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4 PMIX_RANK=3", "Open MPI", 3, 4, openMPI},
		{"OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=1", "Open MPI", 1, 2, openMPI},
		{"PMI_RANK=0 PMI_SIZE=2 PMI_FD=7", "a launcher with PMI ", 0, 2, mpich},
		{"PMI_RANK=5 PMI_SIZE=8 SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2", "a launcher with PMI ", 5, 8, mpich},
		{"MV2_COMM_WORLD_RANK=1 MV2_COMM_WORLD_SIZE=2", "MVAPICH", 1, 2, mpich},
		{"SLURM_PROCID=2 SLURM_STEP_NUM_TASKS=4 SLURM_MPI_TYPE=pmix_v4 PMIX_RANK=2", "Slurm", 2, 4, openMPI},
		{"SLURM_PROCID=2 SLURM_STEP_NUM_TASKS=4 SLURM_MPI_TYPE=pmi2", "Slurm", 2, 4, mpich},
		{"SLURM_PROCID=2 SLURM_STEP_NUM_TASKS=4", "Slurm", 2, 4, ""},
		{"SLURM_PROCID=0 SLURM_NTASKS=4", "", 0, 0, ""}, // a batch script
		{"PMIX_RANK=1", "a launcher with PMIx", 1, 0, openMPI},
		{"OMPI_COMM_WORLD_RANK=4 OMPI_COMM_WORLD_SIZE=4", "", 0, 0, ""},
		{"OMPI_COMM_WORLD_RANK=-1 OMPI_COMM_WORLD_SIZE=4", "", 0, 0, ""},
		{"PMI_RANK=x PMI_SIZE=4", "", 0, 0, ""},
	} {
		l, ok := Detect(strings.Fields(c.environment))
		if ok != (c.launcher != "") || !strings.HasPrefix(l.Launcher, c.launcher) || l.Rank != c.rank || l.Size != c.size || l.abi != c.abi {
			t.Errorf("%s: %+v, %v", c.environment, l, ok)
		}
		if l.Shared() != (c.size > 1) {
			t.Errorf("%s: shared is %v", c.environment, l.Shared())
		}
	}
}

func TestABI(t *testing.T) {
	for version, want := range map[string]string{
		"Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4, repo rev: v4.1.4, May 26, 2022": openMPI,
		"MPICH Version:\t4.0.2\nMPICH Release date:\tThu Apr  7 12:34:45 CDT 2022":               mpich,
		"Intel(R) MPI Library 2021.11 for Linux* OS\n":                                           mpich,
		"MVAPICH2 Version      :\t2.3.7\nMVAPICH2 Release date :\tWed March 02":                  mpich,
		"MPI VERSION    : CRAY MPICH version 8.1.25.17 (ANL base 3.4a2)":                         mpich,
		"IBM Platform MPI": "",
	} {
		a, ok := abiOf(version)
		if ok != (want != "") || ok && a.name != want {
			t.Errorf("%q: %v, %v", version, a, ok)
		}
	}
}

func TestThreads(t *testing.T) {
	all := []uint64{0xff}
	for _, c := range []struct {
		name   string
		places []Place
		want   []int
	}{
		{"alone", []Place{{"a", all, 0}}, []int{8}},
		{"in a container with three of eight cores", []Place{{"a", all, 3}}, []int{3}},
		{"two on a machine that is theirs", []Place{{"a", all, 0}, {"a", all, 0}}, []int{4, 4}},
		{"two that are bound to halves", []Place{{"a", []uint64{0x0f}, 0}, {"a", []uint64{0xf0}, 0}}, []int{4, 4}},
		{"two machines", []Place{{"a", all, 0}, {"b", all, 0}}, []int{8, 8}},
		{"more ranks than cores", []Place{{"a", []uint64{1}, 0}, {"a", []uint64{1}, 0}}, []int{1, 1}},
		{"beyond the first word", []Place{{"a", []uint64{0, 3}, 0}, {"a", []uint64{3, 0}, 0}}, []int{2, 2}},
		{"nothing known", []Place{{"a", nil, 0}}, []int{1}},
	} {
		for rank, want := range c.want {
			if got := Threads(c.places, rank); got != want {
				t.Errorf("%s: rank %d has %d threads, want %d", c.name, rank, got, want)
			}
		}
	}
}
