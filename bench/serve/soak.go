package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-bert/bert/internal/bench"
)

// bertProgram is the row of bert serve.
func bertProgram() *program { return &programs[0] }

// soakAll sends requests of all workloads to bert over many connections. Each answer has to be 200 and to have the bytes that the first one
// to this request had, whatever was computed beside it. Memory and goroutines are shown on the way; it is an error if one has grown by more
// than a tenth between the first quarter and the end.
func (d *driver) soakAll(ctx context.Context, stdout io.Writer) error {
	type request struct {
		path string
		body []byte
	}
	var (
		requests []request
		models   []string
	)
	for i := range workloads {
		w := &workloads[i]
		if len(d.queries[w.name]) == 0 {
			continue
		}
		if name := w.modelName(); !strings.Contains(strings.Join(models, " "), name) {
			models = append(models, name)
		}
		for _, q := range d.queries[w.name] {
			requests = append(requests, request{bertProgram().path(w), w.body(bertProgram(), q)})
		}
	}
	s, err := d.start(ctx, bertProgram(), models)
	if err != nil {
		return err
	}
	defer s.stop()
	var (
		first   = make([]atomic.Pointer[[]byte], len(requests))
		next    atomic.Int64
		done    atomic.Int64
		faults  = make(chan error, 1) // the first one
		count   atomic.Int64          // of faults
		working sync.WaitGroup
	)
	fault := func(err error) {
		count.Add(1)
		select {
		case faults <- err:
		default:
		}
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: d.clients, MaxConnsPerHost: d.clients}}
	defer client.CloseIdleConnections()
	for range d.clients {
		working.Go(func() {
			for ctx.Err() == nil {
				n := next.Add(1) - 1
				if n >= int64(d.soak) {
					return
				}
				// A number that shares no factor with the list's length takes one of each workload in turn.
				i := int(n*stride%int64(len(requests))+int64(len(requests))) % len(requests)
				r := requests[i]
				body, err := send(ctx, client, "http://"+s.address+r.path, r.body)
				switch {
				case err != nil && ctx.Err() == nil:
					fault(err)
				case err == nil && !first[i].CompareAndSwap(nil, &body) && !bytes.Equal(body, *first[i].Load()):
					fault(fmt.Errorf("%s: another answer to the same request: %.200s, first %.200s", r.path, body, *first[i].Load()))
				}
				done.Add(1)
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		working.Wait()
		close(ended)
	}()
	fmt.Fprintf(stdout, "%10s %10s %12s %12s %10s %8s\n", "seconds", "requests", "per second", "memory MB", "goroutines", "faults")
	var (
		began   = time.Now()
		quarter state
		every   = time.NewTicker(soakEvery)
	)
	defer every.Stop()
	show := func() (state, error) {
		now, err := s.state(ctx)
		if err == nil {
			seconds := time.Since(began).Seconds()
			fmt.Fprintf(stdout, "%10.0f %10d %12.1f %12.1f %10d %8d\n", seconds, done.Load(), float64(done.Load())/seconds, float64(now.memory)/1e6, now.goroutines, count.Load())
		}
		return now, err
	}
	for running := true; running; {
		select {
		case <-ended:
			running = false
		case <-every.C:
			now, err := show()
			if err != nil {
				return err
			}
			if quarter == (state{}) && done.Load() >= int64(d.soak)/4 {
				quarter = now
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	client.CloseIdleConnections()
	last, err := show()
	switch {
	case err != nil:
		return err
	case count.Load() > 0:
		return fmt.Errorf("%d faults; the first: %w", count.Load(), <-faults)
	case quarter == (state{}):
		fmt.Fprintln(stdout, "too few requests to tell whether memory and goroutines stay as they are")
	case float64(last.memory) > 1.1*float64(quarter.memory):
		return fmt.Errorf("memory has grown from %.1f MB after a quarter of the requests to %.1f MB", float64(quarter.memory)/1e6, float64(last.memory)/1e6)
	case float64(last.goroutines) > 1.1*float64(quarter.goroutines)+10:
		return fmt.Errorf("there are %d goroutines, after a quarter of the requests %d", last.goroutines, quarter.goroutines)
	}
	return nil
}

const (
	stride    = 1_000_003 // a prime
	soakEvery = 5 * time.Second
)

// send sends a request and returns the body of an answer of 200.
func send(ctx context.Context, client *http.Client, url string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", url, answer.Status, content)
	}
	return content, err
}

// state is what a server has of the machine.
type state struct {
	memory     int64
	goroutines int
}

// state reads /metrics and /proc.
func (s *server) state(ctx context.Context) (state, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/metrics", nil)
	if err != nil {
		return state{}, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return state{}, err
	}
	defer answer.Body.Close()
	var now state
	now.memory, _ = bench.ProcessMemory(s.cmd.Process.Pid)
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			n, err := strconv.ParseFloat(value, 64)
			now.goroutines = int(n)
			return now, err
		}
	}
	return now, errors.New("/metrics has no go_goroutines")
}

// holdIdle opens connections to bert, each with one request, and reports the server's memory while they say nothing.
func (d *driver) holdIdle(ctx context.Context, stdout io.Writer) error {
	s, err := d.start(ctx, bertProgram(), []string{embedder})
	if err != nil {
		return err
	}
	defer s.stop()
	before, err := s.state(ctx)
	if err != nil {
		return err
	}
	connections := make([]net.Conn, 0, d.idle)
	defer func() {
		for _, c := range connections {
			c.Close()
		}
	}()
	for i := range d.idle {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			return fmt.Errorf("connection %d: %w (ulimit -n is their most)", i+1, err)
		}
		connections = append(connections, c)
		if _, err := io.WriteString(c, "GET /health/live HTTP/1.1\r\nHost: bert\r\n\r\n"); err != nil {
			return err
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i+1, err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("connection %d: %s", i+1, answer.Status)
		}
	}
	after, err := s.state(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d idle connections: %.1f MB resident, %.1f MB before, %.1f kB a connection; %d goroutines, %d before\n", d.idle,
		float64(after.memory)/1e6, float64(before.memory)/1e6, float64(after.memory-before.memory)/1e3/float64(d.idle), after.goroutines, before.goroutines)
	return err
}
