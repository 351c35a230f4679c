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
	form, ok := xmpp.ParseForm(st.Child(xmpp.NSForm, "x"))
	if !ok || form.Value("FORM_TYPE") != formAuthorise || form.Type == "form" {
		return nil
	}
	p.Swallow()
	if form.Type != "submit" {
		return nil // XEP-0060 §8.6: cancelled, it stays as it is
	}
	allow, said := truth(form.Value("pubsub#allow"))
	jid, err := xmpp.ParseJID(form.Value("pubsub#subscriber_jid"))
	if !said || err != nil {
		return xmpp.Refuse("bad-request", "the form says nothing")
	}
	a, name, subid := p.Sender, form.Value("pubsub#node"), form.Value("pubsub#subid")
	failed := a.Do(func(t *router.Turn) { err = s.decide(t, a, name, subscription{jid, subid, subPending}, allow) })
	if failed != nil {
		err = failed
	}
	if err != nil {
		s.log.Warn("a subscription stays pending", "account", a.JID.String(), "error", err)
		return xmpp.Failure(err)
	}
	return nil
}

// decide is the turn of such an answer.
func (s *Service) decide(t *router.Turn, a *router.Account, name string, asked subscription, allow bool) error {
	v := s.view(context.Background(), a, a.JID, true)
	t.Flush() // who waits, flushes
	err := s.store.Read(context.Background(), func(tx *storage.Tx) error { return v.at(tx, a.ID, name) })
	if err != nil || v.n == nil {
		return err
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
	s.inform(t, a, v.n, sub)
	if allow && v.n.cfg.SendLast != lastNever {
		s.welcome(t, a, v.n, sub.jid)
	}
	return nil
}
