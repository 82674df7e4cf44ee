package sentence

import (
	"fmt"
	"math"
	"strings"
)

// Similarity says how alike two vectors of one width are: the larger the number, the more alike.
type Similarity uint8

const (
	// Cosine is the cosine of the angle between them.
	Cosine Similarity = iota
	// Dot is their product.
	Dot
	// Euclidean is the distance between them, negative.
	Euclidean
	// Manhattan is the sum of the differences of their elements, negative.
	Manhattan
)

// similarity is a row of the table of similarities.
type similarity struct {
	name string // as a value of similarity_fn_name
	of   func(a, b []float32) float64
}

var similarities = [...]similarity{
	Cosine:    {"cosine", cosine},
	Dot:       {"dot", dot},
	Euclidean: {"euclidean", euclidean},
	Manhattan: {"manhattan", manhattan},
}

// Of is the similarity of two vectors.
func (s Similarity) Of(a, b []float32) float64 { return similarities[s].of(a, b) }

// String is the similarity as a value of similarity_fn_name.
func (s Similarity) String() string {
	if int(s) >= len(similarities) {
		return fmt.Sprintf("Similarity(%d)", s)
	}
	return similarities[s].name
}

// ParseSimilarity reads cosine, dot, euclidean or manhattan.
func ParseSimilarity(name string) (Similarity, error) {
	var names []string
	for i, s := range similarities {
		if s.name == name {
			return Similarity(i), nil
		}
		names = append(names, s.name)
	}
	return 0, fmt.Errorf("similarity %s: want one of %s", quote(name), strings.Join(names, ", "))
}

// MarshalText writes String.
func (s Similarity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSimilarity.
func (s *Similarity) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSimilarity(string(text))
	return err
}

// cosine is 0 where one of the vectors has no length.
func cosine(a, b []float32) float64 {
	product, aa, bb := 0.0, 0.0, 0.0
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		product += x * y
		aa += x * x
		bb += y * y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return max(-1, min(1, product/math.Sqrt(aa)/math.Sqrt(bb)))
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func euclidean(a, b []float32) float64 {
	squares := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		squares += d * d
	}
	return -math.Sqrt(squares)
}

func manhattan(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += math.Abs(float64(a[i]) - float64(b[i]))
	}
	return -sum
}
