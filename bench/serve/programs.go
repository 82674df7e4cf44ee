package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-bert/bert/internal/bench"
)

// A program is a server.
type program struct {
	name          string
	environment   string // that of interop/venvs.py; "": none
	embed, rerank string // paths of requests
	documents     string // the key of /rerank's passages
	health        string // a path that answers 200 once requests may come
	// command starts it with models of driver.models, of which all but bert take one. why says, if not "", why it can't be had.
	command func(d *driver, models []string, port int) (cmd *exec.Cmd, why string)
}

// programs are the servers, in the order of the table.
var programs = []program{
	{
		name: "bert", embed: "/v1/embeddings", rerank: "/rerank", documents: "texts", health: "/health",
		command: func(d *driver, models []string, port int) (*exec.Cmd, string) {
			args := []string{"serve", "--port", strconv.Itoa(port), "--cache-bytes", "0", "--truncate", "right", "--quiet"}
			for _, name := range models {
				args = append(args, "--model", name+"="+d.models[name])
			}
			return command(nil, d.bert, append(args, d.flags...)...), ""
		},
	},
	{
		name: "text-embeddings-inference", embed: "/v1/embeddings", rerank: "/rerank", documents: "texts", health: "/health",
		command: func(d *driver, models []string, port int) (*exec.Cmd, string) {
			router := d.tei
			if router == "" {
				found, err := exec.LookPath("text-embeddings-router")
				if err != nil {
					return nil, "no program text-embeddings-router: --tei names it"
				}
				router = found
			}
			args := []string{"--model-id", d.models[models[0]], "--hostname", "127.0.0.1", "--port", strconv.Itoa(port), "--auto-truncate", "--dtype", "float32"}
			return command([]string{"HF_HUB_OFFLINE=1", "RUST_LOG=warn", "DO_NOT_TRACK=1"}, router, args...), ""
		},
	},
	{
		name: "infinity", environment: "infinity", embed: "/embeddings", rerank: "/rerank", documents: "documents", health: "/health",
		command: func(d *driver, models []string, port int) (*exec.Cmd, string) {
			program := filepath.Join(filepath.Dir(d.pythons["infinity"]), "infinity_emb")
			args := []string{
				"v2", "--model-id", d.models[models[0]], "--served-model-name", models[0], "--engine", "torch", "--device", "cpu", "--dtype", "float32",
				"--no-bettertransformer", "--host", "127.0.0.1", "--port", strconv.Itoa(port), "--log-level", "warning",
			}
			env := []string{"INFINITY_ANONYMOUS_USAGE_STATS=0", "DO_NOT_TRACK=1", "HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1"}
			return command(env, program, args...), ""
		},
	},
	{
		name: "FastAPI", environment: "plain", embed: "/v1/embeddings", rerank: "/rerank", documents: "texts", health: "/health",
		command: func(d *driver, models []string, port int) (*exec.Cmd, string) {
			script := filepath.Join(d.sources, "bench", "serve", "peers", "plain.py")
			env := []string{"HF_HUB_OFFLINE=1", "TRANSFORMERS_VERBOSITY=error", "PYTHONDONTWRITEBYTECODE=1"}
			return command(env, d.pythons["plain"], script, d.models[models[0]], strconv.Itoa(port)), ""
		},
	},
}

// library is the name of the library's own pass in samples.
const library = "library"

func programNames() []string {
	names := []string{library}
	for _, p := range programs {
		names = append(names, p.name)
	}
	return names
}

// path is that of requests of a workload.
func (p *program) path(w *workload) string {
	if w.pairs {
		return p.rerank
	}
	return p.embed
}

func command(env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// A server is a program that runs.
type server struct {
	program *program
	address string // host:port
	cmd     *exec.Cmd
	output  *tail
	ended   chan struct{}
}

// patience is how long a server may take to load a model.
const patience = 3 * time.Minute

// start starts a program with models and waits until it takes requests.
func (d *driver) start(ctx context.Context, p *program, models []string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd, why := p.command(d, models, port)
	if why != "" {
		return nil, errors.New(why)
	}
	s := &server{program: p, address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), cmd: cmd, output: &tail{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = s.output, s.output
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // what it said last is the better error
		close(s.ended)
	}()
	by := time.Now().Add(patience)
	for {
		answer, err := http.Get("http://" + s.address + p.health)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		select {
		case <-s.ended:
			return nil, fmt.Errorf("it has ended: %s", s.output.last())
		case <-ctx.Done():
			s.stop()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(by) {
			s.stop()
			return nil, fmt.Errorf("it isn't ready within %v: %s", patience, s.output.last())
		}
	}
}

// stop ends the server.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // the error says that it has ended already
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}

// used is the processor time of the server so far.
func (s *server) used() time.Duration { return bench.ProcessTime(s.cmd.Process.Pid) }

// post sends a request and returns its answer.
func (s *server) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+path, strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %.300s", path, answer.Status, content)
	}
	return content, err
}

// freePort is a port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	t.data = t.data[max(0, len(t.data)-most):]
	return len(p), nil
}

// last is the last line.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.data)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
