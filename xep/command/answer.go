package command

import (
	"parley/router"
	"parley/xmpp"
)

// answer shows where a command stands (XEP-0050 §4.1).
func (f *feature) answer(c router.Command, s *session) xmpp.Payload {
	at := s.stage()
	var b xmpp.Builder
	if at.Next == nil {
		open(&b, c, s, "completed")
	} else {
		open(&b, c, s, "executing")
		actions(&b, at, len(s.stages) > 1)
	}
	for _, n := range at.Notes {
		b.Leaf("", "note", xmpp.Clean(n.Text), "type", n.Type)
	}
	if at.Form != nil {
		form := *at.Form
		form.Type = "form"
		if at.Next == nil {
			form.Type = "result"
		}
		b.Raw(form.Payload())
	}
	return b.Payload()
}

func canceled(c router.Command, s *session) xmpp.Payload {
	var b xmpp.Builder
	return open(&b, c, s, "canceled").Payload()
}

func open(b *xmpp.Builder, c router.Command, s *session, status string) *xmpp.Builder {
	return b.Open(ns, "command", "xml:lang", lang, "node", c.Node, "sessionid", s.id, "status", status)
}

// actions writes what may be done at a stage (XEP-0050 §3.4, §4.2).
func actions(b *xmpp.Builder, at router.Stage, back bool) {
	b.Open("", "actions", "execute", forward(at))
	if back {
		b.Open("", "prev").Close()
	}
	b.Open("", forward(at)).Close().Close()
}

// fault is one of the errors of XEP-0050 §4.4 that the asker can mend.
func fault(condition, text string) *xmpp.Error {
	var b xmpp.Builder
	e := xmpp.Refuse("bad-request", text)
	e.App = b.Open(ns, condition).Payload()
	return e
}

// expired says that a command is not under way any more (XEP-0050 §4.4).
func expired() *xmpp.Error {
	var b xmpp.Builder
	e := xmpp.Refuse("not-allowed", "")
	e.App = b.Open(ns, "session-expired").Payload()
	return e
}

// maxEcho is how long a name may be that is repeated in an error.
const maxEcho = 256

// echo names the command that an error is about, without what was filled in.
func echo(asked xmpp.Element) xmpp.Payload {
	node, id := asked.Attr("node"), asked.Attr("sessionid")
	if node == "" || len(node) > maxEcho || len(id) > maxEcho {
		return nil
	}
	var b xmpp.Builder
	return b.Open(ns, "command", "node", node, "sessionid", id).Payload()
}
