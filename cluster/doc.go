// Package cluster joins processes that a launcher of MPI has started, on one machine or many, to a group that trains together:
// a [Group] implements train.Group.
//
// MPI is what clusters have: mpirun, srun and Kubernetes' MPIJob start the processes, and a library that belongs to the machine knows
// its network. The program is not linked to that library. [Open] loads it when it is asked for, into a process of its own
// (package internal/dlopen), and finds out which kind it is:
//
//	launcher.go   what the environment says: who has started this process, which rank it is of how many
//	library.go    where the library is, and what to say where there is none
//	abi.go        the kinds of libraries: what a handle, a status and a constant are in each
//	group.go      MPI_Init_thread, MPI_Finalize, MPI_Abort, and the calls of train.Group but for
//	transfer.go   Exchange and Broadcast: messages in pieces through memory that is shared with the library's process
//	hosts.go      which ranks share a machine and its cores
//
// Only functions that return at once are used between beginning and end (MPI_Isend, MPI_Irecv, MPI_Ibcast, MPI_Iallreduce,
// MPI_Ibarrier, MPI_Testsome), all of MPI 3.0. While this process waits for others it sleeps between looks, a share of the time
// that it has waited and a millisecond at most: the library's own waiting uses a core, which the ranks of a machine need to compute.
package cluster
