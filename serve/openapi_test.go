package serve

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func loadOpenAPI(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPIDocument)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestOpenAPI checks that the document is one, that it has every route, and that every operation in it is a route.
func TestOpenAPI(t *testing.T) {
	doc := loadOpenAPI(t)
	if err := doc.Validate(t.Context(), openapi3.EnableSchemaPatternValidation()); err != nil {
		t.Error(err)
	}
	s := smallServer(t, Options{}, "encoder")
	documented := make(map[string]bool) // by method and pattern
	for template, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			for _, path := range samplePaths(template, o) {
				r := httptest.NewRequest(method, path, nil)
				_, pattern := s.mux.Handler(r)
				found, rest, _ := strings.Cut(pattern, " ")
				if found != method {
					t.Errorf("%s %s is documented, but %s is no route", method, template, path)
				}
				documented[method+" "+rest] = true
			}
		}
	}
	for _, d := range dialects {
		for _, r := range d.routes {
			if !documented[r.method+" "+r.pattern] {
				t.Errorf("%s %s is not documented", r.method, r.pattern)
			}
		}
	}
}

// samplePaths are paths of a template, with each value of a parameter that has a list of them.
func samplePaths(template string, o *openapi3.Operation) []string {
	paths := []string{template}
	for _, ref := range o.Parameters {
		p := ref.Value
		if p.In != "path" {
			continue
		}
		values := p.Schema.Value.Enum
		if values == nil {
			values = []any{"org/name"}
		}
		var all []string
		for _, path := range paths {
			for _, v := range values {
				all = append(all, strings.ReplaceAll(path, "{"+p.Name+"}", v.(string)))
			}
		}
		paths = all
	}
	return paths
}

// openAPIOperation is that of the document for a request.
func openAPIOperation(doc *openapi3.T, method, path string) *openapi3.Operation {
	best, bestPath := (*openapi3.Operation)(nil), ""
	for template, item := range doc.Paths.Map() {
		o := item.GetOperation(method)
		pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(template), `\{model\}`, "(?s:.*)")
		pattern = regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(pattern, "[^/]+") + "$"
		if o != nil && regexp.MustCompile(pattern).MatchString(path) && len(template) > len(bestPath) {
			best, bestPath = o, template
		}
	}
	return best
}

// checkOpenAPI reports a request that is answered, or its answer, that isn't as the document says.
func checkOpenAPI(t testing.TB, doc *openapi3.T, method, path string, request []byte, w *httptest.ResponseRecorder) {
	t.Helper()
	o := openAPIOperation(doc, method, path)
	if o == nil {
		t.Errorf("%s %s is not documented", method, path)
		return
	}
	valid := func(what string, content openapi3.Content, kind string, body []byte) {
		t.Helper()
		media := content.Get(kind)
		if media == nil {
			t.Errorf("%s %s: the %s of type %s is not documented", method, path, what, kind)
			return
		}
		if media.Schema == nil || kind != contentJSON {
			return
		}
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Errorf("%s %s: the %s: %v", method, path, what, err)
			return
		}
		if err := media.Schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("%s %s: the %s: %.500v\n%.500s", method, path, what, err, body)
		}
	}
	if o.RequestBody != nil && w.Code < 300 && len(request) > 0 {
		valid("request", o.RequestBody.Value.Content, contentJSON, request)
	}
	response := o.Responses.Status(w.Code)
	if response == nil {
		if w.Code < 400 {
			t.Errorf("%s %s: the status %d is not documented", method, path, w.Code)
		}
		response = o.Responses.Default()
	}
	if kind := w.Header().Get("Content-Type"); kind != "" {
		valid("answer", response.Value.Content, kind, w.Body.Bytes())
	} else if w.Body.Len() > 0 {
		t.Errorf("%s %s: an answer without Content-Type", method, path)
	}
}

// TestTraffic holds requests and answers of every dialect, good and bad, to the document.
func TestTraffic(t *testing.T) {
	doc := loadOpenAPI(t)
	all := servers{}
	for _, x := range append(goldenCases(t, "*.json"), badCases()...) {
		s := all.of(t, x.Models)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(x.Method, x.Path, bytes.NewReader(x.Request)))
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s: %s", x.Name, w.Body)
		}
		checkOpenAPI(t, doc, x.Method, x.Path, x.Request, w)
	}
}
