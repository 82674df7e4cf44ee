package serve

import "net/http"

// probes are the routes for who looks after the server. They need no key, and run no model.
var probes = dialect{
	name: "probes",
	routes: []route{
		{method: "GET", pattern: "/health/live", open: true, handle: func(c *call) error { return c.reply(http.StatusOK, "", nil) }},
	},
}
