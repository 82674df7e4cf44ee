//go:build linux

#include "textflag.h"

// These two functions never run in this process. They are copied into the executable of the server (image.go), and obey the
// conventions of C (AAPCS64): arguments in R0 to R7; the stack pointer is a multiple of 16; R19 to R28 survive calls. They use no
// address of this program. server_amd64.s has the same, with more to say.

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
#define END WORD $0x2e646e65; WORD $0x2e646e65

// func code() (start, serve unsafe.Pointer)
TEXT ·code(SB), NOSPLIT, $0-16
	MOVD $start<>(SB), R0
	MOVD R0, start+0(FP)
	MOVD $serve<>(SB), R0
	MOVD R0, serve+8(FP)
	RET

// start is where the loader enters the executable: __libc_start_main(serve, argc, argv, init, fini, rtld_fini, stack_end).
TEXT start<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $TABLE, R19
	MOVD R0, R5                   // rtld_fini, from the loader
	MOVD $135, R8                 // rt_sigprocmask(SIG_BLOCK, &blockedSignals, NULL, 8)
	MOVD $0, R0
	ADD  $blockedSignals, R19, R1
	MOVD $0, R2
	MOVD $8, R3
	SVC
	MOVD serveAt(R19), R0
	MOVD 0(RSP), R1               // argc
	ADD  $8, RSP, R2              // argv
	MOVD $0, R3                   // there is nothing to initialise
	MOVD $0, R4
	MOVD RSP, R6                  // stack_end
	MOVD libcStartMain(R19), R9
	CALL (R9)
	BRK                           // it doesn't return
	END

// serve is the main function of the server: it maps the shared memory and does what the requests there say.
TEXT serve<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $TABLE, R20
	MOVD $222, R8                 // mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED, descriptor, 0)
	MOVD $0, R0
	MOVD size(R20), R1
	MOVD $3, R2
	MOVD $1, R3
	MOVD descriptor(R20), R4
	MOVD $0, R5
	SVC
	CMN  $4095, R0
	BCS  failed                   // an error number
	MOVD R0, R19
	MOVD R0, base(R19)
	MOVD dlopenAt(R20), R1
	MOVD R1, (functions+0)(R19)
	MOVD dlsymAt(R20), R1
	MOVD R1, (functions+8)(R19)
	MOVD dlerrorAt(R20), R1
	MOVD R1, (functions+16)(R19)

done:
	MOVD  $1, R1                  // it is the caller's turn
	STLRW R1, (R19)
	MOVD  $98, R8                 // futex(&turn, FUTEX_WAKE, 1)
	MOVD  R19, R0
	MOVD  $1, R1
	MOVD  $1, R2
	SVC

wait:
	LDARW (R19), R2
	CMPW  $2, R2                  // the server's turn
	BEQ   request
	MOVD  $98, R8                 // futex(&turn, FUTEX_WAIT, what it is, no timeout)
	MOVD  R19, R0
	MOVD  $0, R1
	MOVD  $0, R3
	SVC
	B     wait

request:
	MOVD functionAt(R19), R9
	MOVD (arguments+0)(R19), R0
	MOVD (arguments+8)(R19), R1
	MOVD (arguments+16)(R19), R2
	MOVD (arguments+24)(R19), R3
	MOVD (arguments+32)(R19), R4
	MOVD (arguments+40)(R19), R5
	MOVD (arguments+48)(R19), R6
	MOVD (arguments+56)(R19), R7
	CALL (R9)
	MOVD R0, result(R19)
	B    done

failed:
	MOVD $94, R8                  // exit_group(71), EX_OSERR
	MOVD $71, R0
	SVC
	BRK
	END
