package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-bert/bert/starter"
)

// TestNoStarter: the build tag nostarter leaves the starter models out of the program, and each command that needs one says so.
func TestNoStarter(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program")
	}
	program := filepath.Join(t.TempDir(), "bert.exe")
	if out, err := exec.Command("go", "build", "-tags", "nostarter", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const reason = "this program was built without the starter models (build tag nostarter)"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"predict", "a text"}, "bert predict: " + reason + ": name another model, or fetch one with bert pull"},
		{[]string{"tokenize", "--model", "starter", "a text"}, "bert tokenize: " + reason + ": name another model, or fetch one with bert pull"},
		{[]string{"inspect", "starter-sentiment"}, "bert inspect: " + reason + ": name another model, or fetch one with bert pull"},
		{[]string{"demo"}, "bert demo: " + reason},
	} {
		out, err := exec.Command(program, c.args...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitFailed || strings.TrimSpace(string(out)) != c.want {
			t.Errorf("%s: %v, %s; want status %d and %q", strings.Join(c.args, " "), err, out, exitFailed, c.want)
		}
	}
	if starter.Included() {
		with := filepath.Join(t.TempDir(), "bert.exe")
		if out, err := exec.Command("go", "build", "-o", with, ".").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if saved := fileSize(t, with) - fileSize(t, program); saved < 12<<20 {
			t.Errorf("the program without the starter models is %d bytes smaller, want 12 MiB or more", saved)
		}
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
