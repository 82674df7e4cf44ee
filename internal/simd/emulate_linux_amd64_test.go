//go:build !purego

package simd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// Tables whose instructions this processor lacks are tested by another process, whose instructions of that kind are emulated:
// each stops it with SIGILL; this process, which traces it, does what the instruction would have done to the other's memory and
// registers, and lets it go on after it. All other instructions run as they are, and pages that are protected are so here, too.
// What an instruction does is written down from Intel's Software Developer's Manual, volume 2.

// emulatedVariable tells the other process that it is that.
const emulatedVariable = "BERT_EMULATED"

func init() {
	if os.Getenv(emulatedVariable) == "" {
		return
	}
	emulated = true
	testedTables = func() (tables []*Kernels) {
		if !cpu.X86.HasAVXVNNI {
			tables = append(tables, &kernelsAVXVNNI)
		}
		if cpu.X86.HasAVX512VNNI && cpu.X86.HasAVX512BF16 && !tilesPermitted() {
			tables = append(tables, &kernelsAMXInt8)
		}
		return tables
	}
}

// TestEmulated runs the tests of products, and of the loops that measure peaks, for tables that this processor lacks.
func TestEmulated(t *testing.T) {
	switch {
	case os.Getenv(emulatedVariable) != "":
		t.Skip("this is the emulated process")
	case testing.Short():
		t.Skip("it takes long with the race detector")
	case !cpu.X86.HasAVX2 || !cpu.X86.HasFMA:
		t.Skip("this processor lacks AVX2, of which no instruction is emulated")
	case cpu.X86.HasAVXVNNI && (tilesPermitted() || !cpu.X86.HasAVX512BF16):
		t.Skip("this processor has all tables that could be emulated")
	}
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	const tests = "TestGemm8|TestGemm16Deep|TestGemm16Packings|TestGemm16NonFinite|TestGemm16Subnormal|TestMultiplyAdds"
	cmd := exec.Command(os.Args[0], "-test.run=^("+tests+")$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), emulatedVariable+"=1")
	cmd.Stdout, cmd.Stderr = out, out
	e, err := emulate(cmd)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		t.Skipf("this process may not trace another: %v", err)
	}
	text, _ := os.ReadFile(out.Name())
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, name := range strings.Split(tests, "|") {
		if !strings.Contains(string(text), "--- PASS: "+name+" ") {
			t.Errorf("%s did not pass", name)
		}
	}
	want := []string{}
	if !cpu.X86.HasAVXVNNI {
		want = append(want, "VPDPBUSD")
	}
	if cpu.X86.HasAVX512BF16 && !tilesPermitted() {
		want = append(want, "LDTILECFG", "TILERELEASE", "TILEZERO", "TILELOADD", "TILELOADDT1", "TILESTORED", "TDPBF16PS", "TDPBSSD")
	}
	for _, name := range want {
		if e.count[name] == 0 {
			t.Errorf("%s was not emulated", name)
		}
	}
	t.Log(e.count)
	if t.Failed() {
		t.Logf("%s", text)
	}
}

// An emulator traces a process.
type emulator struct {
	process int
	threads map[int]*emulatedTiles
	count   map[string]int // of instructions
}

// emulatedTiles are the registers of tiles of a thread.
type emulatedTiles struct {
	config     tileConfig
	configured bool
	data       [8][registerRows][stepLength]byte
}

const stepLength = tileWords * elementSize

// emulate runs a command to its end.
func emulate(cmd *exec.Cmd) (*emulator, error) {
	// Only the thread that began to trace may go on.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	e := &emulator{process: cmd.Process.Pid, threads: map[int]*emulatedTiles{}, count: map[string]int{}}
	defer cmd.Process.Release()
	defer cmd.Process.Kill()
	var status unix.WaitStatus
	if _, err := unix.Wait4(e.process, &status, unix.WALL, nil); err != nil {
		return nil, err
	}
	if err := unix.PtraceSetOptions(e.process, unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		return nil, err
	}
	e.threads[e.process] = &emulatedTiles{}
	if err := unix.PtraceCont(e.process, 0); err != nil {
		return nil, err
	}
	for begun := time.Now(); ; {
		thread, err := e.wait(&status)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, fmt.Errorf("waiting for the emulated process: %w", err)
		case thread == e.process && status.Exited():
			if status.ExitStatus() != 0 {
				return e, fmt.Errorf("the emulated process ended with %d", status.ExitStatus())
			}
			return e, nil
		case thread == e.process && status.Signaled():
			return e, fmt.Errorf("the emulated process ended by %v", status.Signal())
		case time.Since(begun) > 5*time.Minute:
			return e, errors.New("the emulated process does not end")
		case !status.Stopped():
			continue
		}
		deliver := status.StopSignal()
		switch known := e.threads[thread]; {
		case known == nil: // a new thread stops once
			e.threads[thread] = &emulatedTiles{}
			deliver = 0
		case deliver == unix.SIGTRAP:
			deliver = 0
		case deliver == unix.SIGILL:
			if deliver, err = e.step(thread, known); err != nil {
				return e, err
			}
		}
		if err := unix.PtraceCont(thread, int(deliver)); err != nil && !errors.Is(err, unix.ESRCH) {
			return e, err
		}
	}
}

// wait returns a thread that has stopped or ended. It waits for those of the emulated process alone: this one may have other children.
func (e *emulator) wait(status *unix.WaitStatus) (thread int, err error) {
	return unix.Wait4(-1, status, unix.WALL|unix.WNOTHREAD, nil)
}

// step emulates the instructions at which a thread stands, and returns the signal that it gets nevertheless, or 0.
func (e *emulator) step(thread int, tiles *emulatedTiles) (unix.Signal, error) {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(thread, &regs); err != nil {
		return 0, err
	}
	for first := true; ; first = false {
		var code [15]byte
		if _, err := e.read(uintptr(regs.Rip), code[:]); err != nil {
			return 0, err
		}
		i, ok := decodeVEX(code[:], &regs)
		switch {
		case !ok && first:
			return unix.SIGILL, nil
		case !ok:
			return 0, unix.PtraceSetRegs(thread, &regs)
		}
		var signal unix.Signal
		var err error
		if i.name == "VPDPBUSD" {
			err = i.dotBytes(thread)
		} else {
			signal, err = e.tile(&i, tiles)
		}
		if err != nil {
			return 0, err
		}
		if signal != 0 {
			return signal, unix.PtraceSetRegs(thread, &regs)
		}
		e.count[i.name]++
		regs.Rip += uint64(i.length)
	}
}

// read reads memory of the process; it fails where the process itself may not.
func (e *emulator) read(at uintptr, b []byte) (int, error) {
	local := unix.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))}
	return unix.ProcessVMReadv(e.process, []unix.Iovec{local}, []unix.RemoteIovec{{Base: at, Len: len(b)}}, 0)
}

func (e *emulator) write(at uintptr, b []byte) (int, error) {
	local := unix.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))}
	return unix.ProcessVMWritev(e.process, []unix.Iovec{local}, []unix.RemoteIovec{{Base: at, Len: len(b)}}, 0)
}

// vexInstruction is a decoded instruction of map 0F38.
type vexInstruction struct {
	name               string
	length             int
	register, rm, vvvv int
	address, stride    uintptr // of an operand in memory
}

// emulatedOpcodes are by L, pp and opcode. LDTILECFG and TILERELEASE differ in whether they have an operand.
var emulatedOpcodes = map[[3]byte]string{
	{1, 1, 0x50}: "VPDPBUSD",
	{0, 0, 0x49}: "LDTILECFG",
	{0, 3, 0x49}: "TILEZERO",
	{0, 3, 0x4b}: "TILELOADD",
	{0, 1, 0x4b}: "TILELOADDT1",
	{0, 2, 0x4b}: "TILESTORED",
	{0, 2, 0x5c}: "TDPBF16PS",
	{0, 3, 0x5e}: "TDPBSSD",
}

// decodeVEX decodes an instruction with VEX of three bytes and W0, whose operands are registers or memory by SIB and 32 bits of
// displacement, as the generator writes them.
func decodeVEX(code []byte, regs *unix.PtraceRegs) (i vexInstruction, ok bool) {
	const map38 = 2
	if code[0] != 0xc4 || code[1]&31 != map38 || code[2]>>7 != 0 {
		return i, false
	}
	if i.name, ok = emulatedOpcodes[[3]byte{code[2] >> 2 & 1, code[2] & 3, code[3]}]; !ok {
		return i, false
	}
	extension := func(bit int) int { return int(^code[1]>>bit&1) << 3 }
	mode, low := code[4]>>6, int(code[4]&7)
	i.register, i.vvvv = int(code[4]>>3&7)|extension(7), int(^code[2]>>3&15)
	if mode == 3 {
		i.rm, i.length = low|extension(5), 5
		if i.name == "LDTILECFG" {
			i.name = "TILERELEASE"
		}
		return i, true
	}
	const sib, noIndex = 4, 4
	if mode != 2 || low != sib {
		return i, false
	}
	i.length = 10
	index, base := int(code[5]>>3&7)|extension(6), int(code[5]&7)|extension(5)
	if index != noIndex {
		i.stride = uintptr(general(regs, index)) << (code[5] >> 6)
	}
	i.address = uintptr(general(regs, base)) + uintptr(int32(binary.LittleEndian.Uint32(code[6:])))
	return i, true
}

// general is a general register by its number.
func general(r *unix.PtraceRegs, number int) uint64 {
	return [16]uint64{
		r.Rax, r.Rcx, r.Rdx, r.Rbx, r.Rsp, r.Rbp, r.Rsi, r.Rdi, r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15,
	}[number]
}

// dotBytes emulates VPDPBUSD of registers of 256 bits.
func (i *vexInstruction) dotBytes(thread int) error {
	const (
		state = 0x202 // NT_X86_XSTATE: the area of XSAVE, not compacted
		lower = 160   // where the lower halves of the registers are, and the upper halves
		upper = 576
		half  = 16
	)
	area := make([]byte, 4096)
	vec := unix.Iovec{Base: unsafe.SliceData(area), Len: uint64(len(area))}
	regset := func(request uintptr) error {
		_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, request, uintptr(thread), state, uintptr(unsafe.Pointer(&vec)), 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	}
	if err := regset(unix.PTRACE_GETREGSET); err != nil {
		return err
	}
	register := func(number int) [2][]byte {
		return [2][]byte{area[lower+number*half:][:half], area[upper+number*half:][:half]}
	}
	const sse, avx, header = 1 << 1, 1 << 2, 512
	inUse := binary.LittleEndian.Uint64(area[header:])
	for bit, at := range map[uint64]int{sse: lower, avx: upper} { // a state that is not in use is zero, whatever is in its place
		if inUse&bit == 0 {
			clear(area[at:][:16*half])
		}
	}
	binary.LittleEndian.PutUint64(area[header:], inUse|sse|avx)
	sums, unsigned, signed := register(i.register), register(i.vvvv), register(i.rm)
	for h := range 2 {
		for word := 0; word < half; word += 4 {
			sum := binary.LittleEndian.Uint32(sums[h][word:])
			for b := range 4 {
				sum += uint32(int32(unsigned[h][word+b]) * int32(int8(signed[h][word+b])))
			}
			binary.LittleEndian.PutUint32(sums[h][word:], sum)
		}
	}
	return regset(unix.PTRACE_SETREGSET)
}

// tile emulates an instruction of AMX. Where the processor would refuse it, it returns the signal.
func (e *emulator) tile(i *vexInstruction, t *emulatedTiles) (unix.Signal, error) {
	const size = int(unsafe.Sizeof(tileConfig{}))
	switch {
	case i.name == "LDTILECFG":
		*t = emulatedTiles{configured: true}
		if _, err := e.read(i.address, unsafe.Slice(t.config.bytes(), size)); err != nil {
			return unix.SIGSEGV, nil
		}
		for r, rows := range t.config.rows {
			if bytes := t.config.rowBytes[r]; t.config.palette != 1 || rows > registerRows || bytes > stepLength || r >= len(t.data) && rows > 0 {
				return unix.SIGSEGV, nil
			}
		}
		return 0, nil
	case i.name == "TILERELEASE":
		*t = emulatedTiles{}
		return 0, nil
	case !t.configured || i.register >= len(t.data) || t.config.rows[i.register] == 0:
		return unix.SIGILL, nil
	}
	rows, bytes := int(t.config.rows[i.register]), int(t.config.rowBytes[i.register])
	tile := &t.data[i.register]
	switch i.name {
	case "TILEZERO":
		*tile = [registerRows][stepLength]byte{}
	case "TILELOADD", "TILELOADDT1":
		*tile = [registerRows][stepLength]byte{}
		for r := range rows {
			if n, err := e.read(i.address+uintptr(r)*i.stride, tile[r][:bytes]); err != nil || n < bytes {
				return unix.SIGSEGV, nil
			}
		}
	case "TILESTORED":
		for r := range rows {
			if n, err := e.write(i.address+uintptr(r)*i.stride, tile[r][:bytes]); err != nil || n < bytes {
				return unix.SIGSEGV, nil
			}
		}
	default:
		// The sums, A and B have to fit, or it is no instruction.
		rowsA, bytesA := int(t.config.rows[i.rm]), int(t.config.rowBytes[i.rm])
		rowsB, bytesB := int(t.config.rows[i.vvvv]), int(t.config.rowBytes[i.vvvv])
		if i.rm == i.register || i.vvvv == i.register || i.rm == i.vvvv || bytes%4 != 0 || bytesA%4 != 0 || bytesB%4 != 0 ||
			rows != rowsA || bytes != bytesB || bytesA/4 != rowsB {
			return unix.SIGILL, nil
		}
		a, b := &t.data[i.rm], &t.data[i.vvvv]
		for m := range rows {
			for n := 0; n < bytes; n += 4 {
				word := tile[m][n:]
				sum := binary.LittleEndian.Uint32(word)
				if i.name == "TDPBSSD" {
					for k := range rowsB {
						for q := range 4 {
							sum += uint32(int32(int8(a[m][4*k+q])) * int32(int8(b[k][n+q])))
						}
					}
				} else {
					var halves [2]float32
					for k := range rowsB {
						for h := range halves {
							x, y := binary.LittleEndian.Uint16(a[m][4*k+2*h:]), binary.LittleEndian.Uint16(b[k][n+2*h:])
							product := flushed(wider(x)) * flushed(wider(y)) // exact
							halves[h] = flushed(halves[h] + product)
						}
					}
					sum = math.Float32bits(flushed(flushed(math.Float32frombits(sum)) + flushed(halves[0]+halves[1])))
				}
				binary.LittleEndian.PutUint32(word, sum)
			}
		}
	}
	return 0, nil
}

// wider is a number of bfloat16.
func wider(bits uint16) float32 { return math.Float32frombits(uint32(bits) << 16) }

// flushed is x, or zero if x is subnormal.
func flushed(x float32) float32 {
	if subnormal(x) {
		return 0
	}
	return x
}
