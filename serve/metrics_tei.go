package serve

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// teiMetrics are those of text-embeddings-inference (router/src/prometheus.rs and core/src/infer.rs of
// huggingface/text-embeddings-inference), for dashboards that know it. Its mistakes are not among them: a prediction is counted once, and as a success where it is one.
type teiMetrics struct {
	request map[string]prometheus.Counter // by method
	success map[string]prometheus.Counter
	failure *prometheus.CounterVec // err
	kinds   map[string]teiKind     // embed, predict

	duration, tokenization, queue, inference prometheus.Histogram
	inputLength, batchSize, batchTokens      prometheus.Histogram
}

type teiKind struct {
	count, success                           prometheus.Counter
	duration, tokenization, queue, inference prometheus.Histogram
}

func newTEIMetrics(r *prometheus.Registry) *teiMetrics {
	counter := func(name string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: "As text-embeddings-inference has it."})
		r.MustRegister(c)
		return c
	}
	byMethod := func(name string) map[string]prometheus.Counter {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: "As text-embeddings-inference has it."}, []string{"method"})
		r.MustRegister(c)
		return map[string]prometheus.Counter{"single": c.WithLabelValues("single"), "batch": c.WithLabelValues("batch")}
	}
	histogram := func(name string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: "As text-embeddings-inference has it.", Buckets: buckets})
		r.MustRegister(h)
		return h
	}
	var (
		seconds = prometheus.ExponentialBuckets(15e-6, 1.5, 35)
		powers  = prometheus.ExponentialBuckets(1, 2, 16)
	)
	m := &teiMetrics{request: byMethod("te_request_count"), success: byMethod("te_request_success"), kinds: make(map[string]teiKind)}
	m.failure = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "te_request_failure", Help: "As text-embeddings-inference has it."}, []string{"err"})
	r.MustRegister(m.failure)
	four := func(name string) (a, b, c, d prometheus.Histogram) {
		return histogram(name+"_duration", seconds), histogram(name+"_tokenization_duration", seconds), histogram(name+"_queue_duration", seconds),
			histogram(name+"_inference_duration", seconds)
	}
	m.duration, m.tokenization, m.queue, m.inference = four("te_request")
	for _, kind := range []string{"embed", "predict"} {
		k := teiKind{count: counter("te_" + kind + "_count"), success: counter("te_" + kind + "_success")}
		k.duration, k.tokenization, k.queue, k.inference = four("te_" + kind)
		m.kinds[kind] = k
	}
	m.inputLength = histogram("te_request_input_length", powers)
	m.batchSize = histogram("te_batch_next_size", powers)
	m.batchTokens = histogram("te_batch_next_tokens", powers)
	return m
}

// failures are its words for errors.
var teiFailures = map[ErrorKind]string{
	Overloaded: "overloaded", BadRequest: "validation", Empty: "validation", TooLong: "validation", BadInput: "tokenization", TooManyInputs: "batch_size",
	WrongTask: "model_type", ClientGone: "dropped",
}

func (m *teiMetrics) call(c *call, took time.Duration) {
	method := "single"
	if c.facts.inputs > 1 {
		method = "batch"
	}
	name := "predict"
	if c.use == Embed || c.use == EmbedTokens || c.use == Compare {
		name = "embed"
	}
	k, f := m.kinds[name], &c.facts
	m.request[method].Inc()
	k.count.Inc()
	if c.failure != nil {
		err := teiFailures[c.failure.Kind]
		if err == "" {
			err = "inference"
		}
		m.failure.WithLabelValues(err).Inc()
		return
	}
	m.success[method].Inc()
	k.success.Inc()
	for _, h := range []struct {
		all, kind prometheus.Histogram
		took      time.Duration
	}{{m.duration, k.duration, took}, {m.tokenization, k.tokenization, f.tokenize}, {m.queue, k.queue, f.queue}, {m.inference, k.inference, f.compute}} {
		h.all.Observe(h.took.Seconds())
		h.kind.Observe(h.took.Seconds())
	}
	if f.inputs > 0 {
		m.inputLength.Observe(float64(f.tokens) / float64(f.inputs))
	}
}
