package cluster

import (
	"strings"
)

// The names of the kinds of libraries.
const (
	openMPI = "Open MPI"
	mpich   = "MPICH"
)

// An abi is how a kind of library represents what mpi.h leaves open: the sizes of its types, and its constants. The functions are the
// same everywhere.
type abi struct {
	name string
	// versions are what MPI_Get_library_version's text contains, one of them.
	versions []string
	// libraries are the names of the library's file.
	libraries []string

	request int // bytes of an MPI_Request
	status  int // bytes of an MPI_Status

	world        handle // MPI_COMM_WORLD
	bytes        handle // MPI_BYTE
	floats       handle // MPI_FLOAT
	sum          handle // MPI_SUM
	errorsReturn handle // MPI_ERRORS_RETURN
	nullRequest  handle // MPI_REQUEST_NULL
	inPlace      uintptr
}

// A handle is the address of a symbol of the library or, where symbol is "", a number.
type handle struct {
	symbol string
	number uintptr
}

// abis are the kinds of libraries. Sources: mpi.h of Open MPI 4.1 and 5.0, and of MPICH 3.2 to 4.2. MPICH's is that of the MPICH ABI
// Compatibility Initiative, which Intel MPI, MVAPICH, Cray MPICH and ParaStation MPI belong to.
var abis = []abi{
	{
		name:         openMPI,
		versions:     []string{"Open MPI"},
		libraries:    []string{"libmpi.so.40", "libmpi.so"},
		request:      8,
		status:       24,
		world:        handle{symbol: "ompi_mpi_comm_world"},
		bytes:        handle{symbol: "ompi_mpi_byte"},
		floats:       handle{symbol: "ompi_mpi_float"},
		sum:          handle{symbol: "ompi_mpi_op_sum"},
		errorsReturn: handle{symbol: "ompi_mpi_errors_return"},
		nullRequest:  handle{symbol: "ompi_request_null"},
		inPlace:      1,
	},
	{
		name:         mpich,
		versions:     []string{"MPICH", "Intel(R) MPI", "MVAPICH", "ParaStation"},
		libraries:    []string{"libmpi.so.12", "libmpich.so.12", "libmpi.so"},
		request:      4,
		status:       20,
		world:        handle{number: 0x44000000},
		bytes:        handle{number: 0x4c00010d},
		floats:       handle{number: 0x4c00040a},
		sum:          handle{number: 0x58000003},
		errorsReturn: handle{number: 0x54000001},
		nullRequest:  handle{number: 0x2c000000},
		inPlace:      ^uintptr(0),
	},
}

// Constants that all kinds have in common.
const (
	success          = 0      // MPI_SUCCESS
	funneled         = 1      // MPI_THREAD_FUNNELED
	undefined        = -32766 // MPI_UNDEFINED
	maxErrorString   = 4096   // more than any MPI_MAX_ERROR_STRING
	maxVersionString = 8192   // the largest MPI_MAX_LIBRARY_VERSION_STRING, MPICH's
)

// abiOf is the kind of a library whose MPI_Get_library_version says version.
func abiOf(version string) (*abi, bool) {
	for i := range abis {
		for _, s := range abis[i].versions {
			if strings.Contains(version, s) {
				return &abis[i], true
			}
		}
	}
	return nil, false
}
