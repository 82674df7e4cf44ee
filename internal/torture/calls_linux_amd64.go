package torture

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// calls are the system calls that may change a file, of this processor.
var calls = []call{
	{number: unix.SYS_OPEN, name: "open", opens: true, flags: 1},
	{number: unix.SYS_OPENAT, name: "openat", opens: true, flags: 2},
	{number: unix.SYS_CREAT, name: "creat"},
	{number: unix.SYS_WRITE, name: "write", file: true},
	{number: unix.SYS_PWRITE64, name: "pwrite64", file: true},
	{number: unix.SYS_WRITEV, name: "writev", file: true},
	{number: unix.SYS_PWRITEV, name: "pwritev", file: true},
	{number: unix.SYS_SENDFILE, name: "sendfile", file: true},
	{number: unix.SYS_COPY_FILE_RANGE, name: "copy_file_range"},
	{number: unix.SYS_FTRUNCATE, name: "ftruncate", file: true},
	{number: unix.SYS_TRUNCATE, name: "truncate"},
	{number: unix.SYS_FALLOCATE, name: "fallocate", file: true},
	{number: unix.SYS_RENAME, name: "rename"},
	{number: unix.SYS_RENAMEAT, name: "renameat"},
	{number: unix.SYS_RENAMEAT2, name: "renameat2"},
	{number: unix.SYS_UNLINK, name: "unlink"},
	{number: unix.SYS_UNLINKAT, name: "unlinkat"},
	{number: unix.SYS_RMDIR, name: "rmdir"},
	{number: unix.SYS_MKDIR, name: "mkdir"},
	{number: unix.SYS_MKDIRAT, name: "mkdirat"},
	{number: unix.SYS_LINK, name: "link"},
	{number: unix.SYS_LINKAT, name: "linkat"},
	{number: unix.SYS_SYMLINK, name: "symlink"},
	{number: unix.SYS_SYMLINKAT, name: "symlinkat"},
}
