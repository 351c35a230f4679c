package s2s

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"parley/xmpp"
)

// A worded error is one of the system's or the protocol's in words for operators, and for users
// whose messages come back with it: without addresses and ports of ours.
type worded struct {
	text  string
	cause error
}

func (e *worded) Error() string { return e.text }
func (e *worded) Unwrap() error { return e.cause }

// inWords says what another server has done instead of what was expected. Errors that are in
// words already it leaves alone.
func inWords(err error) error {
	var done *worded
	var wrong *xmpp.StreamError
	var noTLS tls.RecordHeaderError
	var unreached *DialError
	text := ""
	switch {
	case err == nil, errors.As(err, &done):
		return err
	case errors.As(err, &unreached) && unreached.Target.Static: // where that is is the operator's affair
		text = "its server cannot be connected to: " + plainDialError(unreached.Err)
	case errors.As(err, &unreached):
		text = fmt.Sprintf("%s cannot be connected to: %s", unreached.Target, plainDialError(unreached.Err))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed): // we close what takes too long
		text = "it does not answer in time"
	case errors.Is(err, context.Canceled): // for another stream, see carried
		text = "the attempt was given up"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		text = "it has closed the connection and said nothing"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		text = "it has broken the connection (reset)"
	case errors.As(err, &noTLS):
		text = "what answers does not speak TLS"
	case errors.As(err, &wrong):
		text = fmt.Sprintf("what answers does not speak as an XMPP server does: %s (%s)", wrong.Text, wrong.Condition)
	default:
		return err
	}
	return &worded{text, err}
}

// unreached is what a server that has proved nothing is told of our attempt to reach its domain:
// what stands in DNS, or was said to us in XMPP. Whoever writes that domain's records may have
// them lead anywhere, into our own network too, and is not told what we have found there.
func unreached(domain string, err error) string {
	var said *theirs
	if errors.As(err, &said) || NotFound(err) {
		return oneLine(err.Error())
	}
	return "the server of " + domain + " could not be reached and believed"
}
