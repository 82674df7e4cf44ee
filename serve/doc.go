// Package serve answers requests with BERT over HTTP, in the dialects that clients speak already.
package serve
