package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/bench"
)

// tables are the forms of a record, by their names.
var tables = map[string]func(io.Writer, *record) error{"full": writeFull, "short": writeShort}

// The lines that tables are put between.
const (
	markBegin = "<!-- bench/compare: %s -->"
	markEnd   = "<!-- bench/compare: end -->"
)

// writeBetweenMarks replaces what is between marks of a file by tables.
func writeBetweenMarks(path string, r *record) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	found := false
	for _, form := range []string{"short", "full"} {
		begin := fmt.Sprintf(markBegin, form) + "\n"
		before, rest, ok := strings.Cut(string(content), begin)
		if !ok {
			continue
		}
		_, after, ok := strings.Cut(rest, markEnd)
		if !ok {
			return fmt.Errorf("%s: no line %q after %q", path, markEnd, strings.TrimSpace(begin))
		}
		var b bytes.Buffer
		if err := tables[form](&b, r); err != nil {
			return err
		}
		content, found = []byte(before+begin+"\n"+b.String()+"\n"+markEnd+after), true
	}
	if !found {
		return fmt.Errorf("%s: no line %q to put tables after", path, fmt.Sprintf(markBegin, "short"))
	}
	return os.WriteFile(path, content, 0o666)
}

// A column is a program, or in a short table the best of those of a name.
type column struct{ name, variant string }

func (c column) String() string { return (&program{name: c.name, variant: c.variant}).String() }

// A cell is what a program did in a case, in all rounds.
type cell struct {
	values bench.Samples // the least first
	memory bench.Samples
	check  float64 // the least agreement
	others float64 // the most
}

// A summary is a record by case and program.
type summary struct {
	cases []benchCase // in the order of works, else as measured
	cells map[benchCase]map[column]*cell
	left  []string
}

func summarize(r *record) *summary {
	s := &summary{cells: make(map[benchCase]map[column]*cell)}
	for i := range r.samples {
		in := &r.samples[i]
		if in.LeftOut != "" {
			if !slices.Contains(s.left, in.LeftOut) {
				s.left = append(s.left, in.LeftOut)
			}
			continue
		}
		row := s.cells[in.benchCase]
		if row == nil {
			row = make(map[column]*cell)
			s.cells[in.benchCase] = row
			s.cases = append(s.cases, in.benchCase)
		}
		at := column{in.Program, in.Variant}
		c := row[at]
		if c == nil {
			c = &cell{check: in.Agreement}
			row[at] = c
		}
		c.values = append(c.values, in.Value)
		if in.PeakBytes > 0 {
			c.memory = append(c.memory, float64(in.PeakBytes)/1e9)
		}
		c.check, c.others = min(c.check, in.Agreement), max(c.others, in.Others)
	}
	for _, row := range s.cells {
		for _, c := range row {
			slices.Sort(c.values)
			slices.Sort(c.memory)
		}
	}
	order := func(c benchCase) int { return slices.IndexFunc(works, func(w work) bool { return w.name == c.Work }) }
	slices.SortStableFunc(s.cases, func(a, b benchCase) int { return order(a) - order(b) })
	return s
}

// of returns the cases of a work.
func (s *summary) of(work string) (cases []benchCase) {
	for _, c := range s.cases {
		if c.Work == work {
			cases = append(cases, c)
		}
	}
	return cases
}

// columns are the programs with a value in a case, in the order of programs.
func (s *summary) columns(cases []benchCase) (all []column) {
	for i := range programs {
		at := column{programs[i].name, programs[i].variant}
		if slices.ContainsFunc(cases, func(c benchCase) bool { return s.cells[c][at] != nil }) {
			all = append(all, at)
		}
	}
	return all
}

// best is the column with the best median of those that are not bert, or of those of a name.
func (s *summary) best(c benchCase, name string) (best column, found bool) {
	lower := workNamed(c.Work).lower
	for _, at := range s.columns([]benchCase{c}) {
		if at.name == bertName && name == "" || name != "" && at.name != name {
			continue
		}
		if !found || (s.cells[c][at].values.Median() < s.cells[c][best].values.Median()) == lower {
			best, found = at, true
		}
	}
	return best, found
}

// ahead says how many times as fast as the best of the others a variant of bert is.
func (s *summary) ahead(c benchCase, ours column) string {
	best, found := s.best(c, "")
	if !found || s.cells[c][ours] == nil {
		return "–"
	}
	ratio := s.cells[c][ours].values.Median() / s.cells[c][best].values.Median()
	if workNamed(c.Work).lower {
		ratio = 1 / ratio
	}
	return fmt.Sprintf("%s × %s", digits(ratio), best)
}

// spread formats the median with the minimum and the maximum, or – if there are no samples.
func spread(s bench.Samples) string {
	switch len(s) {
	case 0:
		return "–"
	case 1:
		return digits(s[0])
	}
	return fmt.Sprintf("%s (%s–%s)", digits(s.Median()), digits(s[0]), digits(s[len(s)-1]))
}

// digits formats a number with at least three digits.
func digits(v float64) string {
	switch {
	case v >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// header says on what the samples were taken, a line for each machine.
func header(w io.Writer, r *record) {
	var said []string
	for i := range r.samples {
		m := r.samples[i].Machine
		line := fmt.Sprintf("%s, %s, %d processors, %s for each program: %s.", m.Processor, m.System, m.Processors, plural(m.Threads, "thread"), strings.Join(m.Versions, ", "))
		if slices.Contains(said, line) {
			continue
		}
		said = append(said, line)
		first, last, others, load := r.samples[i].Time, r.samples[i].Time, 0.0, 0.0
		rounds := 0
		for _, s := range r.samples {
			if slices.Equal(s.Machine.Versions, m.Versions) && s.Machine.Processor == m.Processor && s.Machine.Threads == m.Threads {
				last, rounds = s.Time, max(rounds, s.Round)
				others, load = max(others, s.Others), max(load, s.Load)
			}
		}
		date := first.Format("2006-01-02 15:04")
		if last.Format("2006-01-02") != first.Format("2006-01-02") {
			date += last.Format(" to 2006-01-02 15:04")
		} else {
			date += last.Format("–15:04")
		}
		fmt.Fprintf(w, "%s UTC, %s Medians of %s, with the least and the most; other processes took at most %.0f %% of the machine during a sample, the load average was at most %.1f.\n",
			date, line, plural(rounds, "round"), 100*others, load)
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// label names a case in a table of its work.
func label(c *benchCase) (words []string) {
	if c.Model != "" {
		words = append(words, title(c.Model))
	}
	if c.Text.Path != "" {
		words = append(words, fmt.Sprintf("%s (%d texts, %s MB)", c.Text.name(), c.Text.Lines, digits(float64(c.Text.Bytes)/1e6)))
	}
	if c.Batch > 0 {
		words = append(words, fmt.Sprintf("%d × %d tokens", c.Batch, c.Length))
	}
	return words
}

// writeFull writes a table of each work with all programs and variants, one of memory, and one of agreement.
func writeFull(w io.Writer, r *record) error {
	b := bufio.NewWriter(w)
	s := summarize(r)
	header(b, r)
	for i := range works {
		cases := s.of(works[i].name)
		if len(cases) == 0 {
			continue
		}
		columns := s.columns(cases)
		fmt.Fprintf(b, "\n**%s**, %s\n", works[i].name, works[i].unit)
		begin(b, append(append([]string{"", "precision"}, columnNames(columns)...), "bert, to the best other", "others"))
		for _, c := range cases {
			cells := rowLabel(&c)
			best, _ := s.winner(c, columns)
			others := 0.0
			for _, at := range columns {
				text := "–"
				if x := s.cells[c][at]; x != nil {
					text, others = spread(x.values), max(others, x.others)
				}
				if at == best {
					text = "**" + text + "**"
				}
				cells = append(cells, text)
			}
			line(b, append(cells, s.ahead(c, column{bertName, ""}), fmt.Sprintf("%.0f %%", 100*others)))
		}
	}
	s.writeMore(b, "Peak resident memory in GB", func(x *cell) string { return spread(x.memory) })
	s.writeMore(b, "Agreement with `bert` in float32: the least cosine of the vectors or centred logits of a check's inputs; of losses and sizes 1 less the relative difference; of ids 1 if they are equal", func(x *cell) string {
		return fmt.Sprintf("%.5f", x.check)
	})
	if len(s.left) > 0 {
		fmt.Fprintf(b, "\nLeft out:\n\n")
		for _, l := range s.left {
			fmt.Fprintf(b, "- %s\n", l)
		}
	}
	return b.Flush()
}

// winner is the column with the best median.
func (s *summary) winner(c benchCase, columns []column) (best column, found bool) {
	for _, at := range columns {
		x := s.cells[c][at]
		if x == nil {
			continue
		}
		if !found || (x.values.Median() < s.cells[c][best].values.Median()) == workNamed(c.Work).lower {
			best, found = at, true
		}
	}
	return best, found
}

// writeMore writes a table of something else of all cases.
func (s *summary) writeMore(w io.Writer, title string, of func(*cell) string) {
	if len(s.cases) == 0 {
		return
	}
	columns := s.columns(s.cases)
	fmt.Fprintf(w, "\n%s\n", title)
	begin(w, append([]string{"", "precision"}, columnNames(columns)...))
	for _, c := range s.cases {
		cells := rowLabel(&c)
		cells[0] = c.Work + " " + cells[0]
		for _, at := range columns {
			text := "–"
			if x := s.cells[c][at]; x != nil {
				text = of(x)
			}
			cells = append(cells, text)
		}
		line(w, cells)
	}
}

func columnNames(columns []column) (names []string) {
	for _, at := range columns {
		names = append(names, at.String())
	}
	return names
}

func rowLabel(c *benchCase) []string {
	precision := c.Precision
	if precision == "" {
		precision = "–"
	}
	return []string{strings.Join(label(c), ", "), precision}
}

// shortTitles say what a row of the short tables is, before its model and size.
var shortTitles = map[string]string{
	inferring: "%s", encoding: "%s, tokenized", training: "training step of %s", starting: "from the start of the process to the first answer, %s",
	tokenizing: "tokenizing, %s", learning: "learning a vocabulary of 30,000, %s",
}

// writeShort writes tables with a column for each name, which has the best of its variants, and a sentence about bert encode.
func writeShort(w io.Writer, r *record) error {
	b := bufio.NewWriter(w)
	s := summarize(r)
	header(b, r)
	for group := range 2 {
		var cases []benchCase
		for _, c := range s.cases {
			if workNamed(c.Work).group == group {
				cases = append(cases, c)
			}
		}
		if len(cases) == 0 {
			continue
		}
		var names []string
		for _, at := range s.columns(cases) {
			if !slices.Contains(names, at.name) {
				names = append(names, at.name)
			}
		}
		begin(b, append(append([]string{"work", "precision"}, names...), "bert, to the best other"))
		for _, c := range cases {
			s.shortRow(b, c, names, column{bertName, ""})
			if s.cells[c][column{bertName, allStates}] != nil {
				s.shortRow(b, c, names, column{bertName, allStates})
			}
		}
	}
	for _, c := range s.of(running) {
		whole, lib := s.cells[c][column{bertName, ""}], s.cells[c][column{bertName, library}]
		if whole == nil || lib == nil {
			continue
		}
		fmt.Fprintf(b, "\n`bert encode` of %s in %s, from the start of the process to the last line of JSON: %s texts/s, %.0f %% of the rate of the library in a loop, %s.\n",
			strings.Join(label(&c), ", "), c.Precision, spread(whole.values), 100*whole.values.Median()/lib.values.Median(), spread(lib.values))
	}
	return b.Flush()
}

// shortRow writes a row with a variant of bert in bert's column.
func (s *summary) shortRow(w io.Writer, c benchCase, names []string, ours column) {
	words := rowLabel(&c)
	what := fmt.Sprintf(shortTitles[c.Work], words[0])
	if ours.variant != "" {
		what += ", " + ours.variant
	}
	shown := make([]column, len(names)) // what a name's column has
	best, found := ours, s.cells[c][ours] != nil
	for i, name := range names {
		shown[i] = ours
		if name != bertName {
			shown[i], _ = s.best(c, name)
		}
		if x := s.cells[c][shown[i]]; x != nil {
			if !found || (x.values.Median() < s.cells[c][best].values.Median()) == workNamed(c.Work).lower {
				best, found = shown[i], true
			}
		}
	}
	cells := []string{what, words[1]}
	unit := map[string]string{training: " s", starting: " s", tokenizing: " MB/s", learning: " MB/s"}[c.Work]
	if unit == "" {
		unit = "/s"
	}
	for _, at := range shown {
		x := s.cells[c][at]
		if x == nil {
			cells = append(cells, "–")
			continue
		}
		text := digits(x.values.Median()) + unit
		if len(x.values) > 1 {
			text += fmt.Sprintf(" (%s–%s)", digits(x.values[0]), digits(x.values[len(x.values)-1]))
		}
		if c.Work == training && len(x.memory) > 0 {
			text += fmt.Sprintf(", %s GB", digits(x.memory.Median()))
		}
		if at == best {
			text = "**" + text + "**"
		}
		cells = append(cells, text)
	}
	line(w, append(cells, s.ahead(c, ours)))
}

// begin writes the header of a table.
func begin(w io.Writer, head []string) {
	fmt.Fprintln(w)
	line(w, head)
	fmt.Fprintln(w, "|"+strings.Repeat("---|", len(head)))
}

func line(w io.Writer, cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
