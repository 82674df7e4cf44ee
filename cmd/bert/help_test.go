package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newTree returns the commands of a new program.
func newTree() (*app, *cobra.Command) {
	a := &app{stdin: strings.NewReader(""), stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
	a.log = newLogger(a)
	return a, a.root()
}

// eachCommand runs a test for each command.
func eachCommand(t *testing.T, test func(t *testing.T, a *app, cmd *cobra.Command)) {
	a, root := newTree()
	walk(root, func(cmd *cobra.Command) {
		t.Run(cmd.CommandPath(), func(t *testing.T) { test(t, a, cmd) })
	})
}

// TestHelpFits checks that no line of any help is wider than the screen, unless it is a single word.
func TestHelpFits(t *testing.T) {
	if testing.Short() {
		t.Skip("prints help")
	}
	eachCommand(t, func(t *testing.T, a *app, cmd *cobra.Command) {
		for _, width := range []int{60, 80, 100} {
			for _, all := range []bool{false, true} {
				for line := range strings.Lines(screen{width: width}.help(a.page(cmd, all))) {
					line = strings.TrimRight(line, "\n")
					if cells(line) > width && len(shellWords(strings.TrimSuffix(line, `\`))) > 1 {
						t.Errorf("at width %d a line of %d cells: %s", width, cells(line), line)
					}
				}
			}
		}
	})
}

// TestHelpIsComplete checks that --help all has every flag, and that the short help leaves some out only where there are many.
func TestHelpIsComplete(t *testing.T) {
	if testing.Short() {
		t.Skip("prints help")
	}
	eachCommand(t, func(t *testing.T, a *app, cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Example == "" || cmd.HasParent() && cmd.Name() != "version" && cmd.Long == "" {
			t.Error("want a short text, a long one and an example")
		}
		if strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("the short text %q ends with a full stop", cmd.Short)
		}
		short, all := helpScreen(nil).help(a.page(cmd, false)), helpScreen(nil).help(a.page(cmd, true))
		hidden := 0
		for _, f := range flagsOf(cmd) {
			if f.Usage == "" {
				t.Errorf("--%s: no usage", f.Name)
			}
			head := regexp.MustCompile(`(?m)^  (-h, )?--` + f.Name + `( |$)`)
			if n := len(head.FindAllString(all, -1)); n != 1 {
				t.Errorf("--%s is %d times in --help all, want once", f.Name, n)
			}
			if !head.MatchString(short) {
				hidden++
			}
		}
		own := len(flagsOf(cmd)) - 3 // --quiet, --verbose and --help
		if hidden > 0 && (own <= fewFlags || !strings.Contains(short, "--help all\n")) {
			t.Errorf("the short help leaves out %d of %d flags", hidden, own)
		}
		if n := len(flagsOf(cmd)) - hidden; own > fewFlags && hidden > 0 && n > fewFlags {
			t.Errorf("the short help has %d flags, want at most %d", n, fewFlags)
		}
	})
}

// TestFlagsHaveSections checks that each flag of a command with many belongs to a section of the help.
func TestFlagsHaveSections(t *testing.T) {
	eachCommand(t, func(t *testing.T, _ *app, cmd *cobra.Command) {
		flags := flagsOf(cmd)
		if len(flags)-3 <= fewFlags {
			return
		}
		main := 0
		for _, f := range flags {
			if sectionOf(f) == "" {
				t.Errorf("--%s: no section", f.Name)
			}
			if isMain(f) {
				main++
			}
		}
		if main == 0 {
			t.Error("no flag is marked by mainFlags")
		}
	})
}

// differentMeanings are the flags that mean different things to different commands, with the reasons.
var differentMeanings = map[string]string{
	"heads":  "of attention the heads to print, by number, of prune how many are taken out: neither has a better name, and nobody uses both at once",
	"check":  "of report that nothing is written, of serve that nothing is served: what would be is looked at, and nobody uses both at once",
	"keep":   "of project columns of a table, of quantize layers: both are left as they are, and nobody uses both at once",
	"method": "of explain how words get their scores, of project how points are placed: methods are what both are called, and nobody uses both at once",
	"size":   "of bench a published size of a model, of vocab the number of tokens: neither has a better name, and nobody uses both at once",
}

// sharedMeanings are the flags that several commands explain in different texts, with the meaning that is common to them.
var sharedMeanings = map[string]string{
	"allow-missing":             "tensors may be missing from the model that is loaded",
	"batch-sizes":               "the batches to measure",
	"cased":                     "the tokenizer keeps case; only vocab makes one, the others need --vocab",
	"config":                    "a config.json",
	"data":                      "labelled data; of glue, the folder of all tasks",
	"eval-steps":                "evaluate every N steps",
	"evaluate":                  "measure what it costs, and write nothing",
	"group-by-length":           "batches of similar lengths",
	"input":                     "the file to read text from",
	"instances":                 "folders that bert instances wrote",
	"labels":                    "the labels in the order of their ids",
	"layers":                    "layers of the model, by number",
	"max-eval-examples":         "evaluate on N examples",
	"max-seq-length":            "the longest sequence, in tokens",
	"memory":                    "a limit for memory, in MiB",
	"metric-for-best-model":     "which evaluation's model is kept",
	"model":                     "the model, by folder or name",
	"no-shuffle":                "the order of the data",
	"normalize":                 "vectors of texts have length 1",
	"null-score-diff-threshold": "squad2's threshold",
	"num-train-epochs":          "passes over the training data",
	"output":                    "the folder for the results",
	"pooling":                   "how one vector is made of the hidden states of a text; of convert, in the model that it writes",
	"precision":                 "the number format of matrix products",
	"quantity":                  "which number of the answer is meant",
	"resume":                    "continue the run in --output",
	"save-steps":                "write a checkpoint every N steps",
	"seed":                      "the seed of all random numbers",
	"shard":                     "a part of the work, counted from 0",
	"skip-bad":                  "skip bad input",
	"split":                     "the split of a task's data",
	"top-k":                     "print the N largest",
	"target":                    "the label or choice that is meant",
	"token-budget":              "batches of at most N tokens",
	"train-batch-size":          "examples per step",
	"truncation":                "which text of a pair loses tokens",
	"vocab":                     "the vocabulary",
}

// TestFlagsMeanOneThing checks that a name means the same in all commands that have it.
func TestFlagsMeanOneThing(t *testing.T) {
	plain := regexp.MustCompile(` \(default .*\)$|,…`)
	type use struct{ command, text string }
	first := make(map[string]use)
	eachCommand(t, func(t *testing.T, _ *app, cmd *cobra.Command) {
		for _, f := range flagsOf(cmd) {
			u := use{cmd.CommandPath(), plain.ReplaceAllString(flagText(f), "")}
			seen, ok := first[f.Name]
			if !ok {
				first[f.Name] = u
				continue
			}
			if u.text != seen.text && differentMeanings[f.Name] == "" && sharedMeanings[f.Name] == "" {
				t.Errorf("--%s: %q, but of %s %q: want one text, another name, or an entry in sharedMeanings or differentMeanings", f.Name, u.text, seen.command, seen.text)
			}
		}
	})
}

// TestExamplesParse checks that each example is a command line that bert accepts.
func TestExamplesParse(t *testing.T) {
	eachCommand(t, func(t *testing.T, a *app, cmd *cobra.Command) {
		lines := a.page(cmd, true).examples
		for _, row := range a.page(cmd, true).first {
			lines = append(lines, row.term)
		}
		found := 0
		for _, line := range lines {
			for _, args := range bertCommands(line) {
				found++
				_, root := newTree()
				of, rest, err := root.Find(args)
				if err == nil {
					err = of.ParseFlags(rest)
				}
				if err == nil {
					err = of.ValidateArgs(of.Flags().Args())
				}
				if err == nil {
					err = of.ValidateFlagGroups()
				}
				if err != nil {
					t.Errorf("%s: %v", line, err)
				}
				if cmd.HasParent() && found == 1 && len(lines) == 1 && of.Name() != cmd.Name() {
					t.Errorf("%s: an example of %s", line, of.Name())
				}
			}
		}
		if found == 0 {
			t.Error("no example calls bert")
		}
	})
}

// bertCommands returns the arguments of each call of bert in a line for a shell.
func bertCommands(line string) [][]string {
	var (
		commands [][]string
		words    []string
		end      = func() {
			for len(words) > 0 && strings.Contains(words[0], "=") { // variables of the environment
				words = words[1:]
			}
			if len(words) > 0 && (words[0] == "mpirun" || words[0] == "srun") { // with flags of its own
				words = words[max(0, slices.Index(words, "bert")):]
			}
			if len(words) > 0 && words[0] == "bert" {
				commands = append(commands, words[1:])
			}
			words = nil
		}
		skip bool
	)
	for _, word := range shellWords(line) {
		switch {
		case skip: // the file of a redirection
			skip = false
		case word == "|" || word == "&&" || word == ";":
			end()
		case word == ">" || word == "<":
			skip = true
		default:
			words = append(words, strings.Trim(word, `"'`))
		}
	}
	end()
	return commands
}

// TestWrap checks that wrapping keeps the words, and the width where it can.
func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  []string
	}{
		{"", 10, []string{""}},
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 3, []string{"one", "two", "three"}},
		{"--a x|yy|zzz", 6, []string{"--a x|", "yy|zzz"}},
		{"unbreakable", 4, []string{"unbreakable"}},
		{"中文 中文", 5, []string{"中文", "中文"}},
	} {
		if got := wrap(c.text, c.width); !slices.Equal(got, c.want) {
			t.Errorf("wrap(%q, %d) is %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

// TestCommandLine checks that a broken command line is the same command, and that quoted text stays whole.
func TestCommandLine(t *testing.T) {
	const line = `bert predict --model my-model --zero-shot a,b "some text in quotes"`
	want := "  bert predict --model my-model \\\n      --zero-shot a,b \\\n      \"some text in quotes\"\n"
	if got := commandLine(line, 34); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := commandLine(line, 100); got != "  "+line+"\n" {
		t.Errorf("got %q, want one line", got)
	}
}

// TestManualPages checks the pages with mandoc, where it is installed, and that they have all flags.
func TestManualPages(t *testing.T) {
	dir := t.TempDir()
	a, root := newTree()
	if err := a.writeManual(root, dir); err != nil {
		t.Fatal(err)
	}
	var paths []string
	walk(root, func(cmd *cobra.Command) {
		path := filepath.Join(dir, manName(cmd.CommandPath())+".1")
		paths = append(paths, path)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range flagsOf(cmd) {
			if !bytes.Contains(text, []byte(roff("--"+f.Name))) {
				t.Errorf("%s has no --%s", path, f.Name)
			}
		}
		if again := manPage(a.page(cmd, true)); again != string(text) {
			t.Errorf("%s differs when it is written again", path)
		}
	})
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("mandoc is not installed: the syntax of the pages is not checked")
	}
	out, _ := exec.Command(mandoc, append([]string{"-Tlint", "-W", "warning"}, paths...)...).Output()
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "missing date") { // which a test's program does not know
			t.Error(strings.TrimSpace(line))
		}
	}
}

// TestFlagsIn checks that flags get their section, however they are defined.
func TestFlagsIn(t *testing.T) {
	cmd := &cobra.Command{Use: "x"}
	cmd.Flags().Bool("before", false, "")
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.Int("in_set", 0, "")
		addChoice(cmd, newChoice("a", "a", "b"), "choice", "")
	})
	var got []string
	for _, f := range flagsOf(cmd) {
		got = append(got, fmt.Sprintf("%s:%s", f.Name, sectionOf(f)))
	}
	slices.Sort(got)
	if want := []string{"before:", "choice:Data", "in-set:Data"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
