package data

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func numbered(n int) []Example {
	examples := make([]Example, n)
	for i := range examples {
		examples[i] = Example{Input: Input{Text: fmt.Sprint("text ", i)}, Label: []string{"neg", "pos"}[i%2], Source: Source{File: "f", Line: i + 1}}
	}
	return examples
}

// said are what examples say, without where they are from, in an order of their own.
func said(examples []Example) []string {
	var out []string
	for _, e := range examples {
		out = append(out, e.Text+"|"+e.TextPair+"|"+e.Label)
	}
	slices.Sort(out)
	return out
}

func TestDraw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var examples []Example
		for i, text := range rapid.SliceOf(rapid.StringMatching("[ab]{0,3}")).Draw(t, "texts") {
			examples = append(examples, Example{Input: Input{Text: text}, Label: "x", Source: Source{File: "f", Line: i}})
		}
		n := rapid.IntRange(0, len(examples)+1).Draw(t, "n")
		seed := rapid.Uint64().Draw(t, "seed")
		drawn := Draw(examples, n, seed)
		if len(drawn) != min(n, len(examples)) {
			t.Fatalf("drew %d of %d, want %d", len(drawn), len(examples), n)
		}
		if !slices.IsSortedFunc(drawn, func(a, b Example) int { return cmp.Compare(a.Source.Line, b.Source.Line) }) {
			t.Fatal("the order is another")
		}
		shuffled := slices.Clone(examples)
		for i := range shuffled {
			shuffled[i].Source.File = "elsewhere"
		}
		r := rand.New(rand.NewPCG(seed, 1))
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if got, want := said(Draw(shuffled, n, seed)), said(drawn); !slices.Equal(got, want) {
			t.Fatalf("shuffled, %q was drawn, else %q", got, want)
		}
		// A larger draw contains the smaller one.
		if n > 0 && n <= len(examples) {
			left := said(drawn)
			for _, s := range said(Draw(examples, n-1, seed)) {
				i := slices.Index(left, s)
				if i < 0 {
					t.Fatalf("%q is in a draw of %d, not of %d", s, n-1, n)
				}
				left = slices.Delete(left, i, i+1)
			}
		}
	})
}

// Each example is drawn as often as any other: a χ² test at fixed seeds, which can't fail by chance.
func TestDrawIsUniform(t *testing.T) {
	const size, n, seeds = 40, 10, 2000
	var counts [size + 1]int
	for seed := range uint64(seeds) {
		for _, e := range Draw(numbered(size), n, seed) {
			counts[e.Source.Line]++
		}
	}
	const mean, variance = float64(seeds) * n / size, float64(seeds) * n / size * (1 - float64(n)/size)
	chi := 0.0
	for _, c := range counts[1:] {
		chi += (float64(c) - mean) * (float64(c) - mean) / variance
	}
	// 40 cells: mean about 40, standard deviation about 9.
	if chi < 15 || chi > 75 {
		t.Errorf("χ² is %.1f over %d cells: counts %v, want about %.0f each", chi, size, counts[1:], mean)
	}
}

// Whoever draws with a seed wants the same examples from the next release.
func TestDrawIsStable(t *testing.T) {
	var lines []int
	for _, e := range Draw(numbered(1000), 8, 42) {
		lines = append(lines, e.Source.Line)
	}
	if want := []int{141, 198, 204, 253, 392, 460, 841, 847}; !slices.Equal(lines, want) {
		t.Errorf("drew lines %v, want %v", lines, want)
	}
}

func TestSplitValidation(t *testing.T) {
	examples := numbered(200)
	// A text that occurs thirty times, under both labels.
	for i := range 30 {
		examples[i*3].Text = "the same"
	}
	for _, n := range []int{0, 1, 50, 200, 300} {
		for seed := range uint64(20) {
			train, validation := SplitValidation(examples, n, seed)
			if len(train)+len(validation) != len(examples) || len(validation) < min(n, len(examples)) || len(validation) > n+29 {
				t.Fatalf("n=%d: %d and %d of %d", n, len(train), len(validation), len(examples))
			}
			if n == 0 && len(validation) != 0 {
				t.Fatal("validation part of none")
			}
			for _, e := range validation {
				if slices.ContainsFunc(train, func(x Example) bool { return x.Text == e.Text }) {
					t.Fatalf("%q is in both parts", e.Text)
				}
			}
			shuffled := slices.Clone(examples)
			slices.Reverse(shuffled)
			if _, again := SplitValidation(shuffled, n, seed); !slices.Equal(said(again), said(validation)) {
				t.Fatal("another order gives another split")
			}
		}
	}
}

// An article is in one part.
func TestSplitValidationByGroup(t *testing.T) {
	var examples []Example
	for i := range 30 {
		examples = append(examples, Example{Input: Input{Text: fmt.Sprint(i)}, Group: fmt.Sprint("g", i%5)})
	}
	train, held := SplitValidation(examples, 7, 1)
	if len(train) != 18 || len(held) != 12 {
		t.Errorf("%d and %d", len(train), len(held))
	}
	for _, x := range held {
		if slices.ContainsFunc(train, func(y Example) bool { return y.Group == x.Group }) {
			t.Errorf("group %s is in both", x.Group)
		}
	}
}
