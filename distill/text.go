package distill

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/sentence"
	"github.com/go-bert/bert/tokenizer"
	"github.com/go-bert/bert/train"
)

// textJob is the part of a job that learns from plain text.
type textJob struct {
	*Job
	model  *bert.Model
	set    *pretrain.Set // nil: lines
	data   *textData
	held   *textData // nil: none
	length int       // the most tokens of a sequence
	models models
}

// textData are the sequences of a source, with masks and labels or without.
type textData struct {
	pretrain.Source
	masked   *pretrain.Data // nil: no masks
	instance pretrain.Instance
}

func newTextData(s pretrain.Source, head bert.Head) (*textData, error) {
	d := &textData{Source: s}
	if head == bert.NoHead {
		return d, nil
	}
	var err error
	d.masked, err = pretrain.NewData(s, head)
	return d, err
}

// Append adds sequence i as in epoch 0.
func (d *textData) Append(b *bert.Batch, i int) error { return d.AppendEpoch(b, i, 0) }

// AppendEpoch adds sequence i, masked for an epoch; or as it is in the text.
func (d *textData) AppendEpoch(b *bert.Batch, i, epoch int) error {
	if d.masked != nil {
		return d.masked.AppendEpoch(b, i, epoch)
	}
	in := &d.instance
	if err := d.Instance(i, epoch, in); err != nil {
		return err
	}
	for k, p := range in.Positions {
		in.IDs[p] = in.MaskedIDs[k]
	}
	b.Add(in.IDs, in.TypeIDs)
	return nil
}

// defaultTextLength is the most tokens of a sequence where the recipe doesn't say it.
const defaultTextLength = 128

// prepare opens the text and makes the models.
func (t *textJob) prepare(ctx context.Context) (err error) {
	r := &t.recipe
	if !r.weighted() {
		p, err := sentence.Load(t.dir, 0)
		switch {
		case err == nil && !p.CrossEncoder:
			r.SentenceWeight = 1
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		default:
			r.RelationWeight = 1
		}
	}
	if r.BestMetric != "" && r.BestMetric != train.LossMetric {
		return recipe.Wrong(r, "metric_for_best_model", train.LossMetric)
	}
	asked := bert.NoHead
	if r.LogitWeight > 0 {
		asked = bert.MaskedLM
	}
	if err := t.loadTeacher(ctx, asked); err != nil {
		return err
	}
	source, err := t.open(ctx)
	if err != nil {
		return err
	}
	head := t.head()
	if err := t.divide(source, head); err != nil {
		return err
	}
	if t.pieces != nil {
		if err := t.pieces.check(&textData{Source: source}); err != nil {
			return err
		}
	}
	if t.model, err = t.makeStudent(ctx, bert.Options{Head: head, NewHead: head != bert.NoHead}); err != nil {
		return err
	}
	if err := t.model.CheckVocabulary(t.student.tokenizer.VocabSize()); err != nil {
		return err
	}
	if err := t.learn(t.model, &t.models); err != nil {
		return err
	}
	if p, err := sentence.Load(t.student.dir, 0); t.student.dir != "" && err == nil && t.models.vectors == nil {
		t.notes.add(fmt.Sprintf("the pipeline of %s (%v) is not in the model that is written: a loss on sentences makes one", r.Student, p))
	}
	return t.describeText(source)
}

// masked says that answers to masked words are learnt.
func (t *textJob) masked() bool { return t.recipe.LabelWeight > 0 || t.recipe.LogitWeight > 0 }

// head is the student's, by what it learns: masked words, and next sentences as well where the instances that give the labels are pairs.
func (t *textJob) head() bert.Head {
	switch {
	case !t.masked():
		return bert.NoHead
	case t.recipe.LabelWeight > 0 && t.set != nil && t.set.Info().Options.NextSentence:
		return bert.PreTraining
	}
	return bert.MaskedLM
}

// open opens the text.
func (t *textJob) open(ctx context.Context) (pretrain.Source, error) {
	r := &t.recipe
	most := min(t.student.config.MaxPositionEmbeddings, t.config.MaxPositionEmbeddings)
	t.length = min(cmp.Or(r.MaxSeqLength, defaultTextLength), most)
	if r.MaxSeqLength > most {
		return nil, &recipe.Error{Key: "max_seq_length", Value: fmt.Sprint(r.MaxSeqLength), Reason: fmt.Sprintf("teacher and student have %d positions", most), Want: "at most that"}
	}
	if r.Instances == "" {
		o := pretrain.InstanceOptions{MaxSeqLength: t.length, Seed: *r.Seed}
		if t.masked() {
			o.MaskedLMProb = r.MaskedLMProb
		}
		lines, err := pretrain.ReadLines(ctx, &pretrain.Corpus{Paths: r.Files, Stdin: t.options.Stdin, Encoding: r.Encoding}, t.student.tokenizer, o)
		if err != nil {
			return nil, err
		}
		if n := lines.Truncated(); n > 0 {
			t.notes.add(fmt.Sprintf("%d of %d lines have more than %d tokens and are cut (max_seq_length)", n, lines.Len(), t.length))
		}
		return lines, nil
	}
	set, err := pretrain.Open(ctx, r.Instances)
	if err != nil {
		return nil, err
	}
	t.set = set
	if tok := set.Tokenizer(); tok != nil && pretrain.VocabularyOf(tok) != pretrain.VocabularyOf(t.student.tokenizer) {
		return nil, fmt.Errorf("%s was made with another vocabulary than the student has", r.Instances)
	}
	if longest := set.Info().Longest; longest > most {
		return nil, fmt.Errorf("%s has instances of %d tokens, and teacher and student have %d positions", r.Instances, longest, most)
	}
	return set, nil
}

// divide makes what is trained and evaluated on.
func (t *textJob) divide(source pretrain.Source, head bert.Head) (err error) {
	r := &t.recipe
	rest := source
	if r.ValidationShare > 0 {
		var held pretrain.Source
		if rest, held, err = pretrain.Split(source, r.ValidationShare, *r.Seed); err != nil {
			return err
		}
		if r.MaxEvalExamples > 0 {
			held = pretrain.Spread(held, r.MaxEvalExamples)
		}
		if t.held, err = newTextData(held, head); err != nil {
			return err
		}
	}
	if r.MaxTrainExamples > 0 {
		rest = pretrain.Spread(rest, r.MaxTrainExamples)
	}
	t.data, err = newTextData(rest, head)
	return err
}

// describeText adds the student and the text to the fingerprint.
func (t *textJob) describeText(source pretrain.Source) (err error) {
	if err := t.Job.describe(); err != nil {
		return err
	}
	c := t.model.Config()
	config, err := json.Marshal(&c)
	if err != nil {
		return err
	}
	t.print["config"], t.print["head"] = string(config), t.model.Head().String()
	switch s := source.(type) {
	case *pretrain.Lines:
		t.print["text"] = s.SHA256()
		t.print["masked_lm_prob"] = fmt.Sprint(t.recipe.MaskedLMProb)
	case *pretrain.Set:
		t.print["instances"] = s.Info().SHA256
	}
	t.print["validation_share"] = fmt.Sprint(t.recipe.ValidationShare)
	return nil
}

func (t *textJob) close() (err error) {
	if t.model != nil {
		err = t.model.Close()
	}
	if t.set != nil {
		err = errors.Join(err, t.set.Close())
	}
	return err
}

func (t *textJob) lines() (training, held int) {
	if t.held != nil {
		held = t.held.Len()
	}
	return t.data.Len(), held
}

// run trains the student.
func (t *textJob) run(ctx context.Context, observe train.Observer) (train.Result, error) {
	o := train.Options{
		Recipe: t.recipe.Training, Output: t.options.Output, Resume: t.options.Resume, Fingerprint: t.print, Observer: observe,
		AllowOtherKernels: t.options.AllowOtherKernels, Objective: t.objective,
		Begin:     func(dir string) error { return jsonobject.Save(filepath.Join(dir, RecipeFile), t.recipe) },
		SaveModel: t.save, Missing: t.missing,
	}
	if t.held == nil {
		return train.Run(ctx, t.model, t.data, nil, o)
	}
	return train.Run(ctx, t.model, t.data, t, o)
}

// save writes the model directory. The weights come last: where they are, what says how to use them is.
func (t *textJob) save(dir string) error {
	if err := t.student.tokenizer.Save(dir, tokenizer.SaveOptions{MaxLength: t.model.Config().MaxPositionEmbeddings}); err != nil {
		return err
	}
	if t.models.vectors != nil {
		p, err := t.models.vectors.pipeline(t.length)
		if err != nil {
			return err
		}
		if _, err := p.Save(dir); err != nil {
			return err
		}
	}
	return t.model.Save(dir, bert.SaveOptions{})
}

// missing is the name of a file that the folder of a run that has ended lacks; "" if there is none.
func (t *textJob) missing(dir string) string {
	names := []string{"config.json", "model.safetensors"}
	if t.models.vectors != nil {
		names = append(names, "modules.json")
	}
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			return name
		}
	}
	if _, err := tokenizer.Load(dir); err != nil {
		return "the tokenizer"
	}
	return ""
}

// evalTokens is about how many tokens of the text to evaluate on go through the models together.
const evalTokens = 4096

// Evaluate is the distance between student and teacher on the text that was held out, without dropout: each term, and their sum.
func (t *textJob) Evaluate(ctx context.Context, m *bert.Model, at train.Point) (train.Evaluation, error) {
	var (
		o       = t.objective
		session = m.NewSession()
		sums    = make([]float64, len(o.terms))
		rows    = make([]float64, len(o.terms))
		n       = t.held.Len()
		b       bert.Batch
	)
	for i := 0; i < n; {
		if ctx.Err() != nil {
			return train.Evaluation{}, context.Cause(ctx)
		}
		b.Reset()
		for ; i < n && (b.Len() == 0 || b.Tokens()+t.held.Length(i) <= evalTokens); i++ {
			if err := t.held.Append(&b, i); err != nil {
				return train.Evaluation{}, err
			}
		}
		q := o.teacher.ask(-1, []*bert.Batch{&b})
		out, err := session.Forward(&b, bert.Outputs{Hidden: len(o.need.Hidden) > 0, QKV: len(o.need.QKV) > 0})
		if <-q.answered; q.err != nil || err != nil {
			return train.Evaluation{}, cmp.Or(q.err, err)
		}
		student := saidBy(out, &o.need)
		for k, term := range o.terms {
			loss, err := term.add(&o.computing, &b, q.answers[0], student, nil, 0)
			if err != nil {
				return train.Evaluation{}, err
			}
			sums[k] += loss
			rows[k] += term.rows(&b)
		}
		if at.Progress != nil {
			at.Progress(i, n)
		}
	}
	var e train.Evaluation
	for k, term := range o.terms {
		v := 0.0
		if rows[k] > 0 {
			v = term.weight * sums[k] / rows[k]
		}
		e.Loss += v
		e.Metrics = append(e.Metrics, metric.Metric{Name: term.name, Value: v})
	}
	return e, nil
}
