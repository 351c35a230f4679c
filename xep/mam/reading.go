package mam

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// An Archive says how archives are kept and read. The zero Archive is one with the defaults.
type Archive struct {
	Default   string        // what is archived of those whose users say nothing: PolicyAlways (also if empty), PolicyRoster or PolicyNever
	Retention time.Duration // how long a message is kept; 0 means for ever
	Messages  int64         // how many are kept for one account; 0 means any number
	Bytes     int64         // how many bytes these may have; 0 means any number
	Page      int           // how many messages one answer has at most; 0 means MaxPage
}

// reading is what the reading side remembers.
type reading struct {
	prefs    router.Memo[preferences]
	index    indexer
	exchange *exchange
	sweeper  indexer // deletes what removed accounts and rooms have left
	// shrunk counts messages that have ceased to be unread other than by being read: what
	// was counted before is not to be believed. It changes in the writer's transactions.
	shrunk atomic.Int64
	// memberships finds the rooms that an account belongs to; nil: there are none.
	memberships func(*storage.Tx, xmpp.JID) ([]Membership, error)
}

// archive returns what holds for the archive of an account.
func (f *feature) archive(jid xmpp.JID) Archive {
	var a Archive
	if ask := f.limits().Archive; ask != nil {
		a = ask(jid.Domain())
	}
	if a.Default == "" {
		a.Default = PolicyAlways
	}
	if a.Page <= 0 {
		a.Page = MaxPage
	}
	return a
}

// reads adds the reading of archives to the feature.
func (f *feature) reads(r *router.Feature) {
	r.XEPs = append(r.XEPs,
		router.XEP{Number: 59, Version: "1.0.0"},
		router.XEP{Number: 313, Version: "1.1.3"},
		router.XEP{Number: 333, Version: "1.0.0", Note: "what was displayed is read"},
		router.XEP{Number: 424, Version: "0.4.2", Note: "tombstones"},
		router.XEP{Number: 430, Version: "0.2.0"},
		router.XEP{Number: 431, Version: "0.2.0"},
		router.XEP{Number: 441, Version: "0.2.0"},
	)
	r.AccountDisco = append(r.AccountDisco, nsMAM, nsMAM+"#extended", nsMAM+"#groupchat-field", xmpp.NSRSM, nsFullText, nsInbox,
		nsID,                              // XEP-0359 §5
		nsRetract, nsRetract+"#tombstone") // XEP-0424 §4
	// XEP-0313 §7 has it at the accounts. Profanity 0.13 looks for it here, where other servers say
	// it too, and reads no archive otherwise.
	r.Disco = append(r.Disco, nsRetract, nsMAM) // XEP-0424 §2
	r.IQ = append(r.IQ,
		router.Set(router.ToAccount, nsMAM, "query", f.query),
		router.Get(router.ToAccount, nsMAM, "query", f.queryForm),
		router.Get(router.ToAccount, nsMAM, "metadata", f.metadata),
		router.Get(router.ToAccount, nsMAM, "prefs", f.getPrefs),
		router.Set(router.ToAccount, nsMAM, "prefs", f.setPrefs),
		router.Get(router.ToAccount, nsInbox, "inbox", f.inbox),
	)
	r.Inline = append(r.Inline, router.Inline{Feature: nsMAM, Enable: f.inBound})
	r.Published = map[string]func(router.Edit, []string) error{nodeDisplayed: f.published}
	load := r.Load
	r.Load = func(tx *storage.Tx, a *router.Account) error {
		if err := load(tx, a); err != nil {
			return err
		}
		return f.loadPrefs(tx, a)
	}
	r.Forget = func(tx *storage.Tx, account int64, _ xmpp.JID) error { return leave(tx, account) }
	tidy := r.Tidy
	r.Tidy = func(ctx context.Context) error { return errors.Join(tidy(ctx), f.retain(ctx)) }
	start, stop := r.Start, r.Stop
	r.Start = func(h router.Hall) {
		start(h)
		for _, x := range []*indexer{&f.index, &f.exchange.work, &f.sweeper} {
			x.store, x.fail = h.Store, func(err error) { h.Log.Warn("messages are not in the index yet, or not deleted yet", "error", err) }
			x.wake() // what a crash left
		}
	}
	r.Stop = func() {
		if stop != nil {
			stop()
		}
		f.index.stop()
		f.exchange.work.stop()
		f.sweeper.stop()
	}
	r.Sent.Miss, r.Arrived.Miss = f.indexes(r.Sent.Miss), f.indexes(r.Arrived.Miss)
}

// indexes is a hook that has what was kept put into the index, behind another hook.
func (f *feature) indexes(first func(*router.Passage)) func(*router.Passage) {
	return func(p *router.Passage) {
		if first != nil {
			first(p)
		}
		if p.Kept() {
			f.index.wake()
		}
	}
}
