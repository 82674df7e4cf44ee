package torture

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain makes the test binary, called with "victim", the program under test.
func TestMain(m *testing.M) {
	Begin()
	if len(os.Args) == 3 && os.Args[1] == "victim" {
		victim(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

// victim writes a file aside and renames it.
func victim(dir string) {
	fail := func(err error) {
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
	}
	fail(os.Mkdir(filepath.Join(dir, "sub"), 0o777))                                      // 1
	fail(os.WriteFile(filepath.Join(dir, "sub", "new"), []byte("hello"), 0o666))          // 2, 3
	os.Stdout.WriteString("no file\n")                                                    // a pipe: doesn't count
	fail(os.Rename(filepath.Join(dir, "sub", "new"), filepath.Join(dir, "sub", "final"))) // 4
	fail(os.Remove(filepath.Join(dir, "sub", "final")))                                   // 5
}

func start(t *testing.T) (cmd *exec.Cmd, dir string, out *strings.Builder) {
	t.Helper()
	if !Supported() {
		t.Skip("there is no seccomp with notifications here")
	}
	dir = t.TempDir()
	cmd = exec.Command(os.Args[0], "victim", dir)
	out = new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, dir, out
}

func TestRunCounts(t *testing.T) {
	cmd, _, out := start(t)
	var calls []string
	err := Run(cmd, func(c Call) Action {
		calls = append(calls, strings.TrimSuffix(c.Name, "at")+" "+filepath.Base(c.Path))
		return Continue
	})
	if err != nil {
		t.Fatal(err, out)
	}
	want := "mkdir sub, open new, write new, rename new, unlink final"
	if got := strings.Join(calls, ", "); got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
}

func TestRunKills(t *testing.T) {
	for _, c := range []struct {
		at   int
		left string
	}{{1, ""}, {2, "sub"}, {3, "sub sub/new"}, {4, "sub sub/new"}, {5, "sub sub/final"}} {
		cmd, dir, _ := start(t)
		err := Run(cmd, func(call Call) Action {
			if call.N == c.at {
				return Kill
			}
			return Continue
		})
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("killed at %d: %v", c.at, err)
		}
		var left []string
		filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if path != dir {
				name, _ := filepath.Rel(dir, path)
				left = append(left, name)
			}
			return err
		})
		if got := strings.Join(left, " "); got != c.left {
			t.Errorf("killed at %d: %q is left, want %q", c.at, got, c.left)
		}
	}
}

func TestRunFails(t *testing.T) {
	for _, c := range []struct {
		action Action
		text   string
	}{{NoSpace, "no space left"}, {IOError, "input/output error"}} {
		cmd, _, out := start(t)
		err := Run(cmd, func(call Call) Action {
			if call.Name == "write" {
				return c.action
			}
			return Continue
		})
		if err == nil || !strings.Contains(out.String(), c.text) {
			t.Errorf("%v, %q, want %q", err, out, c.text)
		}
	}
}
