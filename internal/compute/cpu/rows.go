package cpu

import (
	"fmt"

	"github.com/go-bert/bert/internal/compute"
	"github.com/go-bert/bert/internal/simd"
)

// rowsTask is Dropout, or Gather where there are indices; its jobs are runs of rows.
type rowsTask struct {
	dst, src          []float32
	indices           []int32
	drop              simd.Drop
	count, width, run int
}

func (t *rowsTask) do(w *worker, job int) {
	for r := job * t.run; r < min((job+1)*t.run, t.count); r++ {
		dst := t.dst[r*t.width:][:t.width]
		if t.indices != nil {
			copy(dst, t.src[int(t.indices[r])*t.width:])
		} else {
			w.k.simd.Dropout(dst, t.src[r*t.width:][:t.width], t.drop, uint64(r))
		}
	}
}

// rowRun is how many rows of a width make a job.
func rowRun(width int) int { return max(1, flatRun/max(width, 1)) }

// Dropout is dst = dropout(x) of x [rows, width]; dst may be x.
func (d *Device) Dropout(dst, x compute.Buffer, rows, width int, drop compute.Drop) {
	t := rowsTask{
		dst: target(dst, rows*width, "Dropout.dst"), src: source(x, rows*width, "Dropout.x"),
		drop: dropOf(drop), count: rows, width: width, run: rowRun(width),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows = t
	d.run(&d.rows, ceil(rows, t.run), rows*width/expRate)
	d.rows = rowsTask{}
}

// Gather is dst[i] = src[rows[i]], of rows of the given width.
func (d *Device) Gather(dst, src compute.Buffer, rows []int32, width int) {
	checkIndices(rows, tableRows(src, width, "Gather.src"), "Gather.rows")
	t := rowsTask{
		dst: target(dst, len(rows)*width, "Gather.dst"), src: source(src, src.Len, "Gather.src"),
		indices: rows, count: len(rows), width: width, run: rowRun(width),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows = t
	d.run(&d.rows, ceil(len(rows), t.run), len(rows)*width/rowRate)
	d.rows = rowsTask{}
}

// tableRows is the number of rows of a buffer.
func tableRows(b compute.Buffer, width int, what string) int {
	if width <= 0 || b.Len%width != 0 {
		panic(fmt.Sprintf("cpu: %s has %d elements, not whole rows of %d", what, b.Len, width))
	}
	return b.Len / width
}

// scatterTask adds rows of src to rows of tables. Its jobs are stripes of columns, so that each element of a table has
// one worker, which adds to it in the order of the rows.
type scatterTask struct {
	src    []float32
	width  int
	cols   int // of a stripe
	tables [3]scatterTable
}

// scatterTable is dst[indices[i]] += src[i].
type scatterTable struct {
	dst     []float32
	indices []int32
}

func (t *scatterTask) do(w *worker, job int) {
	from := job * t.cols
	n := min(t.cols, t.width-from)
	for _, table := range t.tables {
		for i, row := range table.indices {
			w.k.simd.Add(table.dst[int(row)*t.width+from:][:n], t.src[i*t.width+from:][:n])
		}
	}
}

// scatter runs d.scatterRows, in which adds rows are added in all, and clears it.
func (d *Device) scatter(adds int) {
	t := &d.scatterRows
	const narrowest = 64 // columns worth a job: four cache lines
	t.cols = max(narrowest, (t.width/(2*d.Threads())+15)/16*16)
	d.run(t, ceil(t.width, t.cols), adds*t.width/rowRate)
	*t = scatterTask{}
}

// ScatterAdd is dst[rows[i]] += src[i], of rows of the given width.
func (d *Device) ScatterAdd(dst, src compute.Buffer, rows []int32, width int) {
	checkIndices(rows, tableRows(dst, width, "ScatterAdd.dst"), "ScatterAdd.rows")
	t := scatterTask{src: source(src, len(rows)*width, "ScatterAdd.src"), width: width}
	t.tables[0] = scatterTable{target(dst, dst.Len, "ScatterAdd.dst"), rows}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.scatterRows = t
	d.scatter(len(rows))
}
