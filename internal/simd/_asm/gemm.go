package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A shape is the largest number of rows of tiles that are one vector wide, two vectors wide, and so on. Operands are packed by
// the rows and columns of the widest tile; narrower tiles serve the last columns.
type shape []int

func (s shape) rows() int    { return s[len(s)-1] }
func (s shape) vectors() int { return len(s) }

// floatTiles is the shape of tiles of float32. A tile has as many sums as registers allow beside a row of B and elements of A,
// and at least eight, enough to hide the latency of the multiply-adds. Wide, low tiles need fewer loads for the same number
// of multiply-adds: 4×3 needs seven loads for 12 and 6×2 eight; 9×3 needs twelve for 27, and 14×2 sixteen for 28. This matters
// where a sibling hyperthread shares the core. Also, rows of A that are a large power of two apart map to the same set of the
// first-level cache, which holds eight or twelve lines.
func (v *isa) floatTiles() shape {
	if v == avx2 {
		return shape{8, 4, 4}
	}
	return shape{14, 14, 9}
}

// wordTiles is the shape of tiles of bfloat16. AMX, whose tiles are 32 columns wide, uses the same packing of B.
func (v *isa) wordTiles() shape {
	if v == avx2 {
		return v.floatTiles()
	}
	return shape{14, 14}
}

// prefetchAhead is how many bytes ahead of its use the first tile of a block prefetches B. A panel that has not been prefetched
// before comes from the third-level cache or from memory; on Zen 5, 4096 is 2 to 5 % faster there than 1024. Later tiles do
// not prefetch B: at AVX2 this was one load in addition to eight for twelve multiply-adds, and cost a fifth of a tile's speed
// when the panel was in the cache already.
const prefetchAhead = 4096

// Tiles also prefetch the next panel into the second-level cache, pace bytes per step, so that all tiles of a block together
// fetch all of it. The first tile of the next block takes only a fraction of a block's time; if it had to fetch the panel
// alone, it would need more bandwidth than a core has beyond its second-level cache. askSteps is the number of steps that
// share one such prefetch in the unrolled loops.
const askSteps = 2

// lineSteps is the number of steps along k that use up a cache line of each row of A. During that many steps, the loop of float32
// prefetches one line of each row of the next tile: the first panel finds A in the third-level cache or in memory, and a
// narrow C has few panels after it.
const lineSteps = 16

// unrolledSteps is the number of steps in one iteration of the loop of float32, a multiple of four. At AVX2 the instructions
// that advance the loop compete with the multiply-adds for execution units: four steps cost 2 to 5 %. At AVX-512 they do not.
func (v *isa) unrolledSteps() int {
	if v == avx2 {
		return 8
	}
	return 4
}

// rowsAsked is how many rows of C of the next tile the loop of float32 prefetches during lineSteps. All at once, they would
// occupy the fill buffers that lines of A and B need.
const rowsAsked = 2

// emitGemm writes one function for each width of a tile. The driver in Go cuts m into tiles of nearly equal height, so no tile
// has only the few rows that are left, too few independent sums to hide the latency of the multiply-adds.
func emitGemm(g *gen) {
	g.shape = g.floatTiles()
	for vectors := range g.shape {
		g.gemmWidth("gemm", vectors+1, true, (*tileLoop).clear, (*gen).stepFloats, (*tileLoop).addBias)
	}
}

// emitGemm16 writes the functions for products of bfloat16.
func emitGemm16(g *gen) {
	g.shape = g.wordTiles()
	step := (*gen).stepHalves
	if g.isa == avx512bf16 {
		step = (*gen).stepWords
	}
	for vectors := range g.shape {
		g.gemmWidth("gemm16x", vectors+1, false, (*tileLoop).startFromBias, step, nil)
	}
}

// A tileStep holds the operands of one step along k.
type tileStep struct {
	rows     int
	b        reg.GPVirtual
	offB     int                            // the offset of the row of B from b, in bytes
	fetch    bool                           // prefetch B
	fetchIf  reg.GPVirtual                  // if not nil, prefetch B only if this is not zero
	next     reg.GPVirtual                  // the address to prefetch from the next panel, or nil
	pace     reg.GPVirtual                  // added to next
	rowA     func(i int) operand.Mem        // the element of A in row i
	acc      func(i, j int) reg.VecPhysical // the sums of row i in vector j
	rowB     []reg.VecPhysical
	elementA []reg.VecPhysical
	spare    []reg.VecPhysical
}

// stepFloats adds the products of float32.
func (g *gen) stepFloats(t tileStep) { g.stepWhole(t, g.VFMADD231PS) }

// stepWords adds the products of both halves of words.
func (g *gen) stepWords(t tileStep) { g.stepWhole(t, g.VDPBF16PS) }

func (g *gen) stepWhole(t tileStep, multiplyAdd instruction) {
	for j, r := range t.rowB {
		g.VMOVUPS(at(t.b, t.offB+j*g.bytes), r)
	}
	g.prefetchB(t)
	for i := range t.rows {
		x := t.elementA[i%len(t.elementA)]
		g.VBROADCASTSS(t.rowA(i), x)
		for j, r := range t.rowB {
			multiplyAdd(x, r, t.acc(i, j))
		}
	}
}

// stepHalves does the same without an instruction for words: a bfloat16 is the upper half of a float32.
func (g *gen) stepHalves(t tileStep) {
	upper := func(r reg.Register) { g.with(g.VANDPS, g.VANDPS_BCST, upperHalf, r, r) }
	lower := func(r reg.Register) { g.VPSLLD(operand.Imm(halfBits), r, r) }
	for _, half := range []func(reg.Register){upper, lower} {
		for j, r := range t.rowB {
			g.VMOVUPS(at(t.b, j*g.bytes), r)
			half(r)
		}
		for i := range t.rows {
			x := t.elementA[i%len(t.elementA)]
			g.VBROADCASTSS(t.rowA(i), x)
			half(x)
			for j, r := range t.rowB {
				g.VFMADD231PS(x, r, t.acc(i, j))
			}
		}
	}
	g.prefetchB(t)
}

func (g *gen) prefetchB(t tileStep) {
	if t.fetch {
		skip := g.label("skip")
		if t.fetchIf != nil {
			g.TESTQ(t.fetchIf, t.fetchIf)
			g.JZ(g.jmp(skip))
		}
		for off := 0; off < len(t.rowB)*g.bytes; off += 64 {
			g.PREFETCHT0(at(t.b, t.offB+prefetchAhead+off))
		}
		if t.fetchIf != nil {
			g.Label(skip)
		}
	}
	if t.next != nil {
		g.PREFETCHT1(at(t.next, 0))
		g.ADDQ(t.pace, t.next)
	}
}

// runType is the type in package simd that holds the arguments. The Go tools write the offsets of its fields to go_asm.h.
const runType = "gemmRun"

// A tileLoop is the state of a function that computes tiles of one width and any height.
type tileLoop struct {
	*gen
	vectors int
	most    int // rows of the highest tile
	run     reg.GPVirtual
	acc     func(i, j int) reg.VecPhysical // the sums of row i in vector j, whatever the height
	rowB    []reg.VecPhysical
	element []reg.VecPhysical // of A
	spare   []reg.VecPhysical
	step    func(*gen, tileStep)
	mask    tail // of the last vector, at AVX-512

	a                   []reg.GPVirtual // where rows 0, rowsOfBase, 2·rowsOfBase… of A are
	rs, rs3             reg.GPVirtual   // the distance of two rows of A, and three times that
	b, k, c             reg.GPVirtual
	below               reg.GPVirtual // the row of C of the next tile to ask for
	next, pace          reg.GPVirtual
	ahead               reg.GPVirtual // the line of A of the next tile to ask for
	fetch               reg.GPVirtual // whether to ask for B; nil is always
	lines               reg.GPVirtual // how often lineSteps are still to be done
	firstA, toAsk, wrap operand.Mem
}

// rowsOfBase is how many rows of A are addressed from one register: 0, 1, 2 and 4 times the distance of two rows, and 3 times
// from a register that holds as much.
const rowsOfBase = 5

// field is a field of the arguments.
func (l *tileLoop) field(name string) operand.Mem {
	return operand.Mem{Symbol: operand.Symbol{Name: runType + "_" + name}, Base: l.run}
}

// load loads a field of the arguments into a new register.
func (l *tileLoop) load(name string) reg.GPVirtual {
	r := l.GP64()
	l.MOVQ(l.field(name), r)
	return r
}

// rowA is the element of A in row i, offset bytes from the current step.
func (l *tileLoop) rowA(i, offset int) operand.Mem {
	return l.rowFrom(l.a[i/rowsOfBase], i%rowsOfBase, offset)
}

// rowFrom is the row of A that is i < rowsOfBase rows from base.
func (l *tileLoop) rowFrom(base reg.GPVirtual, i, offset int) operand.Mem {
	m := at(base, offset)
	switch i {
	case 1, 2, 4:
		m.Index, m.Scale = l.rs, uint8(i)
	case 3:
		m.Index, m.Scale = l.rs3, 1
	}
	return m
}

// bases are the registers from which the elements of A of some rows are addressed.
func (l *tileLoop) bases(rows int) []reg.GPVirtual { return l.a[:(rows+rowsOfBase-1)/rowsOfBase] }

// eachRow emits body for each row of the highest tile, from the last to the first. Lower tiles enter at their own last row.
func (l *tileLoop) eachRow(body func(i int)) {
	label := l.label("row") + "of"
	l.pick(l.most, 2, label)
	l.JMP(l.jmp(label + "1"))
	for i := l.most - 1; i >= 0; i-- {
		l.Label(fmt.Sprint(label, i+1))
		body(i)
	}
}

// eachRowOfC is eachRow with the address of the row of C.
func (l *tileLoop) eachRowOfC(body func(row reg.Register, i int)) {
	row := l.load("cs")
	l.ADDQ(l.c, row)
	l.eachRow(func(i int) {
		l.SUBQ(l.field("ldc"), row)
		body(row, i)
	})
}

// hot reports whether tiles of that many rows in place are frequent. If m is more than three times the rows of the highest
// tile, the driver makes no lower ones.
func (l *tileLoop) hot(rows int) bool { return 3*rows >= 2*l.most }

// gemmWidth writes the function that computes tiles below one another in C, of the given width and any height that the registers
// allow. All heights share the code that loads and stores C; each has its own loops along k. With lines, frequent heights
// have loops that advance by cache lines of A, and only the first tile of a block prefetches B: the others find it in the
// cache. fresh sets sums that do not start from C; complete, which may be nil, completes the sums before they are stored.
func (g *gen) gemmWidth(name string, vectors int, lines bool, fresh func(*tileLoop), step func(*gen, tileStep), complete func(*tileLoop)) {
	most := g.shape[vectors-1]
	free := g.vec[most*vectors:]
	l := &tileLoop{
		gen: g, vectors: vectors, most: most, step: step,
		acc:     func(i, j int) reg.VecPhysical { return g.vec[i*vectors+j] },
		rowB:    free[:vectors],
		element: free[vectors:min(vectors+2, len(free))],
		spare:   free[min(vectors+2, len(free)):],
	}
	g.functionOf(fmt.Sprintf("%s%d", name, vectors), "run", runType,
		fmt.Sprintf("computes tiles of width %d, in vectors.", vectors))
	l.run = g.param("run")
	l.c = l.load("c")
	if !g.vex() {
		l.mask = g.tailMask(l.load("last"), reg.K1)
	}
	l.firstA = g.AllocLocal(8)
	g.MOVQ(l.load("a"), l.firstA)
	if lines {
		l.next, l.pace = l.load("next"), l.load("pace")
		l.toAsk, l.wrap = g.AllocLocal(8), g.AllocLocal(8)
	}
	l.rs, l.rs3 = l.load("rs"), l.GP64()
	l.LEAQ(operand.Mem{Base: l.rs, Index: l.rs, Scale: 2}, l.rs3)
	tile, store := g.label("tile"), g.label("store")

	g.Label(tile)
	l.begin(fresh)
	l.k = l.load("k")
	g.TESTQ(l.k, l.k)
	g.JZ(g.jmp(store))
	l.operands()
	if lines {
		l.linesOf(store)
	} else {
		l.askC(most)
		l.singly(store)
	}

	g.Label(store)
	if complete != nil {
		complete(l)
	}
	l.store()
	g.MOVQ(operand.U32(0), l.field("fetch"))
	g.ADDQ(l.field("cs"), l.c)
	g.ADDQ(l.load("as"), l.firstA)
	g.DECQ(l.field("tiles"))
	g.JNZ(g.jmp(tile))
	end, tiles := g.label("end"), l.load("lowTiles")
	g.TESTQ(tiles, tiles)
	g.JZ(g.jmp(end))
	g.MOVQ(tiles, l.field("tiles"))
	g.MOVQ(operand.U32(0), l.field("lowTiles"))
	for _, low := range [][2]string{{"lowRows", "rows"}, {"lowAs", "as"}, {"lowCs", "cs"}} {
		g.MOVQ(l.load(low[0]), l.field(low[1]))
	}
	g.JMP(g.jmp(tile))
	g.Label(end)
	g.ret()
}

// begin loads the sums from C, or starts them afresh.
func (l *tileLoop) begin(start func(*tileLoop)) {
	fresh, begun := l.label("fresh"), l.label("begun")
	l.CMPB(l.field("add"), operand.Imm(0))
	l.JEQ(l.jmp(fresh))
	mask := l.lastMask()
	last := l.vectors - 1
	l.eachRowOfC(func(row reg.Register, i int) {
		for j := range last {
			l.VMOVUPS(at(row, j*l.bytes), l.acc(i, j))
		}
		l.loadTail(at(row, last*l.bytes), mask, l.acc(i, last))
	})
	l.JMP(l.jmp(begun))
	l.Label(fresh)
	start(l)
	l.Label(begun)
}

// clear sets the sums to zero.
func (l *tileLoop) clear() {
	for i := range l.most {
		for j := range l.vectors {
			l.zero(l.acc(i, j))
		}
	}
}

// startFromBias sets each row of sums to a row, or to zero if there is none.
func (l *tileLoop) startFromBias() {
	none, started := l.label("none"), l.label("started")
	bias := l.load("bias")
	l.TESTQ(bias, bias)
	l.JZ(l.jmp(none))
	l.loadRow(bias)
	for i := range l.most { // rows that a lower tile lacks are not stored
		for j, r := range l.rowB {
			l.VMOVAPS(r, l.acc(i, j))
		}
	}
	l.JMP(l.jmp(started))
	l.Label(none)
	l.clear()
	l.Label(started)
}

// lastMask is the mask of the last vector. With VEX it is made in the register of an element of A.
func (l *tileLoop) lastMask() tail {
	if l.vex() {
		return l.tailMask(l.load("last"), l.element[0])
	}
	return l.mask
}

// operands loads the pointers that the loops along k advance.
func (l *tileLoop) operands() {
	l.b = l.load("b")
	first := l.GP64()
	l.MOVQ(l.firstA, first)
	l.a = []reg.GPVirtual{first}
	if l.most > rowsOfBase {
		distance := l.GP64()
		l.LEAQ(operand.Mem{Base: l.rs3, Index: l.rs, Scale: 2}, distance)
		for i := rowsOfBase; i < l.most; i += rowsOfBase {
			next := l.GP64()
			l.LEAQ(operand.Mem{Base: l.a[len(l.a)-1], Index: distance, Scale: 1}, next)
			l.a = append(l.a, next)
		}
	}
	l.below = l.load("cs")
	l.ADDQ(l.c, l.below)
}

// askC prefetches rows of C of the next tile.
func (l *tileLoop) askC(rows int) {
	for range rows {
		for off := 0; off < l.vectors*l.bytes; off += 64 {
			l.PREFETCHT0(at(l.below, off))
		}
		l.ADDQ(l.field("ldc"), l.below)
	}
}

// pick emits jumps to the labels of the given heights. Other heights fall through.
func (l *tileLoop) pick(from, downTo int, label string) {
	rows := l.load("rows")
	for r := from; r >= downTo; r-- {
		l.CMPQ(rows, operand.Imm(uint64(r)))
		l.JEQ(l.jmp(fmt.Sprint(label, r)))
	}
}

// singly writes the loops of one step for all heights.
func (l *tileLoop) singly(store string) {
	l.pick(l.most, 2, "single")
	for rows := 1; rows <= l.most; rows++ {
		l.single(rows, store)
	}
}

// single writes the loop of one step, for A of any strides, and a jump to store.
func (l *tileLoop) single(rows int, store string) {
	label := fmt.Sprint("single", rows)
	l.Label(label)
	l.step(l.gen, tileStep{
		rows: rows, b: l.b, fetch: true, fetchIf: l.fetch, next: l.next, pace: l.pace,
		rowA: func(i int) operand.Mem { return l.rowA(i, 0) },
		acc:  l.acc, rowB: l.rowB, elementA: l.element, spare: l.spare,
	})
	ps := l.field("ps")
	for _, a := range l.bases(rows) {
		l.ADDQ(ps, a)
	}
	l.ADDQ(operand.I32(l.shape.vectors()*l.bytes), l.b)
	l.DECQ(l.k)
	l.JNZ(l.jmp(label))
	l.JMP(l.jmp(store))
}

const elementSize = 4

// linesOf writes the loops by lines for frequent heights, and the loops of one step for all heights.
func (l *tileLoop) linesOf(store string) {
	single, warm := l.label("singly"), l.label("warm")
	l.fetch = l.load("fetch")
	l.TESTQ(l.fetch, l.fetch)
	l.JNZ(l.jmp(single))
	l.lines = l.GP64()
	l.MOVQ(l.k, l.lines)
	l.SHRQ(operand.Imm(4), l.lines)
	l.JZ(l.jmp(single))
	inPlace := l.label("inPlace")
	l.CMPB(l.field("packed"), operand.Imm(0))
	l.JEQ(l.jmp(inPlace))
	l.pick(l.shape.rows(), l.shape.rows(), "packed")
	l.JMP(l.jmp(warm))
	l.Label(inPlace)
	l.ahead = l.load("as")
	l.ADDQ(l.a[0], l.ahead)
	lowest := l.most
	for l.hot(lowest - 1) {
		lowest--
	}
	l.pick(l.most, lowest, "lines")
	l.Label(warm)
	l.MOVQ(operand.U32(0), l.fetch) // fetch and k were not kept: the loops by lines need their registers
	l.MOVQ(l.field("k"), l.k)
	l.Label(single)
	l.pick(l.most, 2, "single")
	for rows := 1; rows <= l.most; rows++ {
		if rows == l.shape.rows() {
			l.byLines(rows, true, "packed", store)
		}
		if rows >= lowest {
			l.byLines(rows, false, "lines", store)
		}
		l.single(rows, store)
	}
}

// byLines writes the loop that advances by lineSteps, in turns of unrolledSteps. The loop of one step does the rest.
func (l *tileLoop) byLines(rows int, packed bool, name, store string) {
	l.Label(fmt.Sprint(name, rows))
	l.MOVQ(operand.U32(uint64((rows+rowsAsked-1)/rowsAsked)), l.toAsk)
	steps := l.unrolledSteps()
	turns := lineSteps / steps
	rowsOfTurn := (rows + turns - 1) / turns
	stepSize := elementSize
	if packed {
		stepSize *= l.shape.rows()
	} else { // after the last turn, ahead returns to the first row, one line farther
		back := l.GP64()
		l.IMUL3Q(operand.I32(-rowsOfTurn*turns), l.rs, back)
		l.ADDQ(operand.Imm(elementSize*lineSteps), back)
		l.MOVQ(back, l.wrap)
	}
	line, turn, asked, single := l.label("line"), l.label("turn"), l.label("asked"), fmt.Sprint("single", rows)
	l.Label(line)
	l.DECQ(l.toAsk)
	l.JL(l.jmp(asked))
	l.askC(rowsAsked)
	l.Label(asked)
	count := l.GP64()
	l.MOVQ(operand.U32(uint64(turns)), count)
	l.Label(turn)
	for p := range steps {
		l.step(l.gen, tileStep{
			rows: rows, b: l.b, offB: p * l.shape.vectors() * l.bytes,
			rowA: func(i int) operand.Mem { return l.rowA(i, p*stepSize) },
			acc:  l.acc, rowB: l.rowB, elementA: l.element,
		})
		switch p % 4 {
		case 0:
			l.PREFETCHT1(at(l.next, 0))
		case askSteps:
			l.PREFETCHT1(operand.Mem{Base: l.next, Index: l.pace, Scale: askSteps})
			l.LEAQ(operand.Mem{Base: l.next, Index: l.pace, Scale: 4}, l.next)
		}
		for i := p * rowsOfTurn / steps; !packed && i < (p+1)*rowsOfTurn/steps; i++ {
			l.PREFETCHT0(l.rowFrom(l.ahead, i, 0))
		}
	}
	if !packed {
		l.LEAQ(l.rowFrom(l.ahead, rowsOfTurn, 0), l.ahead)
	}
	for _, a := range l.bases(rows) {
		l.ADDQ(operand.I32(steps*stepSize), a)
	}
	l.ADDQ(operand.I32(steps*l.shape.vectors()*l.bytes), l.b)
	l.DECQ(count)
	l.JNZ(l.jmp(turn))
	if !packed {
		l.ADDQ(l.wrap, l.ahead)
	}
	l.DECQ(l.lines)
	l.JNZ(l.jmp(line))
	l.MOVQ(operand.U32(0), l.fetch)
	l.MOVQ(l.field("k"), l.k)
	l.ANDQ(operand.Imm(lineSteps-1), l.k)
	l.JZ(l.jmp(store))
	l.JMP(l.jmp(single))
}

// addBias adds a row to each row of sums, unless there is none.
func (l *tileLoop) addBias() {
	none := l.label("none")
	bias := l.load("bias")
	l.TESTQ(bias, bias)
	l.JZ(l.jmp(none))
	l.loadRow(bias)
	for i := range l.most { // rows that a lower tile lacks are not stored
		for j, r := range l.rowB {
			l.VADDPS(r, l.acc(i, j), l.acc(i, j))
		}
	}
	l.Label(none)
}

// loadRow loads a row of as many elements as a row of the tile in place of B's.
func (l *tileLoop) loadRow(row reg.GPVirtual) {
	last := l.vectors - 1
	for j := range last {
		l.VMOVUPS(at(row, j*l.bytes), l.rowB[j])
	}
	l.loadTail(at(row, last*l.bytes), l.lastMask(), l.rowB[last])
}

// store stores the sums. It uses no mask if the last vector is whole: masked stores of AVX2 are slow on some processors.
func (l *tileLoop) store() {
	partial, stored := l.label("partial"), l.label("stored")
	l.CMPQ(l.load("last"), operand.Imm(uint64(l.lanes)))
	l.JNE(l.jmp(partial))
	l.eachRowOfC(func(row reg.Register, i int) {
		for j := range l.vectors {
			l.VMOVUPS(l.acc(i, j), at(row, j*l.bytes))
		}
	})
	l.JMP(l.jmp(stored))
	l.Label(partial)
	mask := l.lastMask()
	last := l.vectors - 1
	l.eachRowOfC(func(row reg.Register, i int) {
		for j := range last {
			l.VMOVUPS(l.acc(i, j), at(row, j*l.bytes))
		}
		l.storeTail(l.acc(i, last), mask, at(row, last*l.bytes))
	})
	l.Label(stored)
}
