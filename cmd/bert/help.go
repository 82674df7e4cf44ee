package main

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// page is the content of a command's help and of its manual page; help.go and man.go lay it out.
type page struct {
	name     string // "bert predict"
	short    string
	usage    string
	text     []string  // paragraphs; the lines of a table begin with two blanks
	first    []helpRow // what to try first
	examples []string  // command lines
	verbs    []helpGroup
	flags    []helpGroup
	more     string // what --help all adds; "" for nothing
}

// helpGroup is a titled list of terms, flags or commands, with their explanations.
type helpGroup struct {
	title string
	rows  []helpRow
}

type helpRow struct{ term, text string }

// fewFlags is the number of flags up to which the help shows all of them.
const fewFlags = 14

// page returns the help of a command. With all it has everything; without, the first paragraph of the text and, of many flags,
// those that mainFlags marked.
func (a *app) page(cmd *cobra.Command, all bool) *page {
	p := &page{name: cmd.CommandPath(), short: cmd.Short, text: paragraphs(cmd.Long), examples: exampleLines(cmd.Example)}
	p.usage = p.name + strings.TrimPrefix(cmd.Use, cmd.Name())
	if !cmd.HasParent() {
		p.first = firstSteps
	}
	p.verbs = a.verbsOf(cmd)

	flags := flagsOf(cmd)
	own := slices.DeleteFunc(slices.Clone(flags), func(f *pflag.Flag) bool { return cmd.InheritedFlags().Lookup(f.Name) != nil })
	shown := func(*pflag.Flag) bool { return true }
	if !all && len(own) > fewFlags && slices.ContainsFunc(own, isMain) {
		shown = func(f *pflag.Flag) bool { return isMain(f) || f.Name == "help" }
	}
	hidden := 0
	for _, s := range sections {
		title := string(s)
		if s == "" {
			title = "Flags"
		}
		group := helpGroup{title: title}
		for _, f := range flags {
			switch {
			case sectionOf(f) != s:
			case shown(f):
				group.rows = append(group.rows, helpRow{flagHead(f), flagText(f)})
			default:
				hidden++
			}
		}
		if group.rows != nil {
			p.flags = append(p.flags, group)
		}
	}
	var more []string
	if hidden > 0 {
		more = append(more, count(hidden, "more flag"))
	}
	if !all && len(p.text) > 1 {
		p.text = p.text[:1]
		more = append(more, "the details")
	}
	p.more = strings.Join(more, " and ")
	return p
}

// verbsOf lists the commands below a command.
func (a *app) verbsOf(cmd *cobra.Command) []helpGroup {
	if !cmd.HasParent() {
		var groups []helpGroup
		for _, g := range a.verbs {
			group := helpGroup{title: g.title}
			for _, verb := range g.commands {
				group.rows = append(group.rows, helpRow{verb.Name(), verb.Short})
			}
			groups = append(groups, group)
		}
		return groups
	}
	group := helpGroup{title: "Verbs"}
	for _, verb := range cmd.Commands() {
		group.rows = append(group.rows, helpRow{verb.Name(), verb.Short})
	}
	if group.rows == nil {
		return nil
	}
	return []helpGroup{group}
}

// paragraphs splits a text at blank lines.
func paragraphs(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, "\n\n") {
		if part = strings.Trim(part, "\n"); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// exampleLines splits examples into command lines. A backslash at the end of a line continues it.
func exampleLines(text string) []string {
	if text == "" {
		return nil
	}
	var out []string
	joined := false
	for line := range strings.Lines(text) {
		line, more := strings.CutSuffix(strings.TrimSpace(line), `\`)
		if joined {
			out[len(out)-1] += line
		} else {
			out = append(out, line)
		}
		joined = more
	}
	return out
}

// help prints the help of a command; "all" among its arguments asks for all of it.
func (a *app) help(cmd *cobra.Command, args []string) error {
	p := a.page(cmd, slices.Contains(args, "all"))
	return writeOut(a.stdout, []byte(helpScreen(a.stdout).help(p)))
}

func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB] [all]",
		Short: "Explain a verb",
		Long: `help explains a verb: what it does, examples, and the flags that matter most. With "all" it shows every flag and the
whole text. bert VERB --help and bert VERB --help all print the same.`,
		Example: `  bert help finetune
  bert help finetune all
  bert help bench infer`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 && rest[0] != "all" {
				return unknownCommand(of, rest[0])
			}
			return a.help(of, rest)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			names := []cobra.Completion{"all"}
			for _, verb := range of.Commands() {
				names = append(names, cobra.CompletionWithDesc(verb.Name(), verb.Short))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// helpWidth is the width of the help where the terminal is wider or there is none.
const helpWidth = 100

func helpScreen(w io.Writer) screen {
	s := screenOf(w)
	if !isTerminal(w) {
		s.width = helpWidth
	}
	s.width = min(s.width, helpWidth)
	return s
}

// help lays out a page.
func (s screen) help(p *page) string {
	var b strings.Builder
	title := func(text string) { b.WriteString("\n" + s.style(bold, text+":") + "\n") }
	b.WriteString(s.style(bold, "Usage:") + "\n" + usageLines(p.usage, s.width))
	for _, paragraph := range p.text {
		b.WriteString("\n" + s.paragraph(paragraph))
	}
	if p.first != nil {
		title("Start here")
		s.list(&b, p.first)
	} else if p.examples != nil {
		title("Examples")
		for _, line := range p.examples {
			b.WriteString(commandLine(line, s.width))
		}
	}
	for _, group := range slices.Concat(p.verbs, p.flags) {
		title(group.title)
		s.list(&b, group.rows)
	}
	switch {
	case p.first != nil:
		b.WriteString("\n" + hanging("bert VERB --help explains a verb and shows the flags that matter most, bert VERB --help all every flag.", "", "", s.width))
	case p.more != "":
		b.WriteString("\n" + hanging(fmt.Sprintf("For %s: %s --help all", p.more, p.name), "", "", s.width))
	}
	return b.String()
}

// paragraph fills lines with text. A line that begins with a blank is a row of a table, and remains a line.
func (s screen) paragraph(text string) string {
	if !strings.HasPrefix(text, " ") {
		if _, table, ok := strings.Cut(text, "\n  "); ok {
			head := strings.TrimSuffix(text, "\n  "+table)
			return hanging(head, "", "", s.width) + s.paragraph("  "+table)
		}
		return hanging(text, "", "", s.width)
	}
	var b strings.Builder
	s.list(&b, tableRows(text))
	return b.String()
}

// tableRows splits the lines of a table, "  term  text", into their two columns.
func tableRows(text string) []helpRow {
	var rows []helpRow
	for line := range strings.Lines(text) {
		term, text, _ := strings.Cut(strings.TrimSpace(line), "  ")
		rows = append(rows, helpRow{term, strings.TrimSpace(text)})
	}
	return rows
}

// list lays out terms and their texts in two columns. A term that is too long for its column has lines of its own.
func (s screen) list(b *strings.Builder, rows []helpRow) {
	most := min(32, s.width/3)
	width := 0
	for _, r := range rows {
		if n := cells(r.term); n <= most {
			width = max(width, n)
		}
	}
	if width == 0 {
		width = 4
	}
	indent := strings.Repeat(" ", width+4)
	for _, r := range rows {
		if cells(r.term) > width {
			b.WriteString(hanging(r.term, "  ", "      ", s.width) + hanging(r.text, indent, indent, s.width))
			continue
		}
		b.WriteString(hanging(r.text, "  "+fit(r.term, width)+"  ", indent, s.width))
	}
}

// hanging fills lines with text; first precedes the first line, indent the others. first is not the longer one.
func hanging(text, first, indent string, width int) string {
	var b strings.Builder
	for i, line := range wrap(text, width-len(indent)) {
		before := indent
		if i == 0 {
			before = first
		}
		b.WriteString(strings.TrimRight(before+line, " ") + "\n")
	}
	return b.String()
}

// usageLines fills lines with a usage. It breaks neither inside parentheses and brackets nor between a flag and its value.
func usageLines(usage string, width int) string {
	const blank = "\ue000" // in place of a blank where no line ends
	var text strings.Builder
	depth, before := 0, ""
	for word := range strings.SplitSeq(usage, " ") {
		value := strings.HasPrefix(before, "--") && word != "" && unicode.IsUpper(rune(word[0]))
		switch {
		case before == "":
		case depth > 0 || value:
			text.WriteString(blank)
		default:
			text.WriteString(" ")
		}
		text.WriteString(word)
		depth += strings.Count(word, "(") + strings.Count(word, "[") - strings.Count(word, ")") - strings.Count(word, "]")
		before = word
	}
	return strings.ReplaceAll(hanging(text.String(), "  ", "      ", width), blank, " ")
}

// wrap splits text into lines of at most width cells. It breaks at white space; a word that is too long, also after | , and /.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	add := func(word string, gap string) {
		if line != "" && cells(line)+len(gap)+cells(word) > width {
			lines = append(lines, line)
			line, gap = "", ""
		}
		if line == "" {
			gap = ""
		}
		line += gap + word
	}
	for _, word := range strings.Fields(text) {
		if cells(word) <= width {
			add(word, " ")
			continue
		}
		gap := " "
		for part := range breakable(word) {
			add(part, gap)
			gap = ""
		}
	}
	return append(lines, line)
}

// breakable yields the parts of a word between which a line may end.
func breakable(word string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for word != "" {
			n := strings.IndexAny(word, "|,/") + 1
			if n == 0 {
				n = len(word)
			}
			if !yield(word[:n]) {
				return
			}
			word = word[n:]
		}
	}
}

// commandLine lays out a command for a shell, broken outside of quotes by backslashes where it is too long.
func commandLine(line string, width int) string {
	const first, indent, end = "  ", "      ", ` \`
	var b strings.Builder
	current := first
	var words []string
	for _, word := range shellWords(line) {
		last := len(words) - 1
		if last >= 0 && strings.HasPrefix(words[last], "--") && !strings.ContainsAny(words[last], " =") && !strings.HasPrefix(word, "-") {
			words[last] += " " + word // the value of the flag
			continue
		}
		words = append(words, word)
	}
	for i, word := range words {
		room := width
		if i < len(words)-1 {
			room -= len(end)
		}
		switch {
		case strings.TrimSpace(current) == "":
			current += word
		case cells(current)+1+cells(word) > room:
			b.WriteString(current + end + "\n")
			current = indent + word
		default:
			current += " " + word
		}
	}
	return b.String() + current + "\n"
}

// shellWords splits a command line at blanks outside of quotes, and leaves the quotes in place.
func shellWords(line string) []string {
	var words []string
	var quote rune
	word := ""
	for _, r := range line {
		switch {
		case quote == 0 && r == ' ':
			if word != "" {
				words = append(words, word)
			}
			word = ""
			continue
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case r == quote:
			quote = 0
		}
		word += string(r)
	}
	if word != "" {
		words = append(words, word)
	}
	return words
}
