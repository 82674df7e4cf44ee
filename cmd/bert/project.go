package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/explain"
	"github.com/go-bert/bert/internal/jsonobject"
	"github.com/go-bert/bert/report"
	"github.com/go-bert/bert/task"
	"github.com/go-bert/bert/vectors"
)

// projectFlags are the flags of bert project.
type projectFlags struct {
	model      modelFlags
	in         inputFlags
	out        outputFlags
	page       pageFlag
	textColumn string
	vectors    string
	tensor     string
	color      string
	shape      string
	keep       []string

	before, beforeVectors string

	method    *choice
	pooling   *choice
	layer     int
	maxLength int
	normalize bool
	maxPoints int
	options   explain.ProjectOptions
}

// defaultMaxPoints is the most points that are shown: t-SNE of them takes well under a minute.
const defaultMaxPoints = 20_000

func (a *app) projectCommand() *cobra.Command {
	f := projectFlags{method: newChoice(explain.ByPCA.String(), explain.Projectors()...)}
	poolings := slices.DeleteFunc(task.Poolings(), func(p string) bool { return p == task.NoPooling.String() })
	f.pooling = newChoice(task.ModelPooling.String(), poolings...)
	cmd := &cobra.Command{
		Use:   "project [--model DIR] [flags] [TEXT ...]",
		Short: "Place texts or vectors in a plane, by PCA or t-SNE",
		Long: `project makes a vector of each text and places the vectors in a plane: near each other where the texts are alike. The vector is
that of a sentence-transformers folder and, of another model, the mean of the hidden states, unless --pooling says otherwise.
Without --model it uses starter, the small English model that comes with the program. With --vectors it places vectors that any
program has written.

--input is a text a line, or a table (.csv, .tsv, .jsonl) with a column for the text, --text-column; its other columns are
printed beside the points. --vectors is NumPy's .npy, a .safetensors file with a matrix, or a table of which each column of
numbers is a dimension; --keep names those that are none. All may be compressed, but for .npy and .safetensors.

--method pca shows the two directions in which the vectors vary most, tsne keeps neighbours together: there, distances between
far points mean little. Of more than --sample points a sample is shown, of which each value of --color has its share.

--before DIR places the vectors of another model too, such as the one before fine-tuning, and --vectors-before FILE those of
another file: an arrow shows where each point came from. They are first turned onto the others, since which way a space of
vectors lies means nothing. Each point then has where it was, how far it moved in the original space and the share of its
neighbours that it has kept.

The first line of the result sums up: the share of the variance along both axes (pca) or the Kullback-Leibler divergence
(tsne), and the trustworthiness: 1 where all neighbours in the plane are neighbours in the original space. A line for each
point follows, with its place, its own trustworthiness and its nearest neighbours in the original space.

--normalize scales the vectors to length 1 first, so that distances are those of cosines.`,
		Example: `  bert project --input reviews.csv --color label --method tsne > map.jsonl
  bert project --input reviews.csv --color label --html map.html > map.jsonl
  bert project --model bert-base-uncased --layer 6 --pooling cls --input sentences.txt
  bert project --model my-model --before bert-base-uncased --input reviews.csv --html drift.html > drift.jsonl
  bert project --vectors embeddings.npy --method tsne --perplexity 50 --normalize`,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if f.vectors == "" {
				for _, name := range []string{"tensor", "keep", "vectors-before"} {
					if cmd.Flags().Changed(name) {
						return usagef("--%s is for --vectors", name)
					}
				}
				return nil
			}
			for _, name := range []string{"model", "before", "input", "pooling", "layer", "max-seq-length", "text-column"} {
				if cmd.Flags().Changed(name) {
					return usagef("both --vectors and --%s: vectors need no model", name)
				}
			}
			return cmd.Flags().Lookup("model").Value.Set("") // not the starter model either
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.project(cmd, &f, args) },
	}
	f.model.add(cmd)
	defaultModel(cmd)
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.in.file, "input", "", "read texts from `FILE`, a text a line or a table; - is stdin")
		f.in.reading.add(flags)
		flags.StringVar(&f.textColumn, "text-column", "", "the `COLUMN` (or JSON key) of the text (default text)")
		flags.StringVar(&f.vectors, "vectors", "", "place the vectors in `FILE` instead of texts")
		flags.StringVar(&f.tensor, "tensor", "", "with --vectors: the `NAME` of a safetensors file's matrix (default: its only one)")
		flags.StringSliceVar(&f.keep, "keep", nil, "with --vectors: the columns `A,B` of a table are no dimensions")
		flags.StringVar(&f.color, "color", "", "the `COLUMN` by which points are marked (default label, if there is one)")
		flags.StringVar(&f.shape, "shape", "", "the `COLUMN` of which each value has a shape on the page (default: --color's)")
		flags.StringVar(&f.beforeVectors, "vectors-before", "", "with --vectors: the vectors in `FILE` are those of the same points before")
		flags.IntVar(&f.maxPoints, "sample", defaultMaxPoints, "show a sample of `N` points if there are more")
		flags.IntVar(&f.maxLength, "max-seq-length", 0, "truncate texts to `N` tokens, including [CLS] and [SEP] (default: the model's positions)")
	})
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.before, "before", "", "compare with the model in `DIR`, such as the one before fine-tuning")
		addChoice(cmd, f.pooling, "pooling", "how one vector is made of the hidden states of a text; model: as a sentence-transformers folder says, else mean")
		flags.IntVar(&f.layer, "layer", -1, "pool the hidden states of layer `N`: 0 is the embeddings, -1 the last layer")
	})
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		addChoice(cmd, f.method, "method", "how points are placed")
		flags.BoolVar(&f.normalize, "normalize", false, "scale vectors to length 1 first")
		flags.Float64Var(&f.options.TSNE.Perplexity, "perplexity", 30, "with --method tsne: how many neighbours a point has, about")
		flags.Uint64Var(&f.options.TSNE.Seed, "seed", 0, "the seed of samples and of t-SNE")
		flags.IntVar(&f.options.Neighbours, "neighbours", 0, "print the `N` nearest neighbours of a point, and judge by them (default 10)")
	})
	markModel(cmd, "before")
	f.out.add(cmd)
	f.page.add(cmd, "write a page with pictures of the first results to `FILE`")
	mainFlags(cmd, "model", "before", "method", "pooling", "layer", "input", "vectors", "color", "perplexity", "normalize", "html", "json", "threads")
	return cmd
}

// points are what is placed: vectors, and what is known of them.
type points struct {
	name    string // of the input
	matrix  *explain.Matrix
	before  *explain.Matrix // what they were; nil: nobody asked
	drift   *explain.Drift
	rows    []int         // of the input, that are shown
	records *data.Records // nil where there is nothing but the vectors
	text    int           // the column of texts, −1 for none
	color   int           // of marks, −1 for none
	shape   int           // of shapes, likewise
}

func (a *app) project(cmd *cobra.Command, f *projectFlags, args []string) error {
	var err error
	o := &f.options
	if o.Method, err = explain.ParseProjector(f.method.value); err != nil {
		return usageError{err}
	}
	switch {
	case o.Method != explain.ByTSNE && cmd.Flags().Changed("perplexity"):
		return usagef("--perplexity is for --method tsne")
	case o.TSNE.Perplexity <= 1 || math.IsInf(o.TSNE.Perplexity, 0) || math.IsNaN(o.TSNE.Perplexity):
		return usagef("--perplexity is %v, want more than 1", o.TSNE.Perplexity)
	case f.maxPoints < 5:
		return usagef("--sample is %d, want at least 5", f.maxPoints)
	case o.Neighbours < 0 || cmd.Flags().Changed("neighbours") && o.Neighbours == 0:
		return usagef("--neighbours is %d, want at least 1", o.Neighbours)
	case f.maxLength < 0:
		return usagef("--max-seq-length is %d, want at least 3", f.maxLength)
	}
	if err := checkThreads(f.model.threads); err != nil {
		return err
	}
	o.Threads = f.model.threads
	var (
		p   *points
		all int
	)
	if f.vectors != "" {
		if len(args) > 0 {
			return usagef("both texts as arguments and --vectors %s: want one of them", f.vectors)
		}
		p, all, err = a.readVectors(cmd.Context(), f)
	} else {
		p, all, err = a.embed(cmd.Context(), f, args)
	}
	if err != nil {
		return err
	}
	if f.normalize {
		p.matrix.Normalize()
		if p.before != nil {
			p.before.Normalize()
		}
	}
	if n := p.matrix.Rows; n < all {
		a.log.Warn(fmt.Sprintf("a sample of %s of %s", thousands(n), count(all, "point")))
	}
	bars := a.newProgress()
	if bars.bars != nil && o.Method == explain.ByTSNE {
		o.TSNE.Progress = func(done, all int) {
			if bars.steps == nil {
				bars.steps = bars.newBar("t-SNE", all, func() string { return "" })
			}
			bars.steps.SetCurrent(int64(done))
		}
	}
	var result *explain.Projection
	if p.before != nil {
		result, p.drift, err = explain.ProjectDrift(cmd.Context(), p.before, p.matrix, *o)
	} else {
		result, err = explain.Project(cmd.Context(), p.matrix, *o)
	}
	bars.close()
	if err != nil {
		return err
	}
	for _, note := range result.Notes {
		a.log.Warn(note)
	}
	if f.out.table(a) {
		err = writeOut(a.stdout, []byte(p.picture(screenOf(a.stdout), result)))
	} else {
		err = p.write(a.stdout, result, all)
	}
	if err != nil || f.page.path == "" {
		return err
	}
	page, err := report.ProjectionPage(p.drawn(result, all), "Map of "+filepath.Base(p.name), generator())
	if err != nil {
		return err
	}
	return f.page.save(a, page)
}

// drawn is what a page shows.
func (p *points) drawn(r *explain.Projection, all int) report.Projection {
	out := report.Projection{Projection: r, Dimensions: p.matrix.Columns, Of: all, Rows: p.rows, Text: p.text, Color: p.color, Shape: p.shape, Drift: p.drift}
	if p.records != nil {
		out.Columns, out.Values = p.records.Columns, p.records.Rows
	}
	return out
}

// readVectors reads the points of --vectors. all is their number before the sample.
func (a *app) readVectors(ctx context.Context, f *projectFlags) (p *points, all int, err error) {
	keep := f.keep
	if f.color != "" && !slices.Contains(keep, f.color) {
		keep = append(slices.Clip(keep), f.color)
	}
	if f.shape != "" && !slices.Contains(keep, f.shape) {
		keep = append(slices.Clip(keep), f.shape)
	}
	options := vectors.Options{Tensor: f.tensor, Keep: keep, Table: f.table(a)}
	set, err := vectors.Read(ctx, f.vectors, options)
	if err != nil {
		return nil, 0, err
	}
	p = &points{name: f.vectors, records: set.Records, text: -1}
	if set.Records != nil {
		p.text = set.Records.Column("text")
	}
	if err := p.setMarks(f, f.vectors); err != nil {
		return nil, 0, err
	}
	p.sample(set.Rows, f)
	p.matrix = (&explain.Matrix{Rows: set.Rows, Columns: set.Columns, Values: set.Values}).Select(p.rows)
	if f.beforeVectors != "" {
		was, err := vectors.Read(ctx, f.beforeVectors, options)
		switch {
		case err != nil:
			return nil, 0, err
		case was.Rows != set.Rows || was.Columns != set.Columns:
			return nil, 0, fmt.Errorf("%s: %s of %d dimensions, but %s has %s of %d: want the same points before",
				f.beforeVectors, count(was.Rows, "vector"), was.Columns, f.vectors, thousands(set.Rows), set.Columns)
		}
		p.before = (&explain.Matrix{Rows: was.Rows, Columns: was.Columns, Values: was.Values}).Select(p.rows)
	}
	return p, set.Rows, nil
}

// setMarks finds the columns by which points are marked.
func (p *points) setMarks(f *projectFlags, name string) error {
	find := func(flag, column, fallback string) (int, error) {
		switch {
		case p.records == nil && column != "":
			return -1, usagef("--%s %s: %s has no columns", flag, column, name)
		case p.records == nil || column == "" && fallback == "":
			return -1, nil
		}
		at := p.records.Column(cmp.Or(column, fallback))
		if at < 0 && column != "" {
			return -1, usagef("--%s %s: no such column; the columns are %s", flag, column, strings.Join(p.records.Columns, ", "))
		}
		return at, nil
	}
	var err error
	if p.color, err = find("color", f.color, "label"); err != nil {
		return err
	}
	p.shape, err = find("shape", f.shape, "")
	return err
}

// sample chooses the points that are shown, of which each mark has its share, and leaves their records alone.
func (p *points) sample(n int, f *projectFlags) {
	var groups []string
	if p.color >= 0 {
		for _, row := range p.records.Rows {
			groups = append(groups, row[p.color])
		}
	}
	p.rows = explain.Sample(n, f.maxPoints, groups, f.options.TSNE.Seed)
	if p.records != nil {
		kept := *p.records
		kept.Rows, kept.Lines = make([][]string, len(p.rows)), make([]int, len(p.rows))
		for i, r := range p.rows {
			kept.Rows[i], kept.Lines[i] = p.records.Rows[r], p.records.Lines[r]
		}
		p.records = &kept
	}
}

// embed reads texts and makes their vectors. all is their number before the sample.
func (a *app) embed(ctx context.Context, f *projectFlags, args []string) (*points, int, error) {
	_, err := a.encodeOptions(ctx, f, &f.model)
	if err != nil {
		return nil, 0, err
	}
	p := &points{}
	name := argumentName
	switch {
	case len(args) > 0 && f.in.file != "":
		return nil, 0, usagef("both texts as arguments and --input %s: want one of them", f.in.file)
	case len(args) > 0:
		p.records = &data.Records{Columns: []string{"text"}}
		for i, text := range args {
			p.records.Rows, p.records.Lines = append(p.records.Rows, []string{text}), append(p.records.Lines, i+1)
		}
	default:
		if name = cmp.Or(f.in.file, "-"); name == "-" && isTerminal(a.stdin) {
			a.log.Info("reading texts from the terminal, one per line; end with Ctrl-D")
		}
		p.records, err = data.ReadRecords(ctx, name, f.table(a))
		if name == "-" {
			name = "stdin"
		}
	}
	if err != nil {
		return nil, 0, err
	}
	if n := p.records.Skipped; n > 0 {
		a.log.Warn(fmt.Sprintf("%s skipped; the first: %v", count(n, "bad line"), p.records.FirstSkipped))
	}
	p.name = name
	column := cmp.Or(f.textColumn, "text")
	if p.text = p.records.Column(column); p.text < 0 {
		return nil, 0, usagef("%s: no column %s for the text; the columns are %s: --text-column names it", name, column, strings.Join(p.records.Columns, ", "))
	}
	if err := p.setMarks(f, name); err != nil {
		return nil, 0, err
	}
	all := len(p.records.Rows)
	p.sample(all, f)

	if p.matrix, err = a.vectorsOf(ctx, f, &f.model, p); err != nil {
		return nil, 0, err
	}
	if f.before != "" {
		other := f.model
		other.dir = f.before
		if p.before, err = a.vectorsOf(ctx, f, &other, p); err != nil {
			return nil, 0, err
		}
	}
	return p, all, nil
}

// encodeOptions say how a model makes vectors of texts.
func (a *app) encodeOptions(ctx context.Context, f *projectFlags, model *modelFlags) (task.EncodeOptions, error) {
	options := task.EncodeOptions{MaxLength: f.maxLength}
	config, err := model.check(a)
	if err != nil {
		return options, err
	}
	if options.Pooling, err = task.ParsePooling(f.pooling.value); err != nil {
		return options, usageError{err}
	}
	if f.layer != -1 {
		if options.Pooling == task.PoolerPooling {
			return options, usagef("--layer %d: the pooler is above the last layer", f.layer)
		}
		options.Layers = []int{f.layer}
	}
	if options.Pooling == task.ModelPooling {
		d, err := task.Describe(ctx, model.dir)
		if err != nil {
			return options, err
		}
		if d.Pipeline == nil || options.Layers != nil {
			options.Pooling = task.MeanPooling
		}
	}
	if options.Pooling != task.ModelPooling {
		options.MaxLength = cmp.Or(options.MaxLength, config.MaxPositionEmbeddings)
	}
	return options, nil
}

// vectorsOf makes the vectors of texts by a model.
func (a *app) vectorsOf(ctx context.Context, f *projectFlags, model *modelFlags, p *points) (*explain.Matrix, error) {
	options, err := a.encodeOptions(ctx, f, model)
	if err != nil {
		return nil, err
	}
	e, err := task.Open(ctx, model.dir, task.Encode(options), model.options())
	if err != nil {
		return nil, err
	}
	defer e.Close()
	a.warnNotes(e.Notes())
	a.warnPrecision(e.Model())
	var (
		examples = make([]data.Example, len(p.records.Rows))
		rows     [][]float32
	)
	for i, row := range p.records.Rows {
		examples[i] = data.Example{Input: data.Input{Text: row[p.text]}, Source: data.Source{File: p.name, Line: p.records.Lines[i]}}
	}
	err = printAnswers(ctx, a, e, &exampleInputs{examples: examples}, printing[task.Encoded]{
		dropped: func(e *task.Encoded) int { return e.DroppedTokens }, unprinted: true,
		each: func(_ *task.Item, answer *task.Encoded) error {
			rows = append(rows, answer.Pooled)
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return explain.MatrixOf(rows)
}

// table says how a table is read.
func (f *projectFlags) table(a *app) data.TableOptions {
	return data.TableOptions{SkipBad: f.in.reading.skipBad, Encoding: f.in.reading.encoding, Stdin: a.stdin}
}

// projectionJSON is the first line of a projection.
type projectionJSON struct {
	Method     explain.Projector `json:"method"`
	Points     int               `json:"points"`
	Of         int               `json:"of,omitempty"` // points, of which they are a sample
	Dimensions int               `json:"dimensions"`
	Ratios     []float64         `json:"explained_ratio,omitempty"`
	Components int               `json:"components,omitempty"`
	Perplexity float64           `json:"perplexity,omitempty"`
	KL         *float64          `json:"kl,omitempty"`
	Sparse     bool              `json:"kl_of_neighbours,omitempty"`
	Neighbours int               `json:"neighbours"`
	Trust      float64           `json:"trustworthiness"`
	Kept       *float64          `json:"kept_neighbours,omitempty"` // of a drift
}

// pointJSON is a line for a point.
type pointJSON struct {
	Index      int     `json:"index"`
	X          float64 `json:"x"`
	Y          float64 `json:"y"`
	Trust      float32 `json:"trustworthiness"`
	Neighbours []int   `json:"neighbours"`
	// Of a drift: where the point was, how far it moved in the original space, and the share of its neighbours that it has kept.
	BeforeX *float64 `json:"before_x,omitempty"`
	BeforeY *float64 `json:"before_y,omitempty"`
	Moved   *float32 `json:"moved,omitempty"`
	Kept    *float32 `json:"kept_neighbours,omitempty"`
	Fields  *fields  `json:"fields,omitempty"`
}

// fields are the columns of a record, in JSON an object that keeps their order.
type fields struct{ columns, values []string }

func (f *fields) MarshalJSON() ([]byte, error) {
	return jsonobject.Marshal(len(f.columns), func(i int) (string, any) { return f.columns[i], f.values[i] })
}

// write prints a line for the whole, and one for each point.
func (p *points) write(w io.Writer, r *explain.Projection, all int) error {
	head := projectionJSON{
		Method: r.Method, Points: p.matrix.Rows, Dimensions: p.matrix.Columns, Ratios: r.Ratios, Neighbours: r.Trust.K, Trust: r.Trust.Overall,
	}
	if all > p.matrix.Rows {
		head.Of = all
	}
	if m := r.Map; m != nil {
		head.Components, head.Perplexity, head.KL, head.Sparse = m.Components, m.Perplexity, &m.KL, m.Sparse
	}
	if d := p.drift; d != nil {
		kept := d.MeanKept()
		head.Kept = &kept
	}
	if err := jsonLine(w, head); err != nil {
		return err
	}
	for i := range p.matrix.Rows {
		at := r.Points.Row(i)
		line := pointJSON{Index: p.rows[i], X: at[0], Y: at[1], Trust: float32(r.Trust.Points[i]), Neighbours: make([]int, r.Neighbours.K)}
		for c, j := range r.Neighbours.Of(i) {
			line.Neighbours[c] = p.rows[j]
		}
		if d := p.drift; d != nil {
			was, moved, kept := d.Before.Row(i), float32(d.Moved[i]), float32(d.Kept[i])
			line.BeforeX, line.BeforeY, line.Moved, line.Kept = &was[0], &was[1], &moved, &kept
		}
		if p.records != nil {
			line.Fields = &fields{p.records.Columns, p.records.Rows[i]}
		}
		if err := jsonLine(w, line); err != nil {
			return err
		}
	}
	return nil
}

// marks are what points are drawn as: a letter for each value of the column of colours, a dot for all others.
const marks = "abcdefghijklmnopqrstuvwxyz"

// picture draws the points with characters. JSON has the numbers.
func (p *points) picture(s screen, r *explain.Projection) string {
	var b strings.Builder
	switch r.Method {
	case explain.ByPCA:
		fmt.Fprintf(&b, "%s by PCA: %.1f %% of the variance across, %.1f %% up", count(p.matrix.Rows, "point"), 100*r.Ratios[0], 100*r.Ratios[1])
	default:
		fmt.Fprintf(&b, "%s by t-SNE, perplexity %.4g: divergence %.4f", count(p.matrix.Rows, "point"), r.Map.Perplexity, r.Map.KL)
	}
	text := b.String()
	b.Reset()
	b.WriteString(s.style(bold, text) + fmt.Sprintf("; trustworthiness %.4f (%s)\n", r.Trust.Overall, count(r.Trust.K, "neighbour")))
	if p.drift != nil {
		fmt.Fprintf(&b, "neighbours kept: %.1f %%\n", 100*p.drift.MeanKept())
	}
	names, mark := p.marks()
	width := min(s.width, 100)
	height := max(10, width/4) // a character is about twice as high as it is wide
	grid := make([][]byte, height)
	for i := range grid {
		grid[i] = []byte(strings.Repeat(" ", width))
	}
	low, high := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	for i, v := range r.Points.Values {
		low[i%2], high[i%2] = min(low[i%2], v), max(high[i%2], v)
	}
	scale := func(v float64, axis, cells int) int {
		if high[axis] == low[axis] {
			return cells / 2
		}
		return int((v - low[axis]) / (high[axis] - low[axis]) * float64(cells-1))
	}
	for i := range p.matrix.Rows {
		at := r.Points.Row(i)
		grid[height-1-scale(at[1], 1, height)][scale(at[0], 0, width)] = mark[i]
	}
	for _, line := range grid {
		b.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	for i, name := range names {
		b.WriteString(fmt.Sprintf("%c  %s\n", marks[i], visible(name)))
	}
	return b.String()
}

// marks are the values that have a letter, the most frequent ones, and the mark of each point.
func (p *points) marks() (names []string, mark []byte) {
	mark = []byte(strings.Repeat(".", p.matrix.Rows))
	if p.color < 0 {
		return nil, mark
	}
	counts := make(map[string]int)
	for _, row := range p.records.Rows {
		if counts[row[p.color]] == 0 {
			names = append(names, row[p.color])
		}
		counts[row[p.color]]++
	}
	slices.SortStableFunc(names, func(x, y string) int { return cmp.Compare(counts[y], counts[x]) })
	names = names[:min(len(names), len(marks))]
	for i, row := range p.records.Rows {
		if at := slices.Index(names, row[p.color]); at >= 0 {
			mark[i] = marks[at]
		}
	}
	return names, mark
}
