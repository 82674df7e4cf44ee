package main

// The constants of Philox4x32-10, as in the plain Go version.
const (
	philoxM0     = 0xD2511F53
	philoxM1     = 0xCD9E8D57
	philoxW0     = 0x9E3779B9
	philoxW1     = 0xBB67AE85
	philoxRounds = 10

	dropGroup = 128 // elements that dropLanes blocks of the generator serve
	dropLanes = 16
	halfWord  = 16 // bits
)

func emitDropout(g *gen) {
	g.dropout("dropout", false)
	g.dropout("dropoutAdd", true)
}

func (g *gen) dropout(name string, add bool) {
	g.function(name, "(dst, x *float32, groups int, block, key0, key1, threshold uint32, scale float32, rowLow, rowHigh uint32)",
		"is Kernels."+map[bool]string{false: "Dropout", true: "DropoutAdd"}[add]+" for 0 < threshold < 65536 and groups > 0\n"+
			"// of 128 elements, the first of which takes the blocks of the generator from the given one on.")
	dst, x, groups, block := g.param("dst"), g.param("x"), g.param("groups"), g.param("block")
	scale := g.spread("scale")
	bound := g.spread("threshold")
	g.shift("VSHL", bound, bound, halfWord) // draws are compared in the upper half of a word
	key0, key1, rowLow, rowHigh := g.param("key0"), g.param("key1"), g.param("rowLow"), g.param("rowHigh")

	g.loop(groups, func() {
		words := g.philox(block, key0, key1, rowLow, rowHigh)
		for q := range dropGroup / dropLanes {
			for v := range words {
				off := (q*dropLanes + v*lanes) * floatSize
				draws := words[v][q/2]
				if q%2 == 0 {
					upper := g.vector()
					g.shift("VSHL", upper, draws, halfWord)
					draws = upper
				} // else the lower half does not change the comparison
				y := g.vector()
				g.load(y, vectorSize, x, off)
				y = g.mul(y, scale)
				g.native("VAND", "B16", y, y, g.op3(cmhs, draws, bound))
				if add {
					sum := g.vector()
					g.load(sum, vectorSize, dst, off)
					y = g.add(sum, y)
				}
				g.store(y, vectorSize, dst, off)
			}
		}
		g.line("ADDW $%d, %s", dropLanes, block)
		g.line("ADD $%d, %s", dropGroup*floatSize, dst)
		g.line("ADD $%d, %s", dropGroup*floatSize, x)
	})
	g.ret()
}

// philox returns the four words of dropLanes blocks, a vector of lanes blocks at a time.
func (g *gen) philox(block, key0, key1, rowLow, rowHigh general) [dropLanes / lanes][4]vector {
	var states [dropLanes / lanes][4]vector
	first, low, high := g.spreadFrom(block), g.spreadFrom(rowLow), g.spreadFrom(rowHigh)
	for v := range states {
		at := uint32(v * lanes)
		counter := g.vector()
		g.native("VADD", "S4", counter, first, g.vectorOf([4]uint32{at, at + 1, at + 2, at + 3}))
		states[v] = [4]vector{counter, g.zero(), g.copy(low), g.copy(high)}
	}
	m0, m1 := g.bits(philoxM0), g.bits(philoxM1)
	keys := [2]vector{g.spreadFrom(key0), g.spreadFrom(key1)}
	rounds := g.general()
	g.line("MOVD $%d, %s", philoxRounds, rounds)
	g.loop(rounds, func() {
		for _, s := range states {
			first0, second0 := g.op3(umull, m0, s[0]), g.op3(umull2, m0, s[0])
			first1, second1 := g.op3(umull, m1, s[2]), g.op3(umull2, m1, s[2])
			g.native("VUZP2", "S4", s[0], first1, second1) // upper halves of products
			g.native("VUZP2", "S4", s[2], first0, second0)
			g.native("VEOR", "B16", s[0], s[0], s[1])
			g.native("VEOR", "B16", s[2], s[2], s[3])
			g.native("VEOR", "B16", s[0], s[0], keys[0])
			g.native("VEOR", "B16", s[2], s[2], keys[1])
			g.native("VUZP1", "S4", s[1], first1, second1) // and lower ones
			g.native("VUZP1", "S4", s[3], first0, second0)
		}
		for w, weyl := range []uint32{philoxW0, philoxW1} {
			g.native("VADD", "S4", keys[w], keys[w], g.bits(weyl))
		}
	})
	return states
}
