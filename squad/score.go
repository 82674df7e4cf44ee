// Package squad scores answers to questions as the official evaluate-v1.1.py and evaluate-v2.0.py of SQuAD do, to the digit.
package squad

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/internal/textfile"
	"github.com/go-bert/bert/metric"
)

// Part is the score of some of the questions: the share of exact matches and the mean F1 over words, both in percent and NaN
// where there is no question.
type Part struct {
	Exact, F1 float64
	Total     int
}

// Score is what the official scripts print.
type Score struct {
	Version data.SQuADVersion
	Part
	HasAns, NoAns Part // of the questions with and without an answer
	// Best is nil without Options.NoAnswer.
	Best *Best
	// Missing is the number of questions without a prediction. They score 0.
	Missing int
}

// Best has the best scores in percent and the thresholds that give them: a question gets no answer where Options.NoAnswer is above
// the threshold.
type Best struct {
	Exact, ExactThreshold, F1, F1Threshold float64

	Never bool // the best F1 is that of never answering; F1Threshold is then 0, as in the official script
}

// Options say how answers are scored.
type Options struct {
	Version data.SQuADVersion
	// NoAnswer says by each question's id how probable it is that there is no answer, or how high that scores; nil: not known.
	NoAnswer map[string]float64
	// Threshold is the NoAnswer above which an answer counts as none. The official script's is 1.
	Threshold float64
}

// Evaluate scores the predicted answers, by the questions' ids, to examples with Answers. Predictions of other questions
// aren't looked at. Without a prediction a question of SQuAD1 scores 0; of SQuAD2, as in the official script, it is an error,
// and so is one of which NoAnswer says nothing.
func Evaluate(examples []data.Example, predictions map[string]string, o Options) (*Score, error) {
	if o.Version != data.SQuAD1 && o.Version != data.SQuAD2 {
		return nil, fmt.Errorf("SQuAD %v: want version %v or %v", o.Version, data.SQuAD1, data.SQuAD2)
	}
	var (
		s          = &Score{Version: o.Version}
		n          = len(examples)
		exact, f1  = make([]float64, n), make([]float64, n) // as answered, for the best thresholds
		answerable = make([]bool, n)
		none       = make([]bool, n)    // the prediction is that there is no answer
		odds       = make([]float64, n) // NoAnswer
		ok         bool
		sums       [2]Part // of those without and with an answer
	)
	for i := range examples {
		x := &examples[i]
		if x.Answers == nil {
			return nil, &data.SourceError{Source: x.Source, Err: data.ErrNoLabel}
		}
		answer, predicted := predictions[x.ID]
		switch {
		case !predicted && o.Version == data.SQuAD2:
			return nil, &data.SourceError{Source: x.Source, Err: fmt.Errorf("no prediction for question %s", message.Quote(x.ID))}
		case !predicted:
			s.Missing++
		default:
			exact[i], f1[i] = ScoreAnswer(o.Version, x.Answers, answer)
		}
		answerable[i], none[i] = len(x.Answers) > 0, answer == ""
		if o.NoAnswer != nil {
			if odds[i], ok = o.NoAnswer[x.ID]; !ok {
				return nil, &data.SourceError{Source: x.Source, Err: fmt.Errorf("the odds of no answer don't have question %s", message.Quote(x.ID))}
			}
		}
		sum := &sums[0]
		if answerable[i] {
			sum = &sums[1]
		}
		e, f := exact[i], f1[i]
		if o.NoAnswer != nil && odds[i] > o.Threshold {
			e, f = 1, 1
			if answerable[i] {
				e, f = 0, 0
			}
		}
		for _, part := range []*Part{sum, &s.Part} {
			part.Exact, part.F1, part.Total = part.Exact+e, part.F1+f, part.Total+1
		}
	}
	s.NoAns, s.HasAns = sums[0], sums[1]
	for _, part := range []*Part{&s.Part, &s.HasAns, &s.NoAns} {
		part.Exact, part.F1 = percent(part.Exact, part.Total), percent(part.F1, part.Total)
	}
	if o.NoAnswer == nil {
		return s, nil
	}
	s.Best = new(Best)
	for _, b := range []struct {
		scores          []float64
		best, threshold *float64
	}{{exact, &s.Best.Exact, &s.Best.ExactThreshold}, {f1, &s.Best.F1, &s.Best.F1Threshold}} {
		s.Best.Never = false
		best, threshold, err := metric.BestNullThreshold(b.scores, answerable, none, odds)
		if err != nil {
			return nil, err
		}
		if math.IsInf(threshold, -1) {
			s.Best.Never = true // of F1, which comes last
			threshold = 0       // the official script's number for never answering
		}
		*b.best, *b.threshold = percent(best, n), threshold
	}
	return s, nil
}

// percent is 100·sum/n, NaN where n is 0.
func percent(sum float64, n int) float64 { return 100 * sum / float64(n) }

// ScoreAnswer is the score of a question, from 0 to 1: the better of each of an answer's scores over the right ones.
func ScoreAnswer(version data.SQuADVersion, right []data.Span, answer string) (exact, f1 float64) {
	var (
		words = strings.FieldsFunc(normalizeAnswer(answer), textfile.IsPythonSpace)
		score = func(gold string) {
			want := strings.FieldsFunc(normalizeAnswer(gold), textfile.IsPythonSpace)
			same := metric.Overlap(want, words)
			if strings.Join(want, " ") == strings.Join(words, " ") {
				exact = 1
			}
			if version == data.SQuAD2 && len(want) == 0 && len(words) == 0 {
				f1 = 1
			}
			if same > 0 {
				f1 = max(f1, metric.F1(float64(same)/float64(len(words)), float64(same)/float64(len(want))))
			}
		}
		scored = false
	)
	for _, gold := range right {
		// Version 2.0 leaves out right answers of which normalizing leaves nothing.
		if version == data.SQuAD1 || normalizeAnswer(gold.Text) != "" {
			score(gold.Text)
			scored = true
		}
	}
	if !scored && version == data.SQuAD2 {
		score("")
	}
	return exact, f1
}

// normalizeAnswer is the official normalize_answer: lower case, without ASCII punctuation and without the words a, an and
// the, words between single blanks.
func normalizeAnswer(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (unicode.IsPunct(r) || unicode.IsSymbol(r)) {
			return -1
		}
		return r
	}, lowerPython(s))
	// An article is a whole word in the sense of \b: what is between characters other than letters, digits and _.
	var (
		b    strings.Builder
		word = func(w string) {
			switch w {
			case "a", "an", "the":
				w = " "
			}
			b.WriteString(w)
		}
		from = -1
	)
	for i, r := range s {
		switch inWord := r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r); {
		case inWord && from < 0:
			from = i
		case !inWord:
			if from >= 0 {
				word(s[from:i])
				from = -1
			}
			b.WriteRune(r)
		}
	}
	if from >= 0 {
		word(s[from:])
	}
	return strings.Join(strings.FieldsFunc(b.String(), textfile.IsPythonSpace), " ")
}

// lowerPython is Python's str.lower: Go's but for the capital I with a dot, which becomes two code points, and for the
// sigma that ends a word.
func lowerPython(s string) string {
	if strings.ContainsRune(s, 'Σ') {
		r := []rune(s)
		for i := range r {
			if r[i] == 'Σ' && i > 0 && unicode.IsLetter(r[i-1]) && (i+1 == len(r) || !unicode.IsLetter(r[i+1])) {
				r[i] = 'ς'
			}
		}
		s = string(r)
	}
	return strings.ToLower(strings.ReplaceAll(s, "İ", "i\u0307"))
}

// Metrics are the scores by the official names.
func (s *Score) Metrics() metric.Metrics {
	if s.Version == data.SQuAD1 {
		return metric.Metrics{{Name: "exact_match", Value: s.Exact}, {Name: "f1", Value: s.F1}}
	}
	m := metric.Metrics{{Name: "exact", Value: s.Exact}, {Name: "f1", Value: s.F1}, {Name: "total", Value: float64(s.Total)}}
	for _, p := range []struct {
		name string
		Part
	}{{"HasAns", s.HasAns}, {"NoAns", s.NoAns}} {
		if p.Total > 0 {
			m = append(m, metric.Metric{Name: p.name + "_exact", Value: p.Exact}, metric.Metric{Name: p.name + "_f1", Value: p.F1}, metric.Metric{Name: p.name + "_total", Value: float64(p.Total)})
		}
	}
	if b := s.Best; b != nil {
		m = append(m, metric.Metric{Name: "best_exact", Value: b.Exact}, metric.Metric{Name: "best_exact_thresh", Value: b.ExactThreshold},
			metric.Metric{Name: "best_f1", Value: b.F1}, metric.Metric{Name: "best_f1_thresh", Value: b.F1Threshold})
	}
	return m
}

// MarshalJSON writes the object that the official script of the version prints.
func (s *Score) MarshalJSON() ([]byte, error) { return s.Metrics().MarshalJSON() }

// String is the scores for people.
func (s *Score) String() string {
	var b strings.Builder
	for _, m := range s.Metrics() {
		value := "–"
		if !math.IsNaN(m.Value) {
			value = fmt.Sprintf("%.4f", m.Value)
		}
		fmt.Fprintf(&b, "%-18s %s\n", m.Name, value)
	}
	if s.Missing > 0 {
		fmt.Fprintf(&b, "%s without a prediction\n", message.Thousands(s.Missing))
	}
	return b.String()
}

// ReadAnswers reads predictions.json: an object with an answer for each question's id.
func ReadAnswers(path string) (map[string]string, error) { return readByID(path, parseAnswer) }

// ReadNullOdds reads null_odds.json: an object with a number for each question's id.
func ReadNullOdds(path string) (map[string]float64, error) { return readByID(path, parseOdds) }

func parseAnswer(key string, value json.RawMessage) (string, error) {
	var answer string
	if err := json.Unmarshal(value, &answer); err != nil || string(value) == "null" {
		return "", fmt.Errorf("%s is %s, want a string", message.Quote(key), message.Quote(string(value)))
	}
	return answer, nil
}

func parseOdds(key string, value json.RawMessage) (float64, error) {
	const longest = 1 << 10                                                         // of a number
	if c := value[0]; len(value) <= longest && (c == '-' || c >= '0' && c <= '9') { // a number, as the value is valid JSON
		if odds, err := strconv.ParseFloat(string(value), 64); err == nil {
			return odds, nil
		}
	}
	var odds float64
	if len(value) > longest || json.Unmarshal(value, &odds) != nil || string(value) == "null" {
		return 0, fmt.Errorf("%s is %s, want a number", message.Quote(key), message.Quote(string(value)))
	}
	return odds, nil
}

// maxAnswersFile bounds a file of answers or of odds. That of the 130,319 questions of SQuAD 2.0 has 6 MB.
const maxAnswersFile = 256 << 20

func readByID[T any](path string, parse func(key string, value json.RawMessage) (T, error)) (map[string]T, error) {
	content, err := files.ReadFile(path, maxAnswersFile)
	if err != nil {
		return nil, err
	}
	if err := textfile.Check(content); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	byID, err := parseByID(content, parse)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return byID, nil
}

func parseByID[T any](content []byte, parse func(key string, value json.RawMessage) (T, error)) (map[string]T, error) {
	out := make(map[string]T)
	err := jsonobject.Each(textfile.TrimMark(content), func(key string, value json.RawMessage) (err error) {
		before := len(out)
		if out[key], err = parse(key, value); err == nil && len(out) == before {
			err = jsonobject.Twice(key)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
