package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"parley/auth"
	"parley/storage"
)

// An operation is something an operator asks for, by the control socket of a running
// server or, where it makes sense, directly on the data directory.
type operation struct {
	when when
	do   func(ctx context.Context, h *house, args arguments) (any, error)
}

// when says what an operation needs.
type when uint8

const (
	running  when = iota // a running server
	existing             // or the data directory of a stopped one
	anyTime              // or no data at all yet: a directory is made
)

type arguments map[string]string

// operations is all that the control socket can do; the commands are its front end.
func operations() map[string]operation {
	return map[string]operation{
		"user-add":          {anyTime, userAdd},
		"user-passwd":       {existing, userPasswd},
		"user-disable":      {existing, userDisable},
		"user-enable":       {existing, userEnable},
		"user-del":          {existing, userDel},
		"user-list":         {existing, userList},
		"user-show":         {existing, userShow},
		"session-list":      {running, sessionList},
		"session-kick":      {running, sessionKick},
		"device-list":       {existing, deviceList},
		"device-revoke":     {existing, deviceRevoke},
		"archive-retention": {existing, archiveRetention},
		"s2s-list":          {running, s2sList},
		"s2s-show":          {running, s2sShow},
		"s2s-close":         {running, s2sClose},
		"s2s-check":         {running, s2sCheck},
		"s2s-explain":       {running, s2sExplain},
		"component-list":    {running, componentList},
		"room-list":         {existing, roomList},
		"room-show":         {existing, roomShow},
		"room-create":       {existing, roomCreate},
		"room-config":       {existing, roomConfig},
		"room-destroy":      {existing, roomDestroy},
		"room-affiliation":  {existing, roomAffiliation},
		"upload-list":       {existing, uploadList},
		"upload-delete":     {existing, uploadDelete},
		"upload-usage":      {existing, uploadUsage},
		"backup":            {existing, backup},
		"reload":            {running, reload},
		"announce":          {running, announceTo},
	}
}

// reply is what comes back over the socket.
type reply struct {
	Code   int             `json:"code,omitempty"`
	Error  string          `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// control serves the control socket. Only the user that the server runs as can reach it:
// the socket has mode 0600.
func control(h *house) (*http.Server, net.Listener, error) {
	path := socketPath(h.cfg.Data)
	os.Remove(path) // a socket that a crash left; the store's lock says that nobody else serves
	l, err := listenSocket(path)
	if err != nil {
		return nil, nil, fmt.Errorf("the control socket %s cannot be made: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil { // where the umask did not see to it
		l.Close()
		return nil, nil, err
	}
	mux := http.NewServeMux()
	for name, op := range operations() {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			var args arguments
			var out reply
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&args); err != nil {
				out = replyOf(nil, fail(exitUsage, "the request cannot be read: %v", err))
			} else {
				out = replyOf(op.do(r.Context(), h, args))
			}
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(out)
		})
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return srv, l, nil
}

func replyOf(result any, err error) reply {
	if err != nil {
		return reply{Code: codeOf(err), Error: plainText(err)}
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return reply{Code: exitFailed, Error: err.Error()}
	}
	return reply{Result: raw}
}

// codeOf returns the exit code of an error.
func codeOf(err error) int {
	var f *failure
	var c *configError
	var password *auth.PasswordError
	switch {
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &c):
		return exitConfig
	case errors.As(err, &password):
		return exitUsage
	case errors.Is(err, auth.ErrNotFound):
		return exitNotFound
	case errors.Is(err, auth.ErrExists):
		return exitExists
	}
	return exitFailed
}

// call performs an operation: on the running server if there is one, else directly if the
// operation allows it. result is filled.
func (o *options) call(ctx context.Context, name string, args arguments, result any) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	raw, err := ask(ctx, socketPath(cfg.Data), name, args)
	if errors.Is(err, errNobody) {
		raw, err = o.directly(ctx, cfg, name, args)
	}
	if err != nil || result == nil {
		return err
	}
	return json.Unmarshal(raw, result)
}

var errNobody = errors.New("no server is running here")

// ask performs an operation over the control socket.
func ask(ctx context.Context, path, name string, args arguments) (json.RawMessage, error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialSocket(ctx, path) },
	}}
	body, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://parley/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		switch {
		case errors.Is(err, os.ErrPermission):
			return nil, fail(exitFailed, "the control socket %s belongs to another user; run this command as the user that the server runs as", path)
		case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
			return nil, errNobody
		}
		return nil, fail(exitFailed, "the control socket %s: %v", path, err)
	}
	defer resp.Body.Close()
	var out reply
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return nil, fail(exitFailed, "the server's answer cannot be read: %v", err)
	}
	if out.Error != "" {
		return nil, fail(out.Code, "%s", out.Error)
	}
	return out.Result, nil
}

// directly performs an operation on the data directory of a stopped server.
func (o *options) directly(ctx context.Context, cfg Config, name string, args arguments) (json.RawMessage, error) {
	op := operations()[name]
	if op.when == running {
		return nil, fail(exitDown, "no server is running on %s; start it with: parley serve", absolute(cfg.Data))
	}
	if err := mayOpen(cfg.Data, op.when); err != nil {
		return nil, err
	}
	h, err := openHouse(ctx, cfg, quietLog())
	if errors.Is(err, storage.ErrLocked) {
		return nil, fail(exitFailed, "%s is in use by a server that does not answer on its control socket", absolute(cfg.Data))
	}
	if err != nil {
		return nil, plainly(err)
	}
	out := replyOf(op.do(ctx, h, args))
	if err := h.close(ctx); err != nil && out.Error == "" {
		return nil, fail(exitFailed, "%v", err)
	}
	if out.Error != "" {
		return nil, fail(out.Code, "%s", out.Error)
	}
	return out.Result, nil
}

// mayOpen looks whether a command may open the data directory itself: it must be there
// (a mistyped one should not come to be), and its files must be this user's, or the server
// could not write those that the command leaves.
func mayOpen(data string, w when) error {
	st, err := os.Stat(filepath.Join(data, "parley.db"))
	if err != nil {
		if w == existing && errors.Is(err, os.ErrNotExist) {
			return fail(exitFailed, "there is no database in %s; --data or the setting data names another directory", absolute(data))
		}
		return nil // opening says what is wrong
	}
	if owner, ok := st.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return fail(exitFailed, "the database in %s belongs to another user (%d); run this command as that user", absolute(data), owner.Uid)
	}
	return nil
}
