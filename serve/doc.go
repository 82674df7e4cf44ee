// Package serve answers requests with BERT over HTTP, in the dialects that clients speak already. It is an http.Handler that a program can
// mount, and binds nothing:
//
//	s, err := serve.New(serve.Options{Models: []serve.ModelSpec{{Name: "reviews", Path: "model"}}})
//	…
//	defer s.Close()
//	s.Start(ctx)                          // loads models while the server answers that it isn't ready
//	err = s.HTTPServer().Serve(listener)  // or mux.Handle("/", s)
//
// An answer is the same, to the bit, whatever is asked beside it, and says what became of each input: its tokens, and what was cut.
//
// # The way of a request
//
//	mux ─► route of a dialect ─► call: id, key, deadline ─► body, in bounded time and memory ─► inputs
//	  ─► model, by its name ─► tokenizer, in the call's goroutine ─► scheduler: tokens reserved whole, or Overloaded
//	  ─► cache │ the same input under way │ queue ─► batch ─► task.Runner ─► answers and facts ─► the dialect's body
//
// # Where to find what
//
//	options.go doc.go                        what is served, and within what bounds
//	server.go life.go manifest.go warm.go    the server, from New to Close; models loaded, probed, swapped
//	registry.go model.go                     names, models, and lanes: one for each way of answering
//	dialect.go call.go request.go body.go keys.go error.go    what a dialect is, and what its handlers get
//	answers.go ask.go use.go                 what handlers ask for
//	scheduler.go meter.go cache.go           which inputs are computed when
//	metrics.go metrics_tei.go                what is counted
//	encode.go vectors.go offsets.go          numbers, vectors and places as clients want them
//	probes.go native.go stream.go            the dialects: each a row of the table in dialect.go, and a file
package serve
