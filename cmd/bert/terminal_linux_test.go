package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/tokenizer"
)

// onTerminal runs the command line with stdout and stderr on a terminal of 100 columns and returns what it shows.
func onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	return onTerminalOf(t, 100, args...)
}

func onTerminalOf(t *testing.T, columns uint16, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	defer master.Close()
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: columns}); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	shown := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, master) // ends with EIO when the other side is closed
		shown <- b.String()
	}()
	status := run(args, strings.NewReader(""), slave, slave)
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	out := <-shown
	if status != exitDone {
		t.Fatalf("exit status %d:\n%s", status, out)
	}
	return out
}

// TestTerminal: on a terminal there are progress bars, and results are tables with colours, unless NO_COLOR is set.
func TestTerminal(t *testing.T) {
	dir := t.TempDir()
	model, data := filepath.Join(dir, "model"), filepath.Join(dir, "data.tsv")
	vocabulary := tinyVocabulary()
	c := bert.DefaultConfig()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.NumAttentionHeads, c.IntermediateSize = len(vocabulary), 8, 1, 1, 8
	m, err := bert.New(c, bert.Options{Head: bert.NoHead, Seed: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Save(model, bert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.New(vocabulary, tokenizer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.Save(model, tokenizer.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(data, []byte("label\ttext\ngood\ta joy\nbad\tdull\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	out := filepath.Join(dir, "out")
	shown := onTerminal(t, "finetune", "--task", "text", "--data", data, "--eval-data", data, "--model", model, "--output", out, "--max-steps", "3", "--train-batch-size", "2")
	for _, want := range []string{"training 3/3", "evaluating 2/2", "░", "tokens/s", "bert finetune: saved in ", "label \\ prediction"} {
		if !strings.Contains(shown, want) {
			t.Errorf("finetune shows no %q:\n%q", want, shown)
		}
	}
	shown = onTerminal(t, "predict", "--model", out, "a joy")
	for _, want := range []string{"a joy", "█", "\x1b[32m", " %  "} {
		if !strings.Contains(shown, want) {
			t.Errorf("predict shows no %q:\n%q", want, shown)
		}
	}
	t.Setenv("NO_COLOR", "1")
	if shown := onTerminal(t, "predict", "--model", out, "a joy"); strings.Contains(shown, "\x1b") {
		t.Errorf("predict shows colours with NO_COLOR: %q", shown)
	}
	if shown := onTerminal(t, "predict", "--model", out, "--json", "a joy"); !strings.HasPrefix(shown, `{"label":`) {
		t.Errorf("predict --json shows %q", shown)
	}
}

// TestHelpOnTerminal checks that the help keeps to the terminal's width, to 100 columns on a wider one, and has bold headings.
func TestHelpOnTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	for _, columns := range []uint16{60, 200} {
		shown := onTerminalOf(t, columns, "tokenize", "--help")
		if want := "\x1b[1mModel:\x1b[0m\r\n  --model DIR "; !strings.Contains(shown, want) {
			t.Errorf("the help has no %q:\n%q", want, shown)
		}
		most := 0
		for line := range strings.Lines(strings.NewReplacer("\x1b[1m", "", "\x1b[0m", "").Replace(shown)) {
			most = max(most, cells(strings.TrimRight(line, "\r\n")))
		}
		if limit := min(int(columns), helpWidth); most > limit || most < limit-10 {
			t.Errorf("on a terminal of %d columns the longest line has %d", columns, most)
		}
	}
	t.Setenv("NO_COLOR", "1")
	if shown := onTerminalOf(t, 60); strings.Contains(shown, "\x1b") {
		t.Errorf("the help has bold headings with NO_COLOR: %q", shown)
	}
}
