package serve

import (
	"net/http"
	"net/http/pprof"
	"strings"
)

// probes are the routes for who looks after the server. They run no model. Those of health need no key, and never wait.
var probes = dialect{
	name: "probes",
	routes: []route{
		{method: "GET", pattern: "/health/live", open: true, handle: func(c *call) error { return c.reply(http.StatusOK, "", nil) }},
		{method: "GET", pattern: "/health/ready", open: true, handle: ready},
		{method: "GET", pattern: "/health", open: true, handle: ready},
		{method: "GET", pattern: "/metrics", open: true, handle: func(c *call) error {
			c.status = http.StatusOK
			c.s.metrics.handler().ServeHTTP(c.w, c.r)
			return nil
		}},
	},
}

// ready says whether requests should be sent to the server; of one that is loading, how far it is.
func ready(c *call) error {
	status := c.s.Status()
	if status.Ready {
		return c.reply(http.StatusOK, "", nil)
	}
	b := append(c.buffer(), `{"status":`...)
	word, _, _ := strings.Cut(status.Reason, ":")
	b = appendString(b, word)
	b = append(b, `,"reason":`...)
	b = appendString(b, status.Reason)
	b = append(b, `,"models":[`...)
	for i, m := range status.Models {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"name":`...)
		b = appendString(b, m.Name)
		b = append(b, `,"state":`...)
		b = appendString(b, m.State.String())
		if m.Step != "" {
			b = append(b, `,"step":`...)
			b = appendString(b, m.Step)
		}
		b = append(b, '}')
	}
	b = append(b, "]}"...)
	c.w.Header().Set("Retry-After", "1")
	return c.reply(http.StatusServiceUnavailable, contentJSON, b)
}

// profiles is net/http/pprof.
var profiles = route{method: "GET", pattern: "/debug/pprof/{profile...}", handle: func(c *call) error {
	c.status = http.StatusOK
	switch name := c.r.PathValue("profile"); name {
	case "cmdline":
		pprof.Cmdline(c.w, c.r)
	case "profile":
		pprof.Profile(c.w, c.r)
	case "symbol":
		pprof.Symbol(c.w, c.r)
	case "trace":
		pprof.Trace(c.w, c.r)
	case "":
		pprof.Index(c.w, c.r)
	default:
		pprof.Handler(name).ServeHTTP(c.w, c.r)
	}
	return nil
}}
