package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/pflag"
)

// request is a program for scripts: request SOCKET METHOD PATH [BODY [NAME:VALUE ...]] prints the status and the body of the answer of
// a server that listens at a socket, and its headers to stderr. SOCKET is https:SOCKET of one with a certificate.
func request() {
	if err := requestOnce(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func requestOnce(args []string) error {
	if len(args) < 3 {
		return fmt.Errorf("usage: request SOCKET METHOD PATH [BODY [NAME:VALUE ...]]")
	}
	body := ""
	if len(args) > 3 {
		body = args[3]
	}
	answer, err := ask(args[0], args[1], args[2], body, args[min(4, len(args)):])
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	fmt.Println(answer.StatusCode)
	os.Stdout.Write(append(content, '\n'))
	return answer.Header.Write(os.Stderr)
}

func ask(socket, method, path, body string, headers []string) (*http.Response, error) {
	scheme := "http"
	if rest, ok := strings.CutPrefix(socket, "https:"); ok {
		scheme, socket = "https", rest
	}
	client := http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		},
	}
	r, err := http.NewRequest(method, scheme+"://bert"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		r.Header.Set(name, value)
	}
	return client.Do(r)
}

// cmdReady waits until a server is ready: ready SOCKET.
func cmdReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready SOCKET")
	}
	socket := args[0]
	if rest, ok := strings.CutPrefix(socket, "https:"); ok {
		socket = "https:" + ts.MkAbs(rest)
	} else {
		socket = ts.MkAbs(socket)
	}
	var last error
	for range 1200 {
		answer, err := ask(socket, http.MethodGet, "/health/ready", "", nil)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("%s", answer.Status)
		}
		last = err
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s is not ready within a minute: %v", args[0], last)
}

// cmdSignal sends a signal to all processes in the background: signal HUP|INT|TERM.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "TERM": syscall.SIGTERM}
	if neg || len(args) != 1 || signals[args[0]] == nil {
		ts.Fatalf("usage: signal %s", strings.Join(slices.Sorted(maps.Keys(signals)), "|"))
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(signals[args[0]]))
	}
}

// cmdIssue makes a certificate for a name, and its key: issue CERT KEY NAME.
func cmdIssue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: issue CERT KEY NAME")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: args[2]}, DNSNames: []string{args[2]},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	for i, block := range []*pem.Block{{Type: "CERTIFICATE", Bytes: cert}, {Type: "PRIVATE KEY", Bytes: private}} {
		ts.Check(os.WriteFile(ts.MkAbs(args[i]), pem.EncodeToMemory(block), 0o600))
	}
}

// TestSettings: a flag goes before the environment, that before variables of text-embeddings-inference, and those before the file.
func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "serve.json")
	content := `{"port": 1, "max_batch_tokens": 11, "model": ["a=x", "b"], "pprof": true, "drain-delay": "5s", "payload-limit": 7}`
	if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	_, root := newTree()
	cmd, _, err := root.Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags([]string{"--max-queue-tokens", "5", "--config-file", file}); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"BERT_MAX_QUEUE_TOKENS=6", "PORT=3", "BERT_PORT=2", "HOSTNAME=0.0.0.0", "MAX_BATCH_TOKENS=12", "AUTO_TRUNCATE=false", "JSON_OUTPUT=true", "DTYPE=bfloat16",
		"API_KEY=k1,k2", "CORS_ALLOW_ORIGIN=http://a,http://b",
	}
	if err := settle(cmd, env); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"max-queue-tokens": "5", "port": "2", "hostname": "127.0.0.1", "max-batch-tokens": "12", "truncate": "error", "log-format": "json", "precision": "bf16",
		"api-key": "[k1,k2]", "cors-allow-origin": "[http://a,http://b]", "model": "[a=x,b]", "pprof": "true", "drain-delay": "5s", "payload-limit": "7",
	} {
		if got := cmd.Flags().Lookup(name).Value.String(); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	var printed bytes.Buffer
	if err := printConfig(&printed, cmd); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"k1", "k2"} {
		if strings.Contains(printed.String(), secret) {
			t.Errorf("a key is printed: %s", &printed)
		}
	}
	// What is printed is a file that comes to the same.
	if err := os.WriteFile(file, printed.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	_, root = newTree()
	again, _, err := root.Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	if err := settle(again, []string{"BERT_CONFIG_FILE=" + file}); err != nil {
		t.Fatal(err)
	}
	for _, f := range settings(cmd) {
		if got, want := again.Flags().Lookup(f.Name).Value.String(), f.Value.String(); got != want && f.Name != "api-key" {
			t.Errorf("read again, %s is %s, want %s", f.Name, got, want)
		}
	}
	for content, want := range map[string]string{
		`{"prot": 1}`: "did you mean port?", `{"port": "x"}`: `port "x"`, `{"port": [1, 2]}`: "a list", `{"port": {}}`: "neither text", `[]`: "want a JSON object",
		`{"check": true}`: "no setting", `{"drain_delay": 1, "drain-delay": 2}`: "twice", `{"truncate": "both"}`: "want one of",
	} {
		if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		_, root := newTree()
		cmd, _, err := root.Find([]string{"serve"})
		if err != nil {
			t.Fatal(err)
		}
		if err := settle(cmd, []string{"BERT_CONFIG_FILE=" + file}); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), " is ", " "), want) {
			t.Errorf("%s: error %v, want %q in it", content, err, want)
		}
	}
}

// TestTEIVariables: each variable is of a flag that there is.
func TestTEIVariables(t *testing.T) {
	_, root := newTree()
	cmd, _, err := root.Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{slices.Collect(maps.Keys(teiVariables)), slices.Collect(maps.Keys(teiValues)), modeFlags, secretFlags} {
		for _, name := range names {
			if !slices.ContainsFunc(flagsOf(cmd), func(f *pflag.Flag) bool { return f.Name == name }) {
				t.Errorf("there is no flag --%s", name)
			}
		}
	}
}

func TestSplitModel(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a=b")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][2]string{
		"x": {"", "x"}, "n=x": {"n", "x"}, "n=x=y": {"n", "x=y"}, "=x": {"", "=x"}, dir: {"", dir}, "org/name": {"", "org/name"}, "n=org/name": {"n", "org/name"},
	} {
		if name, path := splitModel(text); name != want[0] || path != want[1] {
			t.Errorf("%s is %q, %q, want %q", text, name, path, want)
		}
	}
}
