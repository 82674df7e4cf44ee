package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// script makes wrk send the lines of a file in turn, and print what it counted as JSON.
const script = `local requests, at = {}, 0
function init(args)
	wrk.headers["Content-Type"] = "application/json"
	for line in io.lines(args[1]) do
		requests[#requests + 1] = wrk.format("POST", wrk.path, wrk.headers, line)
	end
end
function request()
	at = at % #requests + 1
	return requests[at]
end
function done(summary, latency, _)
	local e = summary.errors
	io.write("\n", string.format('{"requests":%d,"seconds":%.6f,"median_ms":%.3f,"p99_ms":%.3f,"longest_ms":%.3f,"errors":%d,"refused":%d}',
		summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
		e.connect + e.read + e.write + e.status + e.timeout, e.status), "\n")
end
`

// load lets wrk send requests over a number of connections for a time.
func (d *driver) load(ctx context.Context, url string, bodies []byte, connections int, seconds float64) (sample, error) {
	scriptFile, bodiesFile := filepath.Join(d.temp, "load.lua"), filepath.Join(d.temp, "bodies")
	if err := os.WriteFile(scriptFile, []byte(script), 0o666); err != nil {
		return sample{}, err
	}
	if err := os.WriteFile(bodiesFile, bodies, 0o666); err != nil {
		return sample{}, err
	}
	cmd := exec.CommandContext(ctx, d.wrk, "--threads", "1", "--connections", strconv.Itoa(connections), "--duration", fmt.Sprintf("%ds", max(1, int(seconds+0.5))),
		"--timeout", "60s", "--latency", "--script", scriptFile, url, "--", bodiesFile)
	out, err := output(cmd)
	if err != nil {
		return sample{}, err
	}
	return parseLoad(out)
}

// parseLoad reads what the script printed last.
func parseLoad(out []byte) (sample, error) {
	line := out[bytes.LastIndexByte(bytes.TrimSpace(out), '\n')+1:]
	var counted struct {
		sample
		Seconds float64
		Refused int // answers other than 200
	}
	if err := json.Unmarshal(line, &counted); err != nil || counted.Seconds <= 0 {
		return sample{}, fmt.Errorf("wrk printed %q, want its counts", line)
	}
	s := counted.sample
	s.PerSecond = float64(s.Requests-counted.Refused) / counted.Seconds
	if s.Requests == 0 {
		return s, fmt.Errorf("no request was answered within %.0f s", counted.Seconds)
	}
	return s, nil
}
