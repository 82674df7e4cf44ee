package report

import (
	"fmt"

	"github.com/go-bert/bert/internal/message"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report/draw"
)

// Tagged is a sentence with its entities and those that a model found, as metric.Entities lists them.
type Tagged struct{ Gold, Found []metric.Entity }

// missedName and spuriousName stand for no entity in the matrix of types.
const (
	missedName   = "(missed)"
	spuriousName = "(spurious)"
)

// EntityFigures are the matrix of types, with a column for entities that were missed and a row for those that are none, and the
// numbers of each sort of error.
func EntityFigures(types []string, sentences []Tagged) []*Figure {
	k := len(types)
	m := make(metric.ConfusionMatrix, k+1)
	for i := range m {
		m[i] = make([]int, k+1)
	}
	counts := make(map[metric.EntityError]int)
	all := 0
	for _, s := range sentences {
		for _, p := range metric.MatchEntities(s.Gold, s.Found) {
			row, column := k, k
			if p.Gold >= 0 {
				row = s.Gold[p.Gold].Type
			}
			if p.Found >= 0 {
				column = s.Found[p.Found].Type
			}
			m[row][column]++
			counts[p.Error]++
			all++
		}
	}
	matrix := ConfusionFigure(Confusion{
		Name: "types", Title: "Entities by type", Labels: append(append([]string(nil), types...), spuriousName),
		Columns: append(append([]string(nil), types...), missedName), Counts: m, RowTitle: "true type", ColumnTitle: "predicted type",
	})
	matrix.Finding = fmt.Sprintf("Of %s entities, true or found, %s have the right type and boundary, %s were missed and %s are spurious.",
		message.Thousands(all), message.Thousands(counts[metric.Exact]), message.Thousands(counts[metric.Missed]), message.Thousands(counts[metric.Spurious]))
	bars := Bars{Name: "entity-errors", Title: "Errors by sort", XTitle: "share of all entities", Keep: true}
	worst, most := metric.Missed, -1
	for _, e := range metric.EntityErrors() {
		bars.Bars = append(bars.Bars, Bar{Name: fmt.Sprintf("%v (%s)", e, message.Thousands(counts[e])), Value: float64(counts[e]) / float64(max(all, 1))})
		if e != metric.Exact && counts[e] > most {
			worst, most = e, counts[e]
		}
	}
	bars.Finding = fmt.Sprintf("The most frequent error is: %v (%s).", worst, message.Thousands(most))
	return []*Figure{matrix, BarsFigure(bars)}
}

// EntityText is a sentence with entities as marked text: the right ones above, those that were found below.
func EntityText(types []string, words []string, entities []metric.Entity) []Mark {
	var marks []Mark
	at := 0
	for _, e := range entities {
		if e.From < at || e.To > len(words) {
			continue
		}
		marks = appendPlain(marks, words[at:e.From])
		marks = append(marks, Mark{Text: joined(words[e.From:e.To]), Label: types[e.Type], Paint: draw.Series(e.Type)})
		at = e.To
	}
	return appendPlain(marks, words[at:])
}

func appendPlain(marks []Mark, words []string) []Mark {
	if len(words) == 0 {
		return marks
	}
	return append(marks, Mark{Text: joined(words)})
}
