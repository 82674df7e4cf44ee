package explain

import (
	"math"
	"slices"
	"testing"
)

// passOf is a layer of random vectors and a random gradient.
func passOf(n, heads, d int, seed uint64) AttentionPass {
	values := func(count int, seed uint64) []float32 {
		var out []float32
		for _, v := range normal(1, count, seed).Values {
			out = append(out, float32(v))
		}
		return out
	}
	return AttentionPass{HeadVectors{n, heads, values(3*n*heads*d, seed)}, values(n*heads*d, seed+100)}
}

func TestHeadVectors(t *testing.T) {
	// Two tokens, two heads of a width of 2: the second token's key is the first's query times 2 in the first head.
	v := HeadVectors{Tokens: 2, Heads: 2, QKV: []float32{
		1, 0, 5, 5 /* q */, 0, 1, 6, 6 /* k */, 7, 7, 8, 8, /* v */
		0, 3, 5, 5, 2, 0, 6, 6, 7, 7, 8, 8,
	}}
	queries, err := v.Queries(0)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := v.Keys(1)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(slices.Concat(queries...), []float32{1, 0, 0, 3}) || !slices.Equal(slices.Concat(keys...), []float32{6, 6, 6, 6}) {
		t.Errorf("queries %v, keys %v", queries, keys)
	}
	attention, err := v.Attention(1)
	if err != nil {
		t.Fatal(err)
	}
	p := func(score float64) float64 { return 1 / (1 + math.Exp(score/math.Sqrt2)) } // of the other one of two
	want := []float64{p(2), 1 - p(2), 1 - p(3), p(3), .5, .5, .5, .5}
	if off := differ(t, slices.Concat(slices.Concat(attention[0]...), slices.Concat(attention[1]...)), want); off > 1e-12 {
		t.Errorf("attention %v, want %v", attention, want)
	}
	v.Heads = 5
	if _, err := v.Attention(1); err == nil {
		t.Error("5 heads of a width of 4 are no error")
	}
	if _, err := (&HeadVectors{Tokens: 1, Heads: 1, QKV: make([]float32, 3)}).Keys(1); err == nil {
		t.Error("head 1 of 1 is no error")
	}
}

// The gradient at the probabilities is by how much Σ context·(P·V) changes with one of them.
func TestAttentionGradientEqualsDifferences(t *testing.T) {
	const n, heads, d, h = 4, 2, 3, 1e-6
	p := passOf(n, heads, d, 1)
	attention, err := p.Attention(1)
	if err != nil {
		t.Fatal(err)
	}
	gradients, err := p.Gradients(2)
	if err != nil {
		t.Fatal(err)
	}
	number := func() float64 {
		sum := 0.0
		for a := range heads {
			for i := range n {
				for j, w := range attention[a][i] {
					for c := range d {
						sum += float64(p.Context[(i*heads+a)*d+c]) * w * float64(p.QKV[(3*j+2)*heads*d+a*d+c])
					}
				}
			}
		}
		return sum
	}
	for a := range heads {
		for i := range n {
			for j := range n {
				at := attention[a][i][j]
				attention[a][i][j] = at + h
				up := number()
				attention[a][i][j] = at - h
				down := number()
				attention[a][i][j] = at
				if want := (up - down) / (2 * h); math.Abs(gradients[a][i][j]-want) > 1e-7*max(1, math.Abs(want)) {
					t.Errorf("head %d, %d to %d: %g, by differences %g", a, i, j, gradients[a][i][j], want)
				}
			}
		}
	}
}

// Both steps by hand: R = I + relu(∇⊙A) of one head, then a second layer of two heads.
func TestGradientRolloutByHand(t *testing.T) {
	first := relevance([][]float64{{.8, .2}, {.4, .6}}, [][]float64{{1, -3}, {.5, 2}})
	if off := differ(t, slices.Concat(first...), []float64{.8, 0, .2, 1.2}); off > 1e-15 {
		t.Errorf("relu(∇⊙A) is %v", first)
	}
	after := addRelevance(identity(2), [][][]float64{first}, 1)
	if off := differ(t, slices.Concat(after...), []float64{1.8, 0, .2, 2.2}); off > 1e-15 {
		t.Errorf("after a layer: %v", after)
	}
	// The mean of {{1,0},{0,0}} and {{0,1},{0,.5}} is {{.5,.5},{0,.25}}.
	after = addRelevance(after, [][][]float64{{{1, 0}, {0, 0}}, {{0, 1}, {0, .5}}}, 2)
	if off := differ(t, slices.Concat(after...), []float64{1.8 + .9 + .1, 1.1, .2 + .05, 2.2 + .55}); off > 1e-15 {
		t.Errorf("after two layers: %v", after)
	}
}

func TestGradientRollout(t *testing.T) {
	layers := []AttentionPass{passOf(7, 3, 4, 1), passOf(7, 3, 4, 2), passOf(7, 3, 4, 3)}
	got, err := GradientRollout(layers, 1)
	if err != nil {
		t.Fatal(err)
	}
	many, err := GradientRollout(layers, 5)
	if err != nil {
		t.Fatal(err)
	}
	before := identity(7)
	for l := range layers {
		attention, _ := layers[l].Attention(1)
		gradients, _ := layers[l].Gradients(1)
		for h := range attention {
			relevance(attention[h], gradients[h])
		}
		before = addRelevance(before, attention, 1)
		for i, row := range got[l] {
			if !slices.Equal(row, before[i]) || !slices.Equal(row, many[l][i]) {
				t.Fatalf("layer %d, row %d: %v, want %v; on 5 threads %v", l, i, row, before[i], many[l][i])
			}
			if sum(row) < 1 || slices.Min(row) < 0 {
				t.Errorf("layer %d, row %d: %v", l, i, row)
			}
		}
	}
	// Without a gradient nothing matters but the tokens themselves.
	clear(layers[0].Context)
	if got, err = GradientRollout(layers[:1], 1); err != nil || !slices.Equal(slices.Concat(got[0]...), slices.Concat(identity(7)...)) {
		t.Errorf("without a gradient: %v, %v", got, err)
	}
	layers[1].Context = layers[1].Context[1:]
	if _, err := GradientRollout(layers, 1); err == nil {
		t.Error("a short gradient is no error")
	}
	if _, err := GradientRollout([]AttentionPass{layers[0], passOf(6, 3, 4, 2)}, 1); err == nil {
		t.Error("7 tokens and 6 are no error")
	}
}

func TestWithoutTokens(t *testing.T) {
	rows := [][]float32{{.5, .3, .2}, {.25, .25, .5}, {1, 0, 0}}
	got, err := WithoutTokens(rows, []bool{true, false, false})
	if err != nil {
		t.Fatal(err)
	}
	if want := []float32{0, 0, 0, 0, 1. / 3, 2. / 3, 0, 0, 0}; !slices.Equal(slices.Concat(got...), want) {
		t.Errorf("%v, want %v", got, want)
	}
	if rows[1][0] != .25 {
		t.Error("the weights themselves have changed")
	}
	if _, err := WithoutTokens(rows, []bool{true}); err == nil {
		t.Error("a mark for three tokens is no error")
	}
}

func TestPairBlocks(t *testing.T) {
	// [CLS] a b [SEP] c [SEP]
	texts := []int{-1, 0, 0, -1, 1, -1}
	rows := [][]float32{
		{1, 0, 0, 0, 0, 0},
		{.1, .2, .3, 0, .4, 0},
		{0, .5, 0, .5, 0, 0},
		{1, 0, 0, 0, 0, 0},
		{.5, 0, .25, 0, .125, .125},
		{1, 0, 0, 0, 0, 0},
	}
	got, err := NewPairBlocks(rows, texts)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string][2]float64{
		"first to first": {got.FirstToFirst, .5}, "first to second": {got.FirstToSecond, .2}, // of both tokens, (.5+.5)/2 and (.4+0)/2
		"second to first": {got.SecondToFirst, .25}, "second to second": {got.SecondToSecond, .125},
	} {
		if math.Abs(c[0]-c[1]) > 1e-7 {
			t.Errorf("%s: %g, want %g", what, c[0], c[1])
		}
	}
	if _, err := NewPairBlocks(rows, texts[1:]); err == nil {
		t.Error("five places of six tokens are no error")
	}
}

// The atlas of two texts is that of all their tokens.
func TestAtlas(t *testing.T) {
	var a Atlas
	short, long := attentionOf(2, 3, 4, 1), attentionOf(2, 3, 8, 2)
	for _, x := range [][][][][]float32{short, long} {
		n := len(x[0][0])
		s, err := HeadStatistics(x, make([]bool, n))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Add(s, n); err != nil {
			t.Fatal(err)
		}
	}
	heads := a.Heads()
	if len(heads) != 6 || a.Tokens() != 12 || heads[4].Layer != 1 || heads[4].Head != 1 {
		t.Fatalf("%d heads, %d tokens: %+v", len(heads), a.Tokens(), heads)
	}
	for i, h := range heads {
		first, entropy := 0.0, 0.0
		for _, x := range [][][][][]float32{short, long} {
			for _, row := range x[i/3][i%3] {
				first += float64(row[0]) / 12
				for _, p := range row {
					entropy -= float64(p) * math.Log(float64(p)) / 12
				}
			}
		}
		if math.Abs(h.First-first) > 1e-9 || math.Abs(h.Entropy-entropy) > 1e-6 {
			t.Errorf("head %d: %+v, want %g to the first and an entropy of %g", i, h, first, entropy)
		}
	}
	if err := a.Add(heads[:3], 4); err == nil {
		t.Error("3 heads after 6 are no error")
	}
}

func TestHeadDivergences(t *testing.T) {
	a := one([][]float32{{1, 0}, {.5, .5}})
	for _, c := range []struct {
		b    [][]float32
		want float64
	}{
		{[][]float32{{1, 0}, {.5, .5}}, 0},
		{[][]float32{{0, 1}, {.5, .5}}, math.Ln2 / 2}, // all of a row elsewhere, in half of the rows
		{[][]float32{{.5, .5}, {.5, .5}}, (math.Log(1/.75)/2 + .25*math.Log(.5/.75) + .25*math.Log(.5/.25)) / 2},
	} {
		got, err := HeadDivergences(a, one(c.b))
		if err != nil {
			t.Fatal(err)
		}
		back, err := HeadDivergences(one(c.b), a)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got[0]-c.want) > 1e-12 || math.Abs(back[0]-c.want) > 1e-12 {
			t.Errorf("%v: %g there, %g back, want %g", c.b, got[0], back[0], c.want)
		}
	}
	if _, err := HeadDivergences(a, one([][]float32{{1}})); err == nil {
		t.Error("2 tokens and 1 are no error")
	}
	if _, err := HeadDivergences(a, nil); err == nil {
		t.Error("1 layer and none are no error")
	}
}
