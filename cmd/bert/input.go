package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/files"
)

// argumentName is what errors call the texts on the command line.
const argumentName = "argument"

// inputFlags are the flags of commands that read texts from their arguments, a file or stdin.
type inputFlags struct {
	file    string
	reading readingFlags
	pairs   bool            // the arguments are the two texts of a pair
	part    *data.InputPart // what to read instead; whoever opened it closes it
}

func (f *inputFlags) add(cmd *cobra.Command) {
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.file, "input", "", "read texts from `FILE`, one per line; - is stdin")
		f.reading.add(flags)
	})
}

// inputHelp ends the help of each command with inputFlags.
const inputHelp = `

Texts are the arguments or, without any, the lines of --input or stdin, which may be compressed by gzip, zstd, bzip2 or xz.
A line that begins with { is a JSON object: {"text": …, "text_pair": …}, or {"ids": [2, 7, 3], "type_ids": [0, 0, 0]} for text that is
tokenized already, with [CLS] and [SEP]. Results come in the order of the texts.`

// source is a stream of inputs. It has to be closed.
type source struct {
	*data.InputReader
	close func()
}

// open opens the stream that the flags and arguments name.
func (f *inputFlags) open(a *app, args []string) (*source, error) {
	r, name, closeFile := a.stdin, "stdin", func() {}
	if f.part != nil {
		return &source{f.part.InputReader, func() {}}, nil
	}
	o := data.InputOptions{SkipBad: f.reading.skipBad, Encoding: f.reading.encoding}
	switch {
	case len(args) > 0 && f.file != "":
		return nil, usagef("both texts as arguments and --input %s: want one of them", f.file)
	case len(args) > 0:
		// JSON would lose bytes that are not UTF-8, and --encoding is for files.
		if i := slices.IndexFunc(args, func(text string) bool { return !utf8.ValidString(text) }); i >= 0 {
			return nil, usagef("argument %d, %s, is not valid UTF-8: want text in UTF-8, or a file with --encoding", i+1, quoted(args[i]))
		}
		o.Encoding = ""
		lines, err := linesOf(args)
		if f.pairs {
			lines, err = pairOf(args)
		}
		if err != nil {
			return nil, err
		}
		r, name = lines, argumentName
	case f.file != "" && f.file != "-":
		file, err := os.Open(f.file)
		if err != nil {
			return nil, files.PathError(err)
		}
		if info, err := file.Stat(); err == nil && info.IsDir() {
			file.Close()
			return nil, fmt.Errorf("%s: a folder, want a file with a text a line", f.file)
		}
		r, name, closeFile = file, f.file, func() { file.Close() }
	case isTerminal(a.stdin):
		a.log.Info("reading texts from the terminal, one per line; end with Ctrl-D")
	}
	return &source{data.NewInputReader(r, name, o), closeFile}, nil
}

// linesOf makes a line of each argument. An argument is always a text, even one that would be JSON as a line of a file.
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

// pairOf makes a JSON line of two arguments, the texts of a pair.
func pairOf(args []string) (io.Reader, error) {
	if len(args) != 2 {
		return nil, usagef("%s, want the two texts to compare", count(len(args), "argument"))
	}
	line, err := json.Marshal(map[string]string{"text": args[0], "text_pair": args[1]})
	return bytes.NewReader(append(line, '\n')), err
}

// reportSkipped warns of the lines that --skip-bad skipped.
func (s *source) reportSkipped(a *app) {
	n, first := s.Skipped()
	if n == 0 {
		return
	}
	a.warnSkippedLines(n, first.Error())
	if a.part != nil {
		a.part.Counts.Skipped, a.part.Counts.FirstSkipped = n, first.Error()
	}
}

func (a *app) warnSkippedLines(n int, first string) {
	a.log.Warn(fmt.Sprintf("%s skipped; the first: %s", count(n, "bad line"), first))
}

// count returns "1 line" or "25,000 lines".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

// thousands groups digits: 25,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
