package task

import (
	"cmp"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/tokenizer"
)

// This file holds the folds, which take windows one by one, to functions that have all windows at once.

// wordsOf is the number of words of an input.
func wordsOf(in *data.Input, s []sequence) int {
	n := len(in.Words)
	if in.Words == nil {
		for i := range s {
			for _, w := range s[i].words {
				n = max(n, int(w)+1)
			}
		}
	}
	return n
}

func entitiesAtOnce(d *Spec, in *data.Input, s []sequence, logits [][]float32) Prediction {
	var (
		n           = wordsOf(in, s)
		labels, log = d.wordLabels(s, n, logits)
		set         = metric.NewTagSet(d.Labels)
		tags        = make([]metric.Tag, n)
		text, spans = spansOf(in, s, n)
		p           = Prediction{Entities: []Entity{}}
	)
	for i, label := range labels {
		tags[i] = set.Tag(d.Labels[label])
		if in.Words != nil {
			p.Labels = append(p.Labels, d.Labels[label])
		}
	}
	for _, e := range metric.Entities(tags) {
		x := Entity{
			Type: set.Types[e.Type], FirstWord: e.From, LastWord: e.To - 1,
			Start: int(spans[e.From].Start), End: int(spans[e.To-1].End),
		}
		x.Text = text[x.Start:x.End]
		for i := e.From; i < e.To; i++ {
			if log[i] != nil {
				x.Score += math.Exp(log[i][labels[i]]) / float64(e.To-e.From)
			}
		}
		p.Entities = append(p.Entities, x)
	}
	return p
}

// spansOf are the places of the words of an input in its text, and that text.
func spansOf(in *data.Input, s []sequence, n int) (string, []tokenizer.Offset) {
	spans := make([]tokenizer.Offset, n)
	if in.Words != nil {
		at := 0
		for i, word := range in.Words {
			spans[i] = tokenizer.Offset{Start: int32(at), End: int32(at + len(word))}
			at += len(word) + 1
		}
		return strings.Join(in.Words, " "), spans
	}
	for i := range spans {
		spans[i].Start = math.MaxInt32
	}
	for i := range s {
		for t, word := range s[i].words {
			if word >= 0 {
				x := &spans[word]
				x.Start, x.End = min(x.Start, s[i].offsets[t].Start), max(x.End, s[i].offsets[t].End)
			}
		}
	}
	for i := range spans {
		spans[i].Start = min(spans[i].Start, spans[i].End) // of a word without a piece
	}
	return in.Text, spans
}

// maxContext is the window in which a token of the context has the most context to both sides; of equal ones the first.
func maxContext(windows []window, token int) int {
	best, at := math.Inf(-1), -1
	for i, w := range windows {
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

func answerAtOnce(d *Spec, in *data.Input, s []sequence, logits [][]float32) Prediction {
	windows, offsets := windowsOf(d, s)
	var (
		all  []Answer
		null = Answer{StartLogit: float32(math.Inf(1))}
	)
	for i, w := range windows {
		start, end := make([]float32, len(logits[i])/2), make([]float32, len(logits[i])/2)
		for j := range start {
			start[j], end[j] = logits[i][2*j], logits[i][2*j+1]
		}
		if none := (Answer{StartLogit: start[0], EndLogit: end[0]}); none.score() < null.score() {
			null = none
		}
		ends := bestIndexes(end)
		for _, from := range bestIndexes(start) {
			for _, to := range ends {
				first, last := from-w.at, to-w.at
				if first < 0 || last < first || last >= w.n || last-first >= maxAnswer || maxContext(windows, w.start+first) != i {
					continue
				}
				a := Answer{
					Start: int(offsets[w.start+first].Start), End: int(offsets[w.start+last].End),
					StartLogit: start[from], EndLogit: end[to],
				}
				a.Text = in.TextPair[a.Start:a.End]
				all = append(all, a)
			}
		}
	}
	if d.Unanswerable {
		all = append(all, null)
	}
	slices.SortStableFunc(all, func(a, b Answer) int { return cmp.Compare(b.score(), a.score()) })
	var (
		p    Prediction
		seen = make(map[string]bool)
		best *Answer
	)
	for _, a := range all {
		if len(p.NBest) < nBestSize && !seen[a.Text] {
			seen[a.Text] = true
			p.NBest = append(p.NBest, a)
		}
	}
	if d.Unanswerable && !seen[""] {
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

// randomText is a text of n words, perhaps with marks and letters of several bytes.
func randomText(r *rand.Rand, n int) string {
	words := strings.Fields("the film is bcd , dull! é 日本 very. not it's bad ?")
	var b strings.Builder
	for range n {
		b.WriteString(words[r.IntN(len(words))])
		if r.IntN(4) > 0 {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func TestFolds(t *testing.T) {
	if testing.Short() {
		t.Skip("tries many cuts of long texts, on one goroutine")
	}
	tok := tinyTokenizer(t)
	r := rand.New(rand.NewPCG(1, 2))
	encoded := func(c codec, d *Spec, in *data.Input, width int) (s []sequence, logits [][]float32) {
		f := featurizer{tokenizer: tok, options: d.options(), spec: d}
		if err := c.encode(&f, in, new(tokenizer.Encoding), func(e *tokenizer.Encoding) { s = append(s, newSequence(e, true)) }); err != nil {
			t.Fatal(err)
		}
		for i := range s {
			l := make([]float32, width*len(s[i].ids))
			for j := range l {
				l[j] = float32(r.IntN(40)) // with equal ones
			}
			logits = append(logits, l)
		}
		return s, logits
	}
	most := 0
	for i := range 300 {
		d := nerSpec(5 + r.IntN(20))
		d.DocStride = r.IntN(d.MaxSeqLength - 2)
		in := data.Input{Text: randomText(r, r.IntN(90))}
		if i%3 == 0 {
			in = data.Input{Words: append(strings.Fields(in.Text), "\u200b", "bcdfgh", "\u200b")}
		}
		s, logits := encoded(tokenClassification{}, &d, &in, len(d.Labels))
		most = max(most, len(s))
		if got, want := foldAll(tokenClassification{}.fold(&d, &in), s, logits), entitiesAtOnce(&d, &in, s, logits); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v\n got %+v\nwant %+v", in, got, want)
		}
		q := Spec{Task: "made", Kind: QuestionAnswering, MaxSeqLength: 12 + r.IntN(30), DocStride: r.IntN(20), Unanswerable: i%2 == 0, NullThreshold: float64(r.IntN(9))}
		in = data.Input{Text: "is it", TextPair: "a" + randomText(r, r.IntN(150))}
		s, logits = encoded(questionAnswering{}, &q, &in, 2)
		most = max(most, len(s))
		if got, want := foldAll(questionAnswering{}.fold(&q, &in), s, logits), answerAtOnce(&q, &in, s, logits); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v %+v, %d windows\n got %+v\nwant %+v", q, in, len(s), got, want)
		}
	}
	if most < 30 {
		t.Errorf("at most %d windows", most)
	}
}

// Windows that are made piece by piece are those of the tokenizer, and truncation of what is left of a long text is that of the whole.
func TestLongTexts(t *testing.T) {
	if testing.Short() {
		t.Skip("works through long texts, one after the other")
	}
	tok := tinyTokenizer(t)
	r := rand.New(rand.NewPCG(3, 4))
	long := randomText(r, 40_000)
	if len(long) < 2*longBytes {
		t.Fatalf("a text of %d bytes", len(long))
	}
	short, longer := "is it good ?", long+" the film"
	pairs := []data.Input{{Text: long}, {Text: long, TextPair: short}, {Text: short, TextPair: long}, {Text: longer, TextPair: long}, {Text: long, TextPair: longer}, {Text: long, TextPair: long}}
	type encoding struct {
		ids, types []int32
		dropped    int
	}
	encode := func(f *featurizer, in data.Input) (out []encoding, err error) {
		err = f.encodeLong(&in, new(tokenizer.Encoding), func(e *tokenizer.Encoding) {
			out = append(out, encoding{slices.Clone(e.IDs), slices.Clone(e.TypeIDs), e.Truncated})
		})
		return out, err
	}
	for _, in := range pairs {
		for _, truncation := range []tokenizer.Truncation{tokenizer.LongestFirst, tokenizer.OnlyFirst, tokenizer.OnlySecond, tokenizer.DoNotTruncate} {
			for _, way := range []LongText{TruncateLong, HeadTail, Windows} {
				for _, left := range []bool{false, true} {
					d := Spec{MaxSeqLength: 41, Truncation: truncation, TruncateLeft: left, Long: way, DocStride: 10}
					at := func(bytes int) featurizer {
						return featurizer{tokenizer: tok, options: d.options(), spec: &d, longBytes: bytes}
					}
					whole, pieces := at(math.MaxInt), at(0)
					want, wantErr := encode(&whole, in)
					got, err := encode(&pieces, in)
					if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
						t.Fatalf("%d and %d bytes, %v, %v, left %v: %d sequences (%v), want %d (%v)", len(in.Text), len(in.TextPair), truncation, way, left, len(got), err, len(want), wantErr)
					}
				}
			}
		}
	}
	// Windows with the places of tokens.
	words := data.Input{Words: strings.Fields(long)}
	for name, c := range map[string]struct {
		codec codec
		in    data.Input
	}{
		"entities": {tokenClassification{}, data.Input{Text: long}}, "words": {tokenClassification{}, words},
		"answers": {questionAnswering{}, data.Input{Text: short, TextPair: long}}, "a long question": {questionAnswering{}, data.Input{Text: long, TextPair: long}},
	} {
		all := func(bytes int) (s []sequence) {
			d := Spec{MaxSeqLength: 100, DocStride: 20}
			f := featurizer{tokenizer: tok, options: d.options(), spec: &d, longBytes: bytes}
			if err := c.codec.encode(&f, &c.in, new(tokenizer.Encoding), func(e *tokenizer.Encoding) { s = append(s, newSequence(e, true)) }); err != nil {
				t.Fatal(err)
			}
			return s
		}
		want, got := all(math.MaxInt), all(0)
		if len(want) < 1000 || len(got) != len(want) {
			t.Fatalf("%s: %d windows, want %d", name, len(got), len(want))
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("%s: window %d is\n%+v, want\n%+v", name, i, got[i], want[i])
			}
		}
	}
}

// An input with more sequences than are held is answered to the bit as where all are held, in one batch or in many.
func TestManySequences(t *testing.T) {
	if testing.Short() {
		t.Skip("works through many sequences, one after the other")
	}
	tok := tinyTokenizer(t)
	r := rand.New(rand.NewPCG(5, 6))
	choices := make([]string, 300)
	for i := range choices {
		choices[i] = randomText(r, 1+r.IntN(9))
	}
	text := randomText(r, 2000)
	labels := []string{"contradiction", "entailment", "neutral"}
	for name, c := range map[string]struct {
		head bert.Head
		spec Spec
		use  Use[Prediction]
		in   data.Input
	}{
		"choices":   {bert.MultipleChoice, Spec{Task: "made", Kind: MultipleChoice, MaxSeqLength: 20}, Predict(), data.Input{Text: text, Choices: choices}},
		"windows":   {bert.SequenceClassification, Spec{Task: "made", Labels: labels, MaxSeqLength: 20, Long: Windows, DocStride: 7}, Predict(), data.Input{Text: text}},
		"entities":  {bert.TokenClassification, nerSpec(20), Predict(), data.Input{Text: text}},
		"answers":   {bert.QuestionAnswering, Spec{Task: "made", Kind: QuestionAnswering, MaxSeqLength: 20, DocStride: 5}, Predict(), data.Input{Text: "is it", TextPair: text}},
		"zero-shot": {bert.SequenceClassification, Spec{Task: "made", Labels: labels, MaxSeqLength: 44}, ZeroShot(ZeroShotOptions{Labels: slices.Compact(slices.Sorted(slices.Values(choices)))}), data.Input{Text: text}},
	} {
		m := tinyModel(t, c.head, c.spec.Labels...)
		var want []Prediction
		for _, tokens := range []int{1 << 20, 500, 30} { // all in one batch; several batches; not held
			p, err := NewRunner(m, tok, &c.spec, c.use, Options{Tokens: tokens})
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Do(t.Context(), []data.Input{c.in, c.in})
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, batches of %d tokens: another answer than in one batch", name, tokens)
			}
		}
	}
}
