package computetest

import (
	"github.com/go-bert/bert/internal/compute"
)

// eps is BERT's, but for rows of one element, which without it have no inverse of the deviation.
func epsOf(width int) float32 {
	if width == 1 {
		return 1e-3
	}
	return 1e-12
}

// around is n numbers near centre.
func (in *inputs) around(n int, centre float32) []float32 {
	x := in.normal(n, 0.3)
	for i := range x {
		x[i] += centre
	}
	return x
}

func normChecks() (checks []check) {
	i := 0
	shaped(func(name string, rows, width int, drop compute.Drop) {
		hasResidual, inPlace := i%4 != 3, i%3
		i++
		checks = append(checks, check{name, func(data *inputs, probe compute.Device) func(compute.Device) operation {
			n := rows * width
			x, residual := data.around(n, 2), data.normal(n, 1)
			gamma, beta := data.around(width, 1), data.normal(width, 1)
			s := times(wide(x), mask(probe, rows, width, drop))
			if hasResidual {
				s = plus(s, wide(residual))
			}
			y, mean, rstd := layerNorm(s, wide(gamma), wide(beta), float64(epsOf(width)))
			return func(d compute.Device) operation {
				op := compute.Norm{
					Rows: rows, Width: width, Eps: epsOf(width), Drop: drop,
					X: upload(d, x), Gamma: wrap(d, gamma), Beta: wrap(d, beta),
					Mean: filled(d, rows), Rstd: filled(d, rows),
				}
				if hasResidual {
					op.Residual = wrap(d, residual)
				}
				results := []result{inBuffer(d, "mean", op.Mean, mean, forward), inBuffer(d, "rstd", op.Rstd, rstd, forward)}
				switch inPlace {
				case 0:
					op.S, op.Y = filled(d, n), filled(d, n)
				case 1:
					op.S, op.Y = op.X, filled(d, n)
				case 2:
					op.S, op.Y = op.X, op.X
				}
				if inPlace != 2 {
					results = append(results, inBuffer(d, "s", op.S, s, forward))
				}
				return operation{func() { d.Norm(&op) }, append(results, inBuffer(d, "y", op.Y, y, forward))}
			}
		}})
	})
	return checks
}

func normGradChecks() (checks []check) {
	i := 0
	shaped(func(name string, rows, width int, drop compute.Drop) {
		inPlace, hasDX := i%2 == 0, drop.Rate != 0 || i%3 == 0
		i++
		checks = append(checks, check{name, func(data *inputs, probe compute.Device) func(compute.Device) operation {
			n := rows * width
			s, gamma, dy := data.around(n, 2), data.around(width, 1), data.normal(n, 1)
			dgamma, dbeta := data.normal(width, 1), data.normal(width, 1)
			_, mean, rstd := layerNorm(wide(s), ones(width), make([]float64, width), float64(epsOf(width)))
			ds, wantGamma, wantBeta := layerNormGrad(wide(dy), wide(s), wide(gamma), float64(epsOf(width)))
			dx := times(ds, mask(probe, rows, width, drop))
			return func(d compute.Device) operation {
				op := compute.NormGrad{
					Rows: rows, Width: width, Drop: drop,
					DY: upload(d, dy), S: wrap(d, s), Mean: upload(d, narrow(mean)), Rstd: upload(d, narrow(rstd)), Gamma: wrap(d, gamma),
					DS: filled(d, n), DGamma: upload(d, dgamma), DBeta: upload(d, dbeta),
				}
				if inPlace {
					op.DS = op.DY
				}
				results := []result{
					inBuffer(d, "ds", op.DS, ds, gradient),
					inBuffer(d, "dgamma", op.DGamma, plus(wantGamma, wide(dgamma)), gradient),
					inBuffer(d, "dbeta", op.DBeta, plus(wantBeta, wide(dbeta)), gradient),
				}
				if hasDX {
					op.DX = filled(d, n)
					results = append(results, inBuffer(d, "dx", op.DX, dx, gradient))
				}
				return operation{func() { d.NormGrad(&op) }, results}
			}
		}})
	})
	return checks
}

// narrow is x in float32.
func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// The rows of the tables of an embedding.
const (
	words     = 37
	positions = 11
	types     = 2
)

func embeddingChecks() (checks []check) {
	shaped(func(name string, rows, width int, drop compute.Drop) {
		checks = append(checks, check{name, func(data *inputs, probe compute.Device) func(compute.Device) operation {
			n := rows * width
			ids, positionIDs, typeIDs := data.indices(rows, words), data.indices(rows, positions), data.indices(rows, types)
			word, position, kind := data.normal(words*width, 1), data.normal(positions*width, 1), data.normal(types*width, 1)
			gamma, beta := data.around(width, 1), data.normal(width, 1)
			s := make([]float64, n)
			for r := range rows {
				row := s[r*width:][:width]
				addTo(row, 1, wide(word[int(ids[r])*width:][:width]))
				addTo(row, 1, wide(position[int(positionIDs[r])*width:][:width]))
				addTo(row, 1, wide(kind[int(typeIDs[r])*width:][:width]))
			}
			y, mean, rstd := layerNorm(s, wide(gamma), wide(beta), float64(epsOf(width)))
			y = times(y, mask(probe, rows, width, drop))
			return func(d compute.Device) operation {
				op := compute.Embedding{
					Width: width, IDs: ids, PositionIDs: positionIDs, TypeIDs: typeIDs,
					Word: wrap(d, word), Position: wrap(d, position), Type: wrap(d, kind), Gamma: wrap(d, gamma), Beta: wrap(d, beta),
					Eps: epsOf(width), Drop: drop,
					S: filled(d, n), Mean: filled(d, rows), Rstd: filled(d, rows), Y: filled(d, n),
				}
				return operation{func() { d.Embedding(&op) }, []result{
					inBuffer(d, "s", op.S, s, forward), inBuffer(d, "mean", op.Mean, mean, forward),
					inBuffer(d, "rstd", op.Rstd, rstd, forward), inBuffer(d, "y", op.Y, y, forward),
				}}
			}
		}})
	})
	return checks
}

func embeddingGradChecks() (checks []check) {
	shaped(func(name string, rows, width int, drop compute.Drop) {
		checks = append(checks, check{name, func(data *inputs, probe compute.Device) func(compute.Device) operation {
			n := rows * width
			indices := [3][]int32{data.indices(rows, words), data.indices(rows, positions), data.indices(rows, types)}
			tables := [3][]float32{data.normal(words*width, 1), data.normal(positions*width, 1), data.normal(types*width, 1)}
			s, gamma, dy := data.around(n, 2), data.around(width, 1), data.normal(n, 1)
			dgamma, dbeta := data.normal(width, 1), data.normal(width, 1)
			_, mean, rstd := layerNorm(wide(s), ones(width), make([]float64, width), float64(epsOf(width)))
			ds, wantGamma, wantBeta := layerNormGrad(times(wide(dy), mask(probe, rows, width, drop)), wide(s), wide(gamma), float64(epsOf(width)))
			var want [3][]float64
			for i, table := range tables {
				want[i] = wide(table)
				for r, row := range indices[i] {
					addTo(want[i][int(row)*width:][:width], 1, ds[r*width:][:width])
				}
			}
			return func(d compute.Device) operation {
				op := compute.EmbeddingGrad{
					Width: width, IDs: indices[0], PositionIDs: indices[1], TypeIDs: indices[2],
					DY: upload(d, dy), S: wrap(d, s), Mean: upload(d, narrow(mean)), Rstd: upload(d, narrow(rstd)),
					Gamma: wrap(d, gamma), Drop: drop,
					DWord: upload(d, tables[0]), DPosition: upload(d, tables[1]), DType: upload(d, tables[2]),
					DGamma: upload(d, dgamma), DBeta: upload(d, dbeta),
				}
				return operation{func() { d.EmbeddingGrad(&op) }, []result{
					inBuffer(d, "dy", op.DY, ds, gradient), inBuffer(d, "dword", op.DWord, want[0], gradient),
					inBuffer(d, "dposition", op.DPosition, want[1], gradient), inBuffer(d, "dtype", op.DType, want[2], gradient),
					inBuffer(d, "dgamma", op.DGamma, plus(wantGamma, wide(dgamma)), gradient),
					inBuffer(d, "dbeta", op.DBeta, plus(wantBeta, wide(dbeta)), gradient),
				}}
			}
		}})
	})
	return checks
}
