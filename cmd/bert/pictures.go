package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/report"
	"github.com/go-bert/bert/task"
)

// pictureFlags are the flags of bert predict for pictures of its answers.
type pictureFlags struct {
	dir, page string
	n         int // answers so far
	gathered  report.Predictions
}

func (f *pictureFlags) add(cmd *cobra.Command) {
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.dir, "plot", "", "draw each answer, as text-00001.svg, .png and .csv in `DIR`")
		flags.StringVar(&f.page, "html", "", "write a page with the pictures of the first 200 answers to `FILE`")
	})
	_ = cmd.MarkFlagDirname("plot") // the errors are for flags that do not exist
	_ = cmd.MarkFlagFilename("html", "html")
}

// draw draws an answer.
func (f *pictureFlags) draw(in *task.Item, answer *task.Prediction) error {
	f.n++
	if f.page != "" {
		f.gathered.Add(&in.Input, answer)
	}
	if f.dir == "" {
		return nil
	}
	if figure := report.PredictionFigure(f.n, &in.Input, answer); figure != nil {
		return report.SaveFigures(f.dir, []*report.Figure{figure}, report.FileOptions{})
	}
	return nil
}

// end writes the page.
func (f *pictureFlags) end(a *app, model string) error {
	if f.dir != "" {
		a.log.Info("pictures in " + f.dir)
	}
	if f.page == "" {
		return nil
	}
	title := fmt.Sprintf("Predictions of %s", filepath.Base(model))
	if err := f.gathered.Page(title, generator()).Save(f.page); err != nil {
		return err
	}
	a.log.Info("the page is " + f.page)
	return nil
}
