//go:build !linux

package main

import "errors"

func mountTmpfs(string, int, bool) (unmount func() error, err error) {
	return nil, errors.ErrUnsupported
}
