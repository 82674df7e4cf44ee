package explain

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
)

// goldens are what testdata/make.py writes.
type goldens struct {
	PCA map[string]struct {
		Ratios, Variances  []float64
		Components, Points [][]float64
	}
	Trustworthiness map[string]float64
	TSNE            struct {
		Affinities struct {
			SumOfSquares float64 `json:"sum_of_squares"`
			First        []float64
		}
		After10     [][]float64 `json:"after_10"`
		After10Norm float64     `json:"after_10_norm"`
		Exact       quality
		BarnesHut   quality `json:"barnes_hut"`
	}
}

// quality is how good scikit-learn's picture of the digits is.
type quality struct{ KL, Trustworthiness, Recall float64 }

func loadGoldens(t testing.TB) *goldens {
	t.Helper()
	text, err := os.ReadFile("testdata/projections.json")
	if err != nil {
		t.Fatal(err)
	}
	g := new(goldens)
	if err := json.Unmarshal(text, g); err != nil {
		t.Fatal(err)
	}
	return g
}

// digits are 1,797 points. With -short, as under the race detector, a test of them is left out: others take the same steps, on several
// threads too.
func digits(t testing.TB) *Matrix {
	t.Helper()
	if testing.Short() {
		t.Skip("1,797 points take long")
	}
	x, _ := load(t, "digits.csv.gz")
	return x
}

// load reads a data set of testdata: points, and their classes.
func load(t testing.TB, name string) (*Matrix, []string) {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	records, err := csv.NewReader(r).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	d := len(records[0]) - 1
	m, classes := NewMatrix(len(records), d), make([]string, len(records))
	for i, row := range records {
		classes[i] = row[d]
		for j := range d {
			if m.Row(i)[j], err = strconv.ParseFloat(row[j], 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m, classes
}

// normal is points of a standard normal distribution.
func normal(n, d int, seed uint64) *Matrix {
	m := NewMatrix(n, d)
	noise := newNormal(seed)
	for i := range m.Values {
		m.Values[i] = noise()
	}
	return m
}
