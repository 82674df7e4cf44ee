package sentence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/jsonobject"
)

// Mode makes one vector of the hidden states of a text's tokens, [CLS] and [SEP] included.
type Mode uint8

// The modes, in the order in which the library puts the vectors of several together.
const (
	// CLS takes the hidden state of the first token.
	CLS Mode = iota
	// Max takes, in each place, the largest value.
	Max
	// Mean takes the mean.
	Mean
	// MeanSqrtLen takes the sum, divided by the square root of the number of tokens.
	MeanSqrtLen
	// WeightedMean takes the mean with the weights 1, 2, 3 and so on.
	WeightedMean
	// LastToken takes the hidden state of the last token, which of a BERT is [SEP].
	LastToken
)

// mode is a row of the table of modes.
type mode struct {
	name string // as a value of pooling_mode
	flag string // the key of releases before 5.4, true or false
	// pool puts into out [H] what it makes of hidden states [n,H], of which those before row from belong to a prompt. out is all
	// zeros, and stays so where no token is left.
	pool func(out, states []float32, from int)
	// some says that there is no vector where no token is left.
	some bool
}

var modes = [...]mode{
	CLS:          {name: "cls", flag: "pooling_mode_cls_token", pool: poolCLS},
	Max:          {name: "max", flag: "pooling_mode_max_tokens", pool: poolMax, some: true},
	Mean:         {name: "mean", flag: "pooling_mode_mean_tokens", pool: poolMean},
	MeanSqrtLen:  {name: "mean_sqrt_len_tokens", flag: "pooling_mode_mean_sqrt_len_tokens", pool: poolMeanSqrtLen},
	WeightedMean: {name: "weightedmean", flag: "pooling_mode_weightedmean_tokens", pool: poolWeightedMean},
	LastToken:    {name: "lasttoken", flag: "pooling_mode_lasttoken", pool: poolLastToken},
}

// Modes lists all modes.
func Modes() []Mode {
	all := make([]Mode, len(modes))
	for i := range all {
		all[i] = Mode(i)
	}
	return all
}

// String is the mode as a value of pooling_mode.
func (m Mode) String() string {
	if int(m) >= len(modes) {
		return fmt.Sprintf("Mode(%d)", m)
	}
	return modes[m].name
}

// ParseMode is the reverse of String.
func ParseMode(name string) (Mode, error) {
	var names []string
	for i, m := range modes {
		if m.name == name {
			return Mode(i), nil
		}
		names = append(names, m.name)
	}
	return 0, fmt.Errorf("pooling mode %s: want one of %s", quote(name), strings.Join(names, ", "))
}

// MarshalText writes String.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMode.
func (m *Mode) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMode(string(text))
	return err
}

// Pool makes one vector [H] of hidden states [n,H].
func (m Mode) Pool(states []float32, hidden int) []float32 {
	out := make([]float32, hidden)
	modes[m].pool(out, states, 0)
	return out
}

func poolCLS(out, states []float32, from int) {
	if at := from * len(out); at < len(states) {
		copy(out, states[at:])
		return
	}
	copy(out, states) // as the library, whose mask is empty then
}

func poolMax(out, states []float32, from int) {
	if from*len(out) >= len(states) {
		return
	}
	states = states[from*len(out):]
	copy(out, states)
	for i, x := range states {
		out[i%len(out)] = max(out[i%len(out)], x)
	}
}

// sum is the sum of rows by their weights, in the order of the rows, and the sum of the weights.
func sum(width int, states []float32, from int, weight func(row int) float64) (total []float64, weights float64) {
	total = make([]float64, width)
	for row := from; row < len(states)/width; row++ {
		w := weight(row)
		weights += w
		for i, x := range states[row*width : (row+1)*width] {
			total[i] += w * float64(x)
		}
	}
	return total, weights
}

// divide puts total/by into out.
func divide(out []float32, total []float64, by float64) {
	if by == 0 {
		return
	}
	for i, x := range total {
		out[i] = float32(x / by)
	}
}

func one(int) float64 { return 1 }

func poolMean(out, states []float32, from int) {
	total, n := sum(len(out), states, from, one)
	divide(out, total, n)
}

func poolMeanSqrtLen(out, states []float32, from int) {
	total, n := sum(len(out), states, from, one)
	divide(out, total, math.Sqrt(n))
}

func poolWeightedMean(out, states []float32, from int) {
	total, weights := sum(len(out), states, from, func(row int) float64 { return float64(row + 1) })
	divide(out, total, weights)
}

func poolLastToken(out, states []float32, from int) {
	if from*len(out) < len(states) {
		copy(out, states[len(states)-len(out):])
	}
}

// pooling is the module Pooling: the vectors of its modes, end to end.
type pooling struct {
	modes         []Mode
	includePrompt bool
}

// errNoTokens is the error of a text all of whose tokens count as the prompt's.
var errNoTokens = errors.New("no token is left beside the prompt, so there is no largest value")

func (p *pooling) apply(f *features) error {
	from := 0
	if !p.includePrompt {
		from = f.prompt
	}
	f.vector = make([]float32, len(p.modes)*f.width)
	for i, m := range p.modes {
		if modes[m].some && from*f.width >= len(f.tokens) {
			return errNoTokens
		}
		modes[m].pool(f.vector[i*f.width:(i+1)*f.width:(i+1)*f.width], f.tokens, from)
	}
	return nil
}

func (p *pooling) String() string {
	names := make([]string, len(p.modes))
	for i, m := range p.modes {
		names[i] = m.String()
	}
	s := strings.Join(names, " + ") + " pooling"
	if !p.includePrompt {
		s += " without the prompt"
	}
	return s
}

func readPooling(r *reader, m *Module, dir string) (step, error) {
	var (
		p       = pooling{includePrompt: true}
		width   int
		flags   [len(modes)]bool
		flagged bool
	)
	fields := map[string]any{
		"embedding_dimension": &width, "word_embedding_dimension": &width, "include_prompt": &p.includePrompt,
		"pooling_mode": func(raw json.RawMessage) (err error) { p.modes, err = parseModes(raw); return err },
	}
	for i := range modes {
		key := modes[i].flag
		fields[key] = func(raw json.RawMessage) error {
			flagged = true
			return jsonobject.Field(key, raw, &flags[i])
		}
	}
	path, err := r.config(m, dir, fields)
	if err != nil {
		return nil, err
	}
	if p.modes == nil && flagged {
		for i, on := range flags {
			if on {
				p.modes = append(p.modes, Mode(i))
			}
		}
	}
	if p.modes == nil {
		p.modes = []Mode{Mean} // as the library
	}
	// The library pools what there is, and so here: the number is for whoever asks for the width.
	if have := r.widths.tokens; width != 0 && have != 0 && width != have {
		r.pipeline.Notes = append(r.pipeline.Notes, fmt.Sprintf("%s says that hidden states have %d numbers, but they have %d", path, width, have))
	}
	r.pooled = true
	r.pipeline.includes = p.includePrompt
	r.widths.vector = len(p.modes) * r.widths.tokens
	return &p, nil
}

// parseModes reads pooling_mode: a mode or a list of modes.
func parseModes(raw json.RawMessage) ([]Mode, error) {
	var names []string
	if raw = bytes.TrimLeft(raw, " \t\r\n"); len(raw) > 0 && raw[0] == '[' {
		if err := jsonobject.Field("value", raw, &names); err != nil {
			return nil, err
		}
	} else {
		names = []string{""}
		if err := jsonobject.Field("value", raw, &names[0]); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 || len(names) > maxModes {
		return nil, fmt.Errorf("%d modes, want 1 to %d", len(names), maxModes)
	}
	out := make([]Mode, len(names))
	for i, name := range names {
		var err error
		if out[i], err = ParseMode(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// maxModes is the most modes of a pooling. A mode may occur twice.
const maxModes = 32

// sortModes puts modes into the library's order, each once.
func sortModes(m []Mode) []Mode {
	m = slices.Clone(m)
	slices.Sort(m)
	return slices.Compact(m)
}
