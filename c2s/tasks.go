package c2s

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"parley/auth"
	"parley/xmpp"
)

const (
	nsUpgrade      = "urn:xmpp:sasl:upgrade:0"
	nsScramUpgrade = "urn:xmpp:scram-upgrade:0"
)

// maxTasks is how many upgrades of one login are looked at: there are no more kinds of them.
const maxTasks = 8

// upgradesOf returns the tasks that <authenticate/> asks for (XEP-0480 §2.2).
func upgradesOf(st *xmpp.Stanza) (tasks []string) {
	for e := range st.Children {
		if e.Is(nsUpgrade, "upgrade") && len(tasks) < maxTasks {
			tasks = append(tasks, strings.TrimSpace(e.Text()))
		}
	}
	return tasks
}

// upgrades leads the client through the tasks that it wants and its account needs, one
// after the other (XEP-0480 §2.2). last is the mechanism's data that goes with success or
// the first <continue/>; what is left of it is returned. Once <continue/> was sent there is
// no second attempt on this stream (XEP-0388 §4.8): a failure ends it.
func (c *conn) upgrades(x *auth.Exchange, wanted []string, last []byte) ([]byte, error) {
	for n := 0; ; n++ {
		u, err := x.Upgrade(c.login.ctx, wanted)
		if err == nil && u == nil {
			return last, nil
		}
		if err == nil {
			err = c.upgrade(u, last)
		}
		if err != nil {
			return nil, c.taskFailed(err)
		}
		last = nil
	}
}

// upgrade is one task (XEP-0480 §3): the client computes the SaltedPassword for a salt.
func (c *conn) upgrade(u *auth.Upgrade, last []byte) error {
	var b xmpp.Builder
	b.Open(nsSASL2, "continue")
	if last != nil {
		b.Leaf("", "additional-data", base64.StdEncoding.EncodeToString(last))
	}
	b.Open("", "tasks").Leaf("", "task", u.Task).Close()
	next, err := c.task(b.Payload(), "next")
	if err != nil {
		return err
	}
	if name, _ := next.Attr("task"); name != u.Task {
		return &auth.Failure{Condition: auth.MalformedRequest, Text: "this task was not asked for"}
	}
	b = xmpp.Builder{}
	b.Open(nsSASL2, "task-data").Leaf(nsScramUpgrade, "salt", base64.StdEncoding.EncodeToString(u.Salt), "iterations", strconv.Itoa(u.Iterations))
	data, err := c.task(b.Payload(), "task-data")
	if err != nil {
		return err
	}
	salted, err := decode(strings.TrimSpace(data.Child(nsScramUpgrade, "hash").Text()))
	if err != nil {
		return err
	}
	return u.Finish(c.login.ctx, salted)
}

// task sends an element and returns the client's answer, which must have that name
// (XEP-0388 §2.6.3).
func (c *conn) task(say []byte, want string) (*xmpp.Stanza, error) {
	if err := c.out.write(say); err != nil {
		return nil, err
	}
	st, err := c.s.Await()
	switch {
	case err != nil:
		return nil, err
	case st.Kind == xmpp.Nonza && st.Name == xmpp.Name{Space: nsSASL2, Local: "abort"}: // XEP-0388 §4.5
		return nil, &auth.Failure{Condition: "aborted"}
	case st.Kind != xmpp.Nonza || st.Name != xmpp.Name{Space: nsSASL2, Local: want}:
		return nil, xmpp.EndStream("not-authorized", "") // XEP-0388 §2.4
	}
	return st, nil
}

// taskFailed reports a failed task (XEP-0388 §2.6.3) and ends the stream.
func (c *conn) taskFailed(err error) error {
	var f *auth.Failure
	if !errors.As(err, &f) {
		return err
	}
	if err := c.failed(dialect{nsSASL2}, f); err != nil {
		return err
	}
	return xmpp.EndStream("not-authorized", "a task of the login has failed")
}
