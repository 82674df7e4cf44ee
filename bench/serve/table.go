package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/bench"
)

// The lines that the table is put between.
const (
	markBegin = "<!-- bench/serve: begin -->"
	markEnd   = "<!-- bench/serve: end -->"
)

// writeBetweenMarks replaces what is between the marks of a file.
func writeBetweenMarks(path, table string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(content), markBegin+"\n")
	if !ok {
		return fmt.Errorf("%s: no line %q to put the table after", path, markBegin)
	}
	_, after, ok := strings.Cut(rest, markEnd)
	if !ok {
		return fmt.Errorf("%s: no line %q after %q", path, markEnd, markBegin)
	}
	return os.WriteFile(path, []byte(before+markBegin+"\n\n"+table+"\n"+markEnd+after), 0o666)
}

// A place is a row of the table.
type place struct {
	workload    string
	connections int
}

// A cell is what a program did at a place, the medians of all rounds.
type cell struct {
	perSecond, median, p99 float64
	memory                 int64
	errors                 int
	difference             float64
}

// busy is the share of the machine's time from which on other processes count as load.
const busy = 0.05

// tableOf is the samples as Markdown: the table, and what has to be known about it.
func tableOf(samples []sample) string {
	var (
		columns []string
		places  []place
		cells   = make(map[place]map[string]cell)
		grouped = make(map[place]map[string][]sample)
		left    []string
		others  float64
	)
	for _, s := range samples {
		if s.LeftOut != "" {
			if !slices.Contains(left, s.LeftOut) {
				left = append(left, s.LeftOut)
			}
			continue
		}
		at := place{s.Workload, s.Connections}
		if grouped[at] == nil {
			grouped[at] = make(map[string][]sample)
			places = append(places, at)
		}
		grouped[at][s.Program] = append(grouped[at][s.Program], s)
		others = max(others, s.Others)
	}
	for _, name := range programNames() {
		for _, of := range grouped {
			if of[name] != nil && !slices.Contains(columns, name) {
				columns = append(columns, name)
			}
		}
	}
	if len(columns) == 0 {
		return "There are no samples.\n"
	}
	for at, of := range grouped {
		cells[at] = make(map[string]cell)
		for name, list := range of {
			cells[at][name] = cellOf(list)
		}
	}
	names := workloadNames()
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(slices.Index(names, a.workload)-slices.Index(names, b.workload), a.connections-b.connections)
	})
	var b strings.Builder
	b.WriteString("| texts | connections |")
	for _, name := range columns {
		fmt.Fprintf(&b, " %s |", name)
	}
	b.WriteString("\n|---|---:|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, at := range places {
		fmt.Fprintf(&b, "| %s | %s |", workloads[slices.Index(names, at.workload)].about, connectionsText(at.connections))
		best := ""
		for _, name := range columns {
			if name != library && cells[at][name].perSecond > cells[at][best].perSecond {
				best = name
			}
		}
		for _, name := range columns {
			b.WriteString(" " + cells[at][name].text(at.connections == 0, name == best) + " |")
		}
		b.WriteByte('\n')
	}
	b.WriteString("\n" + notes(samples, columns, cells, others))
	for _, s := range left {
		fmt.Fprintf(&b, "Left out: %s.\n", strings.TrimSuffix(s, "."))
	}
	return b.String()
}

func connectionsText(n int) string {
	if n == 0 {
		return "all in one call"
	}
	return fmt.Sprint(n)
}

func cellOf(list []sample) cell {
	median := func(value func(*sample) float64) float64 {
		values := make(bench.Samples, len(list))
		for i := range list {
			values[i] = value(&list[i])
		}
		slices.Sort(values)
		return values.Median()
	}
	c := cell{
		perSecond: median(func(s *sample) float64 { return s.PerSecond }),
		median:    median(func(s *sample) float64 { return s.Median }),
		p99:       median(func(s *sample) float64 { return s.P99 }),
		memory:    int64(median(func(s *sample) float64 { return float64(s.Memory) })),
	}
	for i := range list {
		c.errors += list[i].Errors
		c.difference = max(c.difference, list[i].Difference)
	}
	return c
}

// text is a cell of the table: requests a second, and the median and the 99th percentile of their times.
func (c cell) text(whole, best bool) string {
	if c.perSecond == 0 {
		return "–"
	}
	rate := digits(c.perSecond) + "/s"
	if best {
		rate = "**" + rate + "**"
	}
	if !whole {
		rate += fmt.Sprintf(", %s / %s ms", digits(c.median), digits(c.p99))
	}
	if c.errors > 0 {
		rate += fmt.Sprintf(", %d errors", c.errors)
	}
	return rate
}

// digits is a number of three digits or more.
func digits(x float64) string {
	switch {
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	case x < 100:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

// notes say what the table is of.
func notes(samples []sample, columns []string, cells map[place]map[string]cell, others float64) string {
	var (
		b        strings.Builder
		last     sample
		memory   = make(map[string]int64)
		distance = make(map[string]float64)
	)
	for _, s := range samples {
		if s.LeftOut == "" {
			last = s
		}
	}
	for _, of := range cells {
		for name, c := range of {
			memory[name] = max(memory[name], c.memory)
			distance[name] = max(distance[name], c.difference)
		}
	}
	fmt.Fprintf(&b, "Requests a second, and the median and 99th percentile of their times. %s, %d processors, %s, %s; %s.\n",
		last.Machine.Processor, last.Machine.Processors, last.Machine.System, last.Time.Format("2 January 2006"), strings.Join(last.Machine.Versions, ", "))
	var list []string
	for _, name := range columns {
		if name == library {
			continue
		}
		text := fmt.Sprintf("%s %.0f MB", name, float64(memory[name])/1e6)
		list = append(list, fmt.Sprintf("%s (numbers within %.1g of the library's)", text, distance[name]))
	}
	fmt.Fprintf(&b, "Resident memory: %s.\n", strings.Join(list, ", "))
	if others > busy {
		fmt.Fprintf(&b, "Taken under load: other processes had up to %.0f %% of the processors.\n", 100*others)
	}
	return b.String()
}
