package distill

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/recipe"
)

// projectEmbeddings gives a student the teacher's embeddings of words, positions and types along the principal directions of those of
// words: of all linear maps to the student's width, that one keeps most of their differences. All tables are scaled alike, to the
// spread that new words have: a LayerNorm follows.
//
// Legend: V vocabulary, D the teacher's width, S the student's, at most D.
func projectEmbeddings(m, teacher *bert.Model, p *pieces) error {
	const (
		words     = "embeddings.word_embeddings.weight"
		positions = "embeddings.position_embeddings.weight"
		types     = "embeddings.token_type_embeddings.weight"
	)
	from, to := teacher.Config(), m.Config()
	d, s := from.HiddenSize, to.HiddenSize
	if s > d {
		return &recipe.Error{
			Key: "student_embeddings", Value: TeacherEmbeddings.String(),
			Reason: fmt.Sprintf("but the student's width of %d is more than the teacher's of %d", s, d), Want: RandomEmbeddings.String(),
		}
	}
	table, err := valuesOf(teacher, words, []int{from.VocabSize, d})
	if err != nil {
		return err
	}
	directions, mean, err := principalDirections(table, d, s)
	if err != nil {
		return err
	}
	squares := 0.0
	project := func(row []float32, centre []float64) []float32 {
		out := make([]float32, s)
		for j := range out {
			v := 0.0
			for i, x := range row {
				c := 0.0
				if centre != nil {
					c = centre[i]
				}
				v += (float64(x) - c) * directions[j*d+i]
			}
			out[j] = float32(v)
			squares += v * v
		}
		return out
	}
	rows := func(table []float32, n int, centre []float64, id func(int) int) []float32 {
		out := make([]float32, 0, n*s)
		for i := range n {
			if from := id(i); from >= 0 && (from+1)*d <= len(table) {
				out = append(out, project(table[from*d:(from+1)*d], centre)...)
			} else {
				out = append(out, make([]float32, s)...)
			}
		}
		return out
	}
	same := func(i int) int { return i }
	word := rows(table, to.VocabSize, mean, func(i int) int {
		switch {
		case p == nil:
			return i
		case i < len(p.ids):
			return int(p.ids[i])
		}
		return -1
	})
	spread := math.Sqrt(squares / float64(len(word)))
	made := map[string][]float32{words: word}
	for name, n := range map[string][2]int{positions: {from.MaxPositionEmbeddings, to.MaxPositionEmbeddings}, types: {from.TypeVocabSize, to.TypeVocabSize}} {
		table, err := valuesOf(teacher, name, []int{n[0], d})
		if err != nil {
			return err
		}
		made[name] = rows(table, n[1], nil, same)
	}
	scale := 1.0
	if spread > 0 && to.InitializerRange > 0 {
		scale = to.InitializerRange / spread
	}
	return setParameters(m, func(p bert.Param) ([]float32, error) {
		for name, values := range made {
			if p.Name == name || p.Name == "bert."+name {
				for i := range values {
					values[i] = float32(scale * float64(values[i]))
				}
				return values, nil
			}
		}
		return nil, nil
	})
}

// principalDirections are the s orthonormal directions along which rows of width d differ most, [s,d], and the mean of the rows.
func principalDirections(table []float32, d, s int) (directions, mean []float64, err error) {
	n := len(table) / d
	mean = make([]float64, d)
	for i, x := range table {
		mean[i%d] += float64(x) / float64(n)
	}
	products := make([]float64, d*d)
	centred := make([]float64, d)
	for from := 0; from < len(table); from += d {
		for i := range centred {
			centred[i] = float64(table[from+i]) - mean[i]
		}
		for i, x := range centred {
			row := products[i*d:][:i+1]
			for j := range row {
				row[j] += x * centred[j]
			}
		}
	}
	for i := range d {
		for j := range i {
			products[j*d+i] = products[i*d+j]
		}
	}
	var e mat.EigenSym
	if !e.Factorize(mat.NewSymDense(d, products), true) {
		return nil, nil, errors.New("the teacher's embeddings have no principal directions: are they all numbers?")
	}
	var vectors mat.Dense
	e.VectorsTo(&vectors)
	for j := range s {
		// The values rise, so that the last vectors are the first directions. A vector's sign is arbitrary: its largest element is positive.
		column := mat.Col(nil, d-1-j, &vectors)
		top := 0.0
		for _, x := range column {
			if math.Abs(x) > math.Abs(top) {
				top = x
			}
		}
		for _, x := range column {
			directions = append(directions, math.Copysign(1, top)*x)
		}
	}
	return directions, mean, nil
}
