package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-bert/bert/internal/bench"
)

// A table holds the measurements.
type table struct {
	*options
	cases    []benchCase
	programs []*program
	versions []string
	absent   []string // what is left out, and why

	results map[cell][]result // by round
}

type cell struct{ row, program int }

// measure runs the rounds, until ctx is cancelled. A case in which a program failed is not repeated with that program.
func (t *table) measure(ctx context.Context, stderr io.Writer) {
	t.results = make(map[cell][]result)
	failed := make(map[cell]bool)
	for round := range t.rounds {
		for row := range t.cases {
			for i, p := range t.programs {
				at := cell{row, i}
				if failed[at] {
					continue
				}
				r, err := p.run(ctx, &t.cases[row])
				switch {
				case ctx.Err() != nil:
					t.absent = append(t.absent, fmt.Sprintf("everything from round %d on: interrupted", round+1))
					return
				case errors.Is(err, errors.ErrUnsupported):
					failed[at] = true
				case err != nil:
					failed[at] = true
					t.absent = append(t.absent, fmt.Sprintf("%s, %s: %v", p.name, &t.cases[row], err))
					fmt.Fprintf(stderr, "left out: %s\n", t.absent[len(t.absent)-1])
				default:
					t.results[at] = append(t.results[at], r)
					fmt.Fprintf(stderr, "round %d of %d: %s: %s %.2f %s\n", round+1, t.rounds, &t.cases[row], p.name, r.rate, unit(&t.cases[row]))
				}
			}
		}
	}
}

func unit(c *benchCase) string {
	switch c.work {
	case tokenizing, learning:
		return "MB/s"
	case classifying:
		return "texts/s"
	case starting:
		return "starts/s"
	}
	return "sequences/s"
}

// samples returns one number from each round's result, where it is known.
func samples(results []result, of func(*result) float64) (s bench.Samples) {
	for i := range results {
		if v := of(&results[i]); v > 0 {
			s = append(s, v)
		}
	}
	slices.Sort(s)
	return s
}

func rate(r *result) float64      { return r.rate }
func gigabytes(r *result) float64 { return r.memory / 1e9 }
func share(r *result) float64     { return 100 * r.share }

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

// write prints the tables: rates with their ratios, then memory.
func (t *table) write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s. %s, %s/%s, threads: %d. %d tokens, %s. Medians of %d rounds, with the minimum and the maximum.\n",
		time.Now().UTC().Format(time.DateOnly), processor(), runtime.GOOS, runtime.GOARCH, t.threads, t.length, t.precision, t.rounds)
	fmt.Fprintf(b, "%s.\n", strings.Join(t.versions, ", "))

	head := []string{"work", "batch", "unit"}
	var peers []int
	for i, p := range t.programs {
		head = append(head, p.name)
		if !p.ours {
			peers = append(peers, i)
		}
	}
	for _, i := range peers {
		head = append(head, "bert / "+t.programs[i].name)
	}
	begin(b, append(head, "bert, % of peak"))
	for row := range t.cases {
		cells := t.label(row, unit(&t.cases[row]))
		ours := bench.Samples(nil)
		for i, p := range t.programs {
			s := samples(t.results[cell{row, i}], rate)
			if p.ours {
				ours = s
			}
			cells = append(cells, spread(s))
		}
		for _, i := range peers {
			ratio := "–"
			if s := samples(t.results[cell{row, i}], rate); len(s) > 0 && len(ours) > 0 {
				ratio = fmt.Sprintf("%.2f", ours.Median()/s.Median())
			}
			cells = append(cells, ratio)
		}
		for i, p := range t.programs {
			if p.ours {
				cells = append(cells, spread(samples(t.results[cell{row, i}], share)))
			}
		}
		line(b, cells)
	}

	head = head[:3+len(t.programs)]
	begin(b, head)
	for row := range t.cases {
		cells := t.label(row, "GB of memory")
		for i := range t.programs {
			cells = append(cells, spread(samples(t.results[cell{row, i}], gigabytes)))
		}
		line(b, cells)
	}
	t.compareLabels(b)
	if len(t.absent) > 0 {
		fmt.Fprintf(b, "\nLeft out:\n\n")
		for _, a := range t.absent {
			fmt.Fprintf(b, "- %s\n", a)
		}
	}
	return b.Flush()
}

// compareLabels reports cases in which programs gave different labels, and so did not do the same work.
func (t *table) compareLabels(w io.Writer) {
	for row := range t.cases {
		var (
			given  []string
			labels []int
			differ bool
		)
		for i, p := range t.programs {
			results := t.results[cell{row, i}]
			if len(results) == 0 || results[0].labels == nil {
				continue
			}
			given = append(given, fmt.Sprintf("%s %v", p.name, results[0].labels))
			differ = differ || labels != nil && !slices.Equal(labels, results[0].labels)
			labels = results[0].labels
		}
		if differ {
			fmt.Fprintf(w, "\n%s: the numbers of texts by label differ: %s.\n", &t.cases[row], strings.Join(given, ", "))
		}
	}
}

// label returns the first cells of a line.
func (t *table) label(row int, unit string) []string {
	c := &t.cases[row]
	batch := "–"
	if c.batch > 0 {
		batch = fmt.Sprint(c.batch)
	}
	return []string{c.name(), batch, unit}
}

// begin writes the header of a table.
func begin(w io.Writer, head []string) {
	fmt.Fprintln(w)
	line(w, head)
	fmt.Fprintln(w, "|"+strings.Repeat("---|", len(head)))
}

func line(w io.Writer, cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }

// processor returns the system's name of the processor.
func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for l := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "unknown processor"
}
