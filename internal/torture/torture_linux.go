//go:build amd64 || arm64

package torture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a row of the table of system calls that may change a file.
type call struct {
	number uint32
	name   string
	opens  bool // changes a file only if its flags create or empty one
	flags  int  // number of the argument with the flags of opens
	file   bool // the first argument is a descriptor, and only a regular file's counts
}

// changes are the flags that make opening a file a change.
const changes = unix.O_CREAT | unix.O_TRUNC | (unix.O_TMPFILE &^ unix.O_DIRECTORY)

// variable is the environment variable that tells Begin to install the filter. Its value is the descriptor of a socket to
// the supervisor.
const variable = "BERT_TORTURE_SOCKET"

// Supported reports whether Run works on this system.
func Supported() bool {
	action := uint32(unix.SECCOMP_RET_USER_NOTIF)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return errno == 0
}

// Begin has to be called first of all by a program that Run is to run. Under Run it installs the filter, hands the
// descriptor of its notifications to the supervisor, and starts the program again; otherwise it does nothing.
func Begin() {
	value, ok := os.LookupEnv(variable)
	if !ok {
		return
	}
	if err := begin(value); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(125)
	}
}

func begin(value string) error {
	socket, err := strconv.Atoi(value)
	if err != nil {
		return err
	}
	path, err := os.Executable()
	if err != nil {
		return err
	}
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, variable+"=") {
			env = append(env, e)
		}
	}
	runtime.LockOSThread() // the filter is this thread's, which exec makes the only one
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := program()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	if err := unix.Sendmsg(socket, []byte{0}, unix.UnixRights(int(listener)), nil, 0); err != nil {
		return err
	}
	unix.CloseOnExec(int(listener))
	unix.CloseOnExec(socket)
	return syscall.Exec(path, os.Args, env)
}

// program is the filter: it asks the supervisor about the calls of the table and lets all others pass.
func program() []unix.SockFilter {
	const (
		load     = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		anyOf    = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		end      = unix.BPF_RET | unix.BPF_K
		number   = 0 // offsets in struct seccomp_data
		arch     = 4
		argument = 16 // of the first; the others follow, 8 bytes each
	)
	out := []unix.SockFilter{
		{Code: load, K: arch},
		{Code: equal, K: auditArch, Jt: 1},
		{Code: end, K: unix.SECCOMP_RET_ALLOW},
		{Code: load, K: number},
	}
	for _, c := range calls {
		if c.opens {
			out = append(out,
				unix.SockFilter{Code: equal, K: c.number, Jf: 4},
				unix.SockFilter{Code: load, K: uint32(argument + 8*c.flags)},
				unix.SockFilter{Code: anyOf, K: changes, Jf: 1},
				unix.SockFilter{Code: end, K: unix.SECCOMP_RET_USER_NOTIF},
				unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ALLOW})
			continue
		}
		out = append(out,
			unix.SockFilter{Code: equal, K: c.number, Jf: 1},
			unix.SockFilter{Code: end, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	return append(out, unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ALLOW})
}

// notification is struct seccomp_notif.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	value int64
	err   int32
	flags uint32
}

// Run starts a program that begins with Begin, asks act about each system call that is about to change a file, and waits
// for the program's end, as cmd.Run does. act is called on one goroutine. The program must not start others.
func Run(cmd *exec.Cmd, act func(Call) Action) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours := os.NewFile(uintptr(pair[0]), "supervisor")
	theirs := os.NewFile(uintptr(pair[1]), "program")
	defer ours.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", variable, 2+len(cmd.ExtraFiles)))
	if err := cmd.Start(); err != nil {
		theirs.Close()
		return err
	}
	theirs.Close()
	listener, err := receive(pair[0])
	if err == nil {
		err = supervise(listener, cmd.Process.Pid, act)
	}
	if err != nil {
		cmd.Process.Kill() // it is waited for below
	}
	return errors.Join(err, cmd.Wait())
}

// receive gets the descriptor that Begin sends. Where the program ends before that there is none.
func receive(socket int) (*os.File, error) {
	var (
		data [1]byte
		oob  = make([]byte, unix.CmsgSpace(4))
	)
	for {
		_, n, _, _, err := unix.Recvmsg(socket, data[:], oob, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		messages, err := unix.ParseSocketControlMessage(oob[:n])
		if err != nil || len(messages) == 0 {
			return nil, errors.Join(errors.New("the program did not begin with torture.Begin"), err)
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fds[0]), "notifications"), nil
	}
}

// supervise answers notifications until the program has ended.
func supervise(listener *os.File, pid int, act func(Call) Action) error {
	defer listener.Close()
	var (
		fd = int(listener.Fd())
		n  = 0
	)
	for {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return err
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return nil // nobody is left that the filter holds for
		}
		var in notification
		if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&in)); err == unix.EINTR || err == unix.ENOENT {
			continue // the thread is gone
		} else if err != nil {
			return err
		}
		out := response{id: in.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if c, counts := describe(&in); counts {
			n++
			c.N = n
			switch act(c) {
			case Kill:
				unix.Kill(pid, unix.SIGKILL)
				continue
			case NoSpace:
				out.flags, out.err = 0, -int32(unix.ENOSPC)
			case IOError:
				out.flags, out.err = 0, -int32(unix.EIO)
			case Interrupt:
				unix.Kill(pid, unix.SIGINT)
			}
		}
		if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&out)); err != nil && err != unix.ENOENT && err != unix.EINTR {
			return err
		}
	}
}

func ioctl(fd int, request uint, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

// describe says what a notification is about, and whether it changes a file.
func describe(in *notification) (c Call, counts bool) {
	for _, row := range calls {
		if uint32(in.nr) != row.number {
			continue
		}
		c.Name = row.name
		if row.file || row.name == "copy_file_range" {
			argument := in.args[0]
			if !row.file {
				argument = in.args[2] // the descriptor that is written to
			}
			path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", in.pid, int32(argument)))
			if err != nil || !filepath.IsAbs(path) || strings.HasPrefix(path, "/dev/") {
				return c, false // a pipe, a socket, a terminal
			}
			c.Path = path
			return c, true
		}
		c.Path = pathArgument(in, row.name)
		return c, true
	}
	return c, false
}

// pathArgument reads the path that a call names first, from the program's memory.
func pathArgument(in *notification, name string) string {
	address := in.args[0]
	if strings.HasSuffix(name, "at") || name == "renameat2" {
		address = in.args[1] // after the descriptor of a folder
	}
	if name == "symlink" {
		address = in.args[1] // after what the link says
	}
	if name == "symlinkat" {
		address = in.args[2]
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", in.pid))
	if err != nil {
		return ""
	}
	defer memory.Close()
	buf := make([]byte, unix.PathMax)
	n, _ := memory.ReadAt(buf, int64(address))
	path, _, _ := strings.Cut(string(buf[:n]), "\x00")
	return path
}
