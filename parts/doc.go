// Package parts divides work into independent parts, which any number of processes and machines do on their own, and joins what they
// made to what one process would have made.
//
// A Part is part i of n. A Job is what all parts have in common: the command, the input, the settings. Begin takes a part in a folder
// that the parts share, or have one each of: it refuses a part of another job, one that another process is doing, and says if the part
// is done. Work.Finish writes the part's file and then its record, both whole or not at all, so that a part which was killed is one that
// has not been done. Open gathers the parts of one or more folders once all are there, and Set.Copy joins them.
//
// The folder of n = 16 parts:
//
//	job.json                       what the parts have in common
//	part-00003-of-00016.jsonl      what part 3 made
//	part-00003-of-00016.done.json  its Record, by which it is done
//	.part-3-of-16.lock             while it is being done
//
// The package knows neither models nor texts: commands and package data fill in what is compared.
package parts
