package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert"
	"github.com/go-bert/bert/hub"
	"github.com/go-bert/bert/serve"
	"github.com/go-bert/bert/serve/web"
	"github.com/go-bert/bert/starter"
	"github.com/go-bert/bert/task"
)

// serveFlags are the flags of bert serve.
type serveFlags struct {
	models     []string
	name       string
	options    serve.Options
	precision  bert.Precision
	pooling    *choice
	maxTokens  int
	truncate   *choice
	noPages    bool
	metrics    *choice
	logFormat  *choice
	shutdown   time.Duration
	configFile string

	listen listenFlags

	// In place of serving:
	check, health, printConfig bool
	explain                    string // the routes of --explain-request; "": not asked for
}

// allRoutes is the value of --explain-request without one.
const allRoutes = "all"

func (a *app) serveCommand() *cobra.Command {
	f := serveFlags{
		pooling:  newChoice(task.ModelPooling.String(), task.Poolings()...),
		truncate: newChoice(serve.TruncateDefault.String(), serve.TruncateDefault.String(), "right", "left", "error"),
		metrics:  newChoice("none", "none", "tei"), logFormat: newChoice("text", "text", "json"),
	}
	cmd := &cobra.Command{
		Use:   "serve [--model [NAME=]DIR]… [flags]",
		Short: "Serve models behind a port",
		Long: `serve answers requests over HTTP, in the dialects of clients that are there already: text-embeddings-inference, OpenAI, Jina,
Cohere, Hugging Face's pipelines, KServe and Ollama. It serves any number of models on one port, with one set of threads. Without
--model it serves the two small models that come with the program. A browser that opens the address gets a page on which each
model can be tried, and /docs lists the routes.

It listens on this machine alone; --hostname 0.0.0.0 lets others in, and --api-key-file says who. The port is bound at once,
and /health/ready tells when the models are loaded. SIGTERM lets what is under way end and refuses the rest, a second one ends
the program at once. SIGHUP loads models, keys and certificates anew, without losing a request.

A flag that is not given is looked for in the environment, as BERT_ and its name: BERT_PORT, BERT_MAX_BATCH_TOKENS. After that
come the variables of text-embeddings-inference without a prefix, such as MODEL_ID and PORT, but not HOSTNAME, which containers
set. After that comes --config-file, a JSON object whose keys are the names of flags. --print-config prints what all of this
comes to, in that form.

--check serves nothing. It loads the models, compares what they compute here with plain Go, measures the tokens a second, and
suggests flags. Its exit status is 1 where something is wrong. --explain-request reads the body of a request from stdin and says
which routes take it, what they make of it, and what is cut or refused. --health asks the server with these flags whether it is
ready, for containers without curl.`,
		Example: `  bert serve
  bert serve --model sentence-transformers/all-MiniLM-L6-v2 --port 8080
  bert serve --model sentiment=my-model --model minilm=all-MiniLM-L6-v2 --hostname 0.0.0.0 --api-key-file keys
  bert serve --model my-model --check
  echo '{"inputs": "A joy."}' | bert serve --explain-request
  bert serve --print-config > serve.json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd, &f) },
	}
	f.add(cmd)
	return cmd
}

// add defines the flags.
func (f *serveFlags) add(cmd *cobra.Command) {
	o := &f.options
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		flags.StringArrayVar(&f.models, "model", nil, "a model, as its `[NAME=]DIR`; the flag may be repeated. DIR may also be the name of a model that bert pull fetched, or starter (default: the two models that come with the program)")
		flags.StringVar(&f.name, "served-model-name", "", "what requests call the only model, as `NAME`")
		flags.StringVar(&o.Manifest, "manifest", "", "serve the models that a JSON `FILE` lists, and load them anew when it changes")
	})
	completeModelName(cmd, "model")
	addPrecision(cmd, &f.precision, nil, precisions)
	flagsIn(cmd, modelSection, func(flags *pflag.FlagSet) {
		addChoice(cmd, f.pooling, "pooling", "how one vector is made of the hidden states of a text; model: as a sentence-transformers folder says, else mean")
		flags.IntVar(&f.maxTokens, "max-input-length", 0, "the most `N` tokens of an input (default: what the model takes)")
		addChoice(cmd, f.truncate, "truncate", "what becomes of longer inputs where a request doesn't say; default: as the dialect's own servers do")
		flags.BoolVar(&o.AnyModelName, "any-model-name", false, "take a model's name that is unknown for none")
		flags.BoolVar(&o.TokenIDs, "token-ids", false, "let OpenAI's clients send ids, which have to be those of the model's own tokenizer")
		flags.StringSliceVar(&o.Dialects, "dialects", nil, "speak `A,B` of "+strings.Join(serve.Dialects(), ", ")+" (default: all)")
	})
	f.listen.add(cmd)
	flagsIn(cmd, networkSection, func(flags *pflag.FlagSet) {
		flags.StringArrayVar(&o.Keys, "api-key", nil, "a `KEY` that requests must have; the flag may be repeated, but others can see it: see --api-key-file")
		flags.StringVar(&o.KeyFile, "api-key-file", "", "the keys that requests must have one of, a line each, in a `FILE` that is read anew when it changes")
		flags.StringSliceVar(&o.AllowOrigins, "cors-allow-origin", nil, "web pages of `A,B` may ask; *: of any site")
		flags.StringVar(&o.URLPrefix, "url-prefix", "", "put a `PATH` before all paths, such as /bert")
		flags.BoolVar(&f.noPages, "no-pages", false, "leave out the pages for browsers, / and /docs")
	})
	flagsIn(cmd, limitsSection, func(flags *pflag.FlagSet) {
		flags.IntVar(&o.MaxRequests, "max-concurrent-requests", 4096, "read and answer `N` requests at once, and refuse more")
		flags.IntVar(&o.MaxInputs, "max-client-batch-size", 2048, "the most `N` inputs of a request")
		flags.Int64Var(&o.MaxBody, "payload-limit", 8<<20, "the most `BYTES` of a request's body")
		flags.IntVar(&o.BatchTokens, "max-batch-tokens", 4096, "compute `N` tokens at once")
		flags.IntVar(&o.MaxQueueTokens, "max-queue-tokens", 1<<18, "let `N` tokens wait, and refuse requests beyond that")
		flags.DurationVar(&o.MaxQueueWait, "max-queue-wait", 0, "let a request wait for a place among them for a `TIME` (default none)")
		flags.DurationVar(&o.RequestTimeout, "request-timeout", 5*time.Minute, "give up a request after a `TIME`")
		flags.DurationVar(&o.BodyTimeout, "body-timeout", 30*time.Second, "give up a request whose body takes longer than a `TIME`")
		flags.Int64Var(&o.CacheBytes, "cache-bytes", 64<<20, "keep answers in `BYTES` of memory; 0: none")
	})
	flagsIn(cmd, operationSection, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.configFile, "config-file", "", "take flags that aren't given from a JSON `FILE`")
		flags.DurationVar(&o.DrainDelay, "drain-delay", 0, "on SIGTERM, say that the server isn't ready for a `TIME` before it refuses requests (default none)")
		flags.DurationVar(&f.shutdown, "shutdown-timeout", 30*time.Second, "after that, wait a `TIME` for what is under way")
		addChoice(cmd, f.metrics, "metrics-compat", "give metrics under the names of text-embeddings-inference, too")
		flags.BoolVar(&o.Profiling, "pprof", false, "serve profiles of the program at /debug/pprof/")
		addChoice(cmd, f.logFormat, "log-format", "how the log is written to stderr")
		flags.BoolVar(&f.check, "check", false, "check models and machine in place of serving")
		flags.StringVar(&f.explain, "explain-request", "", "say what becomes of a request's body, from stdin, at a `ROUTE` such as /embed or, without one, at all")
		flags.Lookup("explain-request").NoOptDefVal = allRoutes
		flags.BoolVar(&f.health, "health", false, "ask the server with these flags whether it is ready")
		flags.BoolVar(&f.printConfig, "print-config", false, "print all flags as a file for --config-file, without keys")
	})
	addThreads(cmd, &o.Threads)
	for _, name := range []string{"manifest", "api-key-file", "config-file"} {
		_ = cmd.MarkFlagFilename(name) // the error is for a flag that does not exist
	}
	cmd.MarkFlagsMutuallyExclusive("check", "explain-request", "health", "print-config")
	mainFlags(cmd, "model", "precision", "hostname", "port", "api-key-file", "tls-cert", "tls-key", "config-file", "check", "threads")
}

// serve does what the flags say.
func (a *app) serve(cmd *cobra.Command, f *serveFlags) error {
	if err := settle(cmd, os.Environ()); err != nil {
		return err
	}
	if f.printConfig {
		return printConfig(a.stdout, cmd)
	}
	if err := f.settled(); err != nil {
		return err
	}
	if f.health {
		return f.listen.askHealth(cmd.Context(), f.options.URLPrefix)
	}
	f.options.Version = version()
	f.options.Log = a.log
	if f.logFormat.value == "json" {
		level := slog.LevelInfo
		switch {
		case a.quiet:
			level = slog.LevelWarn
		case a.verbose:
			level = slog.LevelDebug
		}
		f.options.Log = slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: level}))
	}
	if err := f.resolve(cmd.Context(), a); err != nil {
		return err
	}
	if f.options.Threads == 0 {
		f.options.Threads = runtime.GOMAXPROCS(0) // as many as the control group allows
	}
	switch {
	case f.check:
		return a.checkServer(cmd.Context(), f)
	case f.explain != "":
		return a.explainRequest(cmd.Context(), f)
	}
	return f.run(cmd.Context())
}

// settled checks the values of the flags, and turns them into options.
func (f *serveFlags) settled() error {
	o := &f.options
	if err := checkThreads(o.Threads); err != nil {
		return err
	}
	var err error
	if o.Truncate, err = serve.ParseTruncate(f.truncate.value); err != nil {
		return usageError{err}
	}
	o.TEIMetrics = f.metrics.value == "tei"
	if o.CacheBytes == 0 {
		o.CacheBytes = -1 // 0 is serve's default
	}
	switch {
	case o.Manifest != "" && len(f.models) > 0:
		return usagef("both --model and --manifest: want one of them")
	case f.name != "" && (o.Manifest != "" || len(f.models) != 1):
		return usagef("--served-model-name is for one --model: with several, give each its name as in --model NAME=DIR")
	case f.shutdown < 0 || o.DrainDelay < 0:
		return usagef("--shutdown-timeout and --drain-delay must not be negative")
	}
	return f.listen.check()
}

// resolve finds the models.
func (f *serveFlags) resolve(ctx context.Context, a *app) error {
	if f.options.Manifest != "" {
		return nil
	}
	named := f.models
	if named == nil {
		if !starter.Included() {
			return usagef("--model DIR is missing, and this program was built without the models that come with it")
		}
		named = []string{starter.Sentiment.String(), starter.Pretrained.String()}
		a.log.Info("the models are small ones that come with the program; --model DIR names another")
	}
	pooling, err := task.ParsePooling(f.pooling.value)
	if err != nil {
		return usageError{err}
	}
	for _, text := range named {
		name, path := splitModel(text)
		builtIn := starterModel{}
		l, err := hub.Resolve(ctx, path, hub.ResolveOptions{BuiltIn: builtIn.find})
		var (
			unknown *hub.NotFoundError
			damaged *hub.DamagedError
		)
		switch {
		case errors.As(err, &unknown):
			return explainUnknown(unknown)
		case errors.As(err, &damaged):
			return fmt.Errorf("%w (bert pull %s)", err, damaged.Ref)
		case err != nil:
			return err
		}
		if name == "" {
			name = path // what a hub calls it
			if _, err := os.Stat(path); err == nil {
				name = filepath.Base(filepath.Clean(path))
				if abs, err := filepath.Abs(path); err == nil {
					name = filepath.Base(abs) // of ".", too
				}
			}
		}
		f.options.Models = append(f.options.Models, serve.ModelSpec{
			Name: cmp.Or(f.name, name), Path: l.Path, Precision: f.precision, Pooling: pooling, MaxTokens: f.maxTokens,
		})
	}
	return nil
}

// splitModel splits NAME=DIR. What is there as a whole is a path.
func splitModel(text string) (name, path string) {
	if _, err := os.Stat(text); err == nil {
		return "", text
	}
	if name, path, ok := strings.Cut(text, "="); ok && name != "" {
		return name, path
	}
	return "", text
}

// run serves until a signal ends it.
func (f *serveFlags) run(ctx context.Context) error {
	log := f.options.Log
	s, err := serve.New(f.options)
	if err != nil {
		return err
	}
	defer s.Close()
	listener, address, err := f.listen.open(log)
	if err != nil {
		return err
	}
	defer listener.Close()
	// One more, so that the network is attended to while all threads compute.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), f.options.Threads+1))
	limitMemory()

	ctx, stop := untilInterrupted(ctx, func(sig os.Signal) {
		log.Info(fmt.Sprintf("%v: letting what is under way end; a second signal ends the program at once", sig))
	})
	defer stop()
	hangups := make(chan os.Signal, 1)
	if len(hangupSignals) > 0 { // none stands for all
		signal.Notify(hangups, hangupSignals...)
		defer signal.Stop(hangups)
	}

	h := s.HTTPServer()
	h.Handler = f.handler(s)
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	log.Info("listening on " + address)
	s.Start(context.WithoutCancel(ctx)) // a signal drains, and Close ends it
	ready := make(chan error, 1)
	go func() { ready <- s.Wait(ctx) }()
	for {
		select {
		case err := <-ready:
			switch {
			case ctx.Err() != nil: // which is dealt with below
			case err != nil && !anyReady(s):
				return err // there is nothing to serve
			case err != nil:
				log.Error(err.Error())
			default:
				log.Info("ready: " + strings.Join(servedNames(s), ", "))
			}
			ready = nil
		case <-hangups:
			log.Info("loading the models anew")
			if err := s.Reload(ctx); err != nil {
				log.Error("nothing has changed: " + err.Error())
			}
		case err := <-served:
			return fmt.Errorf("%s: %w", address, err)
		case <-ctx.Done():
			return f.end(s, h)
		}
	}
}

// end lets what is under way end.
func (f *serveFlags) end(s *serve.Server, h *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), f.options.DrainDelay+f.shutdown)
	defer cancel()
	err := s.Drain(ctx)
	if failed := h.Shutdown(ctx); failed != nil {
		_ = h.Close() // of connections whose requests took too long
		err = cmp.Or(err, failed)
	}
	if err != nil {
		return fmt.Errorf("requests were given up after %v: %w", f.shutdown, err)
	}
	f.options.Log.Info("ended: no request was lost")
	return nil
}

// servedNames are the names of the models.
func servedNames(s *serve.Server) []string {
	var names []string
	for _, m := range s.Models() {
		names = append(names, m.Name)
	}
	return names
}

// anyReady says that a model can be served.
func anyReady(s *serve.Server) bool {
	return slices.ContainsFunc(s.Models(), func(m serve.ModelStatus) bool { return m.State == serve.ModelReady })
}

// handler is the server with the pages before it.
func (f *serveFlags) handler(s *serve.Server) http.Handler {
	if f.noPages {
		return s
	}
	return web.New(s, web.Options{
		Keyed:  len(f.options.Keys) > 0 || f.options.KeyFile != "",
		Prefix: f.options.URLPrefix, Version: "bert " + version(),
	})
}
