//go:build nostarter

package starter

import "embed"

var embedded embed.FS // empty

const missing = "this program was built without the starter models (build tag nostarter)"
