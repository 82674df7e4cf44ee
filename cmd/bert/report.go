package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/metric"
	"github.com/go-bert/bert/report"
	"github.com/go-bert/bert/report/draw"
)

// reportFlags are the flags of bert report.
type reportFlags struct {
	output    string
	title     string
	against   *choice
	normalize *choice
	bins      *choice
	theme     *choice
	smoothing float64
	figures   []string
	font      string
	check     bool
	out       outputFlags
}

func (a *app) reportCommand() *cobra.Command {
	f := &reportFlags{
		against: newChoice("step", "step", "epoch", "tokens", "hours"), normalize: newChoice("true", "true", "pred", "all", "none"),
		bins: newChoice("uniform", "uniform", "quantile"), theme: newChoice("light", "light", "dark"),
	}
	cmd := &cobra.Command{
		Use:   "report RUN [RUN ...] [--output FILE.html] [flags]",
		Short: "Make a page with pictures of a run, or of several",
		Long: `report makes one HTML page of the folder of a run: of finetune, evaluate, pretrain, glue or sweep. The page needs no network, no
other file and no scripts, and can be mailed. It has the headline numbers with 95 % intervals, what to be warned of, pictures with
a table of the numbers beside each, and the options of the run. The run may be under way, or have been killed. Curves of several
runs are drawn over one another.

With the files that evaluate --save-logits and finetune --save-logits write, the page also has ROC curves, precision and recall,
calibration, and the examples of the greatest loss.

Beside the page are ` + report.SummaryFile + ` and each picture as SVG, PNG and CSV, in the folder ` + report.FiguresDir + `. The same run gives the same bytes.
On a terminal the pictures are drawn there too.

--check makes the page and the pictures again, with the same flags, and compares them with those that are there: it fails, with exit
status 1, where a byte differs, as after a change of the run's files, or where another version of bert wrote them.

finetune, evaluate, pretrain, glue and sweep write ` + report.PageFile + ` into their folder when they end.`,
		Example: `  bert report imdb-model
  bert report imdb-model another-model --output both.html
  bert report my-pretraining --x tokens --figures none
  bert report imdb-model --check`,
		RunE: func(_ *cobra.Command, args []string) error { return a.report(f, args) },
	}
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.output, "output", "", "write the page to `FILE` (default: "+report.PageFile+" in the run's folder; of several, in the current one)")
		flags.StringSliceVar(&f.figures, "figures", report.Formats(), "write each picture as `FORMATS`: some of svg, png, csv between commas, or none")
	})
	flagsIn(cmd, "", func(flags *pflag.FlagSet) {
		addChoice(cmd, f.against, "x", "what curves are drawn against")
		flags.Float64Var(&f.smoothing, "smoothing", 0.9, "the weight `W` of the past in smoothed curves, from 0 to 0.99")
		addChoice(cmd, f.normalize, "normalize", "the shares in a confusion matrix: of the true label, of the predicted one, of all, or none")
		addChoice(cmd, f.bins, "bins", "the bins of calibration: of equal width, or of equal numbers of examples")
		addChoice(cmd, f.theme, "theme", "the colours of pictures as files; the page follows the reader's")
		flags.StringVar(&f.font, "font", "", "a TrueType or OpenType `FILE` for characters that the pictures' own font lacks, in PNG")
		flags.StringVar(&f.title, "title", "", "the `TITLE` of the page (default: the names of the folders)")
	})
	flagsIn(cmd, "", func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.check, "check", false, "write nothing: compare what would be written with the files that are there, and fail where they differ")
	})
	_ = cmd.MarkFlagFilename("output", "html") // the errors are for flags that do not exist
	_ = cmd.MarkFlagFilename("font", "ttf", "otf", "ttc")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	f.out.add(cmd)
	mainFlags(cmd, "output", "figures", "x", "normalize")
	return cmd
}

func (a *app) report(f *reportFlags, args []string) error {
	if len(args) == 0 {
		return usagef("want the folder of a run: bert report RUN")
	}
	if !(f.smoothing >= 0 && f.smoothing <= report.MaxSmoothing) {
		return usagef("--smoothing is %g, want a weight from 0 to %g", f.smoothing, report.MaxSmoothing)
	}
	if i := slices.IndexFunc(f.figures, func(s string) bool { return s != "none" && !slices.Contains(report.Formats(), s) }); i >= 0 {
		return usagef("--figures has %q, want some of %s, or none", f.figures[i], strings.Join(report.Formats(), ", "))
	}
	o := report.Options{Title: f.title, Generator: generator(), Smoothing: &f.smoothing}
	theme, err := draw.ParseTheme(f.theme.value)
	if err != nil {
		return err
	}
	if o.Against, err = report.ParseAgainst(f.against.value); err != nil {
		return err
	}
	if o.Normalization, err = report.ParseNormalization(f.normalize.value); err != nil {
		return err
	}
	if f.bins.value == "quantile" {
		o.Bins = metric.QuantileBins
	}
	fileOptions := report.FileOptions{Theme: theme, Formats: f.figures}
	if slices.Contains(f.figures, "none") {
		fileOptions.Formats = []string{}
	}
	if f.font != "" {
		font, err := openFont(f.font)
		if err != nil {
			return err
		}
		fileOptions.Fonts = []*draw.Font{font}
	}
	var runs []*report.Run
	for _, dir := range args {
		r, err := report.Open(dir)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	path := f.output
	if path == "" {
		path = report.PageFile
		if len(args) == 1 {
			path = filepath.Join(args[0], report.PageFile)
		}
	}
	o.Beside = len(args) == 1 && filepath.Dir(path) == filepath.Clean(args[0])
	page := report.New(runs, o)
	if f.check {
		if err := page.Check(path, fileOptions); err != nil {
			return err
		}
		a.log.Info(path + " is what the run gives")
		return nil
	}
	if err := page.SaveAll(path, fileOptions); err != nil {
		return err
	}
	a.log.Info("the page is " + path)
	if !f.out.table(a) {
		return jsonLine(a.stdout, page.Summary())
	}
	return writeOut(a.stdout, []byte(page.Terminal(screenOf(a.stdout).width)))
}

func openFont(path string) (*draw.Font, error) {
	file, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	font, err := draw.ReadFont(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return font, nil
}

// generator is what pages are signed with.
func generator() string { return "bert " + version() }

// writeReport writes the page of a run that has ended into its folder. The run is no failure without it.
func (a *app) writeReport(dir string) {
	if a.rank > 0 {
		return // the first rank does
	}
	r, err := report.Open(dir)
	if err == nil {
		err = report.New([]*report.Run{r}, report.Options{Generator: generator(), Beside: true}).Save(filepath.Join(dir, report.PageFile))
	}
	if err != nil {
		a.log.Warn(fmt.Sprintf("%s is not written: %v", report.PageFile, err))
		return
	}
	a.log.Info("pictures of the run are in " + filepath.Join(dir, report.PageFile))
}
