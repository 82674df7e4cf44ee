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

// table is what was measured.
type table struct {
	*options
	cases    []benchCase
	programs []*program
	versions []string
	absent   []string // what was left out, and why

	results map[cell][]result // a result for each round
}

type cell struct{ row, program int }

// measure runs the rounds, until ctx ends. A program that fails at a case is not asked again.
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
					t.absent = append(t.absent, fmt.Sprintf("all from round %d on: interrupted", round+1))
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
	if c.ofText() {
		return "MB/s"
	}
	return "sequences/s"
}

// samples are one number of each round's result, where it is known.
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

// spread is the median, with the lowest and the highest; – for none.
func spread(s bench.Samples) string {
	switch len(s) {
	case 0:
		return "–"
	case 1:
		return digits(s[0])
	}
	return fmt.Sprintf("%s (%s–%s)", digits(s.Median()), digits(s[0]), digits(s[len(s)-1]))
}

// digits writes at least three of them.
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
	fmt.Fprintf(b, "%s. %s, %s/%s, threads: %d. %d tokens, %s. Medians of %d rounds, with the lowest and the highest.\n",
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
	if len(t.absent) > 0 {
		fmt.Fprintf(b, "\nLeft out:\n\n")
		for _, a := range t.absent {
			fmt.Fprintf(b, "- %s\n", a)
		}
	}
	return b.Flush()
}

// label is the first cells of a line.
func (t *table) label(row int, unit string) []string {
	c := &t.cases[row]
	if c.ofText() {
		return []string{c.String(), "–", unit}
	}
	return []string{c.work + " " + c.size, fmt.Sprint(c.batch), unit}
}

// begin writes the head of a table.
func begin(w io.Writer, head []string) {
	fmt.Fprintln(w)
	line(w, head)
	fmt.Fprintln(w, "|"+strings.Repeat("---|", len(head)))
}

func line(w io.Writer, cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }

// processor is what the system calls it.
func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for l := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "a processor of unknown name"
}
