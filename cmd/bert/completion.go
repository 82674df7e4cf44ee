package main

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/go-bert/bert/hub"
	"github.com/go-bert/bert/starter"
)

// shells are the shells that bert can complete command lines for.
var shells = []struct {
	name  string
	write func(root *cobra.Command, w io.Writer) error
}{
	{"bash", func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) }},
	{"zsh", func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) }},
	{"fish", func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) }},
	{"powershell", func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) }},
}

func (a *app) completionCommand() *cobra.Command {
	var names []string
	for _, s := range shells {
		names = append(names, s.name)
	}
	return &cobra.Command{
		Use:   "completion " + strings.Join(names, "|"),
		Short: "Print a script that completes bert's command lines in a shell",
		Long: `completion prints a script for a shell. With it, Tab completes verbs, flags, their values, the tasks, and the names of the
models that bert pull has fetched.

For the running shell (bash needs its package bash-completion):
  bash   source <(bert completion bash)
  zsh    source <(bert completion zsh)
  fish   bert completion fish | source

For every new shell, write the script where the shell looks for it, or put that line into ~/.bashrc or ~/.zshrc:
  bash   bert completion bash > ~/.local/share/bash-completion/completions/bert
  zsh    bert completion zsh > DIR/_bert, where DIR is in $fpath
  fish   bert completion fish > ~/.config/fish/completions/bert.fish`,
		Example: `  bert completion bash > ~/.local/share/bash-completion/completions/bert
  bert completion zsh > ~/.zfunc/_bert
  bert completion fish > ~/.config/fish/completions/bert.fish`,
		ValidArgs: names,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s, want a shell: %s", count(len(args), "argument"), strings.Join(names, ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, s := range shells {
				if s.name == args[0] {
					return s.write(cmd.Root(), a.stdout)
				}
			}
			return usagef("the shell %q is not known: want one of %s", args[0], strings.Join(names, ", "))
		},
	}
}

// completeModel completes a model: the names of those that come with the program or were pulled, and paths. Only folders are
// offered, unless files are models too, as for bert inspect.
func completeModel(files bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		names := []string{starter.Pretrained.String(), starter.Sentiment.String()}
		if h, err := hub.FromEnvironment(os.Getenv); err == nil {
			names = append(names, pulled(h)...)
		}
		var out []cobra.Completion
		for _, name := range names {
			if strings.HasPrefix(name, typed) {
				out = append(out, name)
			}
		}
		directive := cobra.ShellCompDirectiveNoFileComp
		dir, start := filepath.Split(typed)
		entries, _ := os.ReadDir(cmp.Or(dir, ".")) // a folder that cannot be read completes nothing
		for _, e := range entries {
			name := e.Name()
			if !strings.HasPrefix(name, start) || start == "" && strings.HasPrefix(name, ".") {
				continue
			}
			info, err := os.Stat(dir + name) // of what a link points to
			switch {
			case err != nil:
			case info.IsDir():
				out = append(out, dir+name+"/")
				directive |= cobra.ShellCompDirectiveNoSpace // the path may go on
			case files:
				out = append(out, dir+name)
			}
		}
		return out, directive
	}
}

// completePull completes the arguments of bert pull: a model that was pulled before, to update it, and a folder.
func completePull(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	h, err := hub.FromEnvironment(os.Getenv)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return pulled(h), cobra.ShellCompDirectiveNoFileComp
}

// pulled lists the models in a cache whose main branch is there, sorted.
func pulled(h *hub.Hub) []string {
	entries, _ := os.ReadDir(h.Cache) // no cache, no names
	var names []string
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), "models--")
		if !ok {
			continue
		}
		name = strings.Replace(name, "--", "/", 1)
		ref, err := hub.ParseRef(name)
		if err != nil {
			continue
		}
		if _, err := h.Lookup(ref); err == nil {
			names = append(names, name)
		}
	}
	return names
}
