package pubsub

import (
	"context"
	"slices"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// decided takes the owner's answer to a request for a subscription: a form, sent to the own
// address (XEP-0060 §8.6). It is for nobody else, and is acknowledged when it is written. Only
// a stream's reader comes here with a sender, so it may wait for the sender's turn.
func (s *Service) decided(p *router.Passage) *xmpp.Error {
	st := p.Stanza
	if p.Sender == nil || st.To != p.Sender.JID || st.Type == "error" || !st.Has(xmpp.NSForm, "x") {
		return nil
	}
	name, asked, allow, cancelled, ok := consent(st)
	if !ok && !cancelled {
		return nil
	}
	p.Swallow()
	if cancelled {
		return nil
	}
	a := p.Sender
	var err error
	failed := a.Do(func(t *router.Turn) { err = s.decide(t, of(a), a.JID, name, asked, allow) })
	if failed != nil {
		err = failed
	}
	if err != nil {
		s.log.Warn("a subscription stays pending", "account", a.JID.String(), "error", err)
		return xmpp.Failure(err)
	}
	return nil
}

// consent reads an owner's answer: whether somebody may subscribe to a node. One that was
// cancelled says nothing, and neither does one that has no answer in it.
func consent(st *xmpp.Stanza) (name string, asked subscription, allow, cancelled, ok bool) {
	form, is := xmpp.ParseForm(st.Child(xmpp.NSForm, "x"))
	if !is || form.Value("FORM_TYPE") != formAuthorise || form.Type == "form" {
		return "", asked, false, false, false
	}
	allow, said := truth(form.Value("pubsub#allow"))
	jid, err := xmpp.ParseJID(form.Value("pubsub#subscriber_jid"))
	if form.Type != "submit" || !said || err != nil {
		return "", asked, false, true, false
	}
	return form.Value("pubsub#node"), subscription{jid, form.Value("pubsub#subid"), subPending}, allow, false, true
}

// decide is the turn of such an answer.
func (s *Service) decide(t *router.Turn, h *home, by xmpp.JID, name string, asked subscription, allow bool) error {
	v := s.view(context.Background(), h, by, h.account != nil || s.admin(by.Bare()))
	t.Flush() // who waits, flushes
	err := s.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		if v.n, err = find(tx, h.id, name); err != nil || v.n == nil {
			return err
		}
		return v.around(tx)
	})
	if err != nil || v.n == nil {
		return err
	}
	if v.aff() != affOwner {
		return forbidden()
	}
	i := slices.IndexFunc(v.subs, func(sub subscription) bool {
		return sub.jid == asked.jid && sub.state == subPending && (asked.subid == "" || asked.subid == sub.subid)
	})
	if i < 0 {
		return nil // it was answered before
	}
	sub := v.subs[i]
	if sub.state = subNone; allow {
		sub.state = subYes
	}
	if err := t.Write(context.Background(), func(tx *storage.Tx) error { return subscribe(tx, v.n.id, sub) }); err != nil {
		return err
	}
	s.inform(t, h, v.n, sub)
	if allow && v.n.cfg.SendLast != lastNever {
		s.welcome(t, h, v.n, sub.jid)
	}
	return nil
}
