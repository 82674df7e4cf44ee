package task

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/squad"
	"github.com/go-bert/bert/tokenizer"
)

// Constants of google-research/bert run_squad.py.
const (
	squadLength    = 384 // tokens of a window, question and context
	squadStride    = 128 // tokens of the context from one window to the next
	maxQueryLength = 64  // tokens of a question
	maxAnswer      = 30  // tokens of an answer
	nBestSize      = 20
)

// questionAnswering is the codec of questions to a context, of which a part is the answer (google-research/bert run_squad.py).
// A context is read in windows, each after the question.
type questionAnswering struct{}

func (questionAnswering) encode(f *featurizer, in *data.Input, e *tokenizer.Encoding, add func(*tokenizer.Encoding)) error {
	if in.IDs != nil || in.Words != nil || in.Choices != nil || strings.TrimSpace(in.TextPair) == "" {
		return errors.New("no context: want a question and a context")
	}
	question, dropped := in.Text, 0
	if len(question) > f.longBytes {
		s, err := f.shorten(question, maxQueryLength+1, false)
		if err != nil {
			return err
		}
		question, dropped = s.text, s.all-s.kept
	}
	if err := f.tokenizer.Encode(e, question, tokenizer.Options{OmitSpecialTokens: true}); err != nil {
		return err
	}
	n := e.Len()
	if n > maxQueryLength {
		question, dropped, n = question[:e.Offsets[maxQueryLength-1].End], dropped+n-maxQueryLength, maxQueryLength
	}
	length := f.options.MaxLength
	o := tokenizer.Options{
		MaxLength: length, Truncation: tokenizer.OnlySecond, Overflow: true,
		Stride: max(0, length-n-3-f.spec.contextStep()),
	}
	both := data.Input{Text: question, TextPair: in.TextPair}
	if done, err := f.longWindows(&both, o, dropped, add); done || err != nil {
		return err
	}
	if err := f.tokenizer.EncodePair(e, question, in.TextPair, o); err != nil {
		return err
	}
	addWindows(e, dropped, add) // of the question
	return nil
}

// contextStep is the most tokens from one window of a context to the next.
func (d *Spec) contextStep() int { return cmp.Or(d.DocStride, squadStride) }

// window is the place of a part of a context's tokens.
type window struct {
	at    int // its first token in the sequence
	start int // and in the context
	n     int
}

// windowsOf are the windows of a context and the places of its tokens.
func windowsOf(d *Spec, s []sequence) (w []window, offsets []tokenizer.Offset) {
	for i := range s {
		at := slices.Index(s[i].typeIDs, 1)
		if at < 0 {
			at = len(s[i].ids) - 1
		}
		v := window{at: at, n: len(s[i].ids) - 1 - at}
		if i > 0 {
			v.start = w[i-1].start + min(w[i-1].n, d.contextStep())
		}
		w = append(w, v)
		offsets = append(offsets[:v.start], s[i].offsets[at:at+v.n]...)
	}
	return w, offsets
}

func (questionAnswering) checkLabel(_ *Spec, x *data.Example) error {
	if x.Answers == nil {
		return data.ErrNoLabel
	}
	return nil
}

func (questionAnswering) target(d *Spec, x *data.Example, s []sequence, t *targets) error {
	if x.Answers == nil {
		return data.ErrNoLabel
	}
	windows, offsets := windowsOf(d, s)
	from, to := -1, -1
	if len(x.Answers) > 0 {
		a := x.Answers[0]
		for i, o := range offsets {
			if from < 0 && int(o.End) > a.Start {
				from = i
			}
			if int(o.Start) < a.Start+len(a.Text) {
				to = i
			}
		}
		if from < 0 || to < from {
			return fmt.Errorf("answer %s has no token", message.Quote(a.Text))
		}
	}
	for _, w := range windows {
		first, last := int32(0), int32(0)
		if from >= w.start && to < w.start+w.n && from >= 0 {
			first, last = int32(w.at+from-w.start), int32(w.at+to-w.start)
		}
		t.from, t.to = append(t.from, first), append(t.to, last)
	}
	return nil
}

func (questionAnswering) outcome(d *Dataset, i int, logits [][]float32, o *Outcome) {
	in, s := d.example(i)
	p := foldAll(questionAnswering{}.fold(&d.spec, &in), s, logits)
	o.ID, o.Answer, o.Best, o.NullOdds = cmp.Or(d.examples[i].ID, fmt.Sprint(i)), &p.Answer.Text, p.best, p.NullOdds
	if p.NullOdds == nil {
		o.Best = p.Answer.Text
	}
	o.Passage = &Passage{Question: in.Text, Windows: len(logits)}
	if best := slices.IndexFunc(p.NBest, func(a Answer) bool { return a.Text != "" && a.Text == o.Best }); best >= 0 {
		o.Passage.best = &[2]int{p.NBest[best].Start, p.NBest[best].End}
	}
	if list := d.examples[i].Answers; len(list) > 0 {
		o.Passage.right = &[2]int{list[0].Start, list[0].Start + len(list[0].Text)}
	}
	for _, a := range d.examples[i].Answers {
		if !slices.Contains(o.Answers, a.Text) {
			o.Answers = append(o.Answers, a.Text)
		}
	}
	from, _ := d.itemsOf(i)
	for j, l := range logits {
		half := d.spanLoss(from+j, l)
		o.Loss += (half[0] + half[1]) / float64(len(logits))
	}
}

// spanLoss is the loss of a sequence: the halves that its first and its last token have in it.
func (d *Dataset) spanLoss(sequence int, logits []float32) (loss [2]float64) {
	for side, label := range []int32{d.targets.from[sequence], d.targets.to[sequence]} {
		values := make([]float32, len(logits)/2)
		for k := range values {
			values[k] = logits[2*k+side]
		}
		log, _ := logSoftmax(values)
		loss[side] = -log[label] / 2
	}
	return loss
}

// aims are the first token of the answer, the last, and of the logits both. Where the answer is that there is none, they are [CLS].
// bothSides is the Target.Side of both ends of an answer together.
const bothSides = "both"

func (questionAnswering) aims(d *Spec, q *question, s []sequence, logits [][]float32) ([]aim, error) {
	if err := q.noLabel(QuestionAnswering); err != nil {
		return nil, err
	}
	var (
		answer     = foldAll(questionAnswering{}.fold(d, q.input), s, logits).Answer
		window     = -1
		tokens     [2]int
		best       float32
		windows, _ = windowsOf(d, s)
		consider   = func(w, from, to int, score float32) {
			if window < 0 || score > best {
				window, tokens, best = w, [2]int{from, to}, score
			}
		}
	)
	for w, l := range logits {
		if answer.Text == "" {
			consider(w, 0, 0, -(l[0] + l[1])) // the one that says so least, as the answer's odds are
			continue
		}
		from, to := -1, -1
		for i := windows[w].at; i < windows[w].at+windows[w].n; i++ {
			if o := s[w].offsets[i]; from < 0 && int(o.Start) == answer.Start {
				from = i
			}
			if int(s[w].offsets[i].End) == answer.End {
				to = i
			}
		}
		if from >= 0 && to >= from {
			consider(w, from, to, l[2*from]+l[2*to+1])
		}
	}
	if window < 0 {
		return nil, fmt.Errorf("the answer %s is in no window", message.Quote(answer.Text))
	}
	var out []aim
	n := len(logits[window]) / 2
	for side, name := range [...]string{"start", "end"} {
		places := upTo(n)
		for i := range places {
			places[i] = 2*i + side
		}
		at, _, err := ofSoftmax(q.quantity, tokens[side], places, logits[window])
		if err != nil {
			return nil, err
		}
		out = append(out, aim{Target{Quantity: q.quantity, Side: name, Answer: &answer.Text, FirstPiece: &tokens[side]}, window, tokens[side : side+1 : side+1], at})
	}
	if q.quantity == Logit {
		at := linear(map[int]float32{2 * tokens[0]: 1, 2*tokens[1] + 1: 1})
		out = append(out, aim{Target{Side: bothSides, Answer: &answer.Text}, window, tokens[:], at})
	}
	return out, nil
}

// fold finds the answer to a question.
func (questionAnswering) fold(d *Spec, in *data.Input) fold {
	return &answerFold{spec: d, in: in, null: Answer{StartLogit: float32(math.Inf(1))}}
}

// answerFold finds the answer in a context whose windows come one by one, in memory that doesn't grow with the context.
type answerFold struct {
	spec    *Spec
	in      *data.Input
	windows []answerWindow // those that may have tokens in common with one that isn't done
	done    int            // of windows
	all     []Answer       // candidates
	null    Answer
}

// answerWindow is a window with the tokens that are the likeliest to begin and to end an answer.
type answerWindow struct {
	window
	starts, ends []answerToken
}

// answerToken is a token of a window.
type answerToken struct {
	token int // of the window's part of the context; may be outside of it
	logit float32
	place tokenizer.Offset
}

func (f *answerFold) add(s *sequence, logits []float32) {
	at := slices.Index(s.typeIDs, 1)
	if at < 0 {
		at = len(s.ids) - 1
	}
	w := answerWindow{window: window{at: at, n: len(s.ids) - 1 - at}}
	if n := len(f.windows); n > 0 {
		last := f.windows[n-1]
		w.start = last.start + min(last.n, f.spec.contextStep())
	}
	start, end := make([]float32, len(logits)/2), make([]float32, len(logits)/2)
	for j := range start {
		start[j], end[j] = logits[2*j], logits[2*j+1]
	}
	if none := (Answer{StartLogit: start[0], EndLogit: end[0]}); none.score() < f.null.score() {
		f.null = none
	}
	best := func(logits []float32) []answerToken {
		out := make([]answerToken, 0, nBestSize)
		for _, i := range bestIndexes(logits) {
			out = append(out, answerToken{i - at, logits[i], s.offsets[i]})
		}
		return out
	}
	w.starts, w.ends = best(start), best(end)
	f.windows = append(f.windows, w)
	// Later windows begin at w or after it.
	for f.done < len(f.windows)-1 && f.windows[f.done].start+f.windows[f.done].n <= w.start {
		f.candidates()
	}
}

// candidates adds those of the first window that isn't done, and forgets windows that have no token in common with those after it.
func (f *answerFold) candidates() {
	w := &f.windows[f.done]
	for _, from := range w.starts {
		if from.token < 0 || from.token >= w.n || f.maxContext(w.start+from.token) != f.done {
			continue
		}
		for _, to := range w.ends {
			if to.token < from.token || to.token >= w.n || to.token-from.token >= maxAnswer {
				continue
			}
			a := Answer{Start: int(from.place.Start), End: int(to.place.End), StartLogit: from.logit, EndLogit: to.logit}
			a.Text = f.in.TextPair[a.Start:a.End]
			f.all = append(f.all, a)
		}
	}
	f.done++
	if len(f.all) > 1<<12 {
		f.all = bestAnswers(f.all)
	}
	gone := 0
	for f.done < len(f.windows) && gone < f.done && f.windows[gone].start+f.windows[gone].n <= f.windows[f.done].start {
		gone++
	}
	if gone > 16 {
		f.windows, f.done = slices.Delete(f.windows, 0, gone), f.done-gone
	}
}

// maxContext is the window in which a token of the context has the most context to both sides; of equal ones the first.
func (f *answerFold) maxContext(token int) int {
	best, at := math.Inf(-1), -1
	for i := range f.windows {
		w := &f.windows[i]
		left, right := token-w.start, w.start+w.n-1-token
		if left < 0 || right < 0 {
			continue
		}
		if score := float64(min(left, right)) + 0.01*float64(w.n); score > best {
			best, at = score, i
		}
	}
	return at
}

// bestAnswers are the best answers of different texts, the best first: all that can be among the n best.
func bestAnswers(all []Answer) []Answer {
	slices.SortStableFunc(all, func(a, b Answer) int { return cmp.Compare(b.score(), a.score()) })
	seen := make(map[string]bool)
	best := all[:0]
	for _, a := range all {
		if len(best) < nBestSize && !seen[a.Text] {
			seen[a.Text] = true
			best = append(best, a)
		}
	}
	return best
}

func (f *answerFold) answer() Prediction {
	for f.done < len(f.windows) {
		f.candidates()
	}
	d, all, null := f.spec, f.all, f.null
	if d.Unanswerable {
		all = append(f.all, null)
	}
	var (
		p    = Prediction{NBest: slices.Clone(bestAnswers(all))}
		best *Answer
	)
	isNull := func(a Answer) bool { return a.Text == "" }
	if d.Unanswerable && !slices.ContainsFunc(p.NBest, isNull) {
		p.NBest = append(p.NBest, null)
	}
	if len(p.NBest) == 0 {
		p.NBest = []Answer{{}}
	}
	sum := 0.0
	for i := range p.NBest {
		sum += math.Exp(p.NBest[i].score() - p.NBest[0].score())
	}
	for i := range p.NBest {
		a := &p.NBest[i]
		a.Probability = math.Exp(a.score()-p.NBest[0].score()) / sum
		if best == nil && a.Text != "" {
			best = a
		}
	}
	p.Answer = &p.NBest[0]
	if d.Unanswerable {
		// Without a candidate run_squad.py compares with one of logits 0.
		odds := null.score()
		if best != nil {
			odds -= best.score()
			p.best = best.Text
		}
		p.NullOdds = &odds
		p.choose(d.NullThreshold)
	}
	return p
}

// bestIndexes are those of the nBestSize largest logits, the largest first.
func bestIndexes(logits []float32) []int {
	order := make([]int, len(logits))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(logits[b], logits[a]) })
	return order[:min(len(order), nBestSize)]
}

// AnswerReport is what an evaluation of questions finds.
type AnswerReport struct {
	Score *squad.Score
	// BestThreshold is, where there may be no answer, the Spec.NullThreshold with the best F1 over the questions.
	BestThreshold float64
	IDs           []string
	Predictions   []Prediction

	examples []data.Example
}

func (questionAnswering) empty(*Spec) Report { return &AnswerReport{Score: new(squad.Score)} }

func (questionAnswering) measure(d *Dataset, logits [][]float32) (Report, float64, error) {
	var (
		r       = new(AnswerReport)
		answers = make(map[string]string)
		best    = make(map[string]string)
		odds    map[string]float64
		loss    float64
		n       int
	)
	examples := slices.Clone(d.examples)
	if d.spec.Unanswerable {
		odds = make(map[string]float64)
	}
	for i := range d.Examples() {
		in, s := d.example(i)
		own := d.logits(logits, i)
		p := foldAll(questionAnswering{}.fold(&d.spec, &in), s, own)
		from, _ := d.itemsOf(i)
		for j, l := range own {
			for _, half := range d.spanLoss(from+j, l) {
				loss += half
			}
			n++
		}
		id := cmp.Or(examples[i].ID, fmt.Sprint(i))
		examples[i].ID = id
		r.IDs, r.Predictions = append(r.IDs, id), append(r.Predictions, p)
		answers[id], best[id] = p.Answer.Text, p.best
		if odds != nil {
			odds[id] = *p.NullOdds
		}
	}
	r.examples = examples
	var err error
	if r.Score, err = squad.Evaluate(examples, answers, squad.Options{Version: data.SQuAD2}); err != nil || odds == nil {
		return r, loss / float64(n), err
	}
	ungated, err := squad.Evaluate(examples, best, squad.Options{Version: data.SQuAD2, NoAnswer: odds, Threshold: math.Inf(1)})
	if err != nil {
		return nil, 0, err
	}
	r.Score.Best, r.BestThreshold = ungated.Best, ungated.Best.F1Threshold
	if ungated.Best.Never {
		r.BestThreshold = math.Nextafter(slices.Min(slices.Collect(maps.Values(odds))), math.Inf(-1))
	}
	return r, loss / float64(n), nil
}

// SetThreshold makes the report that of another Spec.NullThreshold.
func (r *AnswerReport) SetThreshold(threshold float64) error {
	answers := make(map[string]string)
	for i := range r.Predictions {
		p := &r.Predictions[i]
		if p.NullOdds == nil {
			return errors.New("there is always an answer: no threshold to set")
		}
		p.choose(threshold)
		answers[r.IDs[i]] = p.Answer.Text
	}
	score, err := squad.Evaluate(r.examples, answers, squad.Options{Version: data.SQuAD2})
	if err == nil {
		score.Best, r.Score = r.Score.Best, score
	}
	return err
}

// Metrics are the report's metrics by the names of eval_results.json.
func (r *AnswerReport) Metrics() metric.Metrics { return slices.Concat(r.figures()) }

func (r *AnswerReport) figures() (first, further metric.Metrics) {
	s := r.Score
	return metric.Metrics{{Name: "exact", Value: s.Exact}, {Name: "f1", Value: s.F1}}, metric.Metrics{
		{Name: "HasAns_exact", Value: s.HasAns.Exact}, {Name: "HasAns_f1", Value: s.HasAns.F1}, {Name: "NoAns_exact", Value: s.NoAns.Exact}, {Name: "NoAns_f1", Value: s.NoAns.F1},
	}
}

func (r *AnswerReport) details() []entry {
	if b := r.Score.Best; b != nil {
		return []entry{{"best_exact", b.Exact}, {"best_exact_thresh", b.ExactThreshold}, {"best_f1", b.F1}, {"best_f1_thresh", b.F1Threshold}}
	}
	return nil
}

func (r *AnswerReport) writeText(w *strings.Builder) {
	if b := r.Score.Best; b != nil {
		fmt.Fprintf(w, "best F1 %s at threshold %s\n", figure(b.F1), figure(b.F1Threshold))
	}
}

func (r *AnswerReport) save(dir string) error { return SaveAnswers(dir, r.IDs, r.Predictions) }

func (questionAnswering) file() string { return "predictions.json" }

func (questionAnswering) save(dir string, examples []data.Example, predictions []Prediction) error {
	ids := make([]string, len(examples))
	for i := range examples {
		ids[i] = examples[i].ID
	}
	return SaveAnswers(dir, ids, predictions)
}

// The files beside predictions.json.
const (
	nbestFile    = "nbest_predictions.json"
	nullOddsFile = "null_odds.json"
)

// SaveAnswers writes predictions.json, nbest_predictions.json and, where there may be no answer, null_odds.json into dir, as
// run_squad.py does. ids are those of the questions.
func SaveAnswers(dir string, ids []string, p []Prediction) error {
	if len(p) != len(ids) {
		return fmt.Errorf("%d predictions for %d questions", len(p), len(ids))
	}
	for i := range p {
		switch {
		case p[i].Answer == nil:
			return fmt.Errorf("the prediction for question %s is no answer: want those of a model of %v", message.Quote(ids[i]), QuestionAnswering)
		case (p[i].NullOdds == nil) != (p[0].NullOdds == nil):
			return fmt.Errorf("the predictions for questions %s and %s: only one has the odds of no answer", message.Quote(ids[0]), message.Quote(ids[i]))
		}
	}
	object := func(value func(i int) any) ordered {
		return ordered{len(ids), func(i int) (string, any) { return ids[i], value(i) }}
	}
	err := jsonobject.Save(filepath.Join(dir, questionAnswering{}.file()), object(func(i int) any { return p[i].Answer.Text }))
	if err == nil {
		err = jsonobject.Save(filepath.Join(dir, nbestFile), object(func(i int) any { return p[i].NBest }))
	}
	if err == nil && len(p) > 0 && p[0].NullOdds != nil {
		return jsonobject.Save(filepath.Join(dir, nullOddsFile), object(func(i int) any { return *p[i].NullOdds }))
	}
	if e := os.Remove(filepath.Join(dir, nullOddsFile)); err == nil && e != nil && !os.IsNotExist(e) {
		return files.PathError(e)
	}
	return err
}

// ordered is a JSON object whose keys keep their order.
type ordered struct {
	n  int
	at func(i int) (string, any)
}

func (o ordered) MarshalJSON() ([]byte, error) { return jsonobject.Marshal(o.n, o.at) }
