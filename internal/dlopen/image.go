//go:build linux && (amd64 || arm64)

package dlopen

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"unsafe"
)

// Where the executable's two segments are in memory: its text, which nobody writes, and its data. The assembly knows dataAddress.
const (
	textAddress = 0x0f000000
	dataAddress = 0x10000000
	alignment   = 0x10000 // of segments: the largest page that the processors have
)

// table is the beginning of the data segment: what the assembly finds at dataAddress. The loader fills in the first four.
type table struct {
	LibcStartMain, Dlopen, Dlsym, Dlerror uint64
	Serve                                 uint64 // the address of serve
	Descriptor                            uint64 // of the shared memory
	Size                                  uint64 // of the shared memory, in bytes
	BlockedSignals                        uint64 // a signal set
}

// imports are the symbols of the fields of table that the loader fills in, in their order.
var imports = []string{"__libc_start_main", "dlopen", "dlsym", "dlerror"}

// needed are the libraries in which it looks for them. The first two are empty from glibc 2.34 on, and all three are libc itself in
// musl. A libc that gets its threads later, with a library, has bugs in older releases of glibc.
var needed = []string{"libpthread.so.0", "libdl.so.2", "libc.so.6"}

// globData is the relocation by which the loader stores the address of a symbol.
var globData = map[string]uint32{
	"amd64": uint32(elf.R_X86_64_GLOB_DAT),
	"arm64": uint32(elf.R_AARCH64_GLOB_DAT),
}

// image is the bytes of an executable of the given loader, which begins at start. See elf(5).
//
//	text: header, program headers, interpreter, strings, symbols, hash table, relocations, start, serve
//	data: table, dynamic section
func image(goarch, interpreter string, start, serve []byte, t table) []byte {
	var text bytes.Buffer
	put := func(data any) (address uint64) {
		for text.Len()%16 != 0 {
			text.WriteByte(0)
		}
		address = textAddress + uint64(text.Len())
		// A buffer takes everything, and all of these have a fixed size.
		_ = binary.Write(&text, binary.LittleEndian, data)
		return address
	}

	// The headers are written last, when what they point to has its place.
	const programs = 6
	header := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machines[goarch]), Version: uint32(elf.EV_CURRENT),
		Ehsize: uint16(binary.Size(elf.Header64{})), Phentsize: uint16(binary.Size(elf.Prog64{})), Phnum: programs, Shentsize: uint16(binary.Size(elf.Section64{})),
	}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	header.Phoff = uint64(header.Ehsize)
	put(make([]byte, int(header.Ehsize)+programs*int(header.Phentsize)))
	interpreterAt := put(append([]byte(interpreter), 0))

	strings := []byte{0}
	name := func(s string) uint32 {
		at := len(strings)
		strings = append(append(strings, s...), 0)
		return uint32(at)
	}
	symbols := []elf.Sym64{{}} // the first is never used
	var relocations []elf.Rela64
	for i, s := range imports {
		relocations = append(relocations, elf.Rela64{Off: dataAddress + 8*uint64(i), Info: elf.R_INFO(uint32(len(symbols)), globData[goarch])})
		symbols = append(symbols, elf.Sym64{Name: name(s), Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_NOTYPE)})
	}
	var dynamic []elf.Dyn64
	tag := func(t elf.DynTag, value uint64) { dynamic = append(dynamic, elf.Dyn64{Tag: int64(t), Val: value}) }
	for _, library := range needed {
		tag(elf.DT_NEEDED, uint64(name(library)))
	}
	// A hash table of one bucket, which is empty: nothing is defined here.
	hash := make([]uint32, 3+len(symbols))
	hash[0], hash[1] = 1, uint32(len(symbols))
	tag(elf.DT_HASH, put(hash))
	tag(elf.DT_SYMTAB, put(symbols))
	tag(elf.DT_SYMENT, uint64(binary.Size(elf.Sym64{})))
	tag(elf.DT_STRTAB, put(strings))
	tag(elf.DT_STRSZ, uint64(len(strings)))
	tag(elf.DT_RELA, put(relocations))
	tag(elf.DT_RELASZ, uint64(binary.Size(relocations)))
	tag(elf.DT_RELAENT, uint64(binary.Size(elf.Rela64{})))
	tag(elf.DT_DEBUG, 0)
	tag(elf.DT_NULL, 0)
	header.Entry = put(start)
	t.Serve = put(serve)

	var data bytes.Buffer
	_ = binary.Write(&data, binary.LittleEndian, t)
	_ = binary.Write(&data, binary.LittleEndian, dynamic)
	dynamicSize := uint64(binary.Size(dynamic))
	dataOffset := (uint64(text.Len()) + alignment - 1) / alignment * alignment

	segment := func(t elf.ProgType, flags elf.ProgFlag, address, offset, size, align uint64) elf.Prog64 {
		return elf.Prog64{Type: uint32(t), Flags: uint32(flags), Off: offset, Vaddr: address, Paddr: address, Filesz: size, Memsz: size, Align: align}
	}
	var out bytes.Buffer
	_ = binary.Write(&out, binary.LittleEndian, header)
	_ = binary.Write(&out, binary.LittleEndian, [programs]elf.Prog64{
		segment(elf.PT_PHDR, elf.PF_R, textAddress+header.Phoff, header.Phoff, programs*uint64(header.Phentsize), 8),
		segment(elf.PT_INTERP, elf.PF_R, interpreterAt, interpreterAt-textAddress, uint64(len(interpreter)+1), 1),
		segment(elf.PT_LOAD, elf.PF_R|elf.PF_X, textAddress, 0, uint64(text.Len()), alignment),
		segment(elf.PT_LOAD, elf.PF_R|elf.PF_W, dataAddress, dataOffset, uint64(data.Len()), alignment),
		segment(elf.PT_DYNAMIC, elf.PF_R|elf.PF_W, dataAddress+uint64(binary.Size(t)), dataOffset+uint64(binary.Size(t)), dynamicSize, 8),
		segment(elf.PT_GNU_STACK, elf.PF_R|elf.PF_W, 0, 0, 0, 16), // no code on the stack
	})
	out.Write(text.Bytes()[out.Len():])
	out.Write(make([]byte, dataOffset-uint64(out.Len())))
	out.Write(data.Bytes())
	return out.Bytes()
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// code gives the addresses of the two functions that are for the server.
func code() (start, serve unsafe.Pointer)

// endMark follows each of them.
const endMark = "end.end."

// function is the machine code of one of them.
func function(at unsafe.Pointer) []byte {
	const most = 1024 // the functions are smaller, and the program's text does not end this soon after them
	all := unsafe.Slice((*byte)(at), most)
	n := bytes.Index(all, []byte(endMark))
	if n < 0 {
		panic("dlopen: a function for the server has no end mark")
	}
	return all[:n]
}
