package parts

import (
	"fmt"
	"strings"

	"github.com/go-bert/bert/internal/message"
)

// EnvironmentError says why the environment doesn't tell which part a process has to do.
type EnvironmentError struct{ Reason string }

func (e *EnvironmentError) Error() string { return e.Reason }

func unclear(format string, args ...any) error {
	return &EnvironmentError{fmt.Sprintf(format, args...)}
}

// FromEnvironment is the part that whatever started this process says it has to do. count is the number of parts, 0 where the environment
// says that too. getenv looks up a variable: os.Getenv.
//
//   - A job array of Slurm (sbatch --array): SLURM_ARRAY_TASK_ID. Without a count the array has to have no gaps, and its first task does
//     part 0, by SLURM_ARRAY_TASK_MIN, _MAX, _STEP and _COUNT. With a count the number of a task is that of its part, so that some of an
//     array's tasks can be run again alone.
//   - A step of several tasks of Slurm (srun --ntasks): SLURM_PROCID of SLURM_STEP_NUM_TASKS. In an array, each task of the array does as
//     many parts as its step has tasks.
//   - An indexed Job of Kubernetes: JOB_COMPLETION_INDEX, of a count that has to be given.
//
// Anything else is an *EnvironmentError.
func FromEnvironment(getenv func(name string) string, count int) (Part, error) {
	e := environment{getenv: getenv}
	array, step := e.has("SLURM_ARRAY_TASK_ID"), e.has("SLURM_STEP_ID") && e.has("SLURM_PROCID")
	job := e.has("JOB_COMPLETION_INDEX")
	var p Part
	switch {
	case job && (array || step):
		return Part{}, unclear("the environment is that of Slurm and of a Job of Kubernetes: say which part of how many")
	case job && count == 0:
		return Part{}, unclear("a Job of Kubernetes does not say how many parts there are: want env/N, with N as its completions")
	case job:
		p = Part{e.number("JOB_COMPLETION_INDEX"), count}
	case array || step:
		p = e.slurm(array, step, count)
	case e.number("SLURM_NTASKS") > 1 && e.failed == nil:
		return Part{}, unclear("the environment is that of a Slurm job of several tasks, but of none of them: want srun to start this program, or a job array")
	default:
		return Part{}, unclear("the environment says no part: want that of a job array of Slurm, of srun, or of an indexed Job of Kubernetes")
	}
	if e.failed != nil {
		return Part{}, e.failed
	}
	if p.Check() != nil {
		return Part{}, unclear("the environment says part %d of %d: want 0 to %d, as in --array=0-%d", p.Index, p.Count, p.Count-1, p.Count-1)
	}
	return p, nil
}

// environment reads numbers from variables, and keeps the first error.
type environment struct {
	getenv func(string) string
	failed error
}

func (e *environment) has(name string) bool { return e.getenv(name) != "" }

// number is the number that a variable has; 0 where there is none.
func (e *environment) number(name string) int {
	text := strings.TrimSpace(e.getenv(name))
	if text == "" {
		return 0
	}
	n, err := number(text)
	if err != nil && e.failed == nil {
		e.failed = unclear("%s is %s, want a number", name, message.Quote(text))
	}
	return n
}

// slurm is the part of a process of Slurm: of a task of an array, of a task of a step, or of one in the other.
func (e *environment) slurm(array, step bool, count int) Part {
	p, tasks := Part{Count: 1}, 1
	if array {
		p.Index = e.number("SLURM_ARRAY_TASK_ID")
		if count == 0 {
			first, last, all := e.number("SLURM_ARRAY_TASK_MIN"), e.number("SLURM_ARRAY_TASK_MAX"), e.number("SLURM_ARRAY_TASK_COUNT")
			by := max(1, e.number("SLURM_ARRAY_TASK_STEP"))
			if (last-first)/by+1 != all && e.failed == nil {
				e.failed = unclear("the job array has %d tasks from %d to %d, so that some are missing: want env/N, with N as the parts of the whole",
					all, first, last)
			}
			p = Part{(p.Index - first) / by, all}
		}
	}
	if step {
		if tasks = e.number("SLURM_STEP_NUM_TASKS"); tasks < 1 {
			tasks = max(1, e.number("SLURM_NTASKS"))
		}
		p = Part{p.Index*tasks + e.number("SLURM_PROCID"), p.Count * tasks}
	}
	if count > 0 {
		p.Count = count
	}
	return p
}
