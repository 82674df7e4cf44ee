//go:build linux

#include "textflag.h"

// These two functions never run in this process. They are copied into the executable of the server (image.go), and obey the
// conventions of C (System V ABI for AMD64): arguments in DI, SI, DX, CX, R8, R9 and then on the stack, whose pointer is a
// multiple of 16 at a call; BX, BP and R12 to R15 survive calls. They use no address of this program.

// The table at dataAddress of image.go.
#define TABLE           0x10000000
#define libcStartMain   0
#define dlopenAt        8
#define dlsymAt         16
#define dlerrorAt       24
#define serveAt         32
#define descriptor      40
#define size            48
#define blockedSignals  56

// The request at the beginning of the shared memory: request of start.go.
#define turn            0
#define functionAt      8
#define arguments       16
#define result          80
#define base            88
#define functions       96

// end.end.
#define END LONG $0x2e646e65; LONG $0x2e646e65

// func code() (start, serve unsafe.Pointer)
TEXT ·code(SB), NOSPLIT, $0-16
	LEAQ start<>(SB), AX
	MOVQ AX, start+0(FP)
	LEAQ serve<>(SB), AX
	MOVQ AX, serve+8(FP)
	RET

// start is where the loader enters the executable, with the libraries loaded. It is what crt1.o is to a C program:
// __libc_start_main(serve, argc, argv, init, fini, rtld_fini, stack_end). First it blocks the signals that are meant for this
// program, and that a terminal or a launcher sends to all its processes.
TEXT start<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ $TABLE, BX
	MOVQ DX, R9                   // rtld_fini, from the loader
	MOVL $14, AX                  // rt_sigprocmask(SIG_BLOCK, &blockedSignals, NULL, 8)
	XORL DI, DI
	LEAQ blockedSignals(BX), SI
	XORL DX, DX
	MOVL $8, R10
	SYSCALL
	MOVQ serveAt(BX), DI
	MOVQ 0(SP), SI                // argc
	LEAQ 8(SP), DX                // argv
	XORL CX, CX                   // there is nothing to initialise
	XORL R8, R8
	ANDQ $~15, SP
	PUSHQ AX                      // keeps SP a multiple of 16
	PUSHQ SP                      // stack_end
	MOVQ libcStartMain(BX), AX
	CALL AX
	INT  $3                       // it doesn't return
	END

// serve is the main function of the server: it maps the shared memory and does what the requests there say.
TEXT serve<>(SB), NOSPLIT|NOFRAME, $0-0
	PUSHQ BX                      // makes SP a multiple of 16
	MOVQ  $TABLE, BX
	MOVL  $9, AX                  // mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED, descriptor, 0)
	XORL  DI, DI
	MOVQ  size(BX), SI
	MOVL  $3, DX
	MOVL  $1, R10
	MOVQ  descriptor(BX), R8
	XORL  R9, R9
	SYSCALL
	CMPQ  AX, $-4095
	JCC   failed                  // an error number
	MOVQ  AX, R12
	MOVQ  AX, base(R12)
	MOVQ  dlopenAt(BX), AX
	MOVQ  AX, (functions+0)(R12)
	MOVQ  dlsymAt(BX), AX
	MOVQ  AX, (functions+8)(R12)
	MOVQ  dlerrorAt(BX), AX
	MOVQ  AX, (functions+16)(R12)

done:
	MOVL  $1, AX                  // it is the caller's turn
	XCHGL AX, turn(R12)
	MOVL  $202, AX                // futex(&turn, FUTEX_WAKE, 1)
	LEAQ  turn(R12), DI
	MOVL  $1, SI
	MOVL  $1, DX
	SYSCALL

wait:
	MOVL  turn(R12), DX
	CMPL  DX, $2                  // the server's turn
	JEQ   request
	MOVL  $202, AX                // futex(&turn, FUTEX_WAIT, what it is, no timeout)
	LEAQ  turn(R12), DI
	XORL  SI, SI
	XORL  R10, R10
	SYSCALL
	JMP   wait

request:
	MOVQ  (arguments+0)(R12), DI
	MOVQ  (arguments+8)(R12), SI
	MOVQ  (arguments+16)(R12), DX
	MOVQ  (arguments+24)(R12), CX
	MOVQ  (arguments+32)(R12), R8
	MOVQ  (arguments+40)(R12), R9
	MOVQ  (arguments+56)(R12), AX
	PUSHQ AX
	MOVQ  (arguments+48)(R12), AX
	PUSHQ AX
	MOVQ  functionAt(R12), R11
	XORL  AX, AX                  // no floating-point arguments, should the function be variadic
	CALL  R11
	ADDQ  $16, SP
	MOVQ  AX, result(R12)
	JMP   done

failed:
	MOVL  $231, AX                // exit_group(71), EX_OSERR
	MOVL  $71, DI
	SYSCALL
	INT   $3
	END
