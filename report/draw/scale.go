package draw

import (
	"math"
	"strconv"
	"strings"
)

// Scale takes the numbers of an axis to places on a canvas.
type Scale struct {
	Min, Max float64 // numbers
	From, To float64 // their places
	Log      bool    // of positive numbers, by their logarithms
}

// At is the place of a number. It is outside of From and To for one outside of Min and Max.
func (s *Scale) At(v float64) float64 {
	low, high := s.Min, s.Max
	if s.Log {
		v, low, high = math.Log(v), math.Log(low), math.Log(high)
	}
	if high == low {
		return (s.From + s.To) / 2
	}
	return s.From + (v-low)/(high-low)*(s.To-s.From)
}

// Tick is a number that an axis names.
type Tick struct {
	Value float64
	Label string
}

// Ticks are some n round numbers from Min to Max: 1, 2 or 5 times a power of ten, or on a logarithmic axis the powers.
func (s *Scale) Ticks(n int) []Tick {
	if !(s.Max >= s.Min) || math.IsInf(s.Max-s.Min, 0) {
		return nil
	}
	if s.Log {
		if t := s.powers(n); len(t) >= 2 {
			return t
		}
	}
	span := s.Max - s.Min
	if span == 0 {
		return []Tick{{s.Min, Number(s.Min)}}
	}
	step := math.Pow(10, math.Floor(math.Log10(span/float64(max(n, 1)))))
	for _, m := range []float64{1, 2, 5, 10} {
		if span/(m*step) <= float64(n) {
			step *= m
			break
		}
	}
	places := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	var ticks []Tick
	for i := math.Ceil(s.Min/step - 1e-9); i*step <= s.Max+1e-9*step && len(ticks) < 100; i++ {
		ticks = append(ticks, Tick{i * step, tickLabel(i*step, places)})
	}
	return ticks
}

// powers are powers of ten, and 2 and 5 times them where there are few.
func (s *Scale) powers(n int) []Tick {
	low, high := math.Floor(math.Log10(s.Min)), math.Ceil(math.Log10(s.Max))
	every := math.Max(1, math.Ceil((high-low)/float64(max(n, 1))))
	multiples := []float64{1}
	if high-low <= 2 {
		multiples = []float64{1, 2, 5}
	}
	var ticks []Tick
	for e := low; e <= high; e += every {
		for _, m := range multiples {
			if v := m * math.Pow(10, e); v >= s.Min*(1-1e-9) && v <= s.Max*(1+1e-9) {
				ticks = append(ticks, Tick{v, Number(v)})
			}
		}
	}
	return ticks
}

// tickLabel writes a round number with so many places, and thousands as k and millions as M.
func tickLabel(v float64, places int) string {
	switch a := math.Abs(v); {
	case places > 4: // numbers of many zeros
		return Number(math.Round(v*math.Pow(10, float64(places))) / math.Pow(10, float64(places)))
	case a >= 1e6:
		return trimmed(v/1e6, 2) + "M"
	case a >= 1e4:
		return trimmed(v/1e3, 1) + "k"
	}
	text := strconv.FormatFloat(v, 'f', places, 64)
	if strings.Trim(text, "-0.") == "" {
		text = strings.TrimPrefix(text, "-")
	}
	return text
}

func trimmed(v float64, places int) string {
	text := strconv.FormatFloat(v, 'f', places, 64)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}

// Number writes a number with four significant digits: 0.8731, 12.5, 2e-05, 25,000.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 1):
		return "∞"
	case math.IsInf(v, -1):
		return "−∞"
	case a >= 1e15:
		return strconv.FormatFloat(v, 'g', 4, 64)
	case a >= 1000:
		text := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
		for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	case a == 0:
		return "0"
	case a < 1e-3:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
