package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
)

// Normalization says which sum the shares of a confusion matrix are of.
type Normalization uint8

// The normalizations.
const (
	ByLabel      Normalization = iota // of the examples with the label: a row sums to 1
	ByPrediction                      // of those with the prediction: a column sums to 1
	ByAll                             // of all examples
	NoShares                          // counts alone, which are also what is coloured
)

var normalizationNames = [...]string{ByLabel: "true", ByPrediction: "pred", ByAll: "all", NoShares: "none"}

// String is the name that scikit-learn gives a normalization.
func (n Normalization) String() string {
	if int(n) < len(normalizationNames) {
		return normalizationNames[n]
	}
	return fmt.Sprintf("Normalization(%d)", n)
}

// ParseNormalization is the reverse of String.
func ParseNormalization(name string) (Normalization, error) {
	if i := slices.Index(normalizationNames[:], name); i >= 0 {
		return Normalization(i), nil
	}
	return 0, fmt.Errorf("normalization %s: want %s", message.Quote(name), strings.Join(normalizationNames[:], ", "))
}

// Confusion is what a heat map of a confusion matrix shows.
type Confusion struct {
	Labels        []string               // [C]
	Counts        metric.ConfusionMatrix // [label][prediction], [C,C]
	Normalization Normalization
	// Columns names the predictions where they aren't the Labels; nil: they are. Rows and Columns of entities have one for what was
	// missed or is spurious. Counts is then [len(Labels)][len(Columns)].
	Columns []string
	// RowTitle and ColumnTitle are the titles of the axes; "": true label and predicted label.
	RowTitle, ColumnTitle string
	// Name, Title: see Figure. "": confusion, Confusion matrix.
	Name, Title string
}

// The sizes of a heat map.
const (
	cellTexts  = 20  // labels up to which cells have numbers in them
	cellNames  = 60  // labels up to which the axes name them
	cellBlocks = 100 // labels up to which each has a row of its own in the picture
	pagePairs  = 20  // confused pairs that a page lists
)

// ConfusionFigure is the heat map of a confusion matrix: a row a label, a column a prediction. A cell's colour is its share of the
// row, or what the normalization says.
func ConfusionFigure(c Confusion) *Figure {
	if c.Columns == nil {
		c.Columns = c.Labels
	}
	c.RowTitle, c.ColumnTitle = cmp.Or(c.RowTitle, "true label"), cmp.Or(c.ColumnTitle, "predicted label")
	h := newHeatMap(&c)
	return &Figure{
		Name: cmp.Or(c.Name, "confusion"), Title: cmp.Or(c.Title, "Confusion matrix"), Finding: c.finding(), Table: c.table(),
		Width: h.width, Height: h.height, Draw: h.draw, Text: c.text, live: h.live(),
	}
}

// shares are the cells as shares of what the normalization says, NaN where that is 0.
func (c *Confusion) shares() [][]float64 {
	out := make([][]float64, len(c.Counts))
	rows, columns := make([]int, len(c.Counts)), make([]int, len(c.Columns))
	all, most := 0, 0
	for i, row := range c.Counts {
		for j, n := range row {
			rows[i] += n
			columns[j] += n
			all += n
			most = max(most, n)
		}
	}
	for i, row := range c.Counts {
		out[i] = make([]float64, len(row))
		for j, n := range row {
			sum := rows[i]
			switch c.Normalization {
			case ByPrediction:
				sum = columns[j]
			case ByAll:
				sum = all
			case NoShares:
				sum = most
			}
			out[i][j] = float64(n) / float64(sum)
		}
	}
	return out
}

// pair is a cell off the diagonal.
type pair struct{ row, column, count int }

// confused are the pairs of labels that were taken for one another, the most frequent first.
func (c *Confusion) confused() []pair {
	var pairs []pair
	for i, row := range c.Counts {
		for j, n := range row {
			if n > 0 && c.Labels[i] != c.Columns[j] {
				pairs = append(pairs, pair{i, j, n})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.count, a.count) })
	return pairs
}

// finding says how many are right, and what is confused most.
func (c *Confusion) finding() string {
	right, all := 0, 0
	for i, row := range c.Counts {
		for j, n := range row {
			all += n
			if c.Labels[i] == c.Columns[j] {
				right += n
			}
		}
	}
	if all == 0 {
		return "There are no examples."
	}
	text := fmt.Sprintf("%s of %s are right (%s)", message.Thousands(right), message.Thousands(all), percent(float64(right)/float64(all)))
	if pairs := c.confused(); len(pairs) > 0 {
		p := pairs[0]
		text += fmt.Sprintf("; most often %s was taken for %s (%s)", shortName(c.Labels[p.row]), shortName(c.Columns[p.column]), times(p.count))
	}
	return text + "."
}

// times writes a number of times.
func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return message.Thousands(n) + " times"
}

// shortName is a label in a sentence.
func shortName(label string) string {
	const most = 30
	label = strings.Join(strings.Fields(label[:min(len(label), 8*most)]), " ")
	if r := []rune(label); len(r) > most {
		label = string(r[:most-1]) + "…"
	}
	if draw.RightToLeft(label) {
		label = isolated(label)
	}
	return "“" + label + "”"
}

// table is a row a label. A page lists the pairs that are confused most, where the labels are many.
func (c *Confusion) table() Table {
	t := Table{Columns: append(words(c.RowTitle+" \\ "+c.ColumnTitle), numbers(c.Columns...)...)}
	for i, row := range c.Counts {
		cells := []string{c.Labels[i]}
		for _, n := range row {
			cells = append(cells, strconv.Itoa(n))
		}
		t.Rows = append(t.Rows, cells)
	}
	t.Columns[0].Text = true
	if len(c.Columns) <= cellTexts {
		return t
	}
	t.PageColumns = append(words(c.RowTitle, c.ColumnTitle), numbers("examples", "share of "+c.RowTitle)...)
	t.PageColumns[0].Text, t.PageColumns[1].Text = true, true
	t.Page = [][]string{}
	byLabel := *c
	byLabel.Normalization = ByLabel
	shares, pairs := byLabel.shares(), c.confused()
	for _, p := range pairs[:min(len(pairs), pagePairs)] {
		t.Page = append(t.Page, []string{c.Labels[p.row], c.Columns[p.column], strconv.Itoa(p.count), percent(shares[p.row][p.column])})
	}
	t.Note = fmt.Sprintf("The pairs that are confused most, of %s; the CSV has the whole matrix.", message.Thousands(len(pairs)))
	return t
}

// heatMap is how a confusion matrix is laid out.
type heatMap struct {
	*Confusion
	block         int // labels that a cell of the picture stands for
	cells         [][]int
	shares        [][]float64
	cell          float64 // side
	left, top     float64
	width, height float64
	names         bool
}

func newHeatMap(c *Confusion) *heatMap {
	h := &heatMap{Confusion: c, block: 1}
	n := max(len(c.Labels), len(c.Columns))
	h.block = (n + cellBlocks - 1) / cellBlocks
	h.names = n <= cellNames
	counts := c
	if h.block > 1 {
		counts = c.inBlocks(h.block)
	}
	h.cells, h.shares = counts.Counts, counts.shares()
	n = max(len(h.cells), len(counts.Columns))
	h.cell = max(4, min(64, 400/float64(max(n, 1))))
	longest := 0.0
	if h.names {
		h.cell = max(h.cell, 13)
		for _, names := range [][]string{c.Labels, c.Columns} {
			for _, name := range names {
				longest = max(longest, min(110, draw.Width(draw.Fit(name, smallSize, 110), smallSize, false)))
			}
		}
	}
	if len(c.Labels) <= cellTexts {
		h.cell = max(h.cell, 40)
	}
	h.left, h.top = 34+longest, 12
	bottom := 30 + min(longest, 110)
	if h.flat() {
		bottom = 46
	}
	h.width = h.left + h.cell*float64(len(counts.Columns)) + 76
	h.height = h.top + h.cell*float64(len(h.cells)) + bottom + 10
	if h.height < 160 {
		h.height = 160
	}
	return h
}

// flat says that the names of the columns fit below them without being turned.
func (h *heatMap) flat() bool {
	if !h.names {
		return true
	}
	for _, name := range h.Columns {
		if draw.Width(name, smallSize, false) > h.cell-4 {
			return false
		}
	}
	return true
}

// inBlocks is c with several labels taken together.
func (c *Confusion) inBlocks(block int) *Confusion {
	blocks := func(n int) int { return (n + block - 1) / block }
	out := &Confusion{Normalization: c.Normalization, Columns: make([]string, blocks(len(c.Columns)))}
	out.Counts = make(metric.ConfusionMatrix, blocks(len(c.Counts)))
	for i := range out.Counts {
		out.Counts[i] = make([]int, len(out.Columns))
	}
	for i, row := range c.Counts {
		for j, n := range row {
			out.Counts[i/block][j/block] += n
		}
	}
	return out
}

// texts says that cells have their numbers in them.
func (h *heatMap) texts() bool { return len(h.Labels) <= cellTexts && h.block == 1 }

func (h *heatMap) draw(c draw.Canvas) {
	rows, columns := len(h.cells), 0
	if rows > 0 {
		columns = len(h.cells[0])
	}
	texts := h.texts()
	area := draw.Rect{X: h.left, Y: h.top, W: h.cell * float64(columns), H: h.cell * float64(rows)}
	c.Rect(area, draw.Fixed(draw.Sequential(0)), draw.Stroke{})
	for i, row := range h.cells {
		for j, n := range row {
			if n == 0 && !texts {
				continue
			}
			share := h.shares[i][j]
			r := draw.Rect{X: h.left + h.cell*float64(j), Y: h.top + h.cell*float64(i), W: h.cell, H: h.cell}
			colour := draw.Sequential(share)
			if !texts {
				c.Rect(r, draw.Fixed(colour), draw.Stroke{})
				continue
			}
			name := fmt.Sprintf("%s %s, %s %s: %s", h.RowTitle, h.Labels[i], h.ColumnTitle, h.Columns[j], message.Thousands(n))
			if h.Normalization != NoShares && finite(share) {
				name += " (" + percent(share) + ")"
			}
			c.Group(name, func() {
				c.Rect(r, draw.Fixed(colour), draw.Stroke{Paint: draw.Paper, Width: 1})
				h.cellText(c, r, n, share, draw.On(colour))
			})
		}
	}
	if h.names {
		h.drawNames(c, area)
	}
	if h.block > 1 {
		note := fmt.Sprintf("a cell stands for %d × %d labels", h.block, h.block)
		c.Text(draw.Point{X: area.X + area.W/2, Y: area.Y + area.H + 17}, note, draw.TextStyle{Size: smallSize, Anchor: draw.Middle, Paint: draw.Muted})
	}
	c.Text(draw.Point{X: 13, Y: area.Y + area.H/2}, h.RowTitle, draw.TextStyle{Size: textSize, Anchor: draw.Middle, Rotate: -90, Centred: true})
	c.Text(draw.Point{X: area.X + area.W/2, Y: h.height - 8}, h.ColumnTitle, draw.TextStyle{Size: textSize, Anchor: draw.Middle})
	h.colourBar(c, area)
}

// cellText writes the count and, where there is room, the share below it.
func (h *heatMap) cellText(c draw.Canvas, r draw.Rect, n int, share float64, paint draw.Paint) {
	count := message.Thousands(n)
	size := min(13.0, (r.W-4)/max(draw.Width(count, 1, false), 1))
	middle := draw.Point{X: r.X + r.W/2, Y: r.Y + r.H/2}
	style := draw.TextStyle{Size: size, Anchor: draw.Middle, Centred: true, Paint: paint}
	if h.Normalization == NoShares || !finite(share) {
		c.Text(middle, count, style)
		return
	}
	middle.Y -= 7
	c.Text(middle, count, style)
	middle.Y += 15
	style.Size = min(10.5, (r.W-3)/draw.Width("100 %", 1, false))
	c.Text(middle, strconv.FormatFloat(100*share, 'f', 0, 64)+" %", style)
}

func (h *heatMap) drawNames(c draw.Canvas, area draw.Rect) {
	for i, name := range h.Labels {
		at := draw.Point{X: h.left - 6, Y: h.top + h.cell*(float64(i)+0.5)}
		c.Text(at, draw.Fit(name, smallSize, 110), draw.TextStyle{Size: smallSize, Anchor: draw.End, Centred: true})
	}
	flat := h.flat()
	for j, name := range h.Columns {
		at := draw.Point{X: h.left + h.cell*(float64(j)+0.5), Y: area.Y + area.H + 8}
		if flat {
			at.Y += 8
			c.Text(at, name, draw.TextStyle{Size: smallSize, Anchor: draw.Middle})
			continue
		}
		c.Text(at, draw.Fit(name, smallSize, 110), draw.TextStyle{Size: smallSize, Anchor: draw.End, Rotate: -90, Centred: true})
	}
}

// colourBar shows what the colours mean.
func (h *heatMap) colourBar(c draw.Canvas, area draw.Rect) {
	const steps = 20
	x, height := area.X+area.W+14, max(80, area.H)
	if area.H < 80 {
		height = area.H
	}
	for i := range steps {
		share := (float64(i) + 0.5) / steps
		step := height / steps
		c.Rect(draw.Rect{X: x, Y: area.Y + height - float64(i+1)*step, W: 12, H: step + 0.5}, draw.Fixed(draw.Sequential(share)), draw.Stroke{})
	}
	top := "100 %"
	if h.Normalization == NoShares {
		most := 0
		for _, row := range h.cells {
			most = max(most, slices.Max(row))
		}
		top = message.Thousands(most)
	}
	style := draw.TextStyle{Size: smallSize, Paint: draw.Muted, Centred: true}
	c.Text(draw.Point{X: x + 17, Y: area.Y + 6}, top, style)
	c.Text(draw.Point{X: x + 17, Y: area.Y + height - 6}, "0", style)
}

// text draws the matrix with blocks of a density for each cell.
func (c *Confusion) text(columns int) string {
	var (
		b      strings.Builder
		shares = c.shares()
		names  = 0
	)
	if len(c.Columns) > cellTexts {
		return blockMap(c.inBlocks(max(1, (len(c.Columns)+columns/2-1)/max(columns/2, 1))))
	}
	for _, name := range c.Labels {
		names = max(names, len([]rune(cellName(name))))
	}
	width := max(9, min(14, (columns-names-3)/max(len(c.Columns), 1)))
	fmt.Fprintf(&b, "%s ↓  %s →\n%*s", c.RowTitle, c.ColumnTitle, names+2, "")
	for _, name := range c.Columns {
		b.WriteString(padded(cellName(name), width))
	}
	b.WriteByte('\n')
	for i, row := range c.Counts {
		b.WriteString(padded(cellName(c.Labels[i]), names+2))
		for j, n := range row {
			b.WriteString(padded(shade(shares[i][j])+" "+message.Thousands(n), width))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// blockMap draws each cell as two characters of a density.
func blockMap(c *Confusion) string {
	var b strings.Builder
	for _, row := range c.shares() {
		for _, share := range row {
			b.WriteString(shade(share))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// shade is a share as two characters.
func shade(share float64) string {
	if !(share > 0) {
		return "··"
	}
	return strings.Repeat(string([]rune("░▒▓█")[min(3, int(math.Floor(share*4)))]), 2)
}

// cellName is a label in a table of text.
func cellName(name string) string {
	const most = 12
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '�'
		}
		return r
	}, name[:min(len(name), 8*most)])
	if r := []rune(name); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return name
}

// padded is a text with blanks behind it, up to a width in characters.
func padded(text string, width int) string {
	return text + strings.Repeat(" ", max(1, width-len([]rune(text))))
}
