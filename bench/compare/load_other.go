//go:build !linux

package main

import (
	"os"
	"time"
)

// What the machine does beside is known on Linux alone.
func machineTime() (busy time.Duration, known bool) { return 0, false }
func processTime(int) time.Duration                 { return 0 }
func loadAverage() float64                          { return 0 }
func peakOf(*os.ProcessState) int64                 { return 0 }
func processor() string                             { return "unknown processor" }
