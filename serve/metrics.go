package serve

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are a server's. Their labels have values of closed sets alone: names of models, uses, patterns of routes, kinds of errors.
type metrics struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec   // model, task, route, code
	duration  *prometheus.HistogramVec // model, task
	stages    *prometheus.HistogramVec // stage
	tokens    *prometheus.CounterVec   // model
	inputs    *prometheus.CounterVec   // model
	truncated *prometheus.CounterVec   // model
	rejected  *prometheus.CounterVec   // reason
	shared    *prometheus.CounterVec   // source
	gone      prometheus.Counter
	abandoned prometheus.Counter
	nonFinite *prometheus.CounterVec // model
	panics    prometheus.Counter
	retries   prometheus.Counter
	reloads   *prometheus.CounterVec // result
	batchRows prometheus.Histogram
	batchSize prometheus.Histogram
	inflight  prometheus.Gauge

	tei *teiMetrics // nil: they are not asked for
}

// durations are buckets in seconds, each 1.5 times the one before: those of text-embeddings-inference from 100 µs on.
var durations = prometheus.ExponentialBuckets(100e-6, 1.5, 34)

func newMetrics(version string, tei bool) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histograms := func(name, help string, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: durations}, labels)
		m.registry.MustRegister(h)
		return h
	}
	powers := func(name, help string, n int) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(1, 2, n)})
		m.registry.MustRegister(h)
		return h
	}
	m.requests = counters("bert_requests_total", "Requests that were answered, by the status of the answer.", "model", "task", "route", "code")
	m.duration = histograms("bert_request_duration_seconds", "Time from a request to its answer.", "model", "task")
	m.stages = histograms("bert_stage_duration_seconds", "Time of a request in each stage: tokenize, queue, compute, encode.", "stage")
	m.tokens = counters("bert_tokens_total", "Tokens of inputs that were answered.", "model")
	m.inputs = counters("bert_inputs_total", "Inputs that were answered.", "model")
	m.truncated = counters("bert_inputs_truncated_total", "Inputs that lost tokens because they were too long.", "model")
	m.rejected = counters("bert_rejected_total", "Requests that have no answer, by the reason.", "reason")
	m.shared = counters("bert_shared_inputs_total", "Inputs that needed no computing, as they were in the cache or computed for another request.", "source")
	m.gone = counter("bert_client_gone_total", "Requests whose client did not wait for the answer.")
	m.abandoned = counter("bert_abandoned_inputs_total", "Inputs that were not computed because nobody waited for them any more.")
	m.nonFinite = counters("bert_nonfinite_total", "Requests whose output was no finite number.", "model")
	m.panics = counter("bert_panics_total", "Panics that were recovered.")
	m.retries = counter("bert_batch_retries_total", "Batches that failed and were computed input by input.")
	m.reloads = counters("bert_reloads_total", "Reloads of models, by the result: swapped, unchanged, failed.", "result")
	m.batchRows = powers("bert_batch_rows", "Inputs of a batch.", 14)
	m.batchSize = powers("bert_batch_tokens", "Tokens of a batch.", 16)
	m.inflight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "bert_requests_inflight", Help: "Requests under way."})
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "bert_build_info", Help: "1, with the version of the program."}, []string{"version"})
	info.WithLabelValues(version).Set(1)
	m.registry.MustRegister(m.inflight, info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if tei {
		m.tei = newTEIMetrics(m.registry)
	}
	return m
}

// watch adds what is measured when it is asked for: the queue and the state of the models.
func (m *metrics) watch(s *Server) {
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("bert_queue_requests", "Inputs that wait to be computed.", func() float64 {
		w, _ := s.scheduler.loads()
		return float64(w.jobs)
	})
	gauge("bert_queue_tokens", "Tokens that wait to be computed: what to scale on.", func() float64 {
		w, _ := s.scheduler.loads()
		return float64(w.tokens)
	})
	gauge("bert_inflight_tokens", "Tokens that wait or are computed.", func() float64 {
		_, reserved := s.scheduler.loads()
		return float64(reserved)
	})
	gauge("bert_cache_bytes", "Memory of the answers that are kept.", func() float64 { return float64(s.scheduler.cacheSize()) })
	gauge("bert_body_bytes", "Memory of the bodies of requests under way.", func() float64 { return float64(s.bodies.Load()) })
	m.registry.MustRegister(&stateCollector{s, prometheus.NewDesc("bert_model_state", "1 for the state that each model is in.", []string{"model", "state"}, nil)})
	if m.tei != nil {
		gauge("te_queue_size", "Inputs that wait to be computed.", func() float64 {
			w, _ := s.scheduler.loads()
			return float64(w.jobs)
		})
	}
}

// stateCollector gives the states of the models.
type stateCollector struct {
	s    *Server
	desc *prometheus.Desc
}

func (c *stateCollector) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

func (c *stateCollector) Collect(to chan<- prometheus.Metric) {
	for _, m := range c.s.Models() {
		for state, name := range modelStates {
			value := 0.0
			if m.State == ModelState(state) {
				value = 1
			}
			to <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, value, m.Name, name)
		}
	}
}

// handler serves them.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// reject counts a request that has no answer.
func (m *metrics) reject(k ErrorKind) { m.rejected.WithLabelValues(k.String()).Inc() }

// cached counts an input that needed no computing.
func (m *metrics) cached(source string) { m.shared.WithLabelValues(source).Inc() }

// batch counts a batch.
func (m *metrics) batch(rows, tokens int) {
	m.batchRows.Observe(float64(rows))
	m.batchSize.Observe(float64(tokens))
	if m.tei != nil {
		m.tei.batchSize.Observe(float64(rows))
		m.tei.batchTokens.Observe(float64(tokens))
	}
}

// call counts a request that has ended.
func (m *metrics) call(c *call, took time.Duration) {
	f := &c.facts
	m.requests.WithLabelValues(f.model, c.use.String(), c.route.pattern, strconv.Itoa(c.status)).Inc()
	if e := c.failure; e != nil {
		m.reject(e.Kind)
		switch e.Kind {
		case ClientGone:
			m.gone.Inc()
		case NotFinite:
			m.nonFinite.WithLabelValues(f.model).Inc()
		}
	}
	if m.tei != nil && c.use != NoUse {
		m.tei.call(c, took)
	}
	if f.inputs == 0 || c.failure != nil {
		return
	}
	m.duration.WithLabelValues(f.model, c.use.String()).Observe(took.Seconds())
	m.stages.WithLabelValues("tokenize").Observe(f.tokenize.Seconds())
	m.stages.WithLabelValues("queue").Observe(f.queue.Seconds())
	m.stages.WithLabelValues("compute").Observe(f.compute.Seconds())
	m.stages.WithLabelValues("encode").Observe(c.encode.Seconds())
	m.tokens.WithLabelValues(f.model).Add(float64(f.tokens))
	m.inputs.WithLabelValues(f.model).Add(float64(f.inputs))
	if f.truncated > 0 {
		m.truncated.WithLabelValues(f.model).Add(float64(f.truncated))
	}
}
