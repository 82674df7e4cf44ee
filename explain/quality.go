package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/random"
)

// Trustworthiness says how far neighbours in a picture are neighbours in the original space too (Venna and Kaski 2001). A point
// that a picture shows among the K nearest of another, but that is the r-th nearest of it in the original space, r > K, is a
// false neighbour, and counts r − K. 1 means that there are none; a random picture has about a half.
type Trustworthiness struct {
	K       int       // neighbours
	Overall float64   // the mean of Points
	Points  []float64 // [N]
}

// Trust measures the neighbours in a picture [N,2] of the points x [N,D]. It takes time in proportion to N²·D. k has to be below
// N/2.
func Trust(ctx context.Context, x, picture *Matrix, k, threads int) (*Trustworthiness, error) {
	t, _, err := trustAndNeighbours(ctx, x, picture, k, threads, false)
	return t, err
}

// trustAndNeighbours is Trust and, if asked for, Nearest of x, by the same products.
func trustAndNeighbours(ctx context.Context, x, picture *Matrix, k, threads int, neighbours bool) (*Trustworthiness, *Neighbours, error) {
	if err := x.check(); err != nil {
		return nil, nil, err
	}
	switch {
	case x.Rows != picture.Rows:
		return nil, nil, fmt.Errorf("a picture of %d points, want one of %d", picture.Rows, x.Rows)
	case k < 1 || 2*k >= x.Rows:
		return nil, nil, fmt.Errorf("%d neighbours, want at least 1 and fewer than half of the %d points", k, x.Rows)
	}
	shown, err := Nearest(ctx, picture, k, threads)
	if err != nil {
		return nil, nil, err
	}
	s, err := newSieve(x, threads)
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	var near *Neighbours
	if neighbours {
		near = newNeighbours(x.Rows, k)
	}
	t := &Trustworthiness{K: k, Points: make([]float64, x.Rows)}
	scale := 2 / float64(k*(2*x.Rows-3*k-1))
	err = s.rows(ctx, func(i int, products []float32) {
		t.Points[i] = 1 - scale*s.ranksBeyond(i, k, shown.Of(i), products)
		if near != nil {
			near.take(x, i, s.nearest(i, k, products))
		}
	})
	if err != nil {
		return nil, nil, err
	}
	t.Overall = sum(t.Points) / float64(x.Rows)
	return t, near, nil
}

// Sample chooses the most points that a picture can show: each group has its share, and at least one point. groups are the
// groups of the points, [N]; nil: there is one. The indices rise. The same seed chooses the same points.
func Sample(n, most int, groups []string, seed uint64) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	if n <= most {
		return all
	}
	// Points in the order of their groups, and in a group at random: every n/most-th of them.
	stream := random.New(seed, 's')
	stream.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
	if groups != nil {
		slices.SortStableFunc(all, func(a, b int) int { return strings.Compare(groups[a], groups[b]) })
	}
	chosen := make([]int, 0, most)
	taken := make([]bool, n)
	if groups != nil {
		for at := 0; at < n && len(chosen) < most; at++ {
			if at == 0 || groups[all[at]] != groups[all[at-1]] {
				chosen, taken[at] = append(chosen, all[at]), true
			}
		}
	}
	rest := make([]int, 0, n-len(chosen))
	for at, i := range all {
		if !taken[at] {
			rest = append(rest, i)
		}
	}
	for c, more := 0, most-len(chosen); c < more; c++ {
		chosen = append(chosen, rest[c*len(rest)/more])
	}
	slices.Sort(chosen)
	return chosen
}
