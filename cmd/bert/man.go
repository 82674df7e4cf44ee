package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert/internal/files"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write manual pages",
		Long: `man writes a manual page for each verb to DIR, which it makes if it is not there: bert.1, bert-predict.1 and so on. They have
what bert VERB --help all prints.`,
		Example: `  bert man ~/.local/share/man/man1 && man bert-finetune`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s, want the folder for the pages", count(len(args), "argument"))
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.writeManual(cmd.Root(), args[0]) },
	}
}

// writeManual writes the manual pages of all commands.
func (a *app) writeManual(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return files.PathError(err)
	}
	pages := 0
	var failed error
	walk(root, func(cmd *cobra.Command) {
		if failed != nil || cmd.Hidden {
			return
		}
		path := filepath.Join(dir, manName(cmd.CommandPath())+".1")
		failed = files.WriteFile(path, 0o666, func(w io.Writer) error {
			_, err := io.WriteString(w, manPage(a.page(cmd, true)))
			return err
		})
		pages++
	})
	if failed != nil {
		return files.PathError(failed)
	}
	a.log.Info(fmt.Sprintf("%s in %s", count(pages, "manual page"), dir))
	return nil
}

// manName is the name of a command's manual page: bert-bench-infer.
func manName(command string) string { return strings.ReplaceAll(command, " ", "-") }

// manPage writes a page in the macros of man(7).
func manPage(p *page) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	list := func(rows []helpRow) {
		for _, r := range rows {
			line(".TP\n\\fB%s\\fR\n%s", roff(r.term), roff(r.text))
		}
	}
	line(`.TH "%s" "1" "%s" "%s" "bert"`, strings.ToUpper(manName(p.name)), commitDate(), roff(strings.TrimSpace("bert "+version())))
	line(".nh\n.ad l") // no hyphens, no blanks to fill lines: both would get into what is copied
	line(".SH NAME\n%s \\- %s", roff(manName(p.name)), roff(p.short))
	line(".SH SYNOPSIS\n%s", roff(p.usage))
	line(".SH DESCRIPTION")
	for i, paragraph := range p.text {
		text, table, _ := strings.Cut("\n"+paragraph, "\n  ")
		if text = strings.TrimSpace(text); text != "" {
			if i > 0 {
				line(".PP")
			}
			line("%s", roff(strings.Join(strings.Fields(text), " ")))
		}
		if table != "" {
			list(tableRows(table))
		}
	}
	if p.verbs != nil {
		line(".SH VERBS")
		for _, group := range p.verbs {
			line(".SS %s", roff(group.title))
			list(group.rows)
		}
	}
	if p.flags != nil {
		line(".SH OPTIONS")
	}
	for _, group := range p.flags {
		line(".SS %s", roff(group.title))
		list(group.rows)
	}
	if p.examples != nil {
		line(".SH EXAMPLES\n.EX")
		for _, example := range p.examples {
			line("%s", roff(strings.TrimSuffix(commandLine(example, 76), "\n")))
		}
		line(".EE")
	}
	line(".SH EXIT STATUS\n0 for success, 1 for a failure, 2 for a mistake in the command line.")
	var also []string
	if parent := strings.LastIndexByte(p.name, ' '); parent > 0 {
		also = append(also, p.name[:parent])
	}
	for _, group := range p.verbs {
		for _, r := range group.rows {
			also = append(also, p.name+" "+r.term)
		}
	}
	line(".SH SEE ALSO")
	for i, name := range also {
		end := ","
		if i == len(also)-1 {
			end = ""
		}
		line(".BR %s (1)%s", roff(manName(name)), end)
	}
	return b.String()
}

// roff protects what troff would act on: backslashes, minus signs, and dots and quotes that begin a line.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// commitDate is the day of the commit that the program was built from; "" if that is not known.
func commitDate() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				day, _, _ := strings.Cut(s.Value, "T")
				return day
			}
		}
	}
	return ""
}
