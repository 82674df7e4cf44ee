package explain

import (
	"context"
	"testing"
	"time"
)

// clusters are points around 40 centres.
func clusters(n, d int) *Matrix {
	centres, x := normal(40, d, 1), normal(n, d, 2)
	for i := range n {
		for j, c := range centres.Row(i * 7 % 40) {
			x.Row(i)[j] += 2 * c
		}
	}
	return x
}

// BenchmarkTSNE makes a picture of 20,000 points of 256 dimensions, and measures its parts.
func BenchmarkTSNE(b *testing.B) {
	x := clusters(20_000, 256)
	for range b.N {
		begin := time.Now()
		took := func(what string) {
			b.ReportMetric(time.Since(begin).Seconds(), what)
			begin = time.Now()
		}
		p, err := NewPCA(x, 50, 0)
		if err != nil {
			b.Fatal(err)
		}
		took("pca-s")
		m, err := TSNE(context.Background(), x, TSNEOptions{})
		if err != nil {
			b.Fatal(err)
		}
		took("tsne-s")
		if _, err = Trust(context.Background(), x, m.Points, 10, 0); err != nil {
			b.Fatal(err)
		}
		took("trust-s")
		flat, err := p.Transform(x, 0)
		if err != nil {
			b.Fatal(err)
		}
		begin = time.Now()
		if _, err = Nearest(context.Background(), flat, 90, 0); err != nil {
			b.Fatal(err)
		}
		took("nearest50-s")
		b.ReportMetric(m.KL, "KL")
	}
}
