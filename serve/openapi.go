package serve

import (
	_ "embed"
	"net/http"
)

// openAPI is the description of all routes for programs: OpenAPI 3.1, written by hand. A test holds it to the table of dialects and to
// what they answer.
var openAPI = dialect{
	name: "openapi",
	routes: []route{{method: "GET", pattern: "/api-doc/openapi.json", handle: func(c *call) error {
		return c.reply(http.StatusOK, contentJSON, openAPIDocument)
	}}},
}

//go:embed openapi.json
var openAPIDocument []byte
