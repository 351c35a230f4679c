package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// longestSocketPath is how many bytes of path every system takes for a Unix socket: Linux
// has room for 108 with the closing zero, the BSDs for 104.
const longestSocketPath = 100

// socketPath is where the control socket of a data directory lies.
func socketPath(data string) string { return filepath.Join(data, "parley.sock") }

// listenSocket makes the control socket, whatever the length of its path. Closing the
// listener leaves the file: its maker removes it.
func listenSocket(path string) (l *net.UnixListener, err error) {
	err = withShortPath(path, func(short string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}

// dialSocket connects to the control socket.
func dialSocket(ctx context.Context, path string) (c net.Conn, err error) {
	err = withShortPath(path, func(short string) (err error) {
		c, err = (&net.Dialer{}).DialContext(ctx, "unix", short)
		return err
	})
	return c, err
}

// withShortPath calls do with a path that is short enough for a socket and leads to the
// same file: by a link to its directory, in a directory that only we can enter.
func withShortPath(path string, do func(string) error) error {
	if len(path) <= longestSocketPath {
		return do(path)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	short, err := os.MkdirTemp("", "parley")
	if err != nil {
		return err
	}
	defer os.RemoveAll(short)
	link := filepath.Join(short, "d")
	if err := os.Symlink(dir, link); err != nil {
		return err
	}
	name := filepath.Join(link, filepath.Base(path))
	if len(name) > longestSocketPath {
		return fmt.Errorf("the path is too long for a socket, and so is that of the directory for temporary files (TMPDIR)")
	}
	return do(name)
}
