//go:build unix

package train

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/internal/files"
)

// childVariable makes this test program execute a run, to be killed: its value is a childRun as JSON.
const childVariable = "BERT_TRAIN_TEST_CHILD"

// A childRun is a run of the tiny model in a separate process.
type childRun struct {
	Output string
	Best   bool
	// Kill is the point at which the process kills itself with SIGKILL, as passed to point.
	Kill string
	// Slow makes each step take some milliseconds, so that a parent has time to kill.
	Slow bool
	// FileSize simulates a full disk: from the first checkpoint on, the system refuses to write files beyond this size in bytes.
	FileSize uint64
	// Signal makes SIGINT cancel the run.
	Signal bool
}

// child is the main function of the process.
func child() {
	var c childRun
	err := json.Unmarshal([]byte(os.Getenv(childVariable)), &c)
	if err == nil {
		err = c.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// point kills the process if it is to die here.
func (c *childRun) point(format string, args ...any) {
	if c.Kill != "" && fmt.Sprintf(format, args...) == c.Kill {
		unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
}

func (c *childRun) run() error {
	m, err := tinyModel(0, 0.1)
	if err != nil {
		return err
	}
	defer m.Close()
	ctx := context.Background()
	if c.Signal {
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
	}
	o := tinyOptions(c.Output, m)
	o.Resume = true
	if c.Best {
		o.BestMetric = LossMetric
	}
	o.Observer = func(e Event) {
		switch e := e.(type) {
		case Stepped:
			fmt.Println("step", e.Step)
			c.point("step %d", e.Step)
			if c.Slow {
				time.Sleep(3 * time.Millisecond)
			}
		case Saved:
			c.point("saved %d", e.Step)
			if c.FileSize > 0 {
				// Without this, the system's signal would end the process before it sees the error.
				signal.Ignore(unix.SIGXFSZ)
				if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: c.FileSize, Max: c.FileSize}); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
		case Ended:
			c.point("ended")
		}
	}
	o.SaveModel = func(dir string) error {
		err := m.Save(dir, bert.SaveOptions{})
		c.point("model")
		return err
	}
	evaluate := func(ctx context.Context, at Point) (Evaluation, error) {
		c.point("evaluation")
		return tinyEvaluator{}.Evaluate(ctx, m, at)
	}
	newTrainer := func(*run) (trainer, error) {
		t, err := m.NewTrainer()
		return &childTrainer{t, c}, err
	}
	_, err = start(ctx, newTrainer, tinyData{}, evaluate, o)
	return err
}

// A childTrainer is a bert.Trainer that can kill the process while it writes a checkpoint.
type childTrainer struct {
	*bert.Trainer
	c *childRun
}

func (t *childTrainer) WriteState(path string, metadata map[string]string) error {
	if t.c.Kill == "half a checkpoint of step "+metadata["step"] {
		// A partial file under its temporary name, as it is during writing.
		if err := os.WriteFile(path, []byte("half"), 0o666); err != nil {
			return err
		}
		t.c.point("half a checkpoint of step %s", metadata["step"])
	}
	err := t.Trainer.WriteState(path, metadata)
	t.c.point("unnamed checkpoint of step %s", metadata["step"])
	return err
}

// command returns the process, not yet started.
func (c childRun) command(t *testing.T) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childVariable+"="+string(mustJSON(t, c)))
	return cmd
}

// mustRun runs the process to its end, and returns its first step, or 0 if it made none.
func (c childRun) mustRun(t *testing.T) (first int) {
	t.Helper()
	out, err := c.command(t).CombinedOutput()
	if err != nil {
		t.Fatalf("%+v: %v\n%s", c, err, out)
	}
	if _, err := fmt.Sscanf(string(out), "step %d", &first); err != nil && len(out) > 0 {
		t.Fatalf("output is %s", out)
	}
	return first
}

// wholeRun returns the folder of an uninterrupted run.
func wholeRun(t *testing.T, best bool) string {
	t.Helper()
	c := childRun{Output: t.TempDir(), Best: best}
	c.mustRun(t)
	return c.Output
}

// sameRun compares the folders of two runs.
func sameRun(t *testing.T, got, want string) {
	t.Helper()
	sameFile(t, filepath.Join("checkpoints", "step-30", tensorsName), got, want)
	sameFile(t, "model.safetensors", got, want)
	if got, want := logged(t, got), logged(t, want); !slices.Equal(got, want) {
		t.Errorf("events are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	wantNames(t, checkpointsIn(t, got), checkpointsIn(t, want)...)
	for _, name := range names(t, got) {
		if strings.HasPrefix(name, ".") && name != files.LockName {
			t.Errorf("%s is left in the folder", name)
		}
	}
}

func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(interface{ Signaled() bool })
	return ok && status.Signaled()
}

func TestKillAtPoints(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes; what they share is tested within one")
	}
	whole := map[bool]string{false: wholeRun(t, false), true: wholeRun(t, true)}
	for _, test := range []struct {
		point string
		best  bool
		first int // the first step of the resumed run
	}{
		{"step 1", false, 1},
		{"step 6", false, 5},
		{"step 30", false, 29},
		{"saved 4", false, 5},
		{"saved 30", true, 0},
		{"evaluation", false, 9}, // after step 10
		{"evaluation", true, 9},
		{"half a checkpoint of step 4", false, 1},
		{"half a checkpoint of step 16", true, 13},
		{"unnamed checkpoint of step 12", false, 9},
		{"unnamed checkpoint of step 30", true, 29},
		{"model", false, 0},
		{"model", true, 0},
		{"ended", false, 0}, // just before the last line of the events
	} {
		t.Run(fmt.Sprintf("%s, best %v", test.point, test.best), func(t *testing.T) {
			c := childRun{Output: t.TempDir(), Best: test.best, Kill: test.point}
			if out, err := c.command(t).CombinedOutput(); !killed(err) {
				t.Fatalf("the process ended with %v\n%s", err, out)
			}
			c.Kill = ""
			if first := c.mustRun(t); first != test.first {
				t.Errorf("the resumed run began with step %d, want %d", first, test.first)
			}
			sameRun(t, c.Output, whole[test.best])
		})
	}
}

// The process is killed from outside, repeatedly, at random points.
func TestKillAnywhere(t *testing.T) {
	want := wholeRun(t, true)
	c := childRun{Output: t.TempDir(), Best: true, Slow: true}
	kills := 0
	for kills < 12 {
		cmd := c.command(t)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// After up to 7 steps, slightly more than the distance of two checkpoints.
		lines := bufio.NewScanner(out)
		for range 1 + rand.IntN(7) {
			lines.Scan()
		}
		time.Sleep(time.Duration(rand.IntN(5000)) * time.Microsecond)
		cmd.Process.Kill()
		if err := cmd.Wait(); !killed(err) {
			break // it had ended
		}
		kills++
	}
	t.Logf("killed %d times", kills)
	if kills == 0 {
		t.Fatal("the process was never killed")
	}
	c.Slow = false
	if out, err := c.command(t).CombinedOutput(); err != nil && !strings.Contains(string(out), "there is nothing to resume") {
		t.Fatalf("%v\n%s", err, out)
	}
	sameRun(t, c.Output, want)
}

func TestInterruptSignal(t *testing.T) {
	want := wholeRun(t, false)
	c := childRun{Output: t.TempDir(), Signal: true, Slow: true}
	cmd := c.command(t)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "step 6" {
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	if err := cmd.Wait(); err == nil || killed(err) {
		t.Fatalf("the process ended with %v", err)
	}
	if last == "step 30" {
		t.Fatal("the process was not interrupted")
	}
	if !strings.Contains(stderr.String(), "saved in "+filepath.Join(c.Output, "checkpoints", "step-")) {
		t.Errorf("error is %s", stderr.String())
	}
	c.Signal, c.Slow = false, false
	c.mustRun(t)
	sameRun(t, c.Output, want)
}

// The disk becomes full in the middle of the second checkpoint.
func TestFullDisk(t *testing.T) {
	want := wholeRun(t, false)
	c := childRun{Output: t.TempDir(), FileSize: 20000}
	out, err := c.command(t).CombinedOutput()
	if err == nil || killed(err) {
		t.Fatalf("the process ended with %v\n%s", err, out)
	}
	text := strings.TrimSpace(string(out[strings.LastIndex(string(out), "step 8\n")+len("step 8\n"):]))
	checkpoints := filepath.Join(c.Output, "checkpoints")
	wantError(t, errors.New(text), "can't write checkpoint "+filepath.Join(checkpoints, "step-8"), "file too large",
		"the last checkpoint is "+filepath.Join(checkpoints, "step-4"))
	wantNames(t, checkpointsIn(t, c.Output), "step-4")
	c.FileSize = 0
	c.mustRun(t)
	sameRun(t, c.Output, want)
}
