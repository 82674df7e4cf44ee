package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-bert/bert/data"
	"github.com/spf13/cobra"
)

// inputFlags say where the texts come from: the arguments, a file, or stdin.
type inputFlags struct {
	file    string
	skipBad bool
	pairs   bool // the arguments are the two texts of a pair
}

func (f *inputFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "input", "", "read texts from `FILE`, one a line; -: stdin")
	cmd.Flags().BoolVar(&f.skipBad, "skip-bad", false, "leave bad lines out and count them, instead of ending at the first")
}

// inputHelp is what the help of each command with inputFlags ends with.
const inputHelp = `

Texts are the arguments, or the lines of --input FILE or stdin, gzip or not. A line that begins with { is a JSON object:
{"text": …, "text_pair": …}, or {"ids": [2, 7, 3], "type_ids": [0, 0, 0]} for ids made elsewhere, [CLS] and [SEP]
included. Results come in the order of the lines.`

// source is a stream of inputs that has to be closed.
type source struct {
	*data.InputReader
	close func()
}

// open opens the stream that the flags and arguments name.
func (f *inputFlags) open(a *app, args []string) (*source, error) {
	r, name, closeFile := a.stdin, "stdin", func() {}
	switch {
	case len(args) > 0 && f.file != "":
		return nil, usagef("both texts as arguments and --input %s: want one of them", f.file)
	case len(args) > 0:
		lines, err := linesOf(args)
		if f.pairs {
			lines, err = pairOf(args)
		}
		if err != nil {
			return nil, err
		}
		r, name = lines, "argument"
	case f.file != "" && f.file != "-":
		file, err := os.Open(f.file)
		if err != nil {
			return nil, pathError(err)
		}
		if info, err := file.Stat(); err == nil && info.IsDir() {
			file.Close()
			return nil, fmt.Errorf("%s: a folder, want a file with a text a line", f.file)
		}
		r, name, closeFile = file, f.file, func() { file.Close() }
	case isTerminal(a.stdin):
		a.log.Info("reading texts from the terminal, one a line; Ctrl-D ends them")
	}
	return &source{data.NewInputReader(r, name, f.skipBad), closeFile}, nil
}

// linesOf makes a line of each argument. An argument is always a text, also where the same line of a file would not be.
func linesOf(args []string) (io.Reader, error) {
	var b bytes.Buffer
	for _, text := range args {
		if strings.ContainsAny(text, "\r\n") || strings.HasPrefix(strings.TrimLeft(text, " \t"), "{") {
			line, err := json.Marshal(map[string]string{"text": text})
			if err != nil {
				return nil, err
			}
			text = string(line)
		}
		b.WriteString(text + "\n")
	}
	return &b, nil
}

// pairOf makes the JSON line of a pair of two arguments. (linesOf takes an argument that begins with a brace for a text.)
func pairOf(args []string) (io.Reader, error) {
	if len(args) != 2 {
		return nil, usagef("%s, want the two texts to compare", count(len(args), "argument"))
	}
	line, err := json.Marshal(map[string]string{"text": args[0], "text_pair": args[1]})
	return bytes.NewReader(append(line, '\n')), err
}

// reportSkipped says how many lines --skip-bad left out.
func (s *source) reportSkipped(a *app) {
	if n, first := s.Skipped(); n > 0 {
		a.log.Warn(fmt.Sprintf("%s left out; the first: %v", count(n, "bad line"), first))
	}
}

// count is "1 line", "25,000 lines".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

// thousands is 25,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
