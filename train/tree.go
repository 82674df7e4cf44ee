package train

// The parts of a step are added up along one binary tree, whoever holds them: a tree of n parts has on its left the largest power of two
// below n, as a binary counter would add them. So sums have the same bits on any number of processes.

// nodes is a range of consecutive parts.
type nodes struct{ from, to int }

// onLeft is how many parts are on the left of a tree of n, which are at least 2.
func onLeft(n int) int {
	left := 1
	for 2*left < n {
		left *= 2
	}
	return left
}

// isNode says whether a range of parts is a node of the tree of n parts.
func isNode(n int, r nodes) bool {
	for from, to := 0, n; ; {
		if from == r.from && to == r.to {
			return true
		}
		if to-from < 2 {
			return false
		}
		middle := from + onLeft(to-from)
		switch {
		case r.to <= middle:
			to = middle
		case r.from >= middle:
			from = middle
		default:
			return false
		}
	}
}

// stack is nodes of the tree of n parts that follow one another.
type stack struct {
	n    int
	list []nodes
}

// push adds a node behind the others. It returns how many merges follow: each adds the last node but one to the last.
func (s *stack) push(r nodes) (merges int) {
	s.list = append(s.list, r)
	for len(s.list) >= 2 {
		last := len(s.list) - 1
		joined := nodes{s.list[last-1].from, s.list[last].to}
		if !isNode(s.n, joined) {
			break
		}
		s.list[last-1] = joined
		s.list = s.list[:last]
		merges++
	}
	return merges
}

// held are the nodes that a rank has when it has gone through all its parts.
func held(n int, parts nodes) []nodes {
	s := stack{n: n}
	for i := parts.from; i < parts.to; i++ {
		s.push(nodes{i, i + 1})
	}
	return s.list
}

// fold adds up the leaves of the tree.
func fold[T any](leaves []T, add func(a, b T) T) T {
	if len(leaves) == 1 {
		return leaves[0]
	}
	left := onLeft(len(leaves))
	return add(fold(leaves[:left], add), fold(leaves[left:], add))
}

// cut divides n things of given lengths into parts that follow one another and have about the same length each. It returns where each
// ends. No part is empty unless there are fewer things than parts; then those at the end are.
func cut(lengths []int, parts int) []int {
	total := 0
	for _, l := range lengths {
		total += l
	}
	ends := make([]int, parts)
	at, sum := 0, 0
	for k := range parts {
		least := min(at+1, len(lengths))
		most := max(least, len(lengths)-(parts-1-k))
		// To the end that is nearest to its share, the first of two.
		for at < most && (at < least || abs((sum+lengths[at])*parts-(k+1)*total) < abs(sum*parts-(k+1)*total)) {
			sum += lengths[at]
			at++
		}
		if k == parts-1 {
			at = len(lengths)
		}
		ends[k] = at
	}
	return ends
}

// split divides a list at the ends that cut gave.
func split[T any](list []T, ends []int) [][]T {
	parts := make([][]T, len(ends))
	from := 0
	for i, to := range ends {
		parts[i] = list[from:to]
		from = to
	}
	return parts
}

func abs(x int) int { return max(x, -x) }
