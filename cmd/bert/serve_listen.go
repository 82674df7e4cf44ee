package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// listenFlags say where the server listens.
type listenFlags struct {
	host, socket  string
	port          int
	cert, certKey string
}

func (l *listenFlags) add(cmd *cobra.Command) {
	flagsIn(cmd, networkSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&l.host, "hostname", "127.0.0.1", "listen at an `ADDRESS` of this machine; 0.0.0.0: at all")
		flags.IntVar(&l.port, "port", 8080, "listen on port `N`; 0: any that is free")
		flags.StringVar(&l.socket, "unix-socket", "", "listen at a socket in the file system, `PATH`, in place of a port")
		flags.StringVar(&l.cert, "tls-cert", "", "the certificate for HTTPS, a PEM `FILE` that is read anew when it changes")
		flags.StringVar(&l.certKey, "tls-key", "", "the key of --tls-cert, a PEM `FILE`")
	})
	for _, name := range []string{"tls-cert", "tls-key", "unix-socket"} {
		_ = cmd.MarkFlagFilename(name) // the error is for a flag that does not exist
	}
}

func (l *listenFlags) check() error {
	switch {
	case (l.cert == "") != (l.certKey == ""):
		return usagef("--tls-cert and --tls-key go together: want both or none")
	case l.port < 0 || l.port > 65535:
		return usagef("--port is %d, want 0 to 65535", l.port)
	}
	return nil
}

// open listens. address is what a client types.
func (l *listenFlags) open(log *slog.Logger) (listener net.Listener, address string, err error) {
	scheme := "http"
	var config *tls.Config
	if l.cert != "" {
		c := &certificate{certFile: l.cert, keyFile: l.certKey, log: log}
		if _, err := c.get(nil); err != nil {
			return nil, "", err
		}
		config = &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
		scheme = "https"
	}
	if l.socket != "" {
		if listener, err = listenUnix(l.socket); err != nil {
			return nil, "", err
		}
		address = "unix:" + l.socket
	} else {
		if listener, err = net.Listen("tcp", net.JoinHostPort(l.host, strconv.Itoa(l.port))); err != nil {
			return nil, "", l.failed(err)
		}
		host := l.host
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		address = scheme + "://" + net.JoinHostPort(host, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	return listener, address, nil
}

// failed says what is in the way, and what to do.
func (l *listenFlags) failed(err error) error {
	switch {
	case isInUse(err):
		return fmt.Errorf("port %d is in use by another program: --port takes another one, 0 any that is free", l.port)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("port %d is for privileged programs: --port takes another one", l.port)
	}
	return err
}

// listenUnix listens at a socket. One that an ended process left there is removed.
func listenUnix(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s: a file that is no socket stands there", path)
		}
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("%s: another program listens there", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return net.Listen("unix", path)
}

// A certificate is read anew when its files have changed. Where they can't be read then, the last one is used on.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	stamps  [2]time.Time
	current *tls.Certificate
}

// lookEvery is how often the files are looked at, at most.
const lookEvery = time.Second

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && time.Since(c.looked) < lookEvery {
		return c.current, nil
	}
	c.looked = time.Now()
	var stamps [2]time.Time
	for i, path := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(path); err == nil {
			stamps[i] = info.ModTime()
		}
	}
	if c.current != nil && stamps == c.stamps {
		return c.current, nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		err = fmt.Errorf("--tls-cert %s and --tls-key %s: %w", c.certFile, c.keyFile, err)
		if c.current == nil {
			return nil, err
		}
		// Perhaps one file is there and the other one isn't yet: this is tried again.
		c.log.Error("the certificate stays as it was: " + err.Error())
		return c.current, nil
	}
	if c.current != nil {
		c.log.Info("the certificate has been read anew")
	}
	c.current, c.stamps = &pair, stamps
	return c.current, nil
}

// healthTimeout is how long a server may take to say whether it is ready.
const healthTimeout = 5 * time.Second

// askHealth asks the server that listens where these flags say whether it is ready.
func (l *listenFlags) askHealth(ctx context.Context, prefix string) error {
	host := l.host
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		// The name in the certificate is that which others use. Who listens at an address of this machine isn't in question.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	if l.socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", l.socket)
		}
	}
	scheme := "http"
	if l.cert != "" {
		scheme = "https"
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	url := scheme + "://" + net.JoinHostPort(host, strconv.Itoa(l.port)) + prefix + "/health/ready"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("no server answers: %w", errors.Unwrap(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // what it says is for people
		return fmt.Errorf("the server is not ready: %s", cmp.Or(strings.TrimSpace(string(said)), answer.Status))
	}
	return nil
}
