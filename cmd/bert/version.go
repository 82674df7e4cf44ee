package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionFlag is set by the linker for a release: -ldflags "-X main.versionFlag=v1.2.3".
var versionFlag string

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: "  bert version",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			return writeOut(a.stdout, fmt.Appendf(nil, "bert %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH))
		},
	}
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
