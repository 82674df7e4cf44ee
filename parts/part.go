package parts

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/message"
)

// MaxCount is the most parts that work can have.
const MaxCount = 100_000

// Part is one of several parts, counted from 0. The zero value is no part: all of the work.
type Part struct{ Index, Count int }

// String is index/count, as Parse reads it.
func (p Part) String() string { return strconv.Itoa(p.Index) + "/" + strconv.Itoa(p.Count) }

// IsZero reports whether p is no part.
func (p Part) IsZero() bool { return p == Part{} }

// Check reports a part that there isn't.
func (p Part) Check() error {
	if p.Count < 1 || p.Count > MaxCount || p.Index < 0 || p.Index >= p.Count {
		return fmt.Errorf("part %d of %d: want I/N with I from 0 to N-1, and N at most %s", p.Index, p.Count, message.Thousands(MaxCount))
	}
	return nil
}

// Range is the part's share of n things in a row: from the first to before the last. The shares of all parts, one after another, are all
// things, and differ in length by at most one.
func (p Part) Range(n int) (from, to int) { return p.place(n, p.Index), p.place(n, p.Index+1) }

func (p Part) place(n, i int) int {
	high, low := bits.Mul64(uint64(n), uint64(i))
	at, _ := bits.Div64(high, low, uint64(p.Count))
	return int(at)
}

// Parse reads a part as it is given to a command: I/N, counted from 0; env, for what started the process says which of how many it is;
// or env/N, where it says which alone. getenv looks up the environment: os.Getenv. See FromEnvironment, whose errors Parse has too.
func Parse(text string, getenv func(name string) string) (Part, error) {
	first, second, cut := strings.Cut(text, "/")
	count := 0
	if cut {
		var err error
		if count, err = number(second); err != nil || count < 1 || count > MaxCount {
			return Part{}, fmt.Errorf("%s, want I/N with I from 0 to N-1, env or env/N, with N from 1 to %s", message.Quote(text), message.Thousands(MaxCount))
		}
	}
	if first == "env" {
		return FromEnvironment(getenv, count)
	}
	index, err := number(first)
	if p := (Part{index, count}); cut && err == nil && p.Check() == nil {
		return p, nil
	}
	return Part{}, fmt.Errorf("%s, want I/N with I from 0 to N-1, env or env/N", message.Quote(text))
}

// number reads a number that has digits alone: no sign.
func number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err == nil && text[0] == '+' {
		err = strconv.ErrSyntax
	}
	return int(n), err
}
