package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/parts"
	"github.com/go-bert/bert/task"
)

// shardFlags are the flags of a command that can do a part of its work.
type shardFlags struct {
	shard string
	dir   string // --output, of a command that has it for parts alone
}

// shardHelp is a paragraph of the help of each command with --shard.
const shardHelp = `

--shard I/N does part I of N, counted from 0, and writes it to a file in the folder --output, which the parts share or have one each of.
The parts may run at once, on any machines; one that is done isn't done again. bert join prints what one run would have printed.
--shard env takes I and N from the job array of Slurm or from srun, --shard env/N takes I from there or from an indexed Job of
Kubernetes.`

// shardUsage is the help of --shard.
const shardUsage = "do part `I/N` of the work, counted from 0, and write it to the folder --output; env or env/N: as Slurm or Kubernetes says"

// add defines --shard, and --output for a command that writes files for parts alone.
func (f *shardFlags) add(cmd *cobra.Command, output bool) {
	flagsIn(cmd, outputSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.shard, "shard", "", shardUsage)
		if output {
			flags.StringVar(&f.dir, "output", "", "with --shard: write the part to `DIR`, for bert join")
			_ = cmd.MarkFlagDirname("output") // the error is for a flag that does not exist
		}
	})
}

// parsePart reads --shard.
func parsePart(shard string) (parts.Part, error) {
	p, err := parts.Parse(shard, os.Getenv)
	switch {
	case errors.As(err, new(*parts.EnvironmentError)):
		return p, usagef("--shard %s: %w", shard, err)
	case err != nil:
		return p, usagef("--shard is %w", err)
	}
	return p, nil
}

// part reads --shard of a command whose parts go to a folder. The zero Part is all of the work.
func (f *shardFlags) part(dir string, out *outputFlags) (p parts.Part, err error) {
	if f.shard == "" {
		return p, nil
	}
	if p, err = parsePart(f.shard); err != nil {
		return p, err
	}
	switch {
	case dir == "":
		return p, usagef("--output DIR is missing: want the folder of the parts")
	case out.format.value == "table":
		return p, usagef("--format table is for a terminal: a part is lines of JSON")
	}
	return p, nil
}

// ownFlags are those that make no difference to what a part is: where things are, how they are computed, what is shown.
var ownFlags = []string{"shard", "output", "threads", "quiet", "verbose", "help", "json", "format", "show-examples"}

// pathFlags are those of what parts have in common by its content, not by its name.
var pathFlags = []string{"input", "data", "model", "base", "vocab"}

// hashSuffix ends the name of a setting that is the hash of files.
const hashSuffix = "_sha256"

// folderPath is the name of the path that the others are relative to.
const folderPath = "folder"

// flagValue is a flag's value as Set takes it.
func flagValue(f *pflag.Flag) string {
	value := f.Value.String()
	if _, list := f.Value.(pflag.SliceValue); list {
		value = strings.TrimSuffix(strings.TrimPrefix(value, "["), "]")
	}
	return value
}

// job is what the parts of a command have in common: the input, its flags, and the hash of its model or tokenizer.
func (a *app) job(cmd *cobra.Command, p parts.Part, in parts.Input, what, hash string) (*parts.Job, error) {
	j := &parts.Job{Command: cmd.Name(), Parts: p.Count, Input: in, Settings: parts.Settings{{Name: what + hashSuffix, Value: hash}}}
	folder, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	j.Paths.Set(folderPath, folder)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value := flagValue(f)
		switch {
		case slices.Contains(pathFlags, f.Name):
			if value != "" && value != "-" {
				j.Paths.Set(f.Name, value)
			}
		case !slices.Contains(ownFlags, f.Name) && f.Value.String() != f.DefValue:
			j.Settings.Set(f.Name, value)
		}
	})
	return j, nil
}

// begin takes a part. A part that is done already is reported, and finished is true unless it was done with another share of the input.
func (a *app) begin(ctx context.Context, dir string, j *parts.Job, p parts.Part, share func() (parts.Done, error)) (_ *parts.Work, finished bool, err error) {
	w, err := parts.Begin(ctx, dir, j, p.Index)
	if err != nil || w.Record == nil {
		return w, false, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	now, err := share()
	if err != nil {
		return nil, false, err
	}
	if was := w.Record.Done; now.From != was.From || now.To != was.To || now.Input != was.Input {
		return nil, false, w.Changed(j.Input.Name)
	}
	a.log.Info(fmt.Sprintf("part %v was done before: %s", p, w.Path()))
	return nil, true, nil
}

// finish does a part: run prints it to stdout, which is the part's file meanwhile.
func (a *app) finish(w *parts.Work, extension string, run func(to io.Writer, done *parts.Done) error) (err error) {
	defer func() { err = errors.Join(err, w.Close()) }()
	stdout := a.stdout
	err = w.Finish(extension, func(to io.Writer) (parts.Done, error) {
		a.part = &parts.Done{Program: version()}
		a.stdout = to
		defer func() { a.stdout, a.part = stdout, nil }()
		err := run(to, a.part)
		return *a.part, err
	})
	if err != nil {
		return err
	}
	a.log.Info(fmt.Sprintf("part %v: %s in %s", w.Part(), count(w.Record.Counts.Results, "result"), w.Path()))
	return nil
}

// inParts calls run, which answers the lines of an input, with all of the input or, with --shard, with a part of it. dir is --output.
// hash is that of what answers, the model or the tokenizer.
func (a *app) inParts(cmd *cobra.Command, f *shardFlags, dir string, in *inputFlags, out *outputFlags, args []string, what string, hash func(context.Context) (string, error), run func() error) (err error) {
	ctx := cmd.Context()
	p, err := f.part(dir, out)
	switch {
	case err != nil:
		return err
	case p.IsZero():
		return run()
	case len(args) > 0:
		return usagef("--shard is for a file: want --input FILE and no texts as arguments")
	}
	part, err := data.OpenInputPart(ctx, cmp.Or(in.file, "-"), a.stdin, data.InputOptions{SkipBad: in.reading.skipBad, Encoding: in.reading.encoding}, p)
	if err != nil {
		return err
	}
	defer part.Close()
	sum, err := hash(ctx)
	if err != nil {
		return err
	}
	j, err := a.job(cmd, p, part.Input(), what, sum)
	if err != nil {
		return err
	}
	w, finished, err := a.begin(ctx, dir, j, p, func() (parts.Done, error) {
		err := part.Discard(ctx)
		return part.Done(), err
	})
	if err != nil || finished {
		return err
	}
	in.part = part
	return a.finish(w, ".jsonl", func(_ io.Writer, done *parts.Done) error {
		stop := a.reportPart(part)
		err := run()
		stop()
		if err != nil {
			return err
		}
		share := part.Done()
		done.From, done.To, done.Input = share.From, share.To, share.Input
		return nil
	})
}

// reportPart says from time to time how much of a part has been read, until stop is called.
func (a *app) reportPart(in *data.InputPart) (stop func()) {
	const every = 30 * time.Second
	var (
		ticker  = time.NewTicker(every)
		end     = make(chan struct{})
		waiting sync.WaitGroup
	)
	waiting.Go(func() {
		for {
			select {
			case <-ticker.C:
				done, all := in.Progress()
				a.log.Info(fmt.Sprintf("%s of %s MiB read (%.0f %%)", thousands(int(done>>20)), thousands(int(all>>20)), 100*float64(done)/float64(max(all, 1))))
			case <-end:
				return
			}
		}
	})
	return func() {
		ticker.Stop()
		close(end)
		waiting.Wait()
	}
}

// fingerprint is the hash of a model's files.
func (m *modelFlags) fingerprint(ctx context.Context) (string, error) {
	return task.Fingerprint(ctx, m.dir, m.loading.base, false)
}
