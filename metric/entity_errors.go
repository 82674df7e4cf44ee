package metric

// EntityError is what is wrong with an entity that was found, or missed.
type EntityError uint8

// The errors. Both is a wrong type and a wrong boundary.
const (
	Exact EntityError = iota
	WrongBoundary
	WrongType
	Both
	Missed
	Spurious
)

// entityErrorNames has a name for each.
var entityErrorNames = [...]string{Exact: "exact", WrongBoundary: "wrong boundary", WrongType: "wrong type", Both: "wrong type and boundary", Missed: "missed", Spurious: "spurious"}

// String is what people call it.
func (e EntityError) String() string {
	if int(e) < len(entityErrorNames) {
		return entityErrorNames[e]
	}
	return "unknown"
}

// EntityErrors lists the errors in their order, Exact first.
func EntityErrors() []EntityError {
	return []EntityError{Exact, WrongBoundary, WrongType, Both, Missed, Spurious}
}

// EntityPair is an entity of a sentence and the one that was found for it: indices, −1 where there is none.
type EntityPair struct {
	Gold, Found int
	Error       EntityError
}

// MatchEntities pairs the entities of a sentence with those that were found in it, both as Entities lists them: in order and
// apart from one another. Only entities that have a word in common make a pair. Of all ways to pair them it is one with the most
// exact pairs, of these one with the most pairs, and of these one with the most right boundaries and then types: so it does not
// depend on an order.
func MatchEntities(gold, found []Entity) []EntityPair {
	// As neither list has two entities that overlap, pairs never cross, and the best pairing of the rest of the lists from i and
	// j on is all that matters.
	const pair, exact = 1 << 20, 1 << 40
	value := func(g, f Entity) int64 {
		switch {
		case g.To <= f.From || f.To <= g.From:
			return 0
		case g == f:
			return exact
		case g.From == f.From && g.To == f.To:
			return pair + 2
		case g.Type == f.Type:
			return pair + 1
		}
		return pair
	}
	width := len(found) + 1
	best := make([]int64, (len(gold)+1)*width)
	for i := len(gold) - 1; i >= 0; i-- {
		for j := len(found) - 1; j >= 0; j-- {
			v := max(best[(i+1)*width+j], best[i*width+j+1])
			if w := value(gold[i], found[j]); w > 0 {
				v = max(v, w+best[(i+1)*width+j+1])
			}
			best[i*width+j] = v
		}
	}
	var pairs []EntityPair
	i, j := 0, 0
	for i < len(gold) && j < len(found) {
		here, w := best[i*width+j], value(gold[i], found[j])
		switch {
		case w > 0 && here == w+best[(i+1)*width+j+1]:
			pairs = append(pairs, EntityPair{i, j, errorOf(gold[i], found[j])})
			i, j = i+1, j+1
		case here == best[(i+1)*width+j]:
			pairs = append(pairs, EntityPair{i, -1, Missed})
			i++
		default:
			pairs = append(pairs, EntityPair{-1, j, Spurious})
			j++
		}
	}
	for ; i < len(gold); i++ {
		pairs = append(pairs, EntityPair{i, -1, Missed})
	}
	for ; j < len(found); j++ {
		pairs = append(pairs, EntityPair{-1, j, Spurious})
	}
	return pairs
}

func errorOf(gold, found Entity) EntityError {
	sameSpan, sameType := gold.From == found.From && gold.To == found.To, gold.Type == found.Type
	switch {
	case sameSpan && sameType:
		return Exact
	case sameType:
		return WrongBoundary
	case sameSpan:
		return WrongType
	}
	return Both
}
