//go:build interop

package main

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"parley/xmpp"
)

// A peer is a server that a test speaks for by hand, on one stream that it has opened.
type peer struct {
	conn     net.Conn
	from, to string
	sc       xmpp.Scanner
}

// callsBy opens a stream as from, with its certificate, and gets as far as the features under
// TLS. Direct is TLS first.
func callsBy(from string, cred credential, to, addr string, direct bool) (*peer, *xmpp.Stanza, error) {
	pair, err := tls.LoadX509KeyPair(cred.cert, cred.key)
	if err != nil {
		return nil, nil, err
	}
	conn, err := net.DialTimeout("tcp", addr, 20*time.Second)
	if err != nil {
		return nil, nil, err
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	p := &peer{conn: conn, from: from, to: to}
	if !direct {
		if _, err := p.open(); err != nil {
			return p, nil, err
		}
		if st, err := p.asks("<starttls xmlns='" + xmpp.NSTLS + "'/>"); err != nil || st.Name.Local != "proceed" {
			return p, st, fmt.Errorf("starttls: %v %v", st, err)
		}
	}
	p.conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: to, Certificates: []tls.Certificate{pair}, NextProtos: []string{"xmpp-server"}})
	features, err := p.open()
	return p, features, err
}

// open says a stream header and returns the features.
func (p *peer) open() (*xmpp.Stanza, error) {
	p.sc.Reset("jabber:server", false, xmpp.DefaultLimits())
	return p.asks("<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='" + xmpp.NSStream + "' version='1.0' from='" + p.from + "' to='" + p.to + "'>")
}

// asks says something and returns the next element.
func (p *peer) asks(xml string) (*xmpp.Stanza, error) {
	if _, err := io.WriteString(p.conn, xml); err != nil {
		return nil, err
	}
	return p.next()
}

func (p *peer) next() (*xmpp.Stanza, error) {
	for {
		switch ev, err := p.sc.Next(); {
		case err == xmpp.ErrMore:
			n, err := p.conn.Read(p.sc.Space(4096))
			if n == 0 && err != nil {
				return nil, err
			}
			p.sc.Filled(n)
		case err != nil:
			return nil, err
		case ev == xmpp.EventEnd:
			return nil, io.EOF
		case ev != xmpp.EventHeader:
			return p.sc.Stanza(), nil
		}
	}
}

// external logs in with the certificate and returns the features after that.
func (p *peer) external() (*xmpp.Stanza, error) {
	st, err := p.asks("<auth xmlns='" + xmpp.NSSASL + "' mechanism='EXTERNAL'>" + base64.StdEncoding.EncodeToString([]byte(p.from)) + "</auth>")
	if err != nil || st.Name.Local != "success" {
		return nil, fmt.Errorf("EXTERNAL: %v %v", st, err)
	}
	return p.open()
}

// offered are the features in an order that does not depend on who has sent them.
func offered(features *xmpp.Stanza) string {
	var list []string
	for f := range features.Children {
		name := f.Name().Space
		if name == xmpp.NSSASL {
			for m := range f.Children {
				name = m.Text()
			}
		}
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}
