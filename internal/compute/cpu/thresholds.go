package cpu

import "time"

// Thresholds are the sizes at which a device cuts work. They change how fast it is and no bit of what it computes. Those
// that are compiled in were chosen by measuring (bert bench calibrate).
type Thresholds struct {
	// Depth is the step along k: the rows of words in a panel of B, and the columns of a block of A.
	Depth int
	// TileDepth is Depth of products in tile registers, a multiple of 16. A tile of B is used for two tiles of A alone, so that a panel of B
	// has to come from the first cache.
	TileDepth int
	// BlockRows is the most rows of a block; with Depth they say how much of A is to stay in the second cache.
	BlockRows int
	// TileRows is BlockRows of products in tile registers. They are so fast that what they wait for is B, which is read for each block: A need
	// not stay in the second cache, from which it is read in order.
	TileRows int
	// FeedRows is the least rows for each worker with which blocks of rows go through both products of a feed-forward network:
	// each worker then reads all the weights.
	FeedRows int
	// FinishCols is about how many columns, whole panels, are computed before what comes after the product is applied to
	// them, in the cache.
	FinishCols int
	// SliceWords is the most words of B that are packed at a time; at least those of a panel of four depths.
	SliceWords int
	// Grain is the cost in nanoseconds below which an operation is done alone.
	Grain int
	// Spin is how long a worker without work stays awake.
	Spin time.Duration
}

// DefaultThresholds are those of New and NewAt.
func DefaultThresholds() Thresholds {
	return Thresholds{
		Depth: 768, BlockRows: 192, // 590 KB of A
		TileDepth:  192, // 25 KB of a panel
		TileRows:   384,
		FeedRows:   96,
		FinishCols: 256,
		SliceWords: 4 << 20, // 16 MiB
		// A worker that is awake comes within a microsecond, and a parked one within ten, of which waking it takes two or
		// three from the caller.
		Grain: 8000,
		// Longer than any operation that is done alone, which a worker may have to wait for, and than most jobs, of which one
		// may be left to the caller at the end: a worker that parks meanwhile comes late to the next operation.
		Spin: 100 * time.Microsecond,
	}
}

// block is the step along k in words, and the most rows of a block.
func (t *Thresholds) block(tiles bool) (depth, rows int) {
	if tiles {
		return t.TileDepth, t.TileRows
	}
	return t.Depth, t.BlockRows
}
