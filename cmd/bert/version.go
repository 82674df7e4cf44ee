package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionFlag is set by the linker for a release: -ldflags "-X main.versionFlag=v1.2.3".
var versionFlag string

// versionJSON is the result of bert version --json.
type versionJSON struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version [--json]",
		Short:   "Print the version of this program",
		Example: "  bert version\n  bert version --json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			v := versionJSON{version(), runtime.Version(), runtime.GOOS, runtime.GOARCH}
			if asJSON {
				return jsonLine(a.stdout, v)
			}
			return writeOut(a.stdout, fmt.Appendf(nil, "bert %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch))
		},
	}
	addJSON(cmd, &asJSON)
	return cmd
}

// version returns the release, or the commit that the program was built from.
func version() string {
	if versionFlag != "" {
		return versionFlag
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	// After go install …@v1.2.3 this is the release; for a build in a checkout, a pseudo-version with the commit.
	return info.Main.Version
}
