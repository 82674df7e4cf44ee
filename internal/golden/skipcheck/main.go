// Command skipcheck reads what go test -json writes and prints it as go test does, with the slowest tests. It fails if a test
// failed, and if a Golden test was skipped for any reason but that its reference data is not there:
//
//	go test -json ./... | go run ./internal/golden/skipcheck
//
// A test is a Golden test if its name says so or if package golden skipped it.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/golden"
)

// event is a line of go test -json (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64 // seconds
}

// slowest is how many tests are printed with their times.
const slowest = 12

func main() {
	failures, err := check(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "skipcheck:", err)
		os.Exit(1)
	}
	if failures > 0 {
		os.Exit(1)
	}
}

// check returns how many tests and packages failed, or were skipped and should not have been.
func check(r io.Reader, w io.Writer) (failures int, err error) {
	var (
		outputs = make(map[string]*strings.Builder) // by package and test
		tests   []event
		skipped int
	)
	s := bufio.NewScanner(r)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var e event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			fmt.Fprintln(w, s.Text()) // what the go command itself has to say
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			if e.Test == "" {
				if e.Output != "PASS\n" { // go test does not print it either
					fmt.Fprint(w, e.Output)
				}
				continue
			}
			if outputs[key] == nil {
				outputs[key] = new(strings.Builder)
			}
			outputs[key].WriteString(e.Output)
		case "pass", "fail", "skip":
			var text string
			if b := outputs[key]; b != nil {
				text = b.String()
			}
			delete(outputs, key)
			if e.Action == "fail" {
				failures++
				fmt.Fprint(w, text)
			}
			if e.Test == "" {
				continue
			}
			if e.Action == "skip" {
				skipped++
				if reason := objection(e.Test, text); reason != "" {
					failures++
					fmt.Fprintf(w, "%s%s %s: %s\n", text, e.Package, e.Test, reason)
				}
			}
			if !strings.Contains(e.Test, "/") {
				tests = append(tests, e)
			}
		}
	}
	if err := s.Err(); err != nil {
		return failures, err
	}
	if len(tests) == 0 {
		return failures, fmt.Errorf("no test was run")
	}
	slices.SortFunc(tests, func(a, b event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	for _, e := range tests[:min(slowest, len(tests))] {
		fmt.Fprintf(w, "%7.1f s  %s %s\n", e.Elapsed, e.Package, e.Test)
	}
	fmt.Fprintf(w, "%d tests, %d skipped with their parts\n", len(tests), skipped)
	return failures, nil
}

// objection says why a test should not have been skipped, "" if it may be.
func objection(test, text string) string {
	skip, ok := golden.ParseSkip(text)
	if !ok {
		if strings.Contains(test, "Golden") {
			return "a Golden test may be skipped by package golden alone"
		}
		return ""
	}
	if err := skip.Check(); err != nil {
		return fmt.Sprintf("skipped, though %v (if it was not when the test ran: go clean -testcache)", err)
	}
	return ""
}
