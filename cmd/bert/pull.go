package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/hub"
	"github.com/go-bert/bert/internal/files"
)

func (a *app) pullCommand() *cobra.Command {
	var (
		asJSON           bool
		include, exclude []string
	)
	cmd := &cobra.Command{
		Use:   "pull NAME[@REVISION] [DIR] [flags]",
		Short: "Fetch a model from a hub",
		Long: `pull fetches a model from Hugging Face's hub into the cache that Hugging Face's own tools share, and prints the folder it is
in. After that, --model NAME works wherever --model DIR does. No other command fetches anything.

With DIR it also copies the model to that folder, for use without the cache. REVISION is a branch, a tag or a commit; the
default is the main branch.

pull fetches only what a BERT needs: the configuration, the tokenizer, and the weights in one format. It compares the checksum
of every file with the hub's. After an interruption the same command continues where it was.

--include fetches the configuration and the files that match a pattern instead, and --exclude does without some. Patterns are
those of Hugging Face's tools: * stands for any text, with slashes too, ? for a character, [abc] and [!abc] for one of some.

The environment variables are those of Hugging Face's tools:
  HF_ENDPOINT     the hub (default https://huggingface.co)
  HF_TOKEN        the access token, for models that are private or have terms to accept
  HF_TOKEN_PATH   a file with the token (default: the file token in HF_HOME, where Hugging Face's own login leaves it)
  HF_HOME         the parent folder of the cache (default ~/.cache/huggingface)
  HF_HUB_CACHE    the cache itself (default: the folder hub in HF_HOME)
  HF_HUB_OFFLINE  1: use the cache only, never the network`,
		Example: `  bert pull google-bert/bert-base-uncased
  bert fill-mask --model google-bert/bert-base-uncased "Paris is the [MASK] of France."
  bert pull google/bert_uncased_L-2_H-128_A-2@main bert-tiny
  bert pull sentence-transformers/all-MiniLM-L6-v2 --include "onnx/model.onnx" --include "*.txt" --include "*.json"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usagef("%s given, want the NAME of a model and, if you like, a folder", count(len(args), "argument"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := hub.ParseRef(args[0])
			if err != nil {
				return usageError{err}
			}
			dir := ""
			if len(args) == 2 {
				dir = args[1]
			}
			ctx, cancel := untilInterrupted(cmd.Context(), func(os.Signal) {})
			defer cancel()
			return a.pull(ctx, ref, dir, hub.PullOptions{Include: include, Exclude: exclude}, asJSON)
		},
		ValidArgsFunction: completePull,
	}
	flagsIn(cmd, dataSection, func(flags *pflag.FlagSet) {
		flags.StringArrayVar(&include, "include", nil, "fetch the files that match `PATTERN`; may be repeated (default: what a BERT needs)")
		flags.StringArrayVar(&exclude, "exclude", nil, "do without the files that match `PATTERN`; may be repeated")
	})
	addJSON(cmd, &asJSON)
	return cmd
}

// pullJSON is the result of bert pull --json.
type pullJSON struct {
	Model  string   `json:"model"` // with the revision
	Commit string   `json:"commit"`
	Dir    string   `json:"dir"`
	Files  []string `json:"files"`
}

// pull fetches a model, copies it to dir if that is not "", and prints the folder.
func (a *app) pull(ctx context.Context, ref hub.Ref, dir string, o hub.PullOptions, asJSON bool) error {
	h, err := hub.FromEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	p := &pullProgress{progress: a.newProgress()}
	defer p.close()
	o.Check = func(config string) error {
		_, err := bert.LoadConfig(config)
		return err
	}
	o.Progress, o.Note = p.fetched, func(line string) { a.log.Warn(line) }
	snapshot, err := h.Pull(ctx, ref, o)
	p.close()
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted; what has come is kept, and the same command goes on")
	}
	if err != nil {
		return files.PathError(err)
	}
	a.log.Info(fmt.Sprintf("%s, commit %s: %s in %s", ref, snapshot.Commit, count(len(snapshot.Files), "file"), snapshot.Dir))
	if dir == "" {
		dir = snapshot.Dir
	} else if err := snapshot.CopyTo(ctx, dir); err != nil {
		return files.PathError(err)
	}
	if asJSON {
		return jsonLine(a.stdout, pullJSON{ref.String(), snapshot.Commit, dir, list(snapshot.Files)})
	}
	return writeOut(a.stdout, []byte(dir+"\n"))
}

// pullProgress shows how much of a file is there.
type pullProgress struct {
	*progress
	file  string
	began time.Time
	first int64 // bytes that were there then
}

// fetched is told how much of a file is there.
func (p *pullProgress) fetched(file string, done, size int64) {
	if file != p.file {
		p.file, p.began, p.first = file, time.Now(), done
		line := "fetching " + file
		if size >= 0 {
			line += ", " + megabytes(size)
		}
		if done > 0 {
			line += fmt.Sprintf(", of which %s are there", megabytes(done))
		}
		p.app.log.Info(line)
		if p.bars != nil {
			p.drop()
			p.steps = p.newBar(file, int(max(size, 0)), p.speed)
		}
	}
	if p.bars != nil {
		p.steps.SetCurrent(done)
		text := ""
		if seconds := time.Since(p.began).Seconds(); seconds > 0.5 {
			text = megabytes(int64(float64(done-p.first)/seconds)) + "/s"
		}
		p.status.Store(&text)
	}
}

func (p *pullProgress) speed() string {
	if s := p.status.Load(); s != nil {
		return *s
	}
	return ""
}

// drop takes the bar of a file that has come off the terminal.
func (p *pullProgress) drop() {
	if p.steps != nil {
		p.steps.Abort(true)
		p.steps = nil
	}
}
