package roster

import (
	"context"
	"sync/atomic"

	"parley/xmpp"
)

// A SharedGroup is a group that the operator puts into rosters: who is in it, and who is
// shown it. Both are lists of bare JIDs and of domains, which stand for everybody there.
// Who has no account of this house is left out.
type SharedGroup struct {
	Name    string
	Members []xmpp.JID
	ShownTo []xmpp.JID
}

// A Person is somebody who may be in shared groups, under the name that others see unless
// they have given another.
type Person struct {
	JID  xmpp.JID // bare
	Name string
}

// A Directory says who is in which shared group. The configuration is one (Groups); one of
// a company would be another. Its methods may be called from many goroutines at once.
type Directory interface {
	// Groups returns the groups, each name once. The slice is not changed any more.
	Groups() []SharedGroup
	// People calls each for everybody who has an account at a domain of this house.
	People(ctx context.Context, domain string, each func(Person)) error
	// Person returns one of them; found is false where there is no such account.
	Person(ctx context.Context, bare xmpp.JID) (p Person, found bool, err error)
	// Watch has changed called after each change: with the address of the person
	// concerned, or with the zero JID where it may be anybody.
	Watch(changed func(xmpp.JID))
}

// Accounts says which accounts there are, for Groups.
type Accounts interface {
	// EachAccount calls each for every account of a domain.
	EachAccount(ctx context.Context, domain string, each func(bare xmpp.JID)) error
}

// Groups is the Directory whose groups stand in the configuration. People are called by
// their localparts. The zero Groups has none.
type Groups struct {
	accounts Accounts
	groups   atomic.Pointer[[]SharedGroup]
	changed  atomic.Pointer[func(xmpp.JID)]
}

// NewGroups returns a Directory without groups; Set gives it some.
func NewGroups(accounts Accounts) *Groups { return &Groups{accounts: accounts} }

// Set replaces the groups, and tells whoever watches.
func (g *Groups) Set(groups []SharedGroup) {
	g.groups.Store(&groups)
	if changed := g.changed.Load(); changed != nil {
		(*changed)(xmpp.JID{})
	}
}

// Groups implements Directory.
func (g *Groups) Groups() []SharedGroup {
	if l := g.groups.Load(); l != nil {
		return *l
	}
	return nil
}

// People implements Directory.
func (g *Groups) People(ctx context.Context, domain string, each func(Person)) error {
	return g.accounts.EachAccount(ctx, domain, func(bare xmpp.JID) { each(Person{bare, bare.Local()}) })
}

// Person implements Directory: whoever is asked for has an account.
func (g *Groups) Person(_ context.Context, bare xmpp.JID) (Person, bool, error) {
	return Person{bare, bare.Local()}, true, nil
}

// Watch implements Directory.
func (g *Groups) Watch(changed func(xmpp.JID)) { g.changed.Store(&changed) }
