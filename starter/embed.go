//go:build !nostarter

package starter

import "embed"

// The folder is embedded rather than its archives, so that the package compiles in sources whose weights were not made.
//
//go:embed model
var embedded embed.FS

const missing = "this program was built without the starter models: their weights were missing in the sources, and starter/make.sh makes them"
