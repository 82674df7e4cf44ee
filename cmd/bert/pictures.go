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
	n         int                  // answers so far
	folder    *report.FigureFolder // once there is a picture
	gathered  report.Predictions
}

func (f *pictureFlags) add(cmd *cobra.Command) {
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.dir, "plot", "", "draw each answer, as text-00001.svg, .png and .csv in `DIR`")
		flags.StringVar(&f.page, "html", "", "write a page with pictures of the first results to `FILE`")
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
	figure := report.PredictionFigure(f.n, &in.Input, answer)
	if figure == nil {
		return nil
	}
	if f.folder == nil {
		folder, err := report.OpenFigures(f.dir, report.FileOptions{})
		if err != nil {
			return err
		}
		f.folder = folder
	}
	return f.folder.Save(figure)
}

// close gives the folder of pictures back.
func (f *pictureFlags) close() error {
	if f.folder == nil {
		return nil
	}
	return f.folder.Close()
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

// pageFlag is the flag of a command that writes a page beside what it prints.
type pageFlag struct{ path string }

func (f *pageFlag) add(cmd *cobra.Command, usage string) {
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) { flags.StringVar(&f.path, "html", "", usage) })
	_ = cmd.MarkFlagFilename("html", "html") // the error is for flags that do not exist
}

// save writes the page.
func (f *pageFlag) save(a *app, page *report.Page) error {
	if err := page.Save(f.path); err != nil {
		return err
	}
	a.log.Info("the page is " + f.path)
	return nil
}

// modelTitle is the title of a page about a model.
func modelTitle(what, dir string) string { return what + " of " + baseName(dir) }

// baseName is what a page calls a model.
func baseName(dir string) string { return filepath.Base(dir) }
