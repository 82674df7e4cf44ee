package explain

import (
	"slices"
	"sort"
)

// repulsion computes what drives the points of a picture apart.
//
// Legend: N points.
type repulsion interface {
	// at sets force [N,2] to Σⱼ q²·(yᵢ−yⱼ) of points y [N,2], with q = 1/(1+|yᵢ−yⱼ|²), and returns Z = Σᵢ Σⱼ≠ᵢ q.
	at(y, force []float64) float64
}

// allPairs takes each pair of points.
type allPairs struct {
	threads int
	parts   []float64 // [N]: of Z
}

func (r *allPairs) at(y, force []float64) float64 {
	n := len(y) / 2
	r.parts = slices.Grow(r.parts[:0], n)[:n]
	parallel(r.threads, n, func(from, to int) {
		for i := from; i < to; i++ {
			xi, yi := y[2*i], y[2*i+1]
			var z, fx, fy float64
			for _, others := range [2][]float64{y[:2*i], y[2*i+2:]} {
				for j := 0; j+1 < len(others); j += 2 {
					dx, dy := xi-others[j], yi-others[j+1]
					q := 1 / (1 + dx*dx + dy*dy)
					z += q
					q *= q
					fx += q * dx
					fy += q * dy
				}
			}
			force[2*i], force[2*i+1] = fx, fy
			r.parts[i] = z
		}
	})
	return sum(r.parts)
}

// barnesHut takes the points of a square together where the square is narrower than theta times its distance (Barnes and Hut 1986).
// The squares' order is that of a curve through all points (Morton 1966), so that those that are near in the picture are near in
// memory.
type barnesHut struct {
	theta   float64
	threads int

	keys   []uint64  // [N]: where a point is along the curve, and its number
	spare  []uint64  // [N]: the keys before they are merged
	sorted []float64 // [N,2]: the points along the curve
	nodes  []node    // each before those in it
	z, f   []float64 // [N], [N,2], along the curve
}

// node is a square with its points.
type node struct {
	x, y     float64 // the points' mean
	points   float64 // their number
	reach    float64 // (width/theta)²: where the squared distance is larger, the points are taken together
	next     int32   // the node after those in it
	from, to int32   // its points along the curve, of a square that isn't divided; else to is 0
}

const (
	cellBits   = 21              // of a place along each axis
	indexBits  = 64 - 2*cellBits // of a point's number
	maxPoints  = 1 << indexBits  // that a key has room for
	cells      = 1 << cellBits   // along each axis
	indexMask  = maxPoints - 1   // of a key
	leafPoints = 8               // up to which a square isn't divided
)

func (r *barnesHut) at(y, force []float64) float64 {
	n := len(y) / 2
	r.keys, r.z = slices.Grow(r.keys[:0], n)[:n], slices.Grow(r.z[:0], n)[:n]
	r.sorted, r.f = slices.Grow(r.sorted[:0], 2*n)[:2*n], slices.Grow(r.f[:0], 2*n)[:2*n]
	lowX, highX, lowY, highY := y[0], y[0], y[1], y[1]
	for i := range n {
		lowX, highX = min(lowX, y[2*i]), max(highX, y[2*i])
		lowY, highY = min(lowY, y[2*i+1]), max(highY, y[2*i+1])
	}
	width := max(highX-lowX, highY-lowY)
	if !(width > 0) {
		width = 1 // all points are in one place
	}
	scale := (cells - 1) / width
	parallel(r.threads, n, func(from, to int) {
		for i := from; i < to; i++ {
			column, row := uint32((y[2*i]-lowX)*scale), uint32((y[2*i+1]-lowY)*scale)
			r.keys[i] = (interleave(column)|interleave(row)<<1)<<indexBits | uint64(i)
		}
	})
	r.sort()
	parallel(r.threads, n, func(from, to int) {
		for at := from; at < to; at++ {
			i := r.keys[at] & indexMask
			r.sorted[2*at], r.sorted[2*at+1] = y[2*i], y[2*i+1]
		}
	})
	r.nodes = r.nodes[:0]
	r.build(0, n, 64, width*cells/(cells-1))
	parallel(r.threads, (n+together-1)/together, func(from, to int) {
		for group := from; group < to; group++ {
			r.forces(group*together, min((group+1)*together, n))
		}
	})
	parallel(r.threads, n, func(from, to int) {
		for at := from; at < to; at++ {
			i := r.keys[at] & indexMask
			force[2*i], force[2*i+1] = r.f[2*at], r.f[2*at+1]
		}
	})
	return sum(r.z)
}

// sort sorts the keys, of which no two are equal: a part on each thread, and then two parts into one.
func (r *barnesHut) sort() {
	n, parts := len(r.keys), 1
	for parts < r.threads && n/(2*parts) >= 1024 {
		parts *= 2
	}
	at := func(part int) int { return part * n / parts }
	parallel(r.threads, parts, func(from, to int) {
		for part := from; part < to; part++ {
			slices.Sort(r.keys[at(part):at(part+1)])
		}
	})
	for width := 1; width < parts; width *= 2 {
		r.spare = append(r.spare[:0], r.keys...)
		pairs := parts / (2 * width)
		parallel(r.threads, pairs, func(from, to int) {
			for pair := from; pair < to; pair++ {
				low, middle, high := at(2*width*pair), at(2*width*pair+width), at(2*width*(pair+1))
				merge(r.keys[low:high], r.spare[low:middle], r.spare[middle:high])
			}
		})
	}
}

// merge sets out to two sorted lists, sorted.
func merge(out, a, b []uint64) {
	for i := range out {
		if len(b) == 0 || len(a) > 0 && a[0] < b[0] {
			out[i], a = a[0], a[1:]
		} else {
			out[i], b = b[0], b[1:]
		}
	}
}

// interleave puts a zero bit before each bit.
func interleave(v uint32) uint64 {
	x := uint64(v)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	x = (x | x<<2) & 0x3333333333333333
	return (x | x<<1) & 0x5555555555555555
}

// build appends the node of the points [from, to) along the curve and those in it. Their keys differ in the lowest bits alone. It
// returns the sum of the points.
func (r *barnesHut) build(from, to, bits int, width float64) (x, y float64) {
	at := len(r.nodes)
	reach := width / r.theta
	r.nodes = append(r.nodes, node{points: float64(to - from), reach: reach * reach})
	if to-from <= leafPoints || bits <= indexBits {
		for i := from; i < to; i++ {
			x += r.sorted[2*i]
			y += r.sorted[2*i+1]
		}
		r.nodes[at].from, r.nodes[at].to = int32(from), int32(to)
	} else {
		for quarter := uint64(0); from < to; quarter++ {
			end := from + sort.Search(to-from, func(i int) bool { return r.keys[from+i]>>(bits-2)&3 > quarter })
			if end > from {
				dx, dy := r.build(from, end, bits-2, width/2)
				x += dx
				y += dy
			}
			from = end
		}
	}
	n := &r.nodes[at]
	n.x, n.y, n.next = x/n.points, y/n.points, int32(len(r.nodes))
	return x, y
}

// together is how many points that follow one another along the curve go through the squares together: they are near one another, so
// that both of them take nearly the same squares as one.
const together = 2

// forces sets Σ q and Σ q²·(yᵢ−yⱼ) of the points at the places [from, to) along the curve, two or one. A square is taken as one where
// it is far enough from both of them.
func (r *barnesHut) forces(from, to int) {
	var (
		z0, fx0, fy0, z1, fx1, fy1 float64

		x0, y0 = r.sorted[2*from], r.sorted[2*from+1]
		x1, y1 = r.sorted[2*to-2], r.sorted[2*to-1] // of one point, the same once more
	)
	for i := 0; i < len(r.nodes); {
		n := &r.nodes[i]
		dx0, dy0, dx1, dy1 := x0-n.x, y0-n.y, x1-n.x, y1-n.y
		d0, d1 := dx0*dx0+dy0*dy0, dx1*dx1+dy1*dy1
		switch {
		case d0 > n.reach && d1 > n.reach:
			q0, q1 := 1/(1+d0), 1/(1+d1)
			m0, m1 := n.points*q0, n.points*q1
			z0 += m0
			z1 += m1
			m0 *= q0
			m1 *= q1
			fx0 += m0 * dx0
			fy0 += m0 * dy0
			fx1 += m1 * dx1
			fy1 += m1 * dy1
			i = int(n.next)
		case n.to > 0:
			for j := int(n.from); j < int(n.to); j++ {
				x, y := r.sorted[2*j], r.sorted[2*j+1]
				dx0, dy0, dx1, dy1 := x0-x, y0-y, x1-x, y1-y
				q0, q1 := 1/(1+dx0*dx0+dy0*dy0), 1/(1+dx1*dx1+dy1*dy1)
				z0 += q0
				z1 += q1
				q0 *= q0
				q1 *= q1
				fx0 += q0 * dx0
				fy0 += q0 * dy0
				fx1 += q1 * dx1
				fy1 += q1 * dy1
			}
			i = int(n.next)
		default:
			i++
		}
	}
	// Without the points themselves, whose q is 1.
	r.z[from], r.f[2*from], r.f[2*from+1] = z0-1, fx0, fy0
	r.z[to-1], r.f[2*to-2], r.f[2*to-1] = z1-1, fx1, fy1
}
